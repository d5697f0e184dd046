import pytest
import torch
from torch import nn
from torch.nn import functional as F

from compress.models.alexnet import SMALLEST_SIDE, AlexNet, alexnet
from compress.models.factory import build_from, import_factory

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
        return AlexNet(**fields)


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
    net = AlexNet(classes=10, dropout=0.0)
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


def test_a_recipe_can_name_it():
    name = "compress.models.alexnet:alexnet"
    assert import_factory(name) is alexnet
    net = build_from(alexnet, name)
    assert isinstance(net, AlexNet) and not net.training and net.classifier[6].out_features == 1000
