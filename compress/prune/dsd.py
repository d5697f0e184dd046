"""Dense, sparse, dense training (Han et al. 2017, arXiv 1607.04381): prune, train with the mask held, then free all weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from compress.prune.magnitude import magnitude_masks
from compress.recipe import Dsd


class DenseSparseDense:
    """Holds the masks of the sparse phase: the largest weights of each layer as the phase begins. Pruned weights are 0, so those
    of a run that is resumed in that phase are the largest still."""

    def __init__(self, settings: Dsd, n_steps: int) -> None:
        self._density = settings.density
        self._first, self._end = round(settings.start * n_steps), round(settings.end * n_steps)
        self._masks: dict[str, Tensor] = {}

    @torch.no_grad()
    def apply(self, net: nn.Module, step: int) -> None:
        """After a step, counted from 1: prune at the first of the sparse phase, and keep pruned weights at 0 while it lasts.

        The masks are those of the net that it is first called with: on resuming, that is the restored net, with its step, before
        the optimizer moves it; a running mean of the net comes after the net.
        """
        if not self._first < step <= self._end:
            self._masks = {}
            return
        weights = {
            f"{name}.weight": module.weight for name, module in net.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)
        }
        if not self._masks:
            self._masks = magnitude_masks(weights, dict.fromkeys(weights, self._density))
        for name, weight in weights.items():
            weight.mul_(self._masks[name]).add_(0.0)  # -0.0, of a negative weight, becomes 0.0: a file stores -0.0
