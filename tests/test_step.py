from math import log

import numpy as np
import pytest
import torch
from tiny_training import CPU, batch, digit_set, new_net, setting
from torch import nn

from compress.convention import InputConvention
from compress.errors import InputError
from compress.recipe import Train
from compress.train.distributed import Process
from compress.train.state import State
from compress.train.step import (
    clipped_norm,
    gradients,
    inputs,
    is_left_out,
    losses,
    make_optimizer,
    update,
    where_not_finite,
)

LAYOUT = torch.contiguous_format
THIRD = InputConvention("L", 2.0, (0.5,), (0.25,), size=8, resize=8)


def scaler(**settings):
    return torch.amp.GradScaler("cpu", **settings)


NO_SCALER = scaler(enabled=False)


def state_of(net, *, loss_scaler=NO_SCALER, **settings):
    return State(net, make_optimizer(net, Train(epochs=1, **settings)), None, loss_scaler, CPU)


def gradient_of(tmp_path, net, batches, *, n_images=None, step=0, loss_scaler=NO_SCALER, process=None, teacher=None, **settings):
    """(gradient by name, sums) of a step."""
    made = setting(tmp_path, Train(epochs=1, **settings), process=process or Process(), teacher=teacher)
    net.zero_grad(set_to_none=True)
    n_images = n_images or sum(len(each.labels) for each in batches)
    sums = gradients(net.train(), batches, n_images, step, made, LAYOUT, loss_scaler)
    return {name: parameter.grad.clone() for name, parameter in net.named_parameters()}, sums.tolist()


def assert_close(first, second, **tolerance):
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], **tolerance)


# What goes in


def test_inputs_are_normalised_as_the_convention_says(tmp_path):
    made = setting(tmp_path, Train(epochs=1), convention=THIRD)
    given = batch([3, 4], weights=[1.0, 0.0])
    x, labels, weights = inputs(given, made, torch.channels_last)
    torch.testing.assert_close(x, (given.pixels.permute(0, 3, 1, 2) / 255 * 2 - 0.5) / 0.25)
    assert x.shape == (2, 1, 8, 8) and x.is_contiguous(memory_format=torch.channels_last)
    assert labels.tolist() == [3, 4] and weights.tolist() == [1, 0]


def test_factors_of_1_change_no_colour(tmp_path):
    plain, jittered = (setting(tmp_path, Train(epochs=1, augment={"jitter": jitter})) for jitter in (0.0, 0.4))
    torch.testing.assert_close(inputs(batch([0, 1]), plain, LAYOUT)[0], inputs(batch([0, 1]), jittered, LAYOUT)[0])


# Losses. The net is the identity: the images are its outputs. (0, ln 3) are probabilities of 1/4 and 3/4.

QUARTERS = torch.tensor([[0.0, log(3)], [log(3), 0.0]])


def losses_of(tmp_path, outputs, labels, *, weights=None, teacher=None, rng=None, **settings):
    made = setting(tmp_path, Train(epochs=1, **settings), teacher=teacher)
    weights = torch.ones(len(outputs)) if weights is None else torch.tensor(weights)
    found = losses(nn.Identity(), outputs, torch.tensor(labels), weights, made, rng or np.random.default_rng(0))
    return [each.tolist() for each in found]


def test_cross_entropy(tmp_path):
    loss, guessing, right = losses_of(tmp_path, QUARTERS, [1, 1])
    assert loss == pytest.approx([log(4 / 3), log(4)])
    assert guessing == pytest.approx([log(2)] * 2) and right == [True, False]


def test_label_smoothing(tmp_path):
    loss, guessing, _ = losses_of(tmp_path, QUARTERS, [1, 1], label_smoothing=0.2)  # targets (0.1, 0.9)
    assert loss == pytest.approx([0.1 * log(4) + 0.9 * log(4 / 3), 0.1 * log(4 / 3) + 0.9 * log(4)])
    assert guessing == pytest.approx([log(2)] * 2)


