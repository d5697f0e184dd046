"""Where in a net the first NaN or infinite value comes up: what a loss that is not finite is reported with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call


@torch.no_grad()
def first_not_finite(net: nn.Module, tensors: Mapping[str, Tensor], x: Tensor) -> str:
    """The name of the first tensor, else of the first layer in the order of computing, with a NaN or an infinite value."""
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            return name
    found: list[str] = []

    def look(name: str, output: object) -> None:
        if isinstance(output, Tensor) and not output.isfinite().all():
            found.append(name)

    layers = [(name, module) for name, module in net.named_modules() if not list(module.children())]
    hooks = [module.register_forward_hook(lambda m, i, o, name=name: look(name, o)) for name, module in layers]
    try:
        functional_call(net, dict(tensors), (x,))
    finally:
        for hook in hooks:
            hook.remove()
    return f"the outputs of {found[0]}" if found else "the loss itself"
