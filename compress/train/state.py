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

MODEL, MEAN, OPTIMIZER, RNG = "model:", "mean:", "optimizer:", "rng:"
BEST = "best"
_STEP = re.compile(r"step-(\d{9})\.json")


@dataclass(eq=False)
class State:
    """step: optimizer steps that are done. seconds: of training so far, all starts together. best_top1: on data.test, and the
    step of it. n_unreadable: pictures of the epoch at work that could not be read."""

    net: nn.Module
    optimizer: torch.optim.Optimizer
    mean: RunningMean | None
    scaler: torch.amp.GradScaler
    device: torch.device
    step: int = 0
    seconds: float = 0.0
    best_top1: float = -1.0
    n_unreadable: int = 0

    def result(self) -> dict[str, Tensor]:
        """The state dict that training is for: the running mean where there is one."""
        return dict(self.mean.tensors if self.mean is not None else self.net.state_dict())

    def count_unreadable(self, n: int, *, starts_epoch: bool) -> None:
        self.n_unreadable = n + (0 if starts_epoch else self.n_unreadable)

    def to_checkpoint(self) -> Checkpoint:
        tensors = {MODEL + name: tensor for name, tensor in self.net.state_dict().items()}
        if self.mean is not None:
            tensors |= {MEAN + name: tensor for name, tensor in self.mean.tensors.items()}
        saved = self.optimizer.state_dict()
        numbers: dict[str, Any] = {}
        for i, entries in saved["state"].items():
            for name, value in entries.items():
                if isinstance(value, Tensor):
                    tensors[f"{OPTIMIZER}{i}:{name}"] = value
                else:
                    numbers[f"{i}:{name}"] = value
        tensors[RNG + "cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors[RNG + "cuda"] = torch.cuda.get_rng_state(self.device)
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
        facts = {
            "step": self.step,
            "seconds": self.seconds,
            "best_top1": self.best_top1,
            "n_unreadable": self.n_unreadable,
            "optimizer": numbers,
            "scaler": self.scaler.state_dict(),
        }
        return Checkpoint(arrays, facts)

    def restore(self, saved: Checkpoint, *, rng: bool = True) -> None:
        """rng: also the state of the generators, which are this process's own."""
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in saved.arrays.items()}

        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

        self.net.load_state_dict(part(MODEL))
        if self.mean is not None:
            for name, tensor in part(MEAN).items():
                self.mean.tensors[name].copy_(tensor)
        entries: dict[int, dict[str, Any]] = {}
        values: dict[str, Any] = part(OPTIMIZER) | saved.facts["optimizer"]
        for key, value in values.items():
            i, _, name = key.partition(":")
            entries.setdefault(int(i), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": entries, "param_groups": groups})
        self.scaler.load_state_dict(saved.facts["scaler"])
        for name in ("step", "seconds", "best_top1", "n_unreadable"):
            setattr(self, name, saved.facts[name])
        if rng:
            torch.set_rng_state(tensors[RNG + "cpu"])
            if self.device.type == "cuda" and RNG + "cuda" in tensors:
                torch.cuda.set_rng_state(tensors[RNG + "cuda"], self.device)


class Checkpoints:
    """Those of one run, in a folder. key: the digest of all that training depends on; what has another is not this run's."""

    def __init__(self, folder: Path, key: str, *, keep: int) -> None:
        self.folder, self._key, self._keep = folder, key, keep

    def save(self, state: State) -> None:
        """Raises RunFolderError where the disk is full; the checkpoints before stay valid."""
        checkpoint.save(self.folder, f"step-{state.step:09}", self._key, state.to_checkpoint())
        for step in self._steps()[: -self._keep]:
            _remove(self.folder, f"step-{step:09}")

    def save_best(self, state: State) -> None:
        """The weights that training would give now, beside the checkpoints."""
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in state.result().items()}
        checkpoint.save(self.folder, BEST, self._key, Checkpoint(arrays, {"step": state.step, "top1": state.best_top1}))

    def latest(self) -> Checkpoint | None:
        """The newest one that is whole; None where there is none of this run."""
        found = (checkpoint.load(self.folder, f"step-{step:09}", self._key) for step in reversed(self._steps()))
        return next((each for each in found if each is not None), None)

    def _steps(self) -> list[int]:
        with contextlib.suppress(OSError):
            return sorted(int(match[1]) for path in self.folder.iterdir() if (match := _STEP.fullmatch(path.name)))
        return []


def _remove(folder: Path, name: str) -> None:
    for suffix in (".json", ".safetensors"):  # in this order: what has no JSON is no checkpoint
        (folder / f"{name}{suffix}").unlink(missing_ok=True)
