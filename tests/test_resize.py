import copy

import pytest
import torch
import user_nets
from torch import nn

from compress.models.resize import check_fits, resize
from compress.models.squeezenet import SqueezeNet
from compress.prune.channels import prune_channels
from compress.recipe import SqueezeNetSpec

EXAMPLE = (1, 3, 16, 16)


def squeezenet(bypass):
    small = {"classes": 3, "base_e": 8, "incr_e": 4, "freq": 2, "squeeze_ratio": 0.5, "n_fires": 3, "conv1_channels": 8}
    net = SqueezeNet(SqueezeNetSpec(**small, pool_after=(1,), conv10_relu=False, bypass=bypass))
    net.init_weights(torch.Generator().manual_seed(0))
    return net


def grouped():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8, affine=False), nn.Conv2d(8, 24, 3, groups=4), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(96, 3))


NETS = {
    "squeezenet": lambda: squeezenet("none"),
    "squeezenet_simple": lambda: squeezenet("simple"),
    "squeezenet_complex": lambda: squeezenet("complex"),
    "small_resnet": user_nets.small_resnet,
    "depthwise": user_nets.depthwise,
    "mlp": user_nets.mlp,
    "grouped": grouped,
}


def on_meta(name):
    """The net as the caller's code makes it, holding no memory."""
    return NETS[name]().to("meta")


def shapes_of(net, **changes):
    """changes: tensor's name, with _ for every dot -> another shape, or None to leave it out."""
    shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    names = {name.replace(".", "_"): name for name in shapes}
    shapes |= {names.get(key, key): shape for key, shape in changes.items()}
    return {name: shape for name, shape in shapes.items() if shape is not None}


# --- round trip ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("macs", [0.8, 0.55])
@pytest.mark.parametrize("name", NETS)
def test_a_pruned_net_is_built_again_from_its_shapes(name, macs):
    pruned = prune_channels(NETS[name]().eval(), torch.zeros(EXAMPLE), macs)
    net = on_meta(name)
    resize(net, shapes_of(pruned))
    assert {parameter.device.type for parameter in net.parameters()} == {"meta"}
    x = user_nets.images(2)
    assert check_fits(net, tuple(x.shape)) == tuple(pruned(x).shape)
    net.load_state_dict(pruned.state_dict(), strict=True, assign=True)
    torch.testing.assert_close(net.eval()(x), pruned(x), rtol=0, atol=0)
    assert str(net) == str(pruned)  # in_channels, out_channels, groups, in_features, out_features, num_features


@pytest.mark.parametrize("name", NETS)
def test_the_nets_own_shapes_change_nothing(name):
    net = NETS[name]()
    before = dict(net.named_parameters())
    resize(net, shapes_of(net))
    assert all(parameter is before[n] for n, parameter in net.named_parameters())


def test_what_does_not_change_keeps_its_values_and_its_settings():
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)).double()
    net[0].weight.requires_grad_(False)
    bias = net[2].bias
    small = dict.fromkeys(("0_bias", "1_weight", "1_bias", "1_running_mean", "1_running_var"), (5,))
    resize(net, shapes_of(net, **small, **{"0_weight": (5, 4), "2_weight": (2, 5)}))
    assert net[2].bias is bias
    assert net[0].weight.dtype == torch.float64 and not net[0].weight.requires_grad and net[2].weight.requires_grad
    assert isinstance(net[0].weight, nn.Parameter) and "running_mean" in dict(net[1].named_buffers())
    assert (net[0].out_features, net[1].num_features, net[2].in_features) == (5, 5, 5)


# --- shapes that are refused -----------------------------------------------------------------------------------------


