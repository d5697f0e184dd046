"""One optimizer step: the gradients of its micro-batches, summed, and the update."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from compress.data.augment import jittered
from compress.data.loader import Batch
from compress.data.preprocess import normalise
from compress.recipe import Train
from compress.train.setting import Setting
from compress.train.state import State


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

    forward: the net, as it is called. Returns this rank's sums, (4,): loss, images that are right, images, images not readable.
    """
    process, device, precision = setting.process, setting.device, setting.precision
    sums = torch.zeros(4, device=device)
    for i, batch in enumerate(batches):
        x, labels, weights = inputs(batch, setting, layout)
        rng = np.random.default_rng((setting.seed, step, process.rank, i))  # of mixup
        waits = isinstance(forward, DistributedDataParallel) and i < len(batches) - 1  # the last one sends the sum of all
        with forward.no_sync() if waits else nullcontext():  # type: ignore[operator]
            with torch.autocast(device.type, precision) if precision else nullcontext():
                loss_of_each, right = losses(forward, x, labels, setting, rng)
            loss = (loss_of_each * weights).sum()
            scaler.scale(loss * process.world / n_images).backward()  # the mean over ranks comes after
        n_unreadable = torch.tensor(float(len(batch.skipped)), device=device)
        sums += torch.stack([loss.detach(), (right * weights).sum(), weights.sum(), n_unreadable])
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


def losses(forward: nn.Module, x: Tensor, labels: Tensor, setting: Setting, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The loss of each image, (b,), and whether the likeliest class is its label, (b,) bool.

    Label smoothing (Szegedy et al. 2016), mixup (Zhang et al. 2018), distillation (Hinton et al. 2015), as the recipe says."""
    settings = setting.train
    share, others = 1.0, torch.arange(len(x), device=x.device)
    if settings.mixup:
        share = float(rng.beta(settings.mixup, settings.mixup))
        others = torch.from_numpy(rng.permutation(len(x))).to(x.device)
        x = share * x + (1 - share) * x[others]
    outputs = forward(x).float()  # (b, classes)

    def cross_entropy(targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, label_smoothing=settings.label_smoothing, reduction="none")

    found = cross_entropy(labels)
    if settings.mixup:
        found = share * found + (1 - share) * cross_entropy(labels[others])
    if setting.teacher is not None and settings.distill is not None:
        heat, part = settings.distill.temperature, settings.distill.weight
        with torch.no_grad():
            target = F.log_softmax(setting.teacher(x).float() / heat, 1)
        kl = F.kl_div(F.log_softmax(outputs / heat, 1), target, reduction="none", log_target=True).sum(1)
        found = (1 - part) * found + part * heat**2 * kl
    return found, outputs.argmax(1) == labels


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


def update(state: State, settings: Train, rate: float) -> float | None:
    """One optimizer step at a learning rate, with the gradients that are there. Their norm, where it is clipped."""
    norm = None
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    if settings.clip is not None:
        state.scaler.unscale_(state.optimizer)
        norm = float(nn.utils.clip_grad_norm_(state.net.parameters(), settings.clip))
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    return norm
