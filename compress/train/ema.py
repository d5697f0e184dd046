"""A running mean of a net's weights, which is often a better net than the last one (Polyak & Juditsky 1992)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RunningMean:
    """tensors: by the state dict's names. The decay is smaller at the start, or the first weights would stay in it for long."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors: dict[str, Tensor] = {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        """step: that was done, from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        now = net.state_dict()
        floating = [name for name, tensor in now.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self.tensors[name] for name in floating], [now[name] for name in floating], 1 - decay)
        for name in now.keys() - set(floating):
            self.tensors[name].copy_(now[name])
