import itertools

import pytest
import torch
from torch import nn

from compress.errors import TrainingDiverged
from compress.quantize.error_feedback import ErrorFeedback, error_feedback, input_moments
from compress.quantize.uniform import levels

LAYERS = [
    (nn.Linear(12, 7), (40, 12)),
    (nn.Linear(12, 7), (4, 10, 12)),
    (nn.Conv2d(4, 6, 3, padding=1), (3, 4, 9, 9)),
    (nn.Conv2d(4, 6, (1, 3), stride=2, dilation=(1, 2), groups=2), (3, 4, 9, 9)),
    (nn.Conv2d(4, 4, 3, padding="same", padding_mode="reflect", groups=4), (3, 4, 9, 9)),
]


def inputs(shape, seed=0):
    """Correlated over their channels: what feedback lives on."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    channel_dim = 1 if len(shape) == 4 else len(shape) - 1
    return x + 2 * torch.randn([n if i != channel_dim else 1 for i, n in enumerate(shape)], generator=generator)


def observed(layer, x):
    net = nn.Sequential(layer).eval()
    return net, input_moments(net, ["0.weight"], itertools.repeat(x), len(x))


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda each: str(each))
def test_the_outputs_change_less_than_by_rounding_each_weight_alone(layer, shape):
    torch.manual_seed(0)
    layer.reset_parameters()
    x, step = inputs(shape), 0.2
    net, moments = observed(layer, x)
    weight = layer.weight.detach().clone()
    fed_back = ErrorFeedback(weight, moments["0.weight"])(step, 0.0)
    assert fed_back.shape == weight.shape
    errors = []
    for latent in (fed_back, weight):
        rounded = nn.Sequential(layer)
        with torch.no_grad():
            before = net(x)
            layer.weight.copy_(levels(latent, step, 0.0) * step)
            errors.append(float((rounded(x) - before).square().mean()))
            layer.weight.copy_(weight)
    assert errors[0] < (0.7 if layer.weight[0].numel() > 9 else 0.99) * errors[1]  # nine weights have little room


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda each: str(each))
def test_moments_are_those_that_the_layers_outputs_have(layer, shape):
    """For one row w of a group, the mean square of w x over all places is w' M w, whatever the stride, padding and groups."""
    torch.manual_seed(1)
    layer.reset_parameters()
    x = inputs(shape)
    net, moments = observed(layer, x)
    with torch.no_grad():
        layer.bias.zero_()
        outputs = net(x).movedim(1 if len(shape) == 4 else -1, 0).flatten(1)  # (out, places)
        rows = layer.weight.flatten(1).unflatten(0, (moments["0.weight"].shape[0], -1))  # (groups, rows, columns)
        expected = torch.einsum("grc,gcd,grd->gr", rows, moments["0.weight"], rows).flatten()
    torch.testing.assert_close(outputs.square().sum(1), expected, rtol=1e-3, atol=1e-3)


def test_inputs_that_are_independent_are_rounded_alone():
    torch.manual_seed(0)
    weight = torch.randn(5, 6)
    assert torch.equal(levels(ErrorFeedback(weight, torch.eye(6)[None])(0.3, 0.1), 0.3, 0.1), levels(weight, 0.3, 0.1))


@pytest.mark.parametrize("n_columns", [1, 31, 32, 33, 70])
def test_blocks_make_no_difference(n_columns):
    torch.manual_seed(0)
    x = torch.randn(200, n_columns) + torch.randn(200, 1)
    weight, moments = torch.randn(3, n_columns), x.T @ x
    damped = moments + 0.01 * moments.diagonal().mean() * torch.eye(n_columns)
    order = moments.diagonal().argsort(descending=True, stable=True)
    rows, left = weight[:, order].double(), damped[order][:, order].double()
    expected = torch.empty_like(rows)
    for j in range(n_columns):  # the textbook: the inverse of what is left, one column at a time
        expected[:, j] = rows[:, j]
        error = rows[:, j] - levels(rows[:, j], 0.5, 0.0) * 0.5
        inverse = torch.linalg.inv(left[j:, j:])
        rows[:, j:] -= error[:, None] * inverse[0] / inverse[0, 0]
    found = ErrorFeedback(weight, moments[None])(0.5, 0.0)[:, order]
    assert (levels(found, 0.5, 0.0) == levels(expected.float(), 0.5, 0.0)).float().mean() > 0.99
    torch.testing.assert_close(found[:, 0], expected[:, 0].float())


def test_inputs_that_are_always_zero_or_never_differ():
    weight = torch.randn(4, 3)
    assert torch.equal(ErrorFeedback(weight, torch.zeros(1, 3, 3))(0.2, 0.0), weight)
    assert ErrorFeedback(weight, torch.ones(1, 3, 3))(0.2, 0.0).isfinite().all()


def test_a_layer_that_is_not_called_is_left_out():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x):
            return self.used(x)

    net = Net()
    moments = input_moments(net, ["used.weight", "spare.weight"], itertools.repeat(torch.randn(4, 3)), 8)
    assert set(moments) == {"used.weight"}
    assert set(error_feedback(dict(net.named_parameters()), moments)) == {"used.weight"}
    assert not net.used._forward_pre_hooks and not net.spare._forward_pre_hooks


def test_inputs_that_are_not_finite_are_refused_by_the_layers_name():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    with torch.no_grad():
        net[0].bias[1] = float("inf")
    with pytest.raises(TrainingDiverged, match=r"^1\.weight: the layer's inputs are not finite"):
        input_moments(net, ["0.weight", "1.weight"], itertools.repeat(torch.randn(4, 3)), 4)
