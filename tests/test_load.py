import itertools
import tracemalloc

import numpy as np
import pytest
import tiny_net
import torch
from PIL import Image
from test_artifact_tensors import HOSTILE_INPUTS

import compress
from compress.artifact.tensors import decode
from compress.convention import InputConvention
from compress.data.preprocess import normalise
from compress.errors import CorruptArtifact
from compress.export.load import class_names
from compress.models.squeezenet import SqueezeNet
from compress.recipe import SqueezeNetSpec


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.sqz"


def net_of(layers, **changes):
    """The same tensors in a net that was made without a file."""
    net = SqueezeNet(SqueezeNetSpec(**{k: v for k, v in (tiny_net.ARCHITECTURE | changes).items() if k != "name"}))
    net.load_state_dict({layer.name: torch.from_numpy(np.array(layer.values())) for layer in layers})
    return net.eval()


def test_load_gives_a_ready_net(path):
    net = compress.load(tiny_net.write(path))
    assert isinstance(net, torch.nn.Module) and not net.training
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert net.class_names == ("cat", "dog", "owl")
    assert net.metadata == tiny_net.metadata()
    assert list(net.state_dict()) == [layer.name for layer in tiny_net.layers()]
    for name, array in decode(path).items():
        np.testing.assert_array_equal(net.state_dict()[name].numpy(), array)
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(net(x), net_of(tiny_net.layers())(x), rtol=0, atol=0)


def test_the_net_can_be_trained_on(path):
    """The tensors belong to the net, in memory that may be written."""
    net = compress.load(str(tiny_net.write(path))).requires_grad_(True)
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    net(torch.ones(1, 3, 16, 16)).sum().backward()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.sub_(parameter.grad)
    moved = {name for name, parameter in net.named_parameters() if parameter.grad.any()}
    assert "classifier.1.bias" in moved
    assert moved == {name for name, parameter in net.named_parameters() if not torch.equal(parameter, before[name])}


def test_preprocess_takes_a_picture_or_its_path(path, tmp_path):
    net = compress.load(tiny_net.write(path))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    picture.save(tmp_path / "picture.png")
    x = net.preprocess(picture)
    assert x.shape == (1, 3, 16, 16) and x.dtype == torch.float32
    assert net.preprocess.convention == InputConvention.from_metadata(tiny_net.INPUT, "")
    torch.testing.assert_close(net.preprocess(tmp_path / "picture.png"), x, rtol=0, atol=0)
    torch.testing.assert_close(net.preprocess(str(tmp_path / "picture.png")), x, rtol=0, atol=0)
    assert net(x).shape == (1, 3)


def test_grey_net(path):
    net = compress.load(
        tiny_net.write(
            path,
            tiny_net.grey_layers(),
            input=tiny_net.GREY_INPUT,
            architecture={**tiny_net.ARCHITECTURE, "in_channels": 1},
            classes=None,
        )
    )
    assert net.class_names is None
    x = net.preprocess(Image.new("RGB", (18, 18), (128, 128, 128)))
    assert x.shape == (1, 1, 16, 16)
    np.testing.assert_allclose(x, (128 / 255 - 0.5) / 0.25, atol=1e-6)


def test_another_input_convention_is_folded_on_load(path):
    """The net of a Caffe file, given what .preprocess makes, answers as it does in Caffe, given Caffe input."""
    loaded = compress.load(tiny_net.write(path, input=tiny_net.CAFFE_INPUT))
    caffe = net_of(tiny_net.layers())
    assert loaded.preprocess.convention.channels == "RGB" and loaded.preprocess.convention.scale == 1.0
    pixels = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (5, 16, 16, 3), np.uint8))
    theirs = caffe(normalise(pixels, InputConvention.from_metadata(tiny_net.CAFFE_INPUT, "")))
    ours = loaded(normalise(pixels, loaded.preprocess.convention))
    assert theirs.abs().max() > 1
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


