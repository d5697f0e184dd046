import copy
import re

import numpy as np
import pytest
import torch
import user_nets
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from compress.errors import RecipeError
from compress.models.squeezenet import SqueezeNet
from compress.prune.channels import count_macs, prune_channels
from compress.recipe import SqueezeNetSpec


class Net(nn.Module):
    """Layers of the given modules, put together by `forward(layers, x)`, then the mean over pixels and a Linear layer."""

    def __init__(self, way, width=8, **layers):
        super().__init__()
        self.layers = nn.ModuleDict(layers)
        self.fc = nn.Linear(width, 3)
        self.way = way

    def forward(self, x):
        return self.fc(self.way(self.layers, x).relu().mean((2, 3)))


def seeded(make):
    """The net that make() gives, with the same weights every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make().eval()


def squeezenet(**fields):
    small = {"classes": 3, "base_e": 8, "incr_e": 4, "freq": 2, "squeeze_ratio": 0.5, "n_fires": 3, "conv1_channels": 8}
    net = SqueezeNet(SqueezeNetSpec(**small, pool_after=(1,), conv10_relu=False, **fields))
    net.init_weights(torch.Generator().manual_seed(0))
    return net.eval()


def grouped():
    """Two convolutions of 4 and 2 groups, then a Linear layer on all pixels."""
    first = [
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 24, 3, 2, padding=1, groups=4),
        nn.ReLU(),
    ]
    return nn.Sequential(*first, nn.Conv2d(24, 16, 1, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 64, 3))


def gated():
    """Channels are multiplied by a function of all of them (squeeze-and-excitation, Hu et al. 2017)."""

    def way(layers, x):
        y = layers["stem"](x)
        return y * layers["up"](layers["down"](y.mean((2, 3), keepdim=True)).relu()).sigmoid()

    return Net(way, stem=nn.Conv2d(3, 8, 3), down=nn.Conv2d(8, 4, 1), up=nn.Conv2d(4, 8, 1))


NETS = {
    "small_resnet": user_nets.small_resnet,
    "depthwise": user_nets.depthwise,
    "mlp": user_nets.mlp,
    "squeezenet": squeezenet,
    "squeezenet_simple": lambda: squeezenet(version="1.0", bypass="simple"),
    "squeezenet_complex": lambda: squeezenet(bypass="complex"),
    "grouped": lambda: seeded(grouped),
    "gated": lambda: seeded(gated),
}
EXAMPLE = torch.zeros(1, 3, 16, 16)
any_net = pytest.mark.parametrize("name", NETS)


def net_of(name):
    return NETS[name]().eval().requires_grad_(False)


def same(tensors, others):
    return tensors.keys() == others.keys() and all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())


# --- count_macs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), (1, 3, 4, 5), 8 * 4 * 5 * 3 * 9),
        (nn.Conv2d(3, 8, 3, stride=2), (1, 3, 7, 7), 8 * 3 * 3 * 3 * 9),
        (nn.Conv2d(4, 8, 3, groups=2), (1, 4, 3, 3), 8 * 2 * 9),
        (nn.Conv2d(4, 4, 3, groups=4, bias=False), (1, 4, 3, 3), 4 * 9),
        (nn.Linear(5, 7), (1, 5), 35),
        (nn.Linear(5, 7), (2, 6, 5), 2 * 6 * 35),
        (nn.Conv2d(3, 8, 1), (10, 3, 2, 2), 10 * 8 * 4 * 3),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)), (1, 3, 4, 4), 0),
    ],
)
def test_known_counts(layer, shape, macs):
    assert count_macs(layer, torch.zeros(shape)) == macs


def test_a_layer_counts_each_time_it_is_used():
    layer = nn.Linear(5, 5)
    assert count_macs(nn.Sequential(layer, nn.ReLU(), layer), torch.zeros(1, 5)) == 50


def test_squeezenet_v11_has_the_published_count():
    """torchvision's documentation: 0.35 G for v1.1 at 224 pixels, 0.82 G for v1.0."""
    nets = [SqueezeNet(SqueezeNetSpec(version=version)) for version in ("1.1", "1.0")]
    assert [round(count_macs(net, torch.zeros(1, 3, 224, 224)) / 1e9, 2) for net in nets] == [0.35, 0.82]


def test_counting_leaves_the_net_alone():
    net = user_nets.small_resnet().train()
    before = copy.deepcopy(net.state_dict())
    assert count_macs(net, EXAMPLE) == count_macs(net, EXAMPLE)
    assert net.training and same(before, net.state_dict())
    assert not any(module._forward_hooks for module in net.modules())


