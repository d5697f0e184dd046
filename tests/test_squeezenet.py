import pytest
import torch
from torch import nn

from compress.models.squeezenet import Fire, SqueezeNet
from compress.recipe import SqueezeNetSpec

# What torchvision 0.19's squeezenet1_0 and squeezenet1_1 hold, in its order: module, shape of its weight. Each has a bias.
TORCHVISION_1_0 = """\
features.0 96 3 7 7
features.3.squeeze 16 96 1 1
features.3.expand1x1 64 16 1 1
features.3.expand3x3 64 16 3 3
features.4.squeeze 16 128 1 1
features.4.expand1x1 64 16 1 1
features.4.expand3x3 64 16 3 3
features.5.squeeze 32 128 1 1
features.5.expand1x1 128 32 1 1
features.5.expand3x3 128 32 3 3
features.7.squeeze 32 256 1 1
features.7.expand1x1 128 32 1 1
features.7.expand3x3 128 32 3 3
features.8.squeeze 48 256 1 1
features.8.expand1x1 192 48 1 1
features.8.expand3x3 192 48 3 3
features.9.squeeze 48 384 1 1
features.9.expand1x1 192 48 1 1
features.9.expand3x3 192 48 3 3
features.10.squeeze 64 384 1 1
features.10.expand1x1 256 64 1 1
features.10.expand3x3 256 64 3 3
features.12.squeeze 64 512 1 1
features.12.expand1x1 256 64 1 1
features.12.expand3x3 256 64 3 3
classifier.1 1000 512 1 1
"""
TORCHVISION_1_1 = """\
features.0 64 3 3 3
features.3.squeeze 16 64 1 1
features.3.expand1x1 64 16 1 1
features.3.expand3x3 64 16 3 3
features.4.squeeze 16 128 1 1
features.4.expand1x1 64 16 1 1
features.4.expand3x3 64 16 3 3
features.6.squeeze 32 128 1 1
features.6.expand1x1 128 32 1 1
features.6.expand3x3 128 32 3 3
features.7.squeeze 32 256 1 1
features.7.expand1x1 128 32 1 1
features.7.expand3x3 128 32 3 3
features.9.squeeze 48 256 1 1
features.9.expand1x1 192 48 1 1
features.9.expand3x3 192 48 3 3
features.10.squeeze 48 384 1 1
features.10.expand1x1 192 48 1 1
features.10.expand3x3 192 48 3 3
features.11.squeeze 64 384 1 1
features.11.expand1x1 256 64 1 1
features.11.expand3x3 256 64 3 3
features.12.squeeze 64 512 1 1
features.12.expand1x1 256 64 1 1
features.12.expand3x3 256 64 3 3
classifier.1 1000 512 1 1
"""


def described(**fields):
    """A net without memory: names and shapes alone."""
    with torch.device("meta"):
        return SqueezeNet(SqueezeNetSpec(**fields))


def n_parameters(net):
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 1_235_496),
        ({"version": "1.0"}, 1_248_424),
        ({"version": "1.0", "bypass": "simple"}, 1_248_424),
        ({"version": "1.0", "bypass": "complex"}, 1_589_672),
        ({"version": "1.0", "squeeze_ratio": 0.25}, 1_967_080),
        ({"version": "1.0", "squeeze_ratio": 0.375}, 2_685_736),
        ({"version": "1.0", "squeeze_ratio": 0.5}, 3_404_392),
        ({"version": "1.0", "squeeze_ratio": 0.75}, 4_841_704),
        ({"version": "1.0", "squeeze_ratio": 1.0}, 6_279_016),
        ({"version": "1.0", "squeeze_ratio": 0.5, "pct3x3": 0.01}, 1_478_248),
        ({"version": "1.0", "squeeze_ratio": 0.5, "pct3x3": 0.5}, 3_404_392),
        ({"version": "1.0", "squeeze_ratio": 0.5, "pct3x3": 0.99}, 5_330_536),
    ],
)
def test_parameter_counts(fields, expected):
    assert n_parameters(described(**fields)) == expected


@pytest.mark.parametrize(("version", "table"), [("1.0", TORCHVISION_1_0), ("1.1", TORCHVISION_1_1)])
@pytest.mark.parametrize("bypass", ["none", "simple"])
def test_state_dict_is_torchvisions(version, table, bypass):
    expected = []
    for line in table.splitlines():
        module, *shape = line.split()
        expected += [(f"{module}.weight", tuple(map(int, shape))), (f"{module}.bias", (int(shape[0]),))]
    state = described(version=version, bypass=bypass).state_dict()
    assert [(name, tuple(tensor.shape)) for name, tensor in state.items()] == expected


@pytest.mark.parametrize("classes", [1, 2, 10, 21_841])
def test_any_number_of_classes(classes):
    net = described(classes=classes, version="1.1")
    assert net(torch.zeros(2, 3, 64, 64, device="meta")).shape == (2, classes)


