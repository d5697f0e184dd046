import pytest
import torch
import user_nets
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from compress.errors import RecipeError
from compress.models.batchnorm import fold, foldable

FOLDED = {
    user_nets.small_resnet: {
        "bn1": "conv1",
        "layer1.bn1": "layer1.conv1",
        "layer1.bn2": "layer1.conv2",
        "layer2.bn1": "layer2.conv1",
        "layer2.bn2": "layer2.conv2",
        "layer2.downsample.1": "layer2.downsample.0",
    },
    user_nets.depthwise: {"1": "0", "4": "3", "7": "6", "10": "9", "13": "12"},
    user_nets.mlp: {"2": "1", "6": "5"},
    user_nets.with_lstm_or_layernorm: {"stem.1": "stem.0"},
}
TRACE = r"^model\.batchnorm: fold needs a net that torch\.fx can trace "


def randomised(net, seed=0):
    """BatchNorms as after training, not (0, 1)."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            with torch.no_grad():
                for tensor in (module.weight, module.bias, module.running_mean):
                    if tensor is not None:
                        tensor.normal_(generator=generator)
                if module.running_var is not None:
                    module.running_var.uniform_(0.3, 2, generator=generator)
    return net.eval()


def assert_same_outputs(net, other, x):
    with torch.no_grad():
        expected = net(x)
        torch.testing.assert_close(other(x), expected, atol=1e-4, rtol=0)
    assert expected.std() > 0.1  # there was something to agree on


class Wrapped(nn.Module):
    """A convolution, its BatchNorm, and a forward pass that a test gives."""

    def __init__(self, forward, conv=None, norm=None):
        super().__init__()
        self.conv, self.norm = conv or nn.Conv2d(3, 3, 3, padding=1), norm or nn.BatchNorm2d(3)
        self.run = forward

    def forward(self, x):
        return self.run(self, x)


# --- what folding keeps -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", FOLDED)
def test_outputs_stay(factory):
    net = factory().eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert_same_outputs(net, fold(net), user_nets.images(32))
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())  # the net itself is left alone


@pytest.mark.parametrize("factory", FOLDED)
def test_names_stay_but_for_folded_batchnorms_and_new_biases(factory):
    net = factory()
    assert foldable(net) == FOLDED[factory]
    folded = fold(net)
    assert type(folded) is type(net) and not folded.training and net.training
    gone = {f"{name}.{tensor}" for name in FOLDED[factory] for tensor in net.get_submodule(name).state_dict()}
    kept = {name for name in net.state_dict() if name not in gone}
    assert set(folded.state_dict()) == kept | {f"{layer}.bias" for layer in FOLDED[factory].values()}
    assert all(isinstance(folded.get_submodule(name), nn.Identity) for name in FOLDED[factory])
    order = list(folded.state_dict())
    for layer in FOLDED[factory].values():  # a new bias comes where a layer has it
        assert order.index(f"{layer}.bias") == order.index(f"{layer}.weight") + 1


def test_a_batchnorm_after_a_sum_stays_and_so_does_all_of_it():
    net = user_nets.small_resnet()
    folded = fold(net).state_dict()
    names = [name for name in folded if name.startswith("norm.")]
    assert names == [f"norm.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]
    assert all(torch.equal(folded[name], net.state_dict()[name]) for name in names)


def test_values_that_can_be_checked_by_hand():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, eps=0)).eval()
    state = {"0.weight": [3.0, 4.0], "0.bias": [1.0, 2.0], "1.weight": [2.0, 1.0], "1.bias": [5.0, 0.0]}
    state |= {"1.running_mean": [0.5, 0.0], "1.running_var": [4.0, 0.25]}
    net.load_state_dict({name: torch.tensor(v).view(net.state_dict()[name].shape) for name, v in state.items()}, strict=False)
    folded = fold(net)
    assert folded[0].weight.flatten().tolist() == [3.0, 8.0]  # 3 * 2 / sqrt(4), 4 * 1 / sqrt(0.25)
    assert folded[0].bias.tolist() == [5.5, 4.0]  # (1 - 0.5) * 2 / sqrt(4) + 5, 2 * 1 / sqrt(0.25)
    assert folded[0].weight.requires_grad and folded[0].bias.requires_grad


@given(
    groups=st.sampled_from([1, 2, 4]),
    conv_bias=st.booleans(),
    affine=st.booleans(),
    padding_mode=st.sampled_from(["zeros", "reflect"]),
    stride=st.integers(1, 2),
    seed=st.integers(0, 100),
)
def test_any_convolution_is_folded_exactly(groups, conv_bias, affine, padding_mode, stride, seed):
    conv = nn.Conv2d(4, 8, 3, stride, padding=1, groups=groups, bias=conv_bias, padding_mode=padding_mode)
    with torch.no_grad():
        for tensor in conv.parameters():
            tensor.normal_(generator=torch.Generator().manual_seed(seed))
    net = randomised(nn.Sequential(conv, nn.BatchNorm2d(8, affine=affine)), seed)
    folded = fold(net)
    assert list(folded.state_dict()) == ["0.weight", "0.bias"]
    x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        torch.testing.assert_close(folded(x), net(x), atol=1e-4, rtol=1e-5)


def test_linear_without_bias_and_batchnorm_without_weights():
    net = randomised(nn.Sequential(nn.Flatten(), nn.Linear(12, 5, bias=False), nn.BatchNorm1d(5, affine=False)))
    folded = fold(net)
    assert list(folded.state_dict()) == ["1.weight", "1.bias"]
    assert_same_outputs(net, folded, torch.randn(16, 3, 2, 2, generator=torch.Generator().manual_seed(0)))


# --- structure alone ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", FOLDED)
def test_structure_does_not_depend_on_the_values(factory):
    """How a file is loaded: the user's net, with whatever weights or none, is folded and takes the tensors of the file."""
    folded = fold(factory())
    empty = fold(factory().to("meta"))
    assert all(tensor.is_meta for tensor in empty.state_dict().values())
    shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in folded.state_dict().items()}
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in empty.state_dict().items()} == shapes
    other = factory()
    for parameter in other.parameters():
        nn.init.constant_(parameter, float("nan"))
    loaded = fold(other)
    loaded.load_state_dict(folded.state_dict(), strict=True, assign=True)
    x = user_nets.images(4)
    assert torch.equal(loaded(x), folded(x))


