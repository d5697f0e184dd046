import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from compress.artifact import reader, writer
from compress.errors import RecipeError
from compress.export.load import from_artifact
from compress.layer import SharedLayer
from compress.models.alexnet import AlexNet
from compress.models.built_in import describe
from compress.models.normalised import add_batchnorm, folded
from compress.recipe import AlexNetSpec
from compress.recipe_file import check
from compress.train_stage import first_net

SMALLEST_SIDE = AlexNetSpec(name="alexnet").smallest_side
# What torchvision 0.19's alexnet holds, in its order: module, shape of its weight. Each has a bias.
TORCHVISION = """\
features.0 64 3 11 11
features.3 192 64 5 5
features.6 384 192 3 3
features.8 256 384 3 3
features.10 256 256 3 3
classifier.1 4096 9216
classifier.4 4096 4096
classifier.6 1000 4096
"""


def described(**fields):
    """A net without memory: names and shapes alone."""
    with torch.device("meta"):
        return AlexNet(AlexNetSpec(name="alexnet", **fields))


@pytest.mark.parametrize(
    ("classes", "expected"),
    [(1000, 61_100_840), (10, 61_100_840 - 990 * 4097)],  # a class is 4,096 weights and a bias
)
def test_parameter_counts(classes, expected):
    assert sum(parameter.numel() for parameter in described(classes=classes).parameters()) == expected


def test_state_dict_is_torchvisions():
    expected = []
    for line in TORCHVISION.splitlines():
        module, *shape = line.split()
        expected += [(f"{module}.weight", tuple(map(int, shape))), (f"{module}.bias", (int(shape[0]),))]
    assert [(name, tuple(tensor.shape)) for name, tensor in described().state_dict().items()] == expected


def test_sides_after_the_convolutions_and_pools():
    x, sides = torch.zeros(1, 3, 224, 224, device="meta"), []
    for layer in described().features:
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            sides.append(x.shape[2])
    assert sides == [55, 27, 27, 13, 13, 13, 13, 6]


@pytest.mark.parametrize(("classes", "side"), [(1, 224), (1000, 224), (10, 227), (10, SMALLEST_SIDE)])
def test_any_number_of_classes_and_sides_from_the_smallest(classes, side):
    assert described(classes=classes)(torch.zeros(2, 3, side, side, device="meta")).shape == (2, classes)


def test_a_smaller_side_is_refused():
    with pytest.raises(RuntimeError, match="too small"):
        described()(torch.zeros(2, 3, SMALLEST_SIDE - 1, SMALLEST_SIDE - 1, device="meta"))


def test_dropout_is_a_setting():
    assert [described(dropout=0.25).classifier[i].p for i in (0, 3)] == [0.25, 0.25]
    assert [described().classifier[i].p for i in (0, 3)] == [0.5, 0.5]


def test_a_training_step_lowers_the_loss_and_reaches_every_parameter():
    torch.manual_seed(0)
    net = AlexNet(AlexNetSpec(name="alexnet", classes=10, dropout=0.0))
    x, labels = torch.randn(2, 3, 224, 224), torch.tensor([3, 7])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    before = F.cross_entropy(net(x), labels)
    before.backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name
    optimizer.step()
    with torch.no_grad():
        after = F.cross_entropy(net(x), labels)
    assert after.isfinite() and after < before


def test_first_weights_keep_the_scale():
    """Of noise in, noise of about its size reaches the last layer."""
    net = AlexNet(AlexNetSpec(name="alexnet", classes=10)).eval()
    net.init_weights(torch.Generator().manual_seed(0))
    x = torch.randn(4, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        inside = net.classifier[:6](torch.flatten(net.avgpool(net.features(x)), 1))
    assert 0.1 < float(inside.square().mean().sqrt()) < 10
    assert float(net.classifier[6].weight.detach().std()) == pytest.approx(0.01, rel=0.02)
    assert not any(parameter.any() for name, parameter in net.named_parameters() if name.endswith("bias"))


def test_a_recipe_can_name_it():
    fields = {"name": "x", "model": {"name": "alexnet", "classes": 10}, "weights": "scratch", "train": {"epochs": 1}}
    fields["data"] = {"train": "folder:a", "tune": "folder:a", "test": "folder:b"}
    recipe = check(fields)
    assert recipe.model == AlexNetSpec(name="alexnet", classes=10)
    net = first_net(recipe)
    assert isinstance(net, AlexNet) and net.spec.classes == 10
    assert sum(parameter.numel() for parameter in net.parameters()) == 57_044_810
    for wrong, message in (
        ({"name": "alexnet", "version": "1.1"}, "unknown field model.version"),
        ({"name": "vgg"}, "model.name: must be 'alexnet'"),
    ):
        with pytest.raises(RecipeError, match=message):
            check(fields | {"model": wrong})


def test_batchnorm_is_folded_exactly():
    net = AlexNet(AlexNetSpec(name="alexnet", classes=4)).eval()
    net.init_weights(torch.Generator().manual_seed(0))
    add_batchnorm(net)
    net.eval()
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 5
    for i, norm in enumerate(norms):
        generator = torch.Generator().manual_seed(i)
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.data.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    plain = AlexNet(net.spec).eval()
    plain.load_state_dict(folded(net))
    with torch.no_grad():
        before, after = net(x), plain(x)
    assert float((before - after).abs().max()) < 1e-4 * float(before.abs().max())


def test_a_file_says_that_it_holds_one():
    """Of nothing but zeros, as only their shapes matter."""
    spec = AlexNetSpec(name="alexnet", classes=2)
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in AlexNet(spec).state_dict().items()}
    layers = [SharedLayer(name, shape, np.zeros(shape, np.int32), step=np.float32(1)) for name, shape in shapes.items()]
    convention = {"channels": "RGB", "mean": [0.5] * 3, "std": [0.5] * 3, "scale": 1.0, "size": 64, "resize": 64}
    data = writer.to_bytes(layers, {"architecture": describe(spec), "input": convention, "classes": ["ant", "bee"]})
    loaded = from_artifact(reader.read_bytes(data), "x.sqz")
    assert isinstance(loaded.net, AlexNet) and loaded.net.spec == spec and loaded.class_names == ("ant", "bee")
