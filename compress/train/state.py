"""All that a training run is at a step, and its checkpoints: safetensors and JSON, atomic, the last few and the best kept."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from compress import checkpoint
from compress.checkpoint import Checkpoint
from compress.train.ema import RunningMean

MODEL, MEAN, OPTIMIZER = "model:", "mean:", "optimizer:"
BEST = "best"
_FILE = re.compile(r"\.?step-(\d{9})\.(json|safetensors)(\..*\.part)?")  # .part: of a save that was killed


@dataclass(eq=False)
class State:
    """step: optimizer steps that are done. seconds: of training so far, all starts together. best_top1: on data.test, of what is
    measured there. n_unreadable: pictures of the epoch at work that could not be read."""

    net: nn.Module
    optimizer: torch.optim.Optimizer
    mean: RunningMean | None
    scaler: torch.amp.GradScaler
    device: torch.device
    step: int = 0
    seconds: float = 0.0
    best_top1: float = -1.0
    n_unreadable: int = 0

    @property
    def best_net(self) -> nn.Module:
        """What training is for: the running mean of the net where there is one."""
        return self.mean.net if self.mean is not None else self.net

    def result(self) -> dict[str, Tensor]:
        return dict(self.best_net.state_dict())

    def count_unreadable(self, n: int, *, starts_epoch: bool) -> None:
        self.n_unreadable = n + (0 if starts_epoch else self.n_unreadable)

    def not_finite(self) -> str | None:
        """The first tensor that a checkpoint would have with a NaN or an infinite value in it."""
        names = (name for name, tensor in self._tensors().items() if not tensor.isfinite().all())
        return next((name.removeprefix(MODEL) for name in names), None)

    def to_checkpoint(self) -> Checkpoint:
        facts = {
            "step": self.step,
            "seconds": self.seconds,
            "best_top1": self.best_top1,
            "n_unreadable": self.n_unreadable,
            "optimizer": {f"{i}:{name}": value for i, name, value in self._optimized() if not isinstance(value, Tensor)},
            "scaler": self.scaler.state_dict(),
        }
        return Checkpoint({name: tensor.detach().cpu().numpy() for name, tensor in self._tensors().items()}, facts)

    def restore(self, saved: Checkpoint) -> None:
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in saved.arrays.items()}

        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

        self.net.load_state_dict(part(MODEL))
        if self.mean is not None:
            self.mean.net.load_state_dict(part(MEAN))
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        entries: dict[int, dict[str, Any]] = {}
        values: dict[str, Any] = part(OPTIMIZER) | saved.facts["optimizer"]
        for key, value in values.items():
            i, _, name = key.partition(":")
            like = parameters[int(i)]
            if isinstance(value, Tensor) and value.shape == like.shape:  # strides too: sums would differ in the last bit
                value = torch.empty_like(like).copy_(value)
            entries.setdefault(int(i), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": entries, "param_groups": groups})
        if saved.facts["scaler"] and self.scaler.is_enabled():  # else of a device with another precision
            self.scaler.load_state_dict(saved.facts["scaler"])
        for name in ("step", "seconds", "best_top1", "n_unreadable"):
            setattr(self, name, saved.facts[name])

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {MODEL + name: tensor for name, tensor in self.net.state_dict().items()}
        if self.mean is not None:
            tensors |= {MEAN + name: tensor for name, tensor in self.mean.tensors.items()}
        return tensors | {f"{OPTIMIZER}{i}:{name}": value for i, name, value in self._optimized() if isinstance(value, Tensor)}

    def _optimized(self) -> list[tuple[int, str, Any]]:
        """What the optimizer has beside its settings: (place of the parameter, name, value)."""
        entries = self.optimizer.state_dict()["state"]
        return [(i, name, value) for i, values in entries.items() for name, value in values.items()]


class Checkpoints:
    """Those of one run, in a folder. key: the digest of all that training depends on; what has another is not this run's."""

    def __init__(self, folder: Path, key: str, *, keep: int) -> None:
        self.folder, self._key, self._keep = folder, key, keep

    def save(self, state: State) -> None:
        """Raises RunFolderError where the disk is full; the checkpoints before stay valid."""
        checkpoint.save(self.folder, _name(state.step), self._key, state.to_checkpoint())
        steps = {step for step in self._steps() if step <= state.step}  # later ones are damaged: the run went on from before them
        self._remove_all_but(sorted(steps)[-self._keep :])

    def save_best(self, state: State) -> None:
        """The weights that training would give now, beside the checkpoints."""
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in state.result().items()}
        checkpoint.save(self.folder, BEST, self._key, Checkpoint(arrays, {"step": state.step, "top1": state.best_top1}))

    def latest(self) -> Checkpoint | None:
        """The newest one that is whole; None where there is none of this run."""
        found = (checkpoint.load(self.folder, _name(step), self._key) for step in sorted(self._steps(), reverse=True))
        return next((each for each in found if each is not None), None)

    def _steps(self) -> set[int]:
        """Those that have the JSON, which is written last."""
        return {step for path, step in self._files() if path.name == f"{_name(step)}.json"}

    def _files(self) -> list[tuple[Path, int]]:
        with contextlib.suppress(OSError):
            found = [(path, _FILE.fullmatch(path.name)) for path in self.folder.iterdir()]
            return sorted((path, int(match[1])) for path, match in found if match)
        return []

    def _remove_all_but(self, kept: list[int]) -> None:
        for path, step in self._files():  # sorted: the JSON first, for what has none is no checkpoint
            if step not in kept:
                with contextlib.suppress(OSError):  # one too many does no harm
                    path.unlink()


def _name(step: int) -> str:
    return f"step-{step:09}"
