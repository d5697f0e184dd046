"""ONNX: the same function as PyTorch's, for every kind of net that a file may hold, and nothing is written where it is not."""

import json
import os
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_net
import torch
from onnx import numpy_helper
from test_cli import call, refused
from torch import nn

import compress
from compress.artifact import writer
from compress.errors import CorruptArtifact, InputError, MissingDependency
from compress.export import onnx as exporter
from compress.export.onnx import to_onnx
from compress.layer import RawTensor
from compress.models.built_in import build
from compress.models.low_rank import low_rank
from compress.recipe import AlexNetSpec, SqueezeNetSpec

DEEP = "artifacts/deep.sqz"
NARROW = {  # layers of an AlexNet: outputs, inputs
    "features.0": (4, 3), "features.3": (6, 4), "features.6": (5, 6), "features.8": (4, 5), "features.10": (3, 4),
    "classifier.1": (7, 108), "classifier.4": (6, 7), "classifier.6": (3, 6),
    "classifier.1.0": (2, 108), "classifier.1.1": (7, 2),
}  # fmt: skip


def net_file(path, net, described, side=16, **metadata):
    """A file of a net with random weights, stored as they are, of a size that keeps the scale through the layers."""
    rng = np.random.default_rng(1)
    layers = [
        RawTensor(name, (rng.standard_normal(tensor.shape) * np.sqrt(2 / max(8, tensor[0].numel()))).astype(np.float32))
        for name, tensor in net.state_dict().items()
    ]
    convention = {**tiny_net.INPUT, "size": side, "resize": side}
    writer.write(path, layers, tiny_net.metadata(architecture=described, input=convention, **metadata))
    return path


def squeezenet(path, side=16, **fields):
    small = {"base_e": 8, "incr_e": 4, "freq": 2, "squeeze_ratio": 0.5, "n_fires": 3, "conv1_channels": 8, "classes": 3}
    spec = SqueezeNetSpec.model_validate(small | {"pool_after": (1,), "conv10_relu": False} | fields)
    return net_file(path, build(spec), {"name": "squeezenet"} | spec.compact(), side)


def alexnet(path, side, ranks=None):
    """One whose channels were pruned to a few: the whole one has 57 million weights."""
    described = {"name": "alexnet", "classes": 3, "channels": "pruned"} | ({"svd": ranks} if ranks else {})
    with torch.device("meta"):
        net = low_rank(build(AlexNetSpec(name="alexnet", classes=3)), ranks or {})
    for name, module in net.named_modules():
        if name in NARROW and not isinstance(module, nn.Sequential):
            outputs, inputs = NARROW[name]
            module.weight = nn.Parameter(torch.empty(outputs, inputs, *module.weight.shape[2:]))
            if module.bias is not None:
                module.bias = nn.Parameter(torch.empty(outputs))
    return net_file(path, net, described, side)


def logits(path, images):
    """Of onnxruntime alone."""
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(["logits"], {"image": images})[0]


def check(path, tmp_path):
    """Export, and compare with PyTorch on other images than the command does."""
    made = to_onnx(path, tmp_path / "x.onnx")
    images = np.random.default_rng(7).random((5, *made.shape), np.float32)
    expected = compress.load(path)(torch.from_numpy(images)).numpy()
    found = logits(made.path, images)
    assert expected.std() > 1e-3  # or the comparison says nothing
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert made.largest_difference <= made.allowed
    return made


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"version": "1.0", "conv1_kernel": 7},
        {"bypass": "simple"},
        {"bypass": "complex"},
        {"conv10_padding": 1, "conv10_relu": True},
        {"pool_after": ()},
    ],
    ids=str,
)
@pytest.mark.parametrize("side", [24, 27])
def test_squeezenets(tmp_path, fields, side):
    check(squeezenet(tmp_path / "x.sqz", side, **fields), tmp_path)


@pytest.mark.parametrize("side", [64, 96, 131, 224, 256])  # 1, 2, 3, 6 and 7 pixels become 6
def test_alexnet_pools_any_side_to_6(tmp_path, side):
    check(alexnet(tmp_path / "x.sqz", side), tmp_path)


def test_alexnet_of_its_own_side_has_no_pool_that_does_nothing(tmp_path):
    made = check(alexnet(tmp_path / "x.sqz", 224), tmp_path)
    assert not {"MatMul", "GlobalAveragePool"} & {node.op_type for node in onnx.load(made.path).graph.node}


def test_a_layer_that_is_a_product(tmp_path):
    made = check(alexnet(tmp_path / "x.sqz", 96, {"classifier.1": 2}), tmp_path)
    assert {"classifier.1.0", "classifier.1.1"} <= {node.name for node in onnx.load(made.path).graph.node}


