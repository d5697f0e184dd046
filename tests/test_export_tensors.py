import numpy as np
import pytest
import safetensors.numpy
import torch

from compress.errors import InputError
from compress.export.tensors import SUFFIXES, save

TENSORS = {
    "features.0.weight": np.linspace(-1, 1, 36, dtype=np.float32).reshape(4, 1, 3, 3).transpose(0, 1, 3, 2),  # not contiguous
    "file": np.float32([1.5]),  # a name that numpy.savez has for itself
    "bn.num_batches_tracked": np.array(3, np.int64),
}


def load(path):
    if path.suffix == ".safetensors":
        return safetensors.numpy.load_file(path)
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as loaded:
            return dict(loaded)
    return {name: tensor.numpy() for name, tensor in torch.load(path, weights_only=True).items()}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    save(TENSORS, path)
    loaded = load(path)
    assert loaded.keys() == TENSORS.keys()
    for name, array in TENSORS.items():
        assert loaded[name].dtype == array.dtype and loaded[name].shape == array.shape
        np.testing.assert_array_equal(loaded[name], array)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_other_names_are_refused(tmp_path):
    for name, got in (("net.onnx", ".onnx"), ("net", "a file without a suffix"), ("net.NPZ", ".NPZ")):
        with pytest.raises(InputError, match=rf"{name}: tensors are written as .safetensors, .npz, .pt, not {got}"):
            save(TENSORS, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_in_the_way(tmp_path, suffix):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=rf"file/net{suffix}: cannot be written: Not a directory"):
        save(TENSORS, tmp_path / "file" / f"net{suffix}")
