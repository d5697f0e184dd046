"""Uniform quantization with a dead zone, and the coarseness at which a network's weights take a given number of bytes.

A weight w of a layer with step d is the level sign(w) floor(|w| / d + 1/2 - z), z the dead zone: rounding to the nearest, but
for a margin towards zero, where an entropy coder is cheapest (Sullivan 1996). With steps d = coarseness / sqrt(sensitivity) the
error of every layer's rounding costs the outputs the same a bit: at high rates the optimum of Lagrange (Choi et al. 2017,
section 3.3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from compress.codecs import MAX_CODED_LEVEL
from compress.layer import MIN_STEP

MIN_NONZERO = 0.02  # of a layer's weights, at the coarsest: below that it stops saying anything
BISECTIONS = 14  # a factor of 2 to one part in 24,000
DOUBLINGS = 30


class _DeadZoneRound(torch.autograd.Function):
    """The gradient passes unchanged (straight-through: Bengio et al. 2013)."""

    @staticmethod
    def forward(ctx: Any, scaled: Tensor, dead_zone: float) -> Tensor:
        return torch.floor(scaled.abs() + (0.5 - dead_zone)) * scaled.sign()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def levels(weight: Tensor, step: float, dead_zone: float) -> Tensor:
    """Whole numbers, float; differentiable in weight (straight-through)."""
    rounded: Tensor = _DeadZoneRound.apply(weight / step, dead_zone)
    return rounded


def base_steps(sensitivities: Mapping[str, float]) -> dict[str, float]:
    """Steps at coarseness 1."""
    return {name: 1 / math.sqrt(sensitivity) for name, sensitivity in sensitivities.items()}


def entropy_bits(rounded: Tensor) -> float:
    """Bits of a layer's levels at their order-0 entropy."""
    whole = rounded.flatten().to(torch.int64)
    counts = torch.bincount(whole - whole.min()).double()
    counts = counts[counts > 0]
    return -float((counts * (counts / counts.sum()).log2()).sum())


class Coarseness:
    """The steps of all layers, by one number. weights: what is rounded, by name. bases: base_steps of them.

    A step is never so coarse that fewer than 2% of a layer's weights are left; `refresh` after the weights have moved."""

    def __init__(self, weights: Mapping[str, Tensor], bases: Mapping[str, float], dead_zone: float) -> None:
        self.weights = {name: weight.detach() for name, weight in weights.items()}
        self.bases = bases
        self.dead_zone = dead_zone
        self.refresh()

    def refresh(self) -> None:
        self._coarsest = {name: self._coarsest_step(weight) for name, weight in self.weights.items()}

    def _coarsest_step(self, weight: Tensor) -> float:
        n_kept = max(1, math.ceil(MIN_NONZERO * weight.numel()))
        smallest_kept = float(weight.abs().flatten().topk(n_kept).values[-1])
        return smallest_kept / (0.5 + self.dead_zone) * (1 - 1e-6) or math.inf

    def steps(self, coarseness: float) -> dict[str, float]:
        """float32 values. At least so that no level is above 4095, which is the coder's largest."""
        found = {}
        for name, weight in self.weights.items():
            finest = max(float(weight.abs().max()) / (MAX_CODED_LEVEL - 1), MIN_STEP)
            found[name] = _float32(max(min(coarseness * self.bases[name], self._coarsest[name]), finest))
        return found

    def entropy_bytes(self, coarseness: float) -> float:
        steps = self.steps(coarseness)
        with torch.no_grad():
            return sum(entropy_bits(levels(self.weights[n], step, self.dead_zone)) for n, step in steps.items()) / 8

    def at(self, n_bytes: float, guess: float) -> float:
        """The least coarseness at which the levels' entropy is at most n_bytes; the coarsest tried, where none is."""
        low = high = guess
        if self.entropy_bytes(high) > n_bytes:
            for _ in range(DOUBLINGS):
                low, high = high, 2 * high
                if self.entropy_bytes(high) <= n_bytes:
                    break
            else:
                return high
        else:
            for _ in range(DOUBLINGS):
                low, high = low / 2, low
                if self.entropy_bytes(low) > n_bytes:
                    break
            else:
                return low
        for _ in range(BISECTIONS):
            middle = math.sqrt(low * high)
            if self.entropy_bytes(middle) > n_bytes:
                low = middle
            else:
                high = middle
        return high


def _float32(value: float) -> float:
    return float(torch.tensor(value, dtype=torch.float32))
