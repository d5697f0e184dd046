"""Training runs that take less than a second: a tiny SqueezeNet on some of scikit-learn's digits."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from processes import TINY
from torch import Tensor, nn

from compress.convention import InputConvention
from compress.data import digits
from compress.data.loader import Batch, Loader
from compress.data.training import TrainingSet
from compress.models.normalised import add_batchnorm
from compress.models.squeezenet import SqueezeNet
from compress.recipe import SqueezeNetSpec, Train
from compress.train.loop import train
from compress.train.setting import Setting

CPU = torch.device("cpu")
CONVENTION: InputConvention = digits.CONVENTION


class Told:
    """A reporter that remembers. steps: (step, n_steps, loss, note)."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int, float, str]] = []
        self.lines: list[str] = []

    def step(self, step: int, n_steps: int, loss: float, note: str) -> None:
        self.steps.append((step, n_steps, loss, note))

    def line(self, text: str) -> None:
        self.lines.append(text)


def spec(**changes: Any) -> SqueezeNetSpec:
    return SqueezeNetSpec(**TINY["model"] | changes)


def new_net(*, batchnorm: bool = False, seed: int = 0, **changes: Any) -> SqueezeNet:
    net = SqueezeNet(spec(**changes))
    net.init_weights(torch.Generator().manual_seed(seed))
    if batchnorm:
        add_batchnorm(net)
    return net


def weights(net: nn.Module) -> dict[str, Tensor]:
    """Of the convolutions."""
    return {name: tensor for name, tensor in net.state_dict().items() if tensor.ndim == 4}


def shake(net: nn.Module, step: int) -> None:
    """As an optimizer does: every weight moves."""
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.01 * torch.randn(parameter.shape, generator=generator)


@cache
def digit_set(n: int) -> TrainingSet:
    """The first n of the training part."""
    pixels, labels = digits.training_pixels()
    return TrainingSet(f"{n} digits", "", None, labels[:n], "L", 8, fixed=pixels[:n])


def noise_set(n: int, pixels: int = 0) -> TrainingSet:
    """Images of one grey value, with labels that no net can tell."""
    labels = np.arange(n, dtype=np.int64) % 10
    return TrainingSet("noise", "", None, labels, "L", 8, fixed=np.full((n, 8, 8, 1), pixels, np.uint8))


def setting(folder: Path, settings: Train, **changes: Any) -> Setting:
    fields: dict[str, Any] = {"convention": CONVENTION, "crop": 8, "seed": 0, "device": CPU, "key": "key"}
    return Setting(train=settings, folder=folder, **fields | changes)


def run(
    folder: Path,
    settings: Train,
    *,
    net: nn.Module | None = None,
    images: TrainingSet | None = None,
    told: Told | None = None,
    **changes: Any,
) -> dict[str, Tensor]:
    """Train a net, by default a new one on 50 digits: with a batch_size of 16, four steps an epoch, the last of two images."""
    net = net or new_net(batchnorm=settings.batchnorm)
    made = setting(folder, settings, **changes)
    return train(net, Loader(images or digit_set(50), settings, seed=made.seed), made, told or Told())


def batch(labels: list[int], *, weights: list[float] | None = None, seed: int = 0, skipped: tuple[str, ...] = ()) -> Batch:
    """Noise with these labels."""
    n = len(labels)
    pixels = torch.randint(0, 256, (n, 8, 8, 1), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return Batch(pixels, torch.tensor(labels), torch.tensor(weights or [1.0] * n), torch.ones(3, n), skipped)


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    """To the last bit."""
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
