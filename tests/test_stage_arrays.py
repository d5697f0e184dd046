import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from compress.errors import RecipeError, TrainingDiverged
from compress.layer import RawTensor, SharedLayer
from compress.stage_arrays import dense, from_layers, raw_tensor, sha256, shared_layers

SHAPES = arrays_of.array_shapes(min_dims=1, max_dims=4, max_side=3)
NAMES = st.text("abc.:_0", min_size=1, max_size=6)


@st.composite
def layers(draw):
    """Raw and shared layers in any order, names of any kind among them."""
    made = []
    for name in draw(st.lists(NAMES, max_size=6, unique=True)):
        shape = draw(SHAPES)
        if draw(st.booleans()):
            codebook = np.array(draw(st.lists(st.floats(-9, 9, width=16), max_size=5)), np.float16)
            indices = draw(arrays_of.arrays(np.int32, shape, elements=st.integers(0, len(codebook))))
            made.append(SharedLayer(name, shape, indices, codebook=codebook))
        else:
            dtype = draw(st.sampled_from([np.float16, np.float32, np.int64]))
            made.append(RawTensor(name, np.arange(np.prod(shape)).reshape(shape).astype(dtype)))
    return made


@given(layers())
def test_layers_come_back_dense_in_their_order(made):
    tensors = dense(from_layers(made))
    assert list(tensors) == [layer.name for layer in made]
    for layer in made:
        np.testing.assert_array_equal(tensors[layer.name], layer.values())


@given(layers())
def test_shared_layers_come_back_as_they_were(made):
    back = shared_layers(from_layers(made))
    shared = [layer for layer in made if isinstance(layer, SharedLayer)]
    assert list(back) == [layer.name for layer in shared]
    for layer in shared:
        np.testing.assert_array_equal(back[layer.name].indices, layer.indices)
        np.testing.assert_array_equal(back[layer.name].codebook, layer.codebook)
        assert back[layer.name].codebook.dtype == layer.codebook.dtype


def test_known_arrays():
    shared = SharedLayer("w", (1, 3), np.int32([[2, 0, 1]]), codebook=np.float16([-1, 0.5]))
    arrays = from_layers([shared, RawTensor("b", np.float32([7]))])
    assert list(arrays) == ["indices:w", "codebook:w", "b"]
    tensors = dense({**arrays, "mask:w": np.array([[True, False, True]])})
    assert list(tensors) == ["w", "b"] and tensors["w"].dtype == np.float32
    np.testing.assert_array_equal(tensors["w"], [[0.5, 0, -1]])


def test_indices_that_do_not_fit_their_codebook_are_refused():
    with pytest.raises(ValueError, match=r"w: indices span \[0, 3\], allowed \[0, 2\]"):
        dense({"indices:w": np.int32([0, 3]), "codebook:w": np.float32([1, 2])})


# --- tensors as a file stores them ----------------------------------------------------------------------------------------


def test_floats_are_rounded_to_the_files_type():
    array = np.float32([1 / 3, -65504, 0])
    np.testing.assert_array_equal(raw_tensor("b", array, np.dtype("float16")).array, array.astype(np.float16))
    np.testing.assert_array_equal(raw_tensor("b", array, np.dtype("float32")).array, array)
    assert raw_tensor("b", np.float64([1 / 3]), np.dtype("float32")).array.dtype == np.float32


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.int64])
def test_integers_are_stored_as_int64(dtype):
    stored = raw_tensor("n", np.array(1, dtype), np.dtype("float16"))
    assert stored.array.dtype == np.int64 and stored.shape == () and stored.array == 1


@pytest.mark.parametrize("value", [65520, -7e4])
def test_a_value_that_float16_cannot_hold_is_refused(value):
    with pytest.raises(RecipeError, match=rf"^encode.bias: fc.bias has a value of {abs(value):g}, more than float16 holds; use"):
        raw_tensor("fc.bias", np.float32([1, value]), np.dtype("float16"))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_values_that_no_type_holds_are_of_a_net_that_diverged(dtype):
    with pytest.raises(TrainingDiverged, match=r"^fc.bias holds 2 values that are NaN or infinite"):
        raw_tensor("fc.bias", np.float32([1, np.nan, -np.inf]), np.dtype(dtype))


# --- the digest of a net --------------------------------------------------------------------------------------------------


def test_known_digest():
    tensors = {"a.weight": np.float32([[1, -2]]), "n": np.array(3, np.int64)}
    data = b"a.weight (1, 2)\n" + struct.pack("<2f", 1, -2) + b"n ()\n" + struct.pack("<q", 3)
    assert sha256(tensors) == hashlib.sha256(data).hexdigest()


def test_a_digest_is_of_values_and_not_of_how_they_are_stored():
    plain = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array([1], np.int64)}
    for same in (
        {"w": plain["w"].astype(np.float16), "n": plain["n"].astype(np.int32)},
        {"w": np.asfortranarray(plain["w"]), "n": plain["n"].astype(">i8")},
    ):
        assert sha256(same) == sha256(plain)


def test_a_digest_depends_on_names_shapes_values_and_order():
    w, n = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1], np.int64)
    nets = [{"w": w, "n": n}, {"n": n, "w": w}, {"v": w, "n": n}, {"w": w.T, "n": n}, {"w": w.ravel(), "n": n}]
    nets += [{"w": w + 1, "n": n}, {"w": w, "n": n + 1}, {"w": w}, {}]
    assert len({sha256(net) for net in nets}) == len(nets)
