"""What a training run is given besides the net and its images, and whom it tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from compress.convention import InputConvention
from compress.recipe import Train
from compress.train.distributed import ALONE, Process


class Reporter(Protocol):
    """What training tells whoever looks on: each step, and a line now and then."""

    def step(self, step: int, n_steps: int, loss: float, note: str) -> None: ...
    def line(self, text: str) -> None: ...


@dataclass(frozen=True)
class Tested:
    """A net on data.test: loss, and shares of images that are right."""

    loss: float
    top1: float
    top5: float


@dataclass(frozen=True, eq=False)
class Setting:
    """crop: side of the last crops, pixels. folder: of the log and the checkpoints. key: see Checkpoints. test: measures a net;
    None where data.test has no labels. teacher: for train.distill. after_step: called after each step with the net and the number
    of steps done, then with the running mean of the net, where there is one; and with a net that was restored. stop_after: steps
    after which the run stops, to be resumed; None: at its end."""

    train: Train
    convention: InputConvention
    crop: int
    seed: int
    device: torch.device
    folder: Path
    key: str
    test: Callable[[nn.Module], Tested] | None = None
    teacher: nn.Module | None = None
    after_step: Callable[[nn.Module, int], None] = lambda net, step: None
    process: Process = ALONE
    tensorboard: bool = False
    stop_after: int | None = None

    @property
    def precision(self) -> torch.dtype | None:
        """The type of autocast; None: everything in float32."""
        named = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
        if self.train.precision != "auto":
            return named[self.train.precision]
        if self.device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
