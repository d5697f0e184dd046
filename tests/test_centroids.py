import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compress.errors import RecipeError
from compress.quantize.centroids import shared_weight, stored_codebook


def test_index_zero_is_zero_and_index_i_is_centroid_i_less_one():
    codebook, indices = torch.tensor([0.5, -2.0]), torch.tensor([[0, 1], [2, 0]])
    assert shared_weight(codebook, indices).tolist() == [[0.0, 0.5], [-2.0, 0.0]]


def test_a_gradient_by_hand():
    codebook = torch.tensor([0.5, -2.0, 7.0], requires_grad=True)
    gradient = torch.tensor([10.0, 1.0, 2.0, 4.0])
    shared_weight(codebook, torch.tensor([0, 2, 1, 2])).backward(gradient)
    assert codebook.grad.tolist() == [2.0, 5.0, 0.0]  # the sum over each cluster; the pruned weight's 10 goes nowhere


@given(st.integers(1, 9), st.lists(st.integers(1, 5), max_size=4), st.integers(0, 2**32 - 1))
def test_the_gradient_is_that_of_plain_indexing(n_centroids, shape, seed):
    generator = torch.Generator().manual_seed(seed)
    indices = torch.randint(0, n_centroids + 1, shape, generator=generator)
    gradient = torch.randint(-8, 9, shape, generator=generator).float()  # whole numbers: sums are exact in any order
    ours, plain = (torch.arange(1.0, n_centroids + 1).requires_grad_() for _ in range(2))
    weight, expected = shared_weight(ours, indices), torch.cat([torch.zeros(1), plain])[indices]
    assert torch.equal(weight, expected)
    weight.backward(gradient)
    expected.backward(gradient)
    assert ours.grad.dtype == torch.float32 and torch.equal(ours.grad, plain.grad)


def test_the_codebook_is_rounded_to_the_files_type():
    stored = stored_codebook("w", np.array([0.1, -65504.0]), np.dtype("float16"))
    assert stored.dtype == np.float16 and stored.tolist() == [float(np.float16(0.1)), -65504.0]


@pytest.mark.parametrize(
    ("centroid", "dtype", "told"), [(-7e4, "float16", "70000"), (1e39, "float32", "1e\\+39"), (np.nan, "float32", "nan")]
)
def test_a_centroid_that_the_type_cannot_hold_is_refused(centroid, dtype, told):
    with pytest.raises(RecipeError, match=f"^encode.codebook: conv.weight has a centroid of {told}, more than {dtype} holds"):
        stored_codebook("conv.weight", np.array([0.5, centroid]), np.dtype(dtype))
