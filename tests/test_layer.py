import numpy as np
import pytest

from compress.layer import MAX_LEVEL, RawTensor, SharedLayer

INDICES = np.array([[0, 1], [2, 0]], np.int32)
BOOK = np.array([0.5, -0.1], np.float16)


def shared(indices=INDICES, **fields):
    return SharedLayer("w", indices.shape, indices, **fields)


def test_values_are_codebook_entries():
    values = shared(codebook=BOOK).values()
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.array([[0, 0.5], [np.float32(np.float16(-0.1)), 0]], np.float32))


def test_values_are_levels_times_step_with_one_rounding():
    levels = np.array([-MAX_LEVEL, -1, 0, 3, MAX_LEVEL], np.int32)
    values = shared(levels, step=np.float32(0.1)).values()
    assert values.dtype == np.float32
    exact = levels.astype(np.float64) * float(np.float32(0.1))  # 15 + 24 bits: exact in float64
    np.testing.assert_array_equal(values, exact.astype(np.float32))


def test_zero_lives_in_the_mask_not_in_the_codebook():
    layer = shared(codebook=np.array([0.0, 1.0], np.float32))
    assert (layer.n_weights, layer.n_nonzero) == (4, 2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "exactly one of codebook and step"),
        ({"codebook": BOOK, "step": np.float32(1)}, "exactly one of codebook and step"),
        ({"codebook": BOOK.astype(np.float64)}, "need 1-D float16 or float32"),
        ({"codebook": BOOK.reshape(1, 2)}, "need 1-D float16 or float32"),
        ({"codebook": np.array([0.5, np.nan], np.float16)}, "finite centroids"),
        ({"codebook": BOOK[:1]}, r"indices span \[0, 2\], allowed \[0, 1\]"),
        ({"step": np.float32(np.inf)}, "step is inf"),
        ({"step": np.float32(-1)}, "step is -1.0"),
        ({"step": np.float32(1e-40)}, "must be finite and at least"),
        ({"step": np.float32(3e38)}, "times level 2"),
    ],
)
def test_a_layer_that_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ValueError, match=f"^w: .*{message}"):
        shared(**fields)


def test_indices_are_checked():
    with pytest.raises(ValueError, match=r"indices are int64 \(2, 2\), need int32 \(2, 2\)"):
        shared(INDICES.astype(np.int64), codebook=BOOK)
    with pytest.raises(ValueError, match=r"indices span \[-1, 2\]"):
        shared(np.array([-1, 2], np.int32), codebook=BOOK)
    with pytest.raises(ValueError, match="levels span"):
        shared(np.array([-MAX_LEVEL - 1], np.int32), step=np.float32(1))


def test_raw_tensors_widen_exactly():
    half = np.array([1 / 3, -2, 6e-8], np.float16)
    np.testing.assert_array_equal(RawTensor("b", half).values(), half.astype(np.float32))
    counter = RawTensor("n", np.array(7, np.int64))
    assert counter.values().dtype == np.int64 and counter.shape == () and counter.n_weights == 1


def test_raw_tensors_are_of_three_types():
    with pytest.raises(ValueError, match="b: raw tensors are float16, float32 or int64, not float64"):
        RawTensor("b", np.zeros(3))