def test_folding_twice_changes_nothing():
    once = fold(user_nets.small_resnet())
    assert foldable(once) == {}
    twice = fold(once).state_dict()
    assert twice.keys() == once.state_dict().keys()
    assert all(torch.equal(tensor, twice[name]) for name, tensor in once.state_dict().items())


# --- what is not folded ---------------------------------------------------------------------------------------------------


class Scaled(nn.Conv2d):
    """Batch statistics of the weight are taken out, so a scale that is folded into it would be lost."""

    def forward(self, x):
        return self._conv_forward(x, self.weight / self.weight.norm(), self.bias)


def with_hook(module):
    module.register_forward_hook(lambda module, args, output: output + 1)
    return module


def norm_then_conv(self, x):
    return self.conv(self.norm(x))


def conv_read_twice(self, x):
    y = self.conv(x)
    return self.norm(y) + y


def conv_called_twice(self, x):
    return self.norm(self.conv(self.conv(x)))


def norm_called_twice(self, x):
    return self.norm(self.norm(self.conv(x)))


def relu_between(self, x):
    return self.norm(self.conv(x).relu())


def weight_read(self, x):
    return self.norm(self.conv(x)) + F.conv2d(x, self.conv.weight, padding=1)


def conv_then_norm(self, x):
    return self.norm(self.conv(x))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Wrapped(norm_then_conv),
        lambda: Wrapped(conv_read_twice),
        lambda: Wrapped(conv_called_twice),
        lambda: Wrapped(norm_called_twice),
        lambda: Wrapped(relu_between),
        lambda: Wrapped(weight_read),
        lambda: Wrapped(conv_then_norm, conv=Scaled(3, 3, 3)),
        lambda: Wrapped(conv_then_norm, conv=parametrizations.weight_norm(nn.Conv2d(3, 3, 3))),
        lambda: Wrapped(conv_then_norm, conv=with_hook(nn.Conv2d(3, 3, 3))),
        lambda: Wrapped(conv_then_norm, norm=with_hook(nn.BatchNorm2d(3))),
        lambda: Wrapped(conv_then_norm, norm=nn.BatchNorm2d(3, track_running_stats=False)),
        lambda: Wrapped(conv_then_norm, conv=nn.ConvTranspose2d(3, 3, 3)),
    ],
)
def test_not_folded(make):
    net = randomised(make())
    assert foldable(net) == {}
    folded = fold(net)
    assert folded.state_dict().keys() == net.state_dict().keys()
    x = user_nets.images(8)
    with torch.no_grad():
        assert torch.equal(folded(x), net(x))