def test_fewer_channels(tmp_path):
    """As channel pruning leaves them: other shapes than the metaparameters say."""
    layers = tiny_net.layers(shapes={**tiny_net.SHAPES, "features.0": (3, 3, 3, 3), "features.2.squeeze": (2, 3, 1, 1),
                                     "features.2.expand1x1": (4, 2, 1, 1), "features.2.expand3x3": (3, 2, 3, 3),
                                     "classifier.1": (3, 7, 1, 1)})  # fmt: skip
    path = tiny_net.write(tmp_path / "x.sqz", layers, architecture={**tiny_net.ARCHITECTURE, "channels": "pruned"})
    check(path, tmp_path)


def test_grey_images(tmp_path):
    architecture = {**tiny_net.ARCHITECTURE, "in_channels": 1}
    path = tiny_net.write(tmp_path / "x.sqz", tiny_net.grey_layers(), architecture=architecture, input=tiny_net.GREY_INPUT)
    assert check(path, tmp_path).shape == (1, 16, 16)


def test_another_convention_is_folded(tmp_path):
    """A net of BGR pixels to 255 takes RGB pixels to 1, as compress.load gives it, and the properties say that."""
    path = tiny_net.write(tmp_path / "x.sqz", input=tiny_net.CAFFE_INPUT)
    model = onnx.load(check(path, tmp_path).path)
    convention = json.loads({p.key: p.value for p in model.metadata_props}["input"])
    assert (convention["channels"], convention["scale"], convention["mean"]) == ("RGB", 1.0, [0.485, 0.456, 0.406])
    [weight] = [numpy_helper.to_array(w) for w in model.graph.initializer if w.name == "features.0.weight"]
    np.testing.assert_array_equal(weight, compress.decode(path)["features.0.weight"])
    assert not np.array_equal(weight, compress.read(path).layers["features.0.weight"].values())


def test_what_is_in_the_model(tmp_path):
    path = tiny_net.write(tmp_path / "x.sqz")
    made = to_onnx(path, tmp_path / "x.onnx")
    model = onnx.load(made.path)
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)] and model.ir_version == 8
    [image], [output] = model.graph.input, model.graph.output
    dims = [[d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] for value in (image, output)]
    assert (image.name, output.name, dims) == ("image", "logits", [["N", 3, 16, 16], ["N", 3]])
    tensors = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}
    assert tensors.keys() == compress.decode(path).keys()
    for name, values in compress.decode(path).items():
        np.testing.assert_array_equal(tensors[name], values)
    properties = {p.key: p.value for p in model.metadata_props}
    assert properties["source_sha256"] == made.source_sha256 == compress.read(path).sha256
    assert json.loads(properties["classes"]) == tiny_net.CLASSES
    assert json.loads(properties["input"]) == tiny_net.INPUT
    assert json.loads(properties["architecture"]) == tiny_net.ARCHITECTURE
    assert (made.size_bytes, made.source_bytes) == (made.path.stat().st_size, path.stat().st_size)


def test_no_names_of_classes_no_property(tmp_path):
    made = to_onnx(tiny_net.write(tmp_path / "x.sqz", classes=None), tmp_path / "x.onnx")
    assert "classes" not in {p.key for p in onnx.load(made.path).metadata_props}


def test_the_same_file_gives_the_same_bytes(tmp_path):
    path = squeezenet(tmp_path / "x.sqz", bypass="complex")
    assert len({to_onnx(path, tmp_path / f"{i}.onnx").path.read_bytes() for i in range(3)}) == 1


def test_other_logits_are_refused_and_nothing_is_written(tmp_path, monkeypatch):
    path, weight = tiny_net.write(tmp_path / "x.sqz"), exporter._Graph.weight
    monkeypatch.setattr(exporter._Graph, "weight", lambda self, name, values: weight(self, name, values * 1.01))
    with pytest.raises(
        InputError, match=r"x\.sqz: onnxruntime [\d.]+ gives other logits than PyTorch: largest difference [\d.]+, "
    ):
        to_onnx(path, tmp_path / "x.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.sqz"]


def test_differences_that_are_allowed():
    expected = np.array([[1.0, -2.0]], np.float32)
    assert exporter._difference(expected + np.float32(0.5), expected) == (0.5, 1e-4)
    assert exporter._difference(1000 * expected, 1000 * expected) == (0.0, pytest.approx(8e-3))
    largest, allowed = exporter._difference(np.array([[np.nan, 0]], np.float32), expected)
    assert not largest <= allowed