# --- prune_channels: how far -----------------------------------------------------------------------------------------


@any_net
@pytest.mark.parametrize("macs", [0.8, 0.5])
def test_at_most_the_target_and_not_far_under_it(name, macs):
    net = net_of(name)
    pruned = prune_channels(net, EXAMPLE, macs)
    reached = count_macs(pruned, EXAMPLE) / count_macs(net, EXAMPLE)
    assert macs - 0.35 < reached <= macs  # a cut of these tiny nets is a large part of them
    assert sum(p.numel() for p in pruned.parameters()) < sum(p.numel() for p in net.parameters())


@any_net
def test_one_is_the_whole_net(name):
    net = net_of(name)
    assert same(net.state_dict(), prune_channels(net, EXAMPLE, 1.0).state_dict())


def test_a_wide_net_comes_close():
    net = SqueezeNet(
        SqueezeNetSpec(
            classes=10,
            in_channels=1,
            base_e=64,
            incr_e=64,
            freq=1,
            squeeze_ratio=0.25,
            n_fires=2,
            conv1_stride=1,
            pool_after=(1,),
        )
    )
    net.init_weights(torch.Generator().manual_seed(0))
    x = torch.zeros(1, 1, 8, 8)
    for macs in (0.9, 0.7, 0.3, 0.1):
        assert macs - 0.02 < count_macs(prune_channels(net, x, macs), x) / count_macs(net, x) <= macs


@given(st.floats(0.3, 1))
@settings(max_examples=6)
def test_one_cut_fewer_would_be_over_the_target(macs):
    """What is reached is itself a target with the same result; one multiply-accumulate less is another net."""
    net = user_nets.mlp().eval()
    total, pruned = count_macs(net, EXAMPLE), prune_channels(net, EXAMPLE, macs)
    reached = count_macs(pruned, EXAMPLE)
    assert reached <= macs * total + 1e-6
    assert same(prune_channels(net, EXAMPLE, reached / total).state_dict(), pruned.state_dict())
    fewer = count_macs(prune_channels(net, EXAMPLE, (reached - 1) / total), EXAMPLE)
    assert fewer < reached


@any_net
def test_a_target_out_of_reach_says_what_is_within(name):
    net = net_of(name)
    with pytest.raises(RecipeError, match=r"^prune.macs: must be at least 0\.\d+ for this net, got 1e-09: ") as caught:
        prune_channels(net, EXAMPLE, 1e-9)
    found = re.search(r"at least (\S+) for .*: ([\d,]+) of ([\d,]+) multiply-accumulates are left", str(caught.value))
    least, left, total = float(found[1]), int(found[2].replace(",", "")), int(found[3].replace(",", ""))
    smallest = prune_channels(net, EXAMPLE, least)
    assert count_macs(net, EXAMPLE) == total
    assert count_macs(smallest, EXAMPLE) == left
    for tensor_name, tensor in smallest.state_dict().items():  # no layer is gone, no class either
        assert 0 not in tensor.shape, tensor_name
    assert smallest(EXAMPLE).shape == net(EXAMPLE).shape


# --- which channels --------------------------------------------------------------------------------------------------


def two_layers(first, second):
    """first: a row for each hidden channel. second: a row for each class."""
    net = nn.Sequential(nn.Linear(2, len(first), bias=False), nn.ReLU(), nn.Linear(len(first), 2))
    net[0].weight.data, net[2].weight.data = torch.tensor(first), torch.tensor(second)
    return net


def test_the_least_squares_of_all_that_goes_together_are_removed():
    # in: 1, 25, 4, 9; out: 36, 0, 8, 2; together 37, 25, 12, 11
    net = two_layers([[1.0, 0.0], [3.0, 4.0], [0.0, -2.0], [-3.0, 0.0]], [[6.0, 0.0, -2.0, 1.0], [0.0, 0.0, 2.0, -1.0]])
    pruned = prune_channels(net, torch.zeros(1, 2), 0.5)
    assert pruned[0].weight.tolist() == [[1.0, 0.0], [3.0, 4.0]]
    assert pruned[2].weight.tolist() == [[6.0, 0.0], [0.0, 0.0]]
    assert (pruned[0].out_features, pruned[2].in_features) == (2, 2)
    assert torch.equal(pruned[2].bias, net[2].bias)
    assert prune_channels(net, torch.zeros(1, 2), 0.75)[0].weight.tolist() == [[1.0, 0.0], [3.0, 4.0], [0.0, -2.0]]


