import math

import pytest
import torch
from torch import nn

from compress.errors import TrainingDiverged
from compress.train.distill import adam, distill, first_not_finite


class Steps:
    """Records what on_step is told."""

    def __init__(self):
        self.told = []

    def __call__(self, step, steps, loss):
        self.told.append((step, steps, loss))

    @property
    def losses(self):
        return [loss for _, _, loss in self.told]


def damaged(toy):
    generator = torch.Generator().manual_seed(5)
    return {
        name: (t + 0.3 * t.std() * torch.randn(t.shape, generator=generator) if t.ndim == 4 else t.clone()).requires_grad_()
        for name, t in toy.tensors.items()
    }


def run(toy, latents, optimizer, steps, on_step=None, **options):
    distill(
        toy.net,
        toy.teacher,
        lambda: latents,
        optimizer,
        options.pop("batches", toy.batches()),
        steps=steps,
        field="prune.tune",
        on_step=on_step or Steps(),
        **options,
    )


def test_tuning_brings_the_outputs_closer(toy):
    latents = damaged(toy)
    before, steps = toy.kl(latents), Steps()
    run(toy, latents, torch.optim.Adam(latents.values(), lr=0.01), 60, steps)
    assert before > 0.02 and toy.kl(latents) < 0.3 * before
    assert [(step, total) for step, total, _ in steps.told] == [(i, 60) for i in range(1, 61)]
    assert all(type(loss) is float for loss in steps.losses)


def test_the_net_itself_and_the_teacher_are_not_changed(toy):
    before = [{name: tensor.clone() for name, tensor in net.state_dict().items()} for net in (toy.net, toy.teacher)]
    latents = damaged(toy)
    run(toy, latents, torch.optim.Adam(latents.values(), lr=0.01), 3)
    for net, state in zip((toy.net, toy.teacher), before, strict=True):
        assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())


def test_the_loss_is_the_mean_kl_and_zero_for_the_teachers_own_tensors(toy):
    latents = {name: tensor.clone().requires_grad_() for name, tensor in toy.tensors.items()}
    steps = Steps()
    run(toy, latents, torch.optim.SGD(latents.values(), lr=1e-9), 1, steps)
    assert abs(steps.losses[0]) < 1e-6
    latents, x = damaged(toy), next(toy.batches(seed=99, batch_size=256))
    expected = toy.kl(latents)
    run(toy, latents, torch.optim.SGD(latents.values(), lr=1e-9), 1, steps, batches=iter([x]))
    assert steps.losses[1] == pytest.approx(expected, rel=1e-4)


def test_the_learning_rate_falls_to_zero_along_a_cosine(toy):
    latents = damaged(toy)
    groups = [{"params": [latents["features.0.weight"]], "lr": 0.01}, {"params": [latents["features.0.bias"]], "lr": 0.002}]
    optimizer, rates = torch.optim.SGD(groups), []
    run(toy, latents, optimizer, 8, after_step=lambda step: rates.append([group["lr"] for group in optimizer.param_groups]))
    for i, (first, second) in enumerate(rates):
        cosine = 0.5 * (1 + math.cos(math.pi * (i + 1) / 8))  # what the next step takes
        assert first == pytest.approx(0.01 * cosine) and second == pytest.approx(0.002 * cosine)
    assert rates[-1] == pytest.approx([0, 0], abs=1e-12)


def test_after_step_comes_before_on_step_and_counts_from_one(toy):
    latents, order = damaged(toy), []
    run(
        toy,
        latents,
        torch.optim.SGD(latents.values(), lr=1e-3),
        2,
        lambda step, steps, loss: order.append(("on", step)),
        after_step=lambda step: order.append(("after", step)),
    )
    assert order == [("after", 1), ("on", 1), ("after", 2), ("on", 2)]


def test_no_steps_take_no_batch(toy):
    latents, steps = damaged(toy), Steps()
    before = {name: tensor.detach().clone() for name, tensor in latents.items()}
    run(toy, latents, torch.optim.Adam(latents.values(), lr=1.0), 0, steps, batches=iter([]))
    assert steps.told == [] and all(torch.equal(latents[name], before[name]) for name in before)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_stage(toy, value):
    latents = damaged(toy)
    with torch.no_grad():
        latents["classifier.1.bias"][0] = value
    with pytest.raises(
        TrainingDiverged, match=r"^prune.tune: the loss is nan at step 0 of 5, first in [\w.]+; lower prune.tune.learning_rate$"
    ):
        run(toy, latents, torch.optim.Adam(latents.values(), lr=0.01), 5)


def test_a_learning_rate_that_destroys_the_net_is_named(toy):
    latents = damaged(toy)
    with pytest.raises(TrainingDiverged, match=r"^prune.tune: the loss is (nan|inf) at step \d+ of 50"):
        run(toy, latents, torch.optim.SGD(latents.values(), lr=1e30), 50)


def test_adam_steps_in_units_of_each_layer():
    latents = {"small": nn.Parameter(torch.zeros(3)), "large": nn.Parameter(torch.zeros(2))}
    bias = {"b": nn.Parameter(torch.zeros(1))}
    optimizer = adam(latents, {"small": 0.01, "large": 5.0}, bias, 0.1, 3e-4)
    for parameter in (*latents.values(), *bias.values()):
        parameter.grad = torch.full_like(parameter, 123.0)  # Adam's first step is lr, whatever the gradient
    optimizer.step()
    torch.testing.assert_close(latents["small"].detach(), torch.full((3,), -0.001))
    torch.testing.assert_close(latents["large"].detach(), torch.full((2,), -0.5))
    torch.testing.assert_close(bias["b"].detach(), torch.full((1,), -3e-4))


def test_the_first_layer_that_overflows_is_named():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.Linear(2, 2)).eval()
    tensors = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    x = torch.ones(1, 3)
    assert first_not_finite(net, tensors, x) == "the loss itself"
    large = tensors | {"2.bias": torch.full((2,), 3e38), "2.weight": torch.full((2, 4), 3e38), "0.bias": torch.full((4,), 9.0)}
    assert first_not_finite(net, large, x) == "the outputs of 2"
    assert first_not_finite(net, tensors | {"3.weight": torch.full((2, 2), float("nan"))}, x) == "3.weight"
    assert not any(module._forward_hooks for module in net.modules())