class Drawn:
    """A generator that draws what it is told."""

    def __init__(self, share, order):
        self.share, self.order = share, order

    def beta(self, a, b):
        assert a == b == 0.3
        return self.share

    def permutation(self, n):
        return np.array(self.order)


def test_mixup(tmp_path):
    """Outputs of a mixed image are those of the mixture here: (log 3 / 4, 3 log 3 / 4) for a quarter of the second one."""
    loss, guessing, right = losses_of(tmp_path, QUARTERS, [1, 0], mixup=0.3, rng=Drawn(0.75, [1, 0]))
    first = log(1 + 3**-0.5)  # -log softmax of the larger
    second = log(1 + 3**0.5)
    assert loss == pytest.approx([0.75 * first + 0.25 * second] * 2)
    assert guessing == pytest.approx([log(2)] * 2) and right == [True, True]


def test_an_image_that_cannot_be_read_is_mixed_into_no_other(tmp_path):
    loss, _, _ = losses_of(tmp_path, QUARTERS, [1, 0], weights=[1.0, 0.0], mixup=0.3, rng=Drawn(0.75, [1, 0]))
    assert loss[0] == pytest.approx(log(4 / 3))


def test_distillation(tmp_path):
    """The teacher's probabilities are 1/2 and 1/2, whatever it is heated to: KL is log(1/2 / p) in the mean."""
    teacher = lambda x: torch.zeros_like(x)  # noqa: E731
    kl = 0.5 * log(0.5 / 0.25) + 0.5 * log(0.5 / 0.75)
    loss, guessing, _ = losses_of(
        tmp_path, QUARTERS, [1, 1], teacher=teacher, distill={"teacher": "t.sqz", "weight": 0.25, "temperature": 1.0}
    )
    assert loss == pytest.approx([0.75 * log(4 / 3) + 0.25 * kl, 0.75 * log(4) + 0.25 * kl])
    assert guessing == pytest.approx([0.75 * log(2)] * 2)


def test_distillation_at_a_temperature(tmp_path):
    """Heated by 2, (0, 2 log 3) are probabilities of 1/4 and 3/4, and the teacher's (2 log 3, 0) of 3/4 and 1/4."""
    outputs = torch.tensor([[0.0, 2 * log(3)]])
    teacher = lambda x: outputs.flip(1)  # noqa: E731
    kl = 0.75 * log(3) + 0.25 * log(1 / 3)
    loss, guessing, _ = losses_of(
        tmp_path, outputs, [1], teacher=teacher, distill={"teacher": "t.sqz", "weight": 1.0, "temperature": 2.0}
    )
    assert loss == pytest.approx([4 * kl])
    assert guessing == pytest.approx([4 * (0.75 * log(0.75 / 0.5) + 0.25 * log(0.25 / 0.5))])


@pytest.mark.parametrize("mixup", [0.0, 0.3])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_guessing_is_the_loss_of_a_net_that_says_the_same_of_each_class(tmp_path, mixup, temperature):
    teacher = lambda x: torch.tensor([[3.0, 1.0, -2.0]]).expand(2, 3)  # noqa: E731
    distill = {"teacher": "t.sqz", "weight": 0.5, "temperature": temperature}
    loss, guessing, _ = losses_of(
        tmp_path, torch.zeros(2, 3), [2, 0], teacher=teacher, distill=distill, mixup=mixup, label_smoothing=0.1
    )
    assert loss == pytest.approx(guessing)


# Gradients


def test_sums(tmp_path):
    net = new_net()
    with torch.no_grad():
        net.classifier[1].weight.zero_()
        net.classifier[1].bias.copy_(torch.tensor([log(3)] + [0.0] * 9))  # 1/4 for class 0, 1/12 for each other
    one_bad = batch([0, 1, 5], weights=[1.0, 1.0, 0.0], skipped=("a.png: broken",))
    _, sums = gradient_of(tmp_path, net, [one_bad, batch([0, 0])])
    assert sums == pytest.approx([3 * log(4) + log(12), 4 * log(10), 3, 4, 1])


