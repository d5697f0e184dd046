"""Gradual magnitude pruning (Zhu and Gupta 2017, arXiv 1710.01878): the net becomes sparse while it is trained, a few weights
at a time, so that what is left learns to do without them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from compress.prune.magnitude import densities, magnitude_masks
from compress.recipe import Sparse

EVERY = 16  # steps between two prunings


def layer_densities(settings: Sparse, layers: Iterable[str]) -> dict[str, float]:
    """The final density of each layer. Raises RecipeError for a table that does not fit them."""
    return densities(settings.density, layers, field="train.sparse.density")


class GradualPruning:
    """Holds the masks: the largest weights of each layer at the last pruning. Pruned weights are 0, so those of a run that is
    resumed are the largest still. Raises RecipeError for a table of densities that does not fit the net."""

    def __init__(self, settings: Sparse, net: nn.Module, n_steps: int) -> None:
        layers = [name for name, module in net.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        self._final = {f"{name}.weight": kept for name, kept in layer_densities(settings, layers).items()}
        self._first, self._end = round(settings.start * n_steps), round(settings.end * n_steps)
        self._masks: dict[str, Tensor] = {}
        self._pruned_at = -1

    @torch.no_grad()
    def apply(self, net: nn.Module, step: int) -> None:
        """After a step, counted from 1: prune when it is time, and keep pruned weights at 0.

        The masks are those of the net that a step's first call comes with: on resuming, that is the restored net, with its step,
        before the optimizer moves it; a running mean of the net comes after the net.
        """
        if step <= self._first:
            return
        weights = {name: net.get_parameter(name) for name in self._final}
        pruned_at = self._last_pruning(step)
        if pruned_at != self._pruned_at:
            self._masks = magnitude_masks(weights, self._densities(pruned_at))
            self._pruned_at = pruned_at
        for name, weight in weights.items():
            weight.mul_(self._masks[name]).add_(0.0)  # -0.0, of a negative weight, becomes 0.0: a file stores -0.0

    def _last_pruning(self, step: int) -> int:
        """The step of it. The last of all is at the end of the phase."""
        return self._end if step >= self._end else step - (step - self._first) % EVERY

    def _densities(self, step: int) -> dict[str, float]:
        """From 1 to the final ones along a cubic (section 3): fast while there is much to choose from, then ever slower."""
        left = (1 - (step - self._first) / (self._end - self._first)) ** 3 if step < self._end else 0.0
        return {name: kept + (1 - kept) * left for name, kept in self._final.items()}
