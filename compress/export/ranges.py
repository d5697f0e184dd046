"""How large the activations of a SqueezeNet become, which storing them in 8 bits needs to know: the largest value seen (Jacob et
al. 2018, arXiv 1712.05877, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from compress.models.squeezenet import Fire, SqueezeNet


def activation_ranges(net: SqueezeNet, batches: Iterable[Tensor]) -> list[float]:
    """The largest value of each activation, in the order of native/sqz_net.h: conv1 after its ReLU, then of each Fire module its
    squeeze and its output. batches: of (b, c, h, w) as the net takes them.
    """
    found: dict[int, float] = {}
    hooks = []

    def watch(place: int, module: nn.Module) -> None:
        def seen(_: nn.Module, __: Any, output: Tensor) -> None:
            found[place] = max(found.get(place, 0.0), float(output.max()))

        hooks.append(module.register_forward_hook(seen))

    fires = [module for module in net.features if isinstance(module, Fire)]
    watch(0, net.features[1])
    for i, fire in enumerate(fires):
        watch(1 + 2 * i, fire.squeeze_activation)
        watch(2 + 2 * i, fire)
    try:
        with torch.inference_mode():
            for batch in batches:
                net(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return [found[place] for place in sorted(found)]
