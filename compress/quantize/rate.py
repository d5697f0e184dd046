"""A network in a given number of bytes: uniform steps by sensitivity, and weights tuned to be good at them.

The bytes are those of the whole file, counted by writing it. While weights are tuned (straight-through) they spread, and their
levels take more bytes; the coarseness follows, so that the file has its size at every moment and at the end to the byte below.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from compress.errors import TrainingDiverged
from compress.layer import MIN_STEP, SharedLayer
from compress.quantize.error_feedback import ErrorFeedback
from compress.quantize.uniform import Coarseness, levels
from compress.recipe import Tune
from compress.train.distill import OnStep, adam, distill, tunable

REFRESH_EVERY = 20  # steps between two corrections of the coarseness, by the levels' entropy
RECOUNT_EVERY = 100  # steps between two counts of what the file takes for it
LANDINGS = 12  # attempts to meet the target from below
CLOSE_ENOUGH = 0.0005  # of the target

SizeOf = Callable[["Quantized"], int]


@dataclass(frozen=True, eq=False)
class Quantized:
    """layers: weights and biases as levels, by name. others: every other tensor. coarseness: of the weights' steps."""

    layers: dict[str, SharedLayer]
    others: dict[str, Tensor]
    coarseness: float


class RateQuantizer:
    """A net's tensors on their way to levels.

    weights: to be rounded by steps of coarseness * bases[name]. biases: rounded to bias_bits bits each, with a step a tensor.
    others: left as they are. max_bytes: of the file, which size_of counts. feedback: of layers whose rounding errors are made up
    for, by name; the others are rounded each weight alone.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        biases: Mapping[str, Tensor],
        others: Mapping[str, Tensor],
        *,
        bases: Mapping[str, float],
        dead_zone: float,
        bias_bits: int,
        max_bytes: int,
        size_of: SizeOf,
        feedback: Mapping[str, ErrorFeedback],
        held: Collection[str] = (),
    ) -> None:
        self.weights = {name: weight.detach().clone().requires_grad_() for name, weight in weights.items()}
        self.biases = {name: bias.detach().clone().requires_grad_() for name, bias in biases.items()}
        self.others = tunable(others, held)
        self.dead_zone = dead_zone
        self.largest_bias_level = (1 << (bias_bits - 1)) - 1
        self.bias_steps = {
            name: float(np.float32(max(float(bias.detach().abs().max()) / self.largest_bias_level, MIN_STEP)))
            for name, bias in biases.items()
        }
        self.max_bytes = max_bytes
        self.size_of = size_of
        self.grid = Coarseness(self.weights, bases, dead_zone)
        self.coarseness = self.grid.at(0.9 * max_bytes, 1.0)
        self.land(feedback)

    def land(self, feedback: Mapping[str, ErrorFeedback] | None = None) -> None:
        """Set the coarseness at which the file is largest but not above max_bytes; the coarsest, where every file is above."""
        for name, tensor in {**self.weights, **self.biases}.items():
            if not tensor.isfinite().all():
                raise TrainingDiverged(f"{name} holds values that are NaN or infinite; lower rate.tune.learning_rate")
        self.grid.refresh()
        best: tuple[int, float] | None = None
        low, high = 0.0, math.inf  # coarseness of the smallest file above max_bytes, of the largest within it
        for _ in range(LANDINGS):
            self._feed_back(feedback)
            n_bytes = self._count()
            if best is None or self._is_better(n_bytes, best[0]):
                best = (n_bytes, self.coarseness)
            if 0 <= self.max_bytes - n_bytes <= CLOSE_ENOUGH * self.max_bytes:
                break
            if n_bytes > self.max_bytes:
                low = max(low, self.coarseness)
            else:
                high = min(high, self.coarseness)
            before = self.grid.steps(self.coarseness)
            guess = self.grid.at((1 - CLOSE_ENOUGH / 2) * self.max_bytes / self._bytes_per_entropy, self.coarseness)
            self.coarseness = guess if low < guess < high else self._between(low, high)
            if high == math.inf and self.grid.steps(self.coarseness) == before:  # nothing is coarser
                break
        assert best is not None
        self.coarseness = best[1]
        self._feed_back(feedback)
        self._count()

    @torch.no_grad()
    def _feed_back(self, feedback: Mapping[str, ErrorFeedback] | None) -> None:
        """Weights as error feedback leaves them at the coarseness of now."""
        if feedback:
            steps = self.grid.steps(self.coarseness)
            for name, layer in feedback.items():
                self.weights[name].copy_(layer(steps[name], self.dead_zone))

    @staticmethod
    def _between(low: float, high: float) -> float:
        if high == math.inf:
            return low * 1.05
        return math.sqrt(low * high) if low else high / 1.05

    def _is_better(self, n_bytes: int, before: int) -> bool:
        """Within max_bytes the larger file, else the smaller one."""
        if n_bytes <= self.max_bytes:
            return before > self.max_bytes or n_bytes > before
        return n_bytes < before

    def _count(self) -> int:
        """Bytes of the file now; remembers what they are for one byte of entropy."""
        quantized = self.quantized()
        n_bytes = self.size_of(quantized)
        self._bytes_per_entropy = n_bytes / max(self.grid.entropy_bytes(self.coarseness), 1.0)
        return n_bytes

    def follow(self, step: int) -> None:
        """After `step` tuning steps: keep the file at its size."""
        if step % REFRESH_EVERY:
            return
        self.grid.refresh()
        if step % RECOUNT_EVERY == 0:
            self._count()
        self.coarseness = self.grid.at(self.max_bytes / self._bytes_per_entropy, self.coarseness)

    def tensors(self) -> dict[str, Tensor]:
        """What the net computes with; differentiable (straight-through)."""
        steps = self.grid.steps(self.coarseness)
        rounded = {name: levels(weight, steps[name], self.dead_zone) * steps[name] for name, weight in self.weights.items()}
        biases = {name: self._bias_levels(name) * self.bias_steps[name] for name in self.biases}
        return {**self.others, **biases, **rounded}

    def _bias_levels(self, name: str) -> Tensor:
        whole = levels(self.biases[name], self.bias_steps[name], 0.0)
        return whole.clamp(-self.largest_bias_level, self.largest_bias_level)

    def quantized(self) -> Quantized:
        steps = self.grid.steps(self.coarseness)
        with torch.no_grad():
            found = {n: (levels(w, steps[n], self.dead_zone), steps[n]) for n, w in self.weights.items()}
            found |= {name: (self._bias_levels(name), self.bias_steps[name]) for name in self.biases}
        layers = {
            name: SharedLayer(name, tuple(whole.shape), whole.cpu().numpy().astype(np.int32), step=np.float32(step))
            for name, (whole, step) in found.items()
        }
        return Quantized(layers, {name: tensor.detach() for name, tensor in self.others.items()}, self.coarseness)

    def tune(self, net: nn.Module, teacher: nn.Module, tune: Tune, batches: Iterator[Tensor], on_step: OnStep) -> None:
        """Move weights, biases and others so that the net's outputs are the teacher's; the file keeps its size.

        Raises TrainingDiverged.
        """
        if not tune.steps:
            return
        optimizer = adam(
            self.weights,
            self.grid.steps(self.coarseness),
            {**self.biases, **self.others},
            tune.learning_rate,
            tune.bias_learning_rate,
        )
        distill(
            net,
            teacher,
            self.tensors,
            optimizer,
            batches,
            steps=tune.steps,
            field="rate.tune",
            on_step=on_step,
            after_step=self.follow,
        )
        self.land()