# --- metadata that does not fit --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": 4}, r"does not fit the tensors .*: classifier.1.bias is \(3,\), the net has \(4,\)"),
        ({"n_fires": 2}, r"features.4.expand1x1.bias is missing, the net has \(4,\)"),
        ({"base_e": 16}, r"does not fit the tensors"),
        ({"bypass": "complex"}, r"features.2.bypass.bias is missing|does not fit"),
        ({"pool_after": [0]}, r"does not fit the tensors: features.2.expand1x1.bias is .*no such tensor|does not fit"),
        ({"conv1_kernel": 5}, r"features.0.weight is \(4, 3, 3, 3\), the net has \(4, 3, 5, 5\)"),
        # declared sizes that no file could hold
        ({"n_fires": 64, "base_e": 4096, "incr_e": 4096, "freq": 1, "classes": 100_000}, r"does not fit the tensors"),
        # values that are not allowed
        ({"n_fires": 10**9}, r"metadata.architecture: n_fires: .*less than or equal to 64"),
        ({"n_fires": 10**400}, r"metadata.architecture: n_fires: "),
        ({"n_fires": "1"}, r"n_fires: .*integer"),
        ({"n_fires": None}, r"n_fires: "),
        ({"n_fires": 1.5}, r"n_fires: "),
        ({"pool_after": 1}, r"pool_after: "),
        ({"pool_after": [[1]]}, r"pool_after"),
        ({"classes": 10**12}, r"classes: .*less than or equal to 100000"),
        ({"base_e": -1}, r"base_e: "),
        ({"squeeze_ratio": 1e300}, r"squeeze_ratio: "),
        ({"version": "2.0"}, r"version: "),
        ({"version": []}, r"version: "),
        ({"code": "import os"}, r"code: Extra inputs"),
        ({"name": "resnet"}, r"metadata.architecture is .*this version builds squeezenet"),
        ({"name": None}, r"this version builds squeezenet"),
    ],
    ids=str,
)
def test_an_architecture_that_does_not_fit_is_refused_without_memory(path, changes, message):
    tiny_net.write(path, architecture={**tiny_net.ARCHITECTURE, **changes})
    tracemalloc.start()
    try:
        with pytest.raises(CorruptArtifact, match=rf"net\.sqz: .*({message})"):
            compress.load(path)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("described", [None, [], "squeezenet", {}, 3], ids=str)
def test_an_unknown_architecture_is_refused(path, described):
    with pytest.raises(CorruptArtifact, match="this version builds squeezenet"):
        compress.load(tiny_net.write(path, architecture=described))


@pytest.mark.parametrize("described", [None, *HOSTILE_INPUTS], ids=str)
def test_an_input_that_is_no_convention_is_refused(path, described):
    with pytest.raises(CorruptArtifact, match=r"metadata.input is not an input convention"):
        compress.load(tiny_net.write(path, input=described))


@pytest.mark.parametrize("described", [{**tiny_net.INPUT, "size": 3, "resize": 3}, tiny_net.GREY_INPUT], ids=["small", "grey"])
def test_an_input_that_the_net_does_not_take_is_refused(path, described):
    with pytest.raises(CorruptArtifact, match=r"metadata.input is \w+ at \d+ pixels, the net takes 3 channels of at least 5"):
        compress.load(tiny_net.write(path, input=described))


@pytest.mark.parametrize("names", [[], ["cat"], ["a", "b", "c", "d"], "imagenet-1k"], ids=str)
def test_classes_of_another_number_are_refused(path, names):
    with pytest.raises(CorruptArtifact, match=r"metadata.classes has \d+ names, the net has 3 classes"):
        compress.load(tiny_net.write(path, classes=names))


def test_class_names():
    names = class_names("imagenet-1k")
    assert len(names) == 1000 and "tench" in names[0].lower() and "toilet" in names[999].lower()
    assert class_names(None) is class_names("other") is class_names({"a": 1}) is None
    assert class_names(["a", 1]) == ("a", "1")


def test_a_tensor_too_many_is_refused(path):
    layers = [*tiny_net.layers(), *tiny_net.layers(shapes={"features.9": (1, 1, 1, 1)})]
    with pytest.raises(CorruptArtifact, match=r"features.9.bias is \(1,\), the net has no such tensor"):
        compress.load(tiny_net.write(path, layers))


def test_smallest_side_is_what_the_net_takes():
    for kernel, stride, pools in itertools.product((1, 3), (1, 2, 4), ((), (1,), (0, 1), (0, 1, 2))):
        fields = {"conv1_kernel": kernel, "conv1_stride": stride, "pool_after": pools, "n_fires": 2}
        spec = SqueezeNetSpec(classes=2, in_channels=1, base_e=8, incr_e=0, conv1_channels=2, **fields)
        net, side = SqueezeNet(spec).eval(), spec.smallest_side
        assert net(torch.zeros(1, 1, side, side)).shape == (1, 2)
        if side > 1:
            with pytest.raises(RuntimeError):
                net(torch.zeros(1, 1, side - 1, side - 1))
    assert SqueezeNetSpec().smallest_side == 17 and SqueezeNetSpec(version="1.0").smallest_side == 21
