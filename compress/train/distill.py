"""The one tuning loop: make a net's outputs those of the uncompressed net, on images without labels.

What is trained need not be what the net computes with: pruned weights are latents times a mask, shared weights are entries
of a codebook. So a stage hands over `parameters`, a function that makes the net's tensors from the stage's latents, and an
optimizer over the latents; autograd runs through both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from compress.errors import TrainingDiverged
from compress.models.memory_format import memory_format
from compress.train.first_not_finite import first_not_finite

OnStep = Callable[[int, int, float], None]  # (step, steps, loss) -> None


def distill(
    net: nn.Module,
    teacher: nn.Module,
    parameters: Callable[[], Mapping[str, Tensor]],
    optimizer: torch.optim.Optimizer,
    batches: Iterator[Tensor],
    *,
    steps: int,
    field: str,
    on_step: OnStep,
    after_step: Callable[[int], None] = lambda step: None,
) -> None:
    """Minimise the mean KL(teacher || net) over the batches (Hinton et al. 2015, temperature 1).

    net, teacher: in eval mode, on one device. parameters: makes the tensors that `net` computes with. optimizer: over what
    `parameters` reads; its learning rates fall to 0 along a cosine. after_step: called with the number of steps done.
    Raises TrainingDiverged, naming `field` (the recipe's section of this tuning), when the loss is not finite.
    """
    device = next(teacher.parameters()).device
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 0.5 * (1 + math.cos(math.pi * i / max(1, steps))))
    layout = None
    for step in range(steps):
        x = next(batches).to(device)  # (b, c, h, w)
        layout = layout or memory_format(net, x)
        x = x.contiguous(memory_format=layout)
        with torch.no_grad():
            target = F.log_softmax(teacher(x), 1)  # (b, classes)
        log_p = F.log_softmax(functional_call(net, dict(parameters()), (x,)), 1)
        loss = F.kl_div(log_p, target, reduction="batchmean", log_target=True)
        if not math.isfinite(loss.item()):
            problem = f"the loss is {loss.item()} at step {step} of {steps}"
            where = first_not_finite(net, dict(parameters()), x)
            raise TrainingDiverged(f"{field}: {problem}, first in {where}; lower {field}.learning_rate")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        after_step(step + 1)
        on_step(step + 1, steps, loss.item())


def tunable(tensors: Mapping[str, Tensor], held: Collection[str]) -> dict[str, Tensor]:
    """Copies of the tensors that are not shared (biases and the like); those that are not `held` require a gradient."""
    return {name: tensor.detach().clone().requires_grad_(name not in held) for name, tensor in tensors.items()}


def trained(tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """Of the tensors, those that an optimizer moves."""
    return [tensor for tensor in tensors.values() if tensor.requires_grad]


def adam(
    latents: Mapping[str, Tensor], scales: Mapping[str, float], biases: Mapping[str, Tensor], lr: float, bias_lr: float
) -> torch.optim.Adam:
    """Adam with one learning rate a layer, lr * scales[name]: Adam's step does not depend on the gradient's size, so it
    must be told the size of the weights. bias_lr is absolute."""
    groups = [{"params": [latents[name]], "lr": lr * scales[name]} for name in latents]
    return torch.optim.Adam([*groups, {"params": trained(biases), "lr": bias_lr}])