def layers():
    """One of every kind."""
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 12, 1, groups=4),
        nn.GroupNorm(4, 12),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(12, 12, 1)),
        nn.Flatten(),
        nn.Linear(12, 5),
    )
    return net.to("meta")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"0_weight": None}, r"tensor 0\.weight is missing, the net has one"),
        ({"9_weight": (1,)}, r"tensor 9_weight: the net has none"),
        ({"0_weight": (9, 3, 3, 3)}, r"tensor 0\.weight is \(9, 3, 3, 3\), the net has \(8, 3, 3, 3\): .* not more"),
        ({"0_weight": (8, 4, 3, 3)}, r"tensor 0\.weight is \(8, 4, 3, 3\), .* not more"),
        ({"0_weight": (0, 3, 3, 3)}, r"tensor 0\.weight is \(0, 3, 3, 3\), .* at least 1"),
        ({"0_weight": (-1, 3, 3, 3)}, r"tensor 0\.weight is \(-1, 3, 3, 3\), .* at least 1"),
        ({"0_weight": (8, 3, 1, 1)}, r"tensor 0\.weight is \(8, 3, 1, 1\), .*: the number of channels may .*kernels may not"),
        ({"0_weight": (8, 3, 9)}, r"tensor 0\.weight is \(8, 3, 9\), .* dimensions and kernels may not"),
        ({"7_weight": (60,)}, r"tensor 7\.weight is \(60,\), the net has \(5, 12\): .* dimensions"),
        ({"0_weight": (7, 3, 3, 3)}, r"tensor 0\.bias is \(8,\), 0\.weight is \(7, 3, 3, 3\): a layer's tensors"),
        ({"1_running_var": (7,)}, r"tensor 1\.running_var is \(7,\), 1\.weight is \(8,\): a layer's tensors"),
        ({"1_num_batches_tracked": (1,)}, r"tensor 1\.num_batches_tracked is \(1,\), the net has \(\): .* dimensions"),
        ({"3_weight": (10, 2, 1, 1), "3_bias": (10,)}, r"tensor 3\.weight is \(10, 2, 1, 1\): must have a multiple of 4 outputs"),
        ({"4_weight": (8,)}, r"tensor 4\.weight is \(8,\), the net has \(12,\): .*, not this GroupNorm$"),
        ({"5_bias": (11,)}, r"tensor 5\.bias is \(11,\), .*, not this ParametrizedConv2d$"),
    ],
)  # fmt: skip
def test_other_shapes_are_refused_and_the_net_is_left_alone(changes, message):
    net = layers()
    before = shapes_of(net)
    with pytest.raises(ValueError, match=f"^{message}"):
        resize(net, shapes_of(net, **{"7_weight": (4, 12), "7_bias": (4,), **changes}))
    assert shapes_of(net) == before and net[7].out_features == 5


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_a_weight_that_is_made_of_others_is_not_resized():
    net = nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 6)))
    with pytest.raises(ValueError, match=r"^tensor 0\.weight_g is \(5, 1\), the net has \(6, 1\): .*, not this Linear$"):
        resize(net, shapes_of(net, **{"0_bias": (6,), "0_weight_g": (5, 1), "0_weight_v": (5, 4)}))


def test_a_layer_of_two_names_has_one_shape():
    layer = nn.Linear(4, 4, bias=False)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    with pytest.raises(ValueError, match=r"^layer 2 has two names in the net, and the tensors of the two have different shapes"):
        resize(net, {"0.weight": (4, 4), "2.weight": (3, 3)})
    resize(net, {"0.weight": (3, 3), "2.weight": (3, 3)})
    assert net[0] is net[2] and net[2].in_features == 3


def test_a_net_that_is_one_layer():
    layer = nn.Linear(4, 3)
    resize(layer, {"weight": (2, 4), "bias": (2,)})
    assert layer.out_features == 2
    with pytest.raises(ValueError, match=r"^tensor bias is \(1,\), weight is \(2, 4\)"):
        resize(layer, {"weight": (2, 4), "bias": (1,)})


def test_a_depthwise_convolution_keeps_one_channel_a_group():
    conv = nn.Conv2d(8, 8, 3, groups=8)
    resize(conv, {"weight": (1, 1, 3, 3), "bias": (1,)})
    assert (conv.groups, conv.in_channels, conv.out_channels) == (1, 1, 1)
    other = nn.Conv2d(8, 12, 3, groups=4)
    resize(other, {"weight": (8, 1, 3, 3), "bias": (8,)})
    assert (other.groups, other.in_channels, other.out_channels) == (4, 4, 8)