def test_micro_batches_add_up_to_the_batch(tmp_path):
    net = new_net()
    whole = batch(list(range(8)))
    parts = [
        type(whole)(whole.pixels[i : i + 3], whole.labels[i : i + 3], whole.weights[i : i + 3], whole.factors[:, i : i + 3], ())
        for i in (0, 3, 6)
    ]
    first, sums = gradient_of(tmp_path, net, [whole], label_smoothing=0.1)
    second, sums_of_parts = gradient_of(tmp_path, net, parts, label_smoothing=0.1)
    assert_close(first, second, rtol=1e-5, atol=1e-6)
    assert sums == pytest.approx(sums_of_parts, rel=1e-6)


def test_an_image_of_weight_0_gives_no_gradient(tmp_path):
    net = new_net()
    readable = batch([1, 2, 3])
    first, _ = gradient_of(tmp_path, net, [batch([1, 2, 3, 9], weights=[1.0, 1.0, 1.0, 0.0])], n_images=3)
    again = batch([1, 2, 3, 9])
    readable.pixels.copy_(again.pixels[:3])
    second, _ = gradient_of(tmp_path, net, [readable], n_images=3)
    assert_close(first, second, rtol=1e-5, atol=1e-6)


def test_of_several_processes_each_gives_its_share_of_the_mean_over_them(tmp_path):
    net = new_net()
    alone, _ = gradient_of(tmp_path, net, [batch([1, 2])])
    shared, _ = gradient_of(tmp_path, net, [batch([1, 2])], n_images=4, process=Process(0, 2))
    assert_close(alone, shared, rtol=1e-6, atol=1e-9)


def test_what_is_dropped_depends_on_the_step_and_on_nothing_before(tmp_path):
    net = new_net(dropout=0.5)

    def gradient(step, n_batches=1, rank=0):
        return gradient_of(tmp_path, net, [batch([1, 2])] * n_batches, n_images=2, step=step, process=Process(rank, 1))[0]

    first = gradient(3)
    torch.rand(5)  # whatever else draws
    assert_close(first, gradient(3), rtol=0, atol=0)
    name = "classifier.1.weight"
    twice = gradient(3, n_batches=2)[name] / 2
    for other in (gradient(4)[name], gradient(3, rank=1)[name], twice):  # the second micro-batch drops others
        assert not torch.equal(other, first[name])


def test_one_picture_that_batchnorm_cannot_normalise(tmp_path):
    net = new_net(batchnorm=True, pool_after=(0, 1))  # 8 pixels -> 6 -> 3 -> 1
    gradient_of(tmp_path, net, [batch([1, 2])])
    with pytest.raises(InputError, match=r"^train.batchnorm: .* no single picture over"):
        gradient_of(tmp_path, net, [batch([1, 2]), batch([3])])


def test_an_error_of_the_net_stays_one(tmp_path):
    class Broken(nn.Linear):
        def forward(self, x):
            raise ValueError("not of BatchNorm")

    with pytest.raises(ValueError, match="not of BatchNorm"):
        gradient_of(tmp_path, Broken(1, 1), [batch([1])])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_on_the_cpu(tmp_path, precision):
    net = new_net()
    full, sums = gradient_of(tmp_path, net, [batch(list(range(10)))])
    half, sums_of_half = gradient_of(tmp_path, net, [batch(list(range(10)))], precision=precision)
    assert sums_of_half == pytest.approx(sums, rel=0.02)
    assert {gradient.dtype for gradient in half.values()} == {torch.float32}
    expected, found = (torch.cat([each.flatten() for each in gradient.values()]) for gradient in (full, half))
    assert 0 < (found - expected).norm() < 0.3 * expected.norm()


# Where it went wrong


