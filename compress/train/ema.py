"""A running mean of a net's weights, which is often a better net than the last one (Polyak & Juditsky 1992)."""

from __future__ import annotations

import copy

import torch
from torch import nn


class RunningMean:
    """net: a copy, in eval mode, whose tensors are the means. The decay is smaller at the start, or the first weights would
    stay in it for long."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.tensors = self.net.state_dict()

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        """step: that was done, from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        now = net.state_dict()
        floating = [name for name, tensor in now.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self.tensors[name] for name in floating], [now[name] for name in floating], 1 - decay)
        for name in now.keys() - set(floating):
            self.tensors[name].copy_(now[name])