@pytest.mark.parametrize("side", [224, 227])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_output_is_one_row_of_logits_an_image(version, side):
    net = SqueezeNet(SqueezeNetSpec(version=version)).eval()
    with torch.no_grad():
        outputs = net(torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0)))
    assert outputs.shape == (2, 1000) and outputs.isfinite().all() and (outputs >= 0).all()  # a ReLU comes last


@pytest.mark.parametrize(
    ("version", "side", "conv1", "after_pools"),
    [
        ("1.0", 224, 109, [54, 27, 13]),  # (109 - 3) / 2 + 1 = 54
        ("1.0", 227, 111, [55, 27, 13]),
        ("1.1", 224, 111, [55, 27, 13]),
        ("1.1", 227, 113, [56, 28, 14]),  # (56 - 3) / 2 + 1 = 27.5: ceil mode makes it 28
    ],
)
def test_sides_after_conv1_and_the_pools(version, side, conv1, after_pools):
    net = described(version=version)
    x, sides = torch.zeros(1, 3, side, side, device="meta"), []
    for layer in net.features:
        x = layer(x)
        if isinstance(layer, nn.MaxPool2d):
            sides.append(x.shape[2])
        elif isinstance(layer, nn.Conv2d):
            assert x.shape[2:] == (conv1, conv1)
    assert sides == after_pools
    assert net.classifier[1](x).shape == (1, 1000, sides[-1], sides[-1])


def test_padding_of_conv10_widens_its_map():
    net = described(version="1.0", conv10_padding=1)
    assert net.classifier[1](torch.zeros(1, 512, 13, 13, device="meta")).shape[2:] == (15, 15)


def test_dropout_and_the_last_relu_are_settings():
    net = described(dropout=0.25, conv10_relu=False)
    assert net.classifier[0].p == 0.25 and isinstance(net.classifier[2], nn.Identity)
    assert isinstance(described().classifier[2], nn.ReLU)


def test_dropout_acts_in_training_alone(tiny_spec):
    net = SqueezeNet(tiny_spec.model_copy(update={"dropout": 0.5}))
    x = torch.rand(4, 1, 8, 8)
    torch.manual_seed(0)
    assert not torch.equal(net.train()(x), net(x))
    assert torch.equal(net.eval()(x), net(x))


# --- bypass ------------------------------------------------------------------------------------------------------------


def fires(net):
    return [layer for layer in net.features if isinstance(layer, Fire)]


def test_simple_bypass_goes_around_fires_3_5_7_and_9():
    kinds = [type(fire.bypass) for fire in fires(described(version="1.0", bypass="simple"))]  # fire2 first
    assert kinds == [type(None), nn.Identity] * 4


def test_complex_bypass_adds_a_convolution_where_widths_differ():
    found = fires(described(version="1.0", bypass="complex"))
    assert [type(fire.bypass) for fire in found] == [nn.Conv2d, nn.Identity] * 4
    assert [tuple(fire.bypass.weight.shape[:2]) for fire in found[::2]] == [(128, 96), (256, 128), (384, 256), (512, 384)]


@pytest.mark.parametrize("kind", ["identity", "conv"])
def test_a_bypass_is_added_to_the_expanded_output(kind):
    torch.manual_seed(0)
    plain, around = Fire(8, 2, 4, 4), Fire(8, 2, 4, 4, kind)
    around.load_state_dict(plain.state_dict(), strict=False)
    x = torch.randn(2, 8, 5, 5)
    added = x if kind == "identity" else around.bypass(x)
    assert torch.equal(around(x.clone()), plain(x.clone()) + added)


# --- initial weights -----------------------------------------------------------------------------------------------------


def test_initial_weights_are_xavier_and_conv10_is_normal():
    net = SqueezeNet(SqueezeNetSpec())
    net.init_weights(torch.Generator().manual_seed(0))
    conv10 = net.classifier[1]
    for module in net.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        weight = module.weight.detach()
        assert not module.bias.any()
        if module is conv10:
            assert abs(float(weight.std()) - 0.01) < 1e-4 and float(weight.abs().max()) > 0.03
        else:
            area = weight[0, 0].numel()
            bound = (6 / (area * (weight.shape[0] + weight.shape[1]))) ** 0.5
            assert 0.97 * bound < float(weight.abs().max()) <= bound
            assert abs(float(weight.std()) / (bound / 3**0.5) - 1) < 0.05
        assert abs(float(weight.mean())) < 5 * float(weight.std()) / weight.numel() ** 0.5


def test_initial_weights_repeat_by_generator(tiny_spec):
    def initial(seed):
        net = SqueezeNet(tiny_spec)
        net.init_weights(torch.Generator().manual_seed(seed))
        return net.state_dict()

    first, again, other = initial(1), initial(1), initial(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["features.0.weight"], other["features.0.weight"])