def test_of_equal_channels_the_first_go():
    net = two_layers([[1.0, 2.0], [2.0, 1.0], [-1.0, 2.0]], [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    assert prune_channels(net, torch.zeros(1, 2), 0.34)[0].weight.tolist() == [[-1.0, 2.0]]


def test_every_layer_loses_the_same_share_whatever_the_scale_of_its_weights():
    net = squeezenet()
    scaled = copy.deepcopy(net)
    for layer, factor in (("features.0", 100.0), ("features.2.squeeze", 0.01)):
        scaled.get_submodule(layer).weight.data.mul_(factor)
    for macs in (0.7, 0.4):
        widths = [{name: len(t) for name, t in prune_channels(one, EXAMPLE, macs).state_dict().items()} for one in (net, scaled)]
        assert widths[0] == widths[1]
    whole = {name: len(tensor) for name, tensor in net.state_dict().items() if not name.startswith("classifier")}
    shares = [widths[0][name] / n for name, n in whole.items()]
    assert max(shares) - min(shares) <= 1 / min(whole.values())


@any_net
def test_the_same_net_gives_the_same_channels(name):
    first, second = (prune_channels(net_of(name), example, 0.6).state_dict() for example in (EXAMPLE, user_nets.images(1)))
    assert same(first, second)  # the example's values do not matter


# --- what is kept ----------------------------------------------------------------------------------------------------


def places(part, whole):
    """Along each of the first two axes, where the slices of `part` are in `whole`, whose values are all different."""
    found = []
    for axis in range(min(part.ndim, 2)):
        values = np.moveaxis(part, axis, 0).reshape(part.shape[axis], -1)[:, 0]
        found.append([int(np.argwhere(whole == value)[0][axis]) for value in values])
    return found


@any_net
def test_what_is_kept_is_bit_identical_and_in_order(name):
    net = net_of(name)
    for parameter in [*net.parameters(), *(b for b in net.buffers() if b.ndim)]:  # all different, whatever they were
        values = torch.randperm(parameter.numel(), generator=torch.Generator().manual_seed(1)) + 1
        parameter.data = (values.float() / parameter.numel()).view(parameter.shape)
    pruned = prune_channels(net, EXAMPLE, 0.6)
    whole, kept = net.state_dict(), pruned.state_dict()
    assert list(kept) == list(whole)
    for tensor_name, tensor in kept.items():
        part, original = tensor.numpy(), whole[tensor_name].numpy()
        if part.shape == original.shape:
            np.testing.assert_array_equal(part, original)
            continue
        axes = places(part, original)
        assert all(axis == sorted(set(axis)) for axis in axes)
        np.testing.assert_array_equal(part, original[np.ix_(*axes)] if len(axes) > 1 else original[axes[0]])


@any_net
def test_the_net_given_is_left_alone(name):
    net = net_of(name)
    net.train()
    first = next(net.parameters()).requires_grad_(True)
    before = copy.deepcopy(net.state_dict())
    pruned = prune_channels(net, EXAMPLE, 0.6)
    assert same(before, net.state_dict())
    assert all(module.training for module in [*net.modules(), *pruned.modules()])
    assert [p.requires_grad for p in net.parameters()] == [p.requires_grad for p in pruned.parameters()]
    assert first.requires_grad and first.grad is None
    assert not {t.data_ptr() for t in pruned.state_dict().values()} & {t.data_ptr() for t in net.state_dict().values()}


def test_a_net_in_eval_mode_stays_so_and_no_grad_does_not_matter():
    with torch.no_grad():
        pruned = prune_channels(net_of("small_resnet"), EXAMPLE, 0.6)
    assert not any(module.training for module in pruned.modules())
    assert not any(parameter.requires_grad for parameter in pruned.parameters())


@any_net
def test_it_computes_what_the_whole_net_computes_with_the_removed_channels_silenced(name):
    net = net_of(name)
    pruned = prune_channels(net, EXAMPLE, 0.6)
    x = user_nets.images(4)
    found = pruned(x)
    for layer, smaller in zip(net.modules(), pruned.modules(), strict=True):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            heard = places(smaller.weight.numpy(), layer.weight.numpy())[1]
            layer.weight[:, [i for i in range(layer.weight.shape[1]) if i not in heard]] = 0
    torch.testing.assert_close(found, net(x), rtol=1e-4, atol=1e-4)


def test_groups_stay_and_depthwise_groups_follow():
    pruned = prune_channels(net_of("grouped"), EXAMPLE, 0.6)
    assert (pruned[3].groups, pruned[5].groups) == (4, 2)
    assert pruned[0].out_channels in (4, 8, 12) and pruned[3].out_channels in (4, 8, 12, 16, 20)
    assert pruned[5].out_channels in range(2, 16, 2)
    assert pruned[3].weight.shape[1] * 4 == pruned[3].in_channels == pruned[0].out_channels
    assert pruned[8].in_features == pruned[5].out_channels * 64
    depthwise = prune_channels(net_of("depthwise"), EXAMPLE, 0.5)
    for conv in (depthwise[3], depthwise[9]):
        assert conv.groups == conv.in_channels == conv.out_channels == len(conv.weight)


# --- channels that stay, nets that are refused -----------------------------------------------------------------------


def test_a_layer_that_is_added_to_the_input_keeps_its_channels():
    net = seeded(lambda: Net(lambda layers, x: layers["b"](layers["a"](x) + x), a=nn.Conv2d(3, 3, 1), b=nn.Conv2d(3, 8, 1)))
    assert prune_channels(net, EXAMPLE, 0.6).layers["a"].out_channels == 3


@pytest.mark.parametrize(
    "other",
    [
        nn.GroupNorm(4, 8),
        nn.InstanceNorm2d(8, affine=True),
        nn.PReLU(8),
        nn.ConvTranspose2d(8, 8, 2),
        nn.Conv2d(8, 16, 1, groups=8),
        nn.Conv2d(8, 4, 1, groups=4),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 1)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_channels_that_meet_other_layers_stay(other):
    out = 8 if not isinstance(other, nn.Conv2d) else other.out_channels

    def way(layers, x):
        return layers["last"](layers["other"](layers["first"](x)))

    net = seeded(lambda: Net(way, first=nn.Conv2d(3, 8, 1), other=other, last=nn.Conv2d(out, 8, 1)))
    pruned = prune_channels(net, EXAMPLE, 0.95)
    assert pruned.layers["first"].out_channels == 8 and pruned.layers["last"].in_channels == out
    assert pruned.layers["last"].out_channels < 8
    assert same(pruned.layers["other"].state_dict(), other.state_dict())


def test_channels_that_are_sliced_stay():
    def way(layers, x):
        y = layers["a"](x)
        u, v = layers["b"](y).chunk(2, 1)
        return layers["c"](torch.cat([y[:, 4:], v, u[:, :2]], 1))

    net = seeded(lambda: Net(way, a=nn.Conv2d(3, 8, 1), b=nn.Conv2d(8, 8, 1), c=nn.Conv2d(10, 8, 1)))
    pruned = prune_channels(net, EXAMPLE, 0.9)
    assert [pruned.layers[name].out_channels == 8 for name in "abc"] == [True, True, False]


def test_a_net_without_such_layers_is_refused():
    with pytest.raises(
        RecipeError, match=r"must be at least 1.0 for this net, got 0.9: .* a layer other than Conv2d, Linear and"
    ):
        prune_channels(user_nets.with_lstm_or_layernorm(), EXAMPLE, 0.9)


@pytest.mark.parametrize(
    ("way", "message"),
    [
        (lambda layers, x: layers["b"](layers["a"](x).softmax(1)), r"a norm over channels.*differ by .*, of "),
        (
            lambda layers, x: layers["b"](layers["a"](x).view(-1, 2, 4, 256).transpose(1, 2).reshape(-1, 8, 16, 16)),
            "does not run",
        ),
        (lambda layers, x: layers["b"](layers["a"](x).flip(1)), "leads channels in a way"),
    ],
    ids=["softmax", "shuffle", "flip"],
)
def test_a_net_that_would_be_pruned_wrongly_is_refused(way, message):
    net = seeded(lambda: Net(way, a=nn.Conv2d(3, 8, 1), b=nn.Conv2d(8, 8, 1)))
    with pytest.raises(RecipeError, match=f"^prune.macs: this net .*{message}"):
        prune_channels(net, EXAMPLE, 0.6)


def test_a_net_of_two_outputs_is_refused():
    class Two(nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(RecipeError, match=r"^prune.macs: needs a net that gives one tensor, this one gives a tuple"):
        prune_channels(nn.Sequential(nn.Linear(4, 4), Two()), torch.zeros(1, 4), 0.5)