class Rows(nn.Module):
    """Linear on (b, 4, 48) or (b, 192), as `reshape` makes it, and BatchNorm1d over 4: the tokens, or the features."""

    def __init__(self, reshape, in_features):
        super().__init__()
        self.reshape, self.fc, self.norm = reshape, nn.Linear(in_features, 4), nn.BatchNorm1d(4)

    def forward(self, x):
        return self.norm(self.fc(self.reshape(x)))


@pytest.mark.parametrize(
    ("reshape", "n_folded"),
    [
        (lambda x: x.flatten(2), 0),  # (b, 4, 48): BatchNorm1d normalises the 4
        (lambda x: x.view(x.size(0), 4, -1), 0),
        (lambda x: torch.flatten(x, 2), 0),
        (lambda x: x.flatten(1), 1),
        (lambda x: x.flatten(start_dim=1).relu(), 1),
        (lambda x: torch.flatten(x, 1, -1), 1),
        (lambda x: x.view(x.size(0), -1), 1),
        (lambda x: x.reshape((x.shape[0], -1)), 1),
        (lambda x: F.dropout(F.relu(x.reshape(-1, 192)), training=False), 1),
        (lambda x: x.flatten(1).chunk(1)[0], 0),  # two-dimensional, but not by what the trace is searched for: stored instead
    ],
)
def test_linear_is_folded_where_its_output_has_two_dimensions(reshape, n_folded):
    x = torch.randn(8, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    net = randomised(Rows(reshape, in_features=reshape(x).shape[-1]))
    assert len(foldable(net)) == n_folded
    assert_same_outputs(net, fold(net), x)


# --- other names for a module, and nets that cannot be traced -----------------------------------------------------------------


class TwoNames(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)
        self.layers = nn.Sequential(self.conv, self.norm)

    def forward(self, x):
        return self.layers(x)


class InAList(TwoNames):
    def __init__(self):
        super().__init__()
        self.layers = None
        self.order = [self.conv, self.norm]

    def forward(self, x):
        for layer in self.order:
            x = layer(x)
        return x


def test_a_module_with_two_names_is_folded_under_both():
    net = randomised(TwoNames())
    folded = fold(net)
    assert not any("norm" in name or name.startswith("layers.1") for name in folded.state_dict())
    assert_same_outputs(net, folded, user_nets.images(8))


def test_a_batchnorm_that_the_net_also_holds_in_a_list_is_refused():
    """Its Identity would not be called: the net would normalise twice."""
    with pytest.raises(RecipeError, match=TRACE + r"\(NameError: .*; use store$"):
        fold(randomised(InAList()))


def test_a_forward_pass_that_computes_with_the_batchnorms_statistics_is_refused():
    net = Wrapped(lambda self, x: self.norm(self.conv(x)) * self.norm.running_var.mean())
    with pytest.raises(RecipeError, match=TRACE + r"\(AttributeError: 'Identity' object .*; use store$"):
        fold(net)


def by_value(self, x):
    return self.norm(self.conv(x)) if x.sum() > 0 else self.conv(x)


def test_a_net_that_cannot_be_traced_is_refused():
    with pytest.raises(RecipeError, match=TRACE + r"\(TraceError: symbolically.*; use store$"):
        fold(Wrapped(by_value))


def test_a_net_that_cannot_be_copied_is_refused():
    net = Wrapped(conv_then_norm)
    net.last = net.conv.weight * 2
    with pytest.raises(
        RecipeError, match=r"^model.batchnorm: fold needs a net that can be copied \(RuntimeError: .*; use store$"
    ):
        fold(net)


def test_a_net_without_batchnorm_need_not_be_traced():
    net = Wrapped(by_value, norm=nn.Identity())
    folded = fold(net)
    assert folded is not net and folded.state_dict().keys() == net.state_dict().keys()


def test_what_the_forward_pass_leaves_on_the_net_is_not_a_symbol():
    def forward(self, x):
        self.last = self.norm(self.conv(x))
        return self.last

    net = Wrapped(forward)
    folded = fold(net)
    assert not hasattr(net, "last") and not hasattr(folded, "last")
