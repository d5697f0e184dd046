import numpy as np
import pytest
import tiny_net

from compress.artifact import reader
from compress.artifact.tensors import decode, wanted_convention
from compress.convention import CAFFE, TORCHVISION, InputConvention, fold
from compress.errors import CorruptArtifact, LimitExceeded
from compress.layer import RawTensor


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.sqz"


def test_decode_gives_the_layers_in_order(path):
    layers = tiny_net.layers()
    layers.append(RawTensor("bn.num_batches_tracked", np.array(3, np.int64)))
    arrays = decode(tiny_net.write(path, layers))
    assert list(arrays) == [layer.name for layer in layers]
    for layer in layers:
        assert arrays[layer.name].dtype == (np.int64 if "num_batches" in layer.name else np.float32)
        np.testing.assert_array_equal(arrays[layer.name], layer.values())


def test_a_file_without_an_input_convention_decodes(path):
    assert len(decode(tiny_net.write(path, input=None))) == 10


def test_limits_reach_the_reader(path):
    with pytest.raises(LimitExceeded):
        decode(tiny_net.write(path), max_weights=10)


def test_caffe_input_is_folded_into_the_first_layer_only(path):
    arrays = decode(tiny_net.write(path, input=tiny_net.CAFFE_INPUT))
    plain = {layer.name: layer.values() for layer in tiny_net.layers()}
    stored = InputConvention.from_metadata(tiny_net.CAFFE_INPUT, "test")
    weight, bias = fold(plain["features.0.weight"], plain["features.0.bias"], stored, wanted_convention(stored))
    np.testing.assert_array_equal(arrays["features.0.weight"], weight)
    np.testing.assert_array_equal(arrays["features.0.bias"], bias)
    assert np.abs(weight - plain["features.0.weight"]).max() > 1
    for name in plain.keys() - {"features.0.weight", "features.0.bias"}:
        np.testing.assert_array_equal(arrays[name], plain[name])


def test_wanted_convention():
    caffe = InputConvention("BGR", 255.0, CAFFE.mean, CAFFE.std, 160, 180, first_layer="features.0")
    assert wanted_convention(caffe) == InputConvention("RGB", 1.0, TORCHVISION.mean, TORCHVISION.std, 160, 180)
    grey = InputConvention("L", 1.0, (0.3,), (0.4,), 8, 8)
    own = InputConvention("RGB", 1.0, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 160, 180)  # names no layer to fold into
    for kept in (grey, own, TORCHVISION):
        assert wanted_convention(kept) == kept


@pytest.mark.parametrize("first_layer", ["features.1", "features.0.weight", "", "features.0\n"])
def test_a_first_layer_that_is_not_in_the_file_is_refused(path, first_layer):
    described = {**tiny_net.CAFFE_INPUT, "first_layer": first_layer}
    with pytest.raises(CorruptArtifact, match=r"net.sqz: metadata.input.first_layer is .*, which is no convolution"):
        decode(tiny_net.write(path, input=described))


@pytest.mark.parametrize("first_layer", [3, ["features.0"]])
def test_a_first_layer_that_is_no_name_is_refused(path, first_layer):
    with pytest.raises(CorruptArtifact, match=r"net.sqz: metadata.input is not an input convention: .*first_layer must name"):
        decode(tiny_net.write(path, input={**tiny_net.CAFFE_INPUT, "first_layer": first_layer}))


def test_without_a_first_layer_nothing_is_folded(path):
    """A net of the user's own takes what it takes: its first layer may have padding, where folding is not exact."""
    described = {key: value for key, value in tiny_net.CAFFE_INPUT.items() if key != "first_layer"}
    layers = tiny_net.layers()
    decoded = decode(tiny_net.write(path, layers, input=described))
    for layer in layers:
        np.testing.assert_array_equal(decoded[layer.name], layer.values())


def test_a_first_layer_without_a_bias_is_refused(path):
    layers = [layer for layer in tiny_net.layers() if layer.name != "features.0.bias"]
    with pytest.raises(CorruptArtifact, match="no convolution with a bias"):
        decode(tiny_net.write(path, layers, input=tiny_net.CAFFE_INPUT))


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_a_first_layer_of_other_channels_is_refused(path, channels):
    """One channel would broadcast over three and come out in another shape."""
    layers = tiny_net.layers(shapes={**tiny_net.SHAPES, "features.0": (4, channels, 3, 3)})
    with pytest.raises(CorruptArtifact, match=rf"features.0.weight takes {channels} channels, metadata.input is BGR"):
        decode(tiny_net.write(path, layers, input=tiny_net.CAFFE_INPUT))


# JSON values that are no input convention; none may cost memory or end in another error
HOSTILE_INPUTS = [
    [],
    "BGR",
    3,
    {},
    {**tiny_net.INPUT, "channels": "RGBA"},
    {**tiny_net.INPUT, "channels": ["R", "G", "B"]},
    {**tiny_net.INPUT, "channels": 3},
    {**tiny_net.INPUT, "mean": 0.5},
    {**tiny_net.INPUT, "mean": [0.5]},
    {**tiny_net.INPUT, "mean": [0.5] * 4},
    {**tiny_net.INPUT, "mean": ["a", "b", "c"]},
    {**tiny_net.INPUT, "mean": [10**400, 0, 0]},
    {**tiny_net.INPUT, "std": [0, 1, 1]},
    {**tiny_net.INPUT, "std": [-1, 1, 1]},
    {**tiny_net.INPUT, "scale": 0},
    {**tiny_net.INPUT, "scale": None},
    {**tiny_net.INPUT, "size": 0},
    {**tiny_net.INPUT, "size": 1e300},
    {**tiny_net.INPUT, "size": 10**30},
    {**tiny_net.INPUT, "resize": 10**30},
    {**tiny_net.INPUT, "size": 19},  # above resize
]


@pytest.mark.parametrize("described", HOSTILE_INPUTS, ids=str)
def test_an_input_that_is_no_convention_is_refused(path, described):
    with pytest.raises(CorruptArtifact, match=r"net.sqz: metadata.input is not an input convention: "):
        decode(tiny_net.write(path, input=described))
    assert reader.read(path).metadata["input"] == described  # the container does not mind