def test_where_the_outputs_are_not_finite(tmp_path):
    net = new_net().train()
    made = setting(tmp_path, Train(epochs=1))
    good, bad = batch([1, 2]), batch([3])
    assert where_not_finite(net, [good, bad], made, LAYOUT) is None
    net.features[1].register_forward_hook(lambda module, given, output: output * torch.nan if len(output) == 1 else None)
    assert where_not_finite(net, [good, bad], made, LAYOUT) == "the outputs of features.1"  # of the second micro-batch only
    with torch.no_grad():
        net.features[2].squeeze.bias[0] = torch.inf
    assert where_not_finite(net, [good, bad], made, LAYOUT) == "features.2.squeeze.bias"


# The update


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_biases_and_batchnorms_do_not_decay(optimizer):
    net = new_net(batchnorm=True)
    before = {name: parameter.detach().clone().add_(0.5) for name, parameter in net.named_parameters()}
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.copy_(before[name])
    state = state_of(net, optimizer=optimizer, weight_decay=0.1)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    update(state, 0.5)
    for name, parameter in net.named_parameters():
        decayed = before[name] * (1 - 0.5 * 0.1)
        torch.testing.assert_close(parameter.detach(), decayed if parameter.ndim == 4 else before[name])


def linear(gradient):
    """A layer of one weight and a bias, with this gradient."""
    layer = nn.Linear(1, 1)
    with torch.no_grad():
        layer.weight.fill_(1), layer.bias.fill_(1)
    layer.weight.grad, layer.bias.grad = torch.tensor([[gradient[0]]]), torch.tensor([gradient[1]])
    return layer


@pytest.mark.parametrize(("clip", "expected"), [(None, (3, 4)), (10.0, (3, 4)), (1.0, (0.6, 0.8))])
def test_the_gradient_is_clipped_by_its_norm(clip, expected):
    layer = linear((3.0, 4.0))
    state = state_of(layer, optimizer="sgd", momentum=0.0)
    assert clipped_norm(state, Train(epochs=1, clip=clip)) == 5
    update(state, 0.1)
    assert (layer.weight.item(), layer.bias.item()) == pytest.approx(tuple(1 - 0.1 * each for each in expected))
    assert state.step == 1 and layer.weight.grad is None


def test_a_scaled_loss_is_clipped_by_the_norm_without_the_scale():
    layer = linear((0.0, 0.0))
    state = state_of(layer, loss_scaler=scaler(init_scale=1024.0), optimizer="sgd", momentum=0.0)
    loss = (layer.weight * 3 + layer.bias * 4).sum()
    layer.zero_grad(set_to_none=True)
    state.scaler.scale(loss).backward()
    assert clipped_norm(state, Train(epochs=1, clip=1.0)) == 5
    update(state, 0.1)
    assert (layer.weight.item(), layer.bias.item()) == pytest.approx((0.94, 0.92))


def test_a_gradient_that_overflows_by_its_scale_is_left_out():
    layer = linear((0.0, 0.0))
    state = state_of(layer, loss_scaler=scaler(init_scale=2.0**16), optimizer="sgd", momentum=0.0)
    state.scaler.scale(torch.zeros(1))  # as a loss is: the scale is made with the first
    layer.weight.grad.fill_(torch.inf)
    norm = clipped_norm(state, Train(epochs=1, clip=1.0))
    assert is_left_out(state.scaler, norm)
    update(state, 0.1)
    assert layer.weight.item() == 1 and state.scaler.get_scale() == 2.0**15 and state.step == 1


def test_a_gradient_that_overflows_without_a_scale_is_not():
    assert not is_left_out(NO_SCALER, torch.inf)
    assert not is_left_out(NO_SCALER, 1.0)
    least = scaler(init_scale=1.0)
    least.scale(torch.zeros(1))
    assert not is_left_out(least, torch.inf)
    assert not is_left_out(scaler(init_scale=1024.0), 1.0)


def test_digits_are_what_the_helpers_say():
    assert len(digit_set(50)) == 50 and digit_set(50).fixed.shape == (50, 8, 8, 1)
