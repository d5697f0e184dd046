"""Training from scratch with labels: a plain loop, cross-entropy and Adam, for nets that train in seconds."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compress.errors import TrainingDiverged
from compress.train.distill import OnStep


def train(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
    on_step: OnStep,
) -> None:
    """images: (n, c, h, w) normalised; labels: (n,) int64. The learning rate decays linearly to 0.

    Raises TrainingDiverged when the loss is not finite.
    """
    device = next(net.parameters()).device
    images, labels = images.to(device), labels.to(device)
    steps = epochs * math.ceil(len(images) / batch_size)
    optimizer = torch.optim.Adam(net.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 1 - i / steps)
    net.train()
    step = 0
    for _ in range(epochs):
        for chosen in torch.randperm(len(images), generator=generator).split(batch_size):
            loss = F.cross_entropy(net(images[chosen]), labels[chosen])
            if not math.isfinite(loss.item()):
                raise TrainingDiverged(f"train: the loss is {loss.item()} at step {step} of {steps}; lower train.learning_rate")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            on_step(step, steps, loss.item())
    net.eval()
