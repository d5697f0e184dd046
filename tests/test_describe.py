"""Counts of the papers, to the parameter, and the same facts as hooks on the real nets find."""

import pytest
import torch
from torch import nn

from compress.errors import RecipeError
from compress.models.built_in import build
from compress.models.describe import describe
from compress.models.squeezenet import Fire
from compress.recipe import AlexNetSpec, SqueezeNetSpec

V10, V11 = (SqueezeNetSpec.model_validate({"version": version}) for version in ("1.0", "1.1"))
ALEXNET = AlexNetSpec(name="alexnet")


def spec(**fields):
    return SqueezeNetSpec.model_validate({"version": "1.0"} | fields)


@pytest.mark.parametrize(
    ("net", "parameters"),
    [
        (V10, 1_248_424),
        (V11, 1_235_496),
        *((spec(squeeze_ratio=ratio), n) for ratio, n in (
            (0.25, 1_967_080), (0.375, 2_685_736), (0.5, 3_404_392), (0.75, 4_841_704), (1.0, 6_279_016),
        )),  # figure 3(a)
        *((spec(squeeze_ratio=0.5, pct3x3=share), n) for share, n in ((0.01, 1_478_248), (0.5, 3_404_392), (0.99, 5_330_536))),
        (spec(bypass="simple"), 1_248_424),
        (spec(bypass="complex"), 1_589_672),
        (ALEXNET, 61_100_840),
        (AlexNetSpec(name="alexnet", classes=10), 57_044_810),
        (spec(classes=10), 740_554),
    ],
)  # fmt: skip
def test_parameters_of_the_papers(net, parameters):
    assert describe(net, 224).parameters == parameters
    assert describe(net, 224).fp32_bytes == 4 * parameters


def test_the_rows_of_table_1():
    facts = describe(V10, 227)  # the side that gives the paper's 111 and 55
    assert [(layer.name, layer.channels, layer.side) for layer in facts.layers] == [
        ("conv1", 96, 111), ("pool1", 96, 55),
        ("fire2", 128, 55), ("fire3", 128, 55), ("fire4", 256, 55), ("pool4", 256, 27),
        ("fire5", 256, 27), ("fire6", 384, 27), ("fire7", 384, 27), ("fire8", 512, 27), ("pool8", 512, 13),
        ("fire9", 512, 13), ("conv10", 1000, 13), ("pool10", 1000, 1),
    ]  # fmt: skip
    by_name = {layer.name: layer.parameters for layer in facts.layers}
    assert (by_name["fire2"], by_name["fire9"], by_name["conv10"]) == (11_920, 197_184, 513_000)


NETS = [
    V10,
    V11,
    spec(bypass="complex", squeeze_ratio=0.3, pct3x3=0.7, freq=3),
    spec(bypass="simple", conv10_padding=1, n_fires=3, pool_after=(1, 3), in_channels=1, base_e=24, incr_e=9),
    ALEXNET,
]


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("side", [96, 131])
def test_the_same_as_hooks_find(net, side):
    """Parameters, multiply-accumulates and output shapes of every layer that the description names by its module."""
    with torch.device("meta"):
        module = build(net).eval()
    found = {}

    def note(name):
        def hook(layer, _, output):
            found[name] = (tuple(output.shape[1:]), sum(p.numel() for p in layer.parameters()), _macs(layer, output, found, name))

        return hook

    for name, layer in module.named_modules():
        layer.register_forward_hook(note(name))
    module(torch.zeros(1, net.in_channels, side, side, device="meta"))
    facts = describe(net, side)
    for layer in facts.layers:
        shape, parameters, macs = found[layer.module]
        assert (parameters, macs) == (layer.parameters, layer.macs), layer.name
        assert shape in ((layer.channels, layer.side, layer.side), (layer.channels,)), layer.name
    assert facts.parameters == sum(parameter.numel() for parameter in module.parameters())


def _macs(layer, output, found, name):
    if isinstance(layer, nn.Conv2d):
        return layer.weight[0].numel() * output[0].numel()
    if isinstance(layer, nn.Linear):
        return layer.weight.numel()
    return sum(found[f"{name}.{part}"][2] for part, _ in layer.named_children()) if isinstance(layer, Fire) else 0


def test_memory_of_activations():
    """v1.1 at 224 pixels: conv1's output and its pool's, 64 channels of 111 and 55 (3.9 MB); by hand."""
    facts = describe(V11, 224)
    assert facts.peak_activation_bytes == 4 * (64 * 111**2 + 64 * 55**2) == 3_928_576
    by_name = {layer.name: layer for layer in facts.layers}
    assert by_name["fire2"].live_values == (16 + 128) * 55**2  # more than 64 + 16, its input and what is squeezed
    with_bypass = {layer.name: layer for layer in describe(spec(bypass="simple"), 224).layers}
    assert with_bypass["fire3"].live_values == (128 + 16 + 128) * 54**2 and with_bypass["fire3"].bypass == "identity"
    assert with_bypass["fire4"].bypass == "none"


def test_an_input_too_small_is_refused():
    assert describe(V11, V11.smallest_side).layers[-1].side == 1
    with pytest.raises(RecipeError, match=r"input.size: images of 16 x 16 pixels, the net of `model` needs sides of 17"):
        describe(V11, 16)