def test_a_net_of_the_users_own_is_refused_as_predict_does(tmp_path):
    path = tiny_net.write(tmp_path / "x.sqz", architecture={"name": "factory", "factory": "mynets:small"})
    with pytest.raises(InputError, match=r"x\.sqz: holds a net of 'mynets:small', which a file may name and nothing imports"):
        to_onnx(path, tmp_path / "x.onnx")
    same = call("export", path, "--to", "onnx", "-o", tmp_path / "x.onnx", code=2).stderr
    assert same == call("predict", path, "x.png", code=2).stderr
    with pytest.raises(CorruptArtifact, match="this version builds squeezenet and alexnet"):
        to_onnx(tiny_net.write(path, architecture={"name": "resnet"}), tmp_path / "x.onnx")


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingDependency, match=rf"ONNX needs {missing}: pip install 'squeeze-compress\[train,onnx\]'"):
        to_onnx(tiny_net.write(tmp_path / "x.sqz"), tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


def test_a_net_too_large_for_protobuf_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(exporter, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match=r"x\.sqz: the net takes [\d,]+ bytes in float32, an ONNX file at most 999"):
        to_onnx(tiny_net.write(tmp_path / "x.sqz"), tmp_path / "x.onnx")


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets").mkdir()
    path = tiny_net.write(tmp_path / "nets" / "tiny.sqz")
    lines = call("export", path, "--to", "onnx").stdout.splitlines()
    size = (tmp_path / "tiny.onnx").stat().st_size  # here, not beside the file
    assert lines[0] == (
        f"tiny.onnx: {size:,} bytes; {path}: {path.stat().st_size:,} bytes: ONNX holds every weight as float32, zeros too"
    )
    assert lines[1].startswith("opset 17; image (N, 3, 16, 16) -> logits (N, 3); ")
    assert "for 4 images of noise: largest difference " in lines[2] and lines[2].endswith(", allowed 0.0001")
    facts = json.loads(call("export", path, "--to", "onnx", "-o", "other.onnx", "--json").stdout)
    assert facts["path"] == "other.onnx" and facts["size_bytes"] == size and facts["shape"] == [3, 16, 16]
    assert facts["source_sha256"] == compress.read(path).sha256
    assert facts["largest_difference"] <= facts["allowed"] == 1e-4
    assert (tmp_path / "other.onnx").read_bytes() == (tmp_path / "tiny.onnx").read_bytes()


def test_the_command_refuses(tmp_path):
    path = tiny_net.write(tmp_path / "x.sqz")
    to = ("--to", "onnx", "-o")
    assert "Missing option '--to'" in refused("export", path)
    assert "Invalid value for '--to': 'tflite' is not " in refused("export", path, "--to", "tflite")
    assert f"{tmp_path / 'x.pb'}: must end in .onnx" in refused("export", path, *to, tmp_path / "x.pb")
    folder = tmp_path / "none"
    assert f"{folder / 'x.onnx'}: the folder {folder} does not exist" in refused("export", path, *to, folder / "x.onnx")
    renamed = path.rename(tmp_path / "x.onnx")
    assert "is read from" in refused("export", renamed, *to, renamed)
    compress.read(renamed)  # is still there


@pytest.mark.skipif(sys.platform == "win32", reason="device files")
def test_devices_are_refused_both_ways(tmp_path):
    path = tiny_net.write(tmp_path / "x.sqz")
    (tmp_path / "null.onnx").symlink_to("/dev/null")
    message = refused("export", path, "--to", "onnx", "-o", tmp_path / "null.onnx")
    assert message == f"error: {tmp_path / 'null.onnx'}: a device, a pipe or a socket; it must be a regular file\n"
    message = refused("export", os.devnull, "--to", "onnx", "-o", tmp_path / "x.onnx")
    assert message == f"error: {os.devnull}: cannot be read: a device, a pipe or a socket; it must be a regular file\n"


def test_files_that_are_none(tmp_path):
    out = ("--to", "onnx", "-o", tmp_path / "x.onnx")
    assert refused("export", tmp_path / "none.sqz", *out).endswith("none.sqz: cannot be read: No such file or directory\n")
    (tmp_path / "text.sqz").write_text("not a net")
    assert refused("export", tmp_path / "text.sqz", *out).startswith(
        f"error: {tmp_path / 'text.sqz'}: not a .sqz file: begins with"
    )
    assert not (tmp_path / "x.onnx").exists()


def test_the_published_file(tmp_path):
    made = to_onnx(DEEP, tmp_path / "deep.onnx")
    assert made.shape == (3, 227, 227) and made.n_classes == 1000 and made.source_bytes == 466_271
    assert 4_941_984 < made.size_bytes < 5_000_000  # the weights, 1000 names, the graph
    assert made.largest_difference < 2e-5