# --- layers that do not fit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETS)
def test_a_net_as_it_was_made_fits(name):
    net = NETS[name]().train()
    before = copy.deepcopy(net.state_dict())
    assert check_fits(net, EXAMPLE) == (1, 4 if name in ("small_resnet", "depthwise", "mlp") else 3)
    assert net.training and all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())


def narrower(net, layer, *, out=0, taken=0):
    """Take output and input channels of one layer away, and of nothing else."""
    shapes = shapes_of(net)
    n_out, n_in, *kernel = shapes[f"{layer}.weight"]
    shapes[f"{layer}.weight"] = (n_out - out, n_in - taken, *kernel)
    if f"{layer}.bias" in shapes:
        shapes[f"{layer}.bias"] = (n_out - out,)
    resize(net, shapes)


@pytest.mark.parametrize(
    ("name", "layer", "change", "message"),
    [
        ("squeezenet", "features.0", {"taken": 1}, "at features.0: it takes 2 channels and gets 3"),
        ("squeezenet", "features.2.expand3x3", {"out": 1}, "at features.4.squeeze: it takes 8 channels and gets 7"),
        ("squeezenet", "features.4.squeeze", {"out": 1}, "at features.4.expand1x1: it takes 4 channels and gets 3"),
        ("squeezenet", "features.5.squeeze", {"taken": 2}, "at features.5.squeeze: it takes 6 channels and gets 8"),
        ("squeezenet", "classifier.1", {"taken": 2}, "at classifier.1: it takes 10 channels and gets 12"),
        ("squeezenet_simple", "features.4.expand1x1", {"out": 1}, "at features.4.bypass: "),
        ("squeezenet_complex", "features.5.bypass", {"out": 1}, "at features.5.bypass: "),
        ("small_resnet", "layer1.conv2", {"out": 1}, "at layer1.bn2: running_mean should contain 7 elements not 8"),
        ("small_resnet", "fc", {"taken": 1}, "at fc: it takes 15 channels and gets 16"),
        ("depthwise", "3", {"out": 1}, "at 3: it takes 7 channels and gets 8"),
        ("mlp", "5", {"out": 1}, "at 6: running_mean should contain 11 elements not 12"),
        ("grouped", "2", {"taken": 1}, "at 2: it takes 4 channels and gets 8"),
        ("grouped", "2", {"out": 4}, "at 6: it takes 96 channels and gets 80"),
    ],
)
def test_layers_that_do_not_fit_are_named(name, layer, change, message):
    net = on_meta(name)
    narrower(net, layer, **change)
    with pytest.raises(ValueError, match=rf"^the layers do not fit each other for an input of \(1, 3, 16, 16\): {message}"):
        check_fits(net, EXAMPLE)


def test_an_input_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match=r"for an input of \(1, 3, 2, 2\): at features.0: "):
        check_fits(on_meta("squeezenet"), (1, 3, 2, 2))


def test_nothing_is_computed_and_no_memory_is_taken():
    net = SqueezeNet(SqueezeNetSpec()).to("meta")
    assert check_fits(net, (1_000_000, 3, 2048, 2048)) == (1_000_000, 1000)  # 50 TB


def test_a_net_that_makes_tensors_of_its_own_fits():
    class Padded(nn.Module):
        def forward(self, x):
            return torch.cat([x, torch.zeros(len(x), 1)], 1)

    assert check_fits(nn.Sequential(Padded(), nn.Linear(5, 2)), (3, 4)) == (3, 2)


def test_a_net_of_two_outputs_is_refused():
    with pytest.raises(ValueError, match=r"^the net must give one tensor, it gives a tuple"):
        check_fits(nn.LSTM(4, 4), (2, 3, 4))
