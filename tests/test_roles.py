import pytest
import torch
import user_nets
from torch import nn
from torch.nn.utils import parametrizations, prune

from compress.models.roles import Roles, roles
from compress.models.squeezenet import SqueezeNet
from compress.recipe import SqueezeNetSpec

FACTORIES = [user_nets.small_resnet, user_nets.depthwise, user_nets.mlp, user_nets.with_lstm_or_layernorm]
BATCHNORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


class StandardisedConv2d(nn.Conv2d):
    def forward(self, x):
        return self._conv_forward(x, self.weight - self.weight.mean(), self.bias)


class Adapted(nn.Linear):
    def __init__(self):
        super().__init__(4, 4)
        self.low_rank = nn.Parameter(torch.zeros(4, 1))


@pytest.mark.parametrize("factory", FACTORIES)
def test_every_tensor_has_one_role_in_the_order_of_the_state_dict(factory):
    net = factory()
    found, names = roles(net), list(net.state_dict())
    groups = [found.compressible, found.biases, found.batchnorm, tuple(found.uncompressed)]
    assert sorted(name for group in groups for name in group) == sorted(names)
    for group in [*groups, found.buffers]:
        assert list(group) == [name for name in names if name in group]
    assert set(found.buffers) == set(names) - {name for name, _ in net.named_parameters()}


def test_roles_of_a_net_with_layers_that_cannot_be_compressed():
    assert roles(user_nets.with_lstm_or_layernorm()) == Roles(
        compressible=("stem.0.weight", "down.weight", "head.weight"),
        biases=("stem.0.bias", "down.bias", "head.bias"),
        batchnorm=tuple(f"stem.1.{name}" for name in BATCHNORM),
        uncompressed={
            "scale": "Patches",
            "places": "Patches",
            "up.weight": "ConvTranspose2d",
            "up.bias": "ConvTranspose2d",
            "place.weight": "Embedding",
            "norm.weight": "LayerNorm",
            "norm.bias": "LayerNorm",
            "lstm.weight_ih_l0": "LSTM",
            "lstm.weight_hh_l0": "LSTM",
            "lstm.bias_ih_l0": "LSTM",
            "lstm.bias_hh_l0": "LSTM",
        },
        buffers=("places", "stem.1.running_mean", "stem.1.running_var", "stem.1.num_batches_tracked"),
    )


def test_squeezenet_is_compressible_but_for_its_biases():
    with torch.device("meta"):
        net = SqueezeNet(SqueezeNetSpec())
    found = roles(net)
    assert found.compressible == tuple(name for name in net.state_dict() if name.endswith(".weight"))
    assert found.biases == tuple(name for name in net.state_dict() if name.endswith(".bias"))
    assert (found.batchnorm, found.uncompressed, found.buffers) == ((), {}, ())


def test_a_net_that_is_one_layer():
    assert roles(nn.Linear(2, 2)) == Roles(("weight",), ("bias",), (), {}, ())
    assert roles(nn.Conv2d(4, 4, 3, groups=4, bias=False)).compressible == ("weight",)


def test_a_batchnorm_without_weights_or_without_statistics():
    names = roles(nn.BatchNorm1d(2, affine=False)).batchnorm
    assert names == BATCHNORM[2:]
    plain = roles(nn.BatchNorm2d(2, track_running_stats=False))
    assert (plain.batchnorm, plain.buffers) == (("weight", "bias"), ())


def test_a_subclass_that_keeps_its_weight_is_compressible():
    assert roles(StandardisedConv2d(1, 2, 3)) == Roles(("weight",), ("bias",), (), {}, ())
    assert roles(Adapted()) == Roles(("weight",), ("bias",), (), {"low_rank": "Adapted"}, ())


def test_attention_projects_its_inputs_by_a_bare_parameter_and_its_output_by_a_linear_layer():
    found = roles(nn.MultiheadAttention(4, 2))
    assert found.uncompressed == {"in_proj_weight": "MultiheadAttention", "in_proj_bias": "MultiheadAttention"}
    assert (found.compressible, found.biases) == (("out_proj.weight",), ("out_proj.bias",))


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv3d, nn.ConvTranspose2d])
def test_other_convolutions_are_not_compressible(kind):
    assert roles(kind(2, 2, 1)) == Roles((), (), (), {"weight": kind.__name__, "bias": kind.__name__}, ())


def test_a_weight_that_is_computed_from_others_is_not_compressible():
    normed = roles(nn.Sequential(parametrizations.weight_norm(nn.Conv2d(2, 2, 1)), nn.Linear(2, 2)))
    assert normed.compressible == ("1.weight",)
    assert normed.biases == ("0.bias", "1.bias")
    assert normed.uncompressed == {
        "0.parametrizations.weight.original0": "ParametrizationList",
        "0.parametrizations.weight.original1": "ParametrizationList",
    }
    pruned = roles(prune.l1_unstructured(nn.Linear(2, 2), "weight", amount=1))
    assert (pruned.compressible, pruned.uncompressed) == ((), {"weight_orig": "Linear", "weight_mask": "Linear"})
    assert pruned.buffers == ("weight_mask",)


def test_a_weight_that_is_a_buffer_is_not_compressible():
    layer = nn.Linear(2, 2, bias=False)
    values = layer.weight.detach()
    del layer.weight
    layer.register_buffer("weight", values)
    assert roles(layer) == Roles((), (), (), {"weight": "Linear"}, ("weight",))
