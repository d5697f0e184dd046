import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from compress.errors import RecipeError
from compress.models.squeezenet import SqueezeNet
from compress.prune.magnitude import densities, magnitude_masks, n_kept
from compress.recipe import SqueezeNetSpec


def mask(values, density):
    return magnitude_masks({"w": torch.tensor(values)}, {"w": density})["w"].tolist()


def test_the_largest_magnitudes_are_kept():
    assert mask([0.1, -5.0, 3.0, -0.2, 0.0], 0.4) == [False, True, True, False, False]


def test_of_equal_magnitudes_the_first_go():
    assert mask([1.0, -1.0, 1.0, -1.0], 0.5) == [False, False, True, True]
    assert mask([0.0] * 3, 1 / 3) == [False, False, True]


def test_at_least_one_weight_is_kept():
    assert mask([0.1, 0.3, 0.2], 1e-9) == [False, True, False]


def test_density_one_keeps_everything_zeros_too():
    assert mask([0.0, 1.0], 1.0) == [True, True]


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=1, max_dims=4, max_side=6), elements=st.floats(-4, 4, width=16)),
    st.floats(0.001, 1),
)
def test_exactly_the_count_is_kept_and_no_pruned_weight_is_larger(values, density):
    weight = torch.from_numpy(values)
    kept = magnitude_masks({"w": weight}, {"w": density})["w"]
    assert kept.dtype == torch.bool and kept.shape == weight.shape
    assert int(kept.sum()) == n_kept(density, weight.numel())
    if not kept.all():
        assert float(weight[~kept].abs().max()) <= float(weight[kept].abs().min())


@pytest.mark.parametrize(("density", "n", "kept"), [(0.33, 9216, 3042), (0.07, 100, 7), (1e-9, 5, 1), (1.0, 5, 5), (0.5, 3, 2)])
def test_the_count_is_rounded_up(density, n, kept):
    assert n_kept(density, n) == kept


def test_every_layer_has_its_own_density():
    weights = {"a": torch.randn(4, 5), "b": torch.randn(10)}
    masks = magnitude_masks(weights, {"a": 0.25, "b": 0.9})
    assert {name: int(kept.sum()) for name, kept in masks.items()} == {"a": 5, "b": 9}


# --- densities -------------------------------------------------------------------------------------------------------


def weights_of(**fields):
    with torch.device("meta"):
        net = SqueezeNet(SqueezeNetSpec(**fields))
    return {name.removesuffix(".weight"): tensor for name, tensor in net.named_parameters() if tensor.ndim > 1}


def test_the_papers_table_layer_by_layer():
    table = densities("paper", weights_of(version="1.0"))
    fires = {place: tuple(table[f"features.{place}.{part}"] for part in ("squeeze", "expand1x1", "expand3x3"))
             for place in (3, 4, 5, 7, 8, 9, 10, 12)}  # fmt: skip
    assert fires == {
        3: (1.0, 1.0, 0.33),
        4: (1.0, 1.0, 0.33),
        5: (1.0, 1.0, 0.33),
        7: (1.0, 1.0, 0.33),
        8: (1.0, 0.5, 0.33),
        9: (0.5, 1.0, 0.33),
        10: (1.0, 0.5, 0.3),
        12: (0.5, 1.0, 0.3),
    }
    assert (table["features.0"], table["classifier.1"], len(table)) == (1.0, 0.2, 26)


def test_the_papers_table_keeps_the_papers_count():
    """421,098, biases counted: the counts are rounded up."""
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(tensor.shape, generator=generator) for name, tensor in weights_of(version="1.0").items()}
    masks = magnitude_masks(weights, densities("paper", weights))
    n_biases = sum(len(weight) for weight in weights.values())
    assert n_biases == 3_976
    assert sum(int(kept.sum()) for kept in masks.values()) + n_biases == 421_098


def test_the_papers_table_fits_v11_and_simple_bypass_too():
    assert densities("paper", weights_of())["features.12.squeeze"] == 0.5
    assert len(densities("paper", weights_of(version="1.0", bypass="simple"))) == 26


@pytest.mark.parametrize(("fields", "n_layers"), [({"n_fires": 7}, 23), ({"version": "1.0", "bypass": "complex"}, 30)])
def test_the_papers_table_is_for_no_other_net(fields, n_layers):
    with pytest.raises(RecipeError, match=f"prune.density: paper is for SqueezeNet .* this net has {n_layers}"):
        densities("paper", weights_of(**fields))


def test_a_number_and_a_table_of_patterns():
    layers = ["features.0", "classifier.1"]
    assert densities(0.3, layers) == {"features.0": 0.3, "classifier.1": 0.3}
    assert densities({"classifier.*": 0.1, "*": 0.9}, layers) == {"features.0": 0.9, "classifier.1": 0.1}
    with pytest.raises(RecipeError, match=r"^prune.density: no pattern matches layer features.0"):
        densities({"classifier.*": 0.1}, layers)
