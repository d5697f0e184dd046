"""One optimizer step: the gradients of its micro-batches, summed, and the update."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from compress.data.augment import jittered
from compress.data.loader import Batch
from compress.data.preprocess import normalise
from compress.errors import InputError
from compress.recipe import Train
from compress.train.first_not_finite import first_not_finite
from compress.train.setting import Setting
from compress.train.state import State

DROPOUT = 1  # apart from mixup's generator, which has the same numbers before it
LEAST_SCALE = 1.0  # of a float16 loss: below it a gradient that overflows is not the scale's fault


class Sums(NamedTuple):
    """Over the images of one step, on all ranks; guessing: the loss of guessing, see guards. n_asked: ranks that are to stop."""

    loss_sum: float
    guessing_sum: float
    n_right: float
    n_seen: float
    n_unreadable: float
    n_asked: float

    @property
    def loss(self) -> float:
        return self.loss_sum / max(1.0, self.n_seen)

    @property
    def guessing(self) -> float:
        return self.guessing_sum / max(1.0, self.n_seen)

    @property
    def accuracy(self) -> float:
        return self.n_right / max(1.0, self.n_seen)


def gradients(
    forward: nn.Module,
    batches: list[Batch],
    n_images: int,
    step: int,
    setting: Setting,
    layout: torch.memory_format,
    scaler: torch.amp.GradScaler,
) -> Tensor:
    """Add the gradient of the mean loss over the step's n_images, of all ranks, to what is there.

    forward: the net, as it is called. step: steps done. What is drawn, for mixup and dropout, depends on the seed, the step, the
    rank and the micro-batch. Returns this rank's share of Sums, (5,), without the last.
    """
    process, device = setting.process, setting.device
    sums = torch.zeros(5, device=device)
    for i, batch in enumerate(batches):
        x, labels, weights = inputs(batch, setting, layout)
        drawn_by = (setting.seed, step, process.rank, i)
        _seed_dropout(device, int(np.random.default_rng((*drawn_by, DROPOUT)).integers(1 << 63)))
        waits = isinstance(forward, DistributedDataParallel) and i < len(batches) - 1  # the last one sends the sum of all
        with forward.no_sync() if waits else nullcontext():  # type: ignore[operator]
            with _autocast(setting):
                found = losses(forward, x, labels, weights, setting, np.random.default_rng(drawn_by))
            loss, guessing, n_right = ((each * weights).sum() for each in found)
            scaler.scale(loss * process.world / n_images).backward()  # the mean over ranks comes after
        n_unreadable = torch.tensor(float(len(batch.skipped)), device=device)
        sums += torch.stack([loss.detach(), guessing, n_right, weights.sum(), n_unreadable])
    return sums


def inputs(batch: Batch, setting: Setting, layout: torch.memory_format) -> tuple[Tensor, Tensor, Tensor]:
    """The net's input (b, c, side, side), labels and weights, on the device."""
    device = setting.device
    pixels = batch.pixels.to(device, non_blocking=True)
    if setting.train.augment.jitter:
        x = pixels.permute(0, 3, 1, 2).float() / 255
        pixels = (jittered(x, batch.factors.to(device)) * 255).permute(0, 2, 3, 1)
    x = normalise(pixels, setting.convention).contiguous(memory_format=layout)
    return x, batch.labels.to(device, non_blocking=True), batch.weights.to(device, non_blocking=True)


def losses(
    forward: nn.Module, x: Tensor, labels: Tensor, weights: Tensor, setting: Setting, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Of each image, (b,): the loss, the loss of guessing, and whether the likeliest class is its label.

    Label smoothing (Szegedy et al. 2016), mixup (Zhang et al. 2018), distillation (Hinton et al. 2015), as the recipe says.
    weights: an image of weight 0, which cannot be read, is mixed into no other. rng: of mixup.
    """
    settings = setting.train
    share, others = 1.0, torch.arange(len(x), device=x.device)
    if settings.mixup:
        share = float(rng.beta(settings.mixup, settings.mixup))
        drawn = torch.from_numpy(rng.permutation(len(x))).to(x.device)
        others = torch.where(weights[drawn] > 0, drawn, others)
        x = share * x + (1 - share) * x[others]
    outputs = _outputs(forward, x)  # (b, classes)

    def cross_entropy(targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, label_smoothing=settings.label_smoothing, reduction="none")

    found = cross_entropy(labels)
    if settings.mixup:
        found = share * found + (1 - share) * cross_entropy(labels[others])
    guessing = torch.full_like(found, math.log(outputs.shape[1]), requires_grad=False)
    if setting.teacher is not None and settings.distill is not None:
        heat, part = settings.distill.temperature, settings.distill.weight
        with torch.no_grad():
            target = F.log_softmax(setting.teacher(x).float() / heat, 1)
            kl_of_guessing = guessing + (target.exp() * target).sum(1)
        kl = F.kl_div(F.log_softmax(outputs / heat, 1), target, reduction="none", log_target=True).sum(1)
        found = (1 - part) * found + part * heat**2 * kl
        guessing = (1 - part) * guessing + part * heat**2 * kl_of_guessing
    return found, guessing, outputs.argmax(1) == labels


def where_not_finite(net: nn.Module, batches: list[Batch], setting: Setting, layout: torch.memory_format) -> str | None:
    """The first parameter, else the first layer's outputs, with a NaN or an infinite value in a step's forward passes."""
    for batch in batches:
        with _autocast(setting):
            place = first_not_finite(net, dict(net.named_parameters()), inputs(batch, setting, layout)[0])
        if place != "the loss itself":
            return place
    return None


def make_optimizer(net: nn.Module, settings: Train) -> torch.optim.Optimizer:
    """No weight decay on biases and BatchNorm: on what has one dimension."""
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, nesterov=settings.nesterov)
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def clipped_norm(state: State, settings: Train) -> float:
    """The norm of the gradient that is there, which is then clipped to train.clip, if it is finite. To be followed by update."""
    state.scaler.unscale_(state.optimizer)
    found = [parameter.grad for parameter in state.net.parameters() if parameter.grad is not None]
    norm = float(torch.stack(torch._foreach_norm(found)).norm())
    if settings.clip is not None and settings.clip < norm < math.inf:
        torch._foreach_mul_(found, settings.clip / norm)
    return norm


def is_left_out(scaler: torch.amp.GradScaler, norm: float) -> bool:
    """Whether update will change no weight: a float16 gradient overflowed, and the scale of the loss falls for the next step."""
    return scaler.is_enabled() and not math.isfinite(norm) and scaler.get_scale() > LEAST_SCALE


def update(state: State, rate: float) -> None:
    """One optimizer step at a learning rate, with the gradient that is there."""
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    state.step += 1


def _autocast(setting: Setting) -> AbstractContextManager[Any]:
    return torch.autocast(setting.device.type, setting.precision) if setting.precision else nullcontext()


def _seed_dropout(device: torch.device, seed: int) -> None:
    seed_generator = torch.default_generator.manual_seed if device.type == "cpu" else torch.manual_seed  # that is all devices'
    seed_generator(seed)


def _outputs(forward: nn.Module, x: Tensor) -> Tensor:
    try:
        return forward(x).float()
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            "train.batchnorm: the net's last features of one picture are 1 x 1, which has no variance: choose a batch_size "
            "(and micro_batch) that leaves no single picture over at the end of an epoch"
        ) from error
