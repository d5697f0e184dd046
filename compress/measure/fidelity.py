"""How close a compressed net's outputs are to those of the uncompressed net: agreement and KL divergence; top-1 and top-5.

Everything here works on logits, so that each net runs once over a set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compress.convention import InputConvention
from compress.data.preprocess import normalise

Z_95 = 1.959964  # two-sided 95% quantile of the normal distribution


@dataclass(frozen=True)
class Fidelity:
    """n: images. agreement: share whose top-1 equals the uncompressed net's. mean_kl: KL(uncompressed || net), nats.

    top1, top5: shares that are right, None without labels. top1_drop: the uncompressed net's top-1 less this one's, and
    drop_interval the half-width of its paired 95% interval; None without labels, the interval also for one image.
    """

    n: int
    agreement: float
    mean_kl: float
    top1: float | None = None
    top5: float | None = None
    top1_drop: float | None = None
    drop_interval: float | None = None


@torch.no_grad()
def logits(net: nn.Module, pixels: Tensor, convention: InputConvention, *, batch_size: int = 64) -> Tensor:
    """(n, h, w, c) uint8 pixels -> (n, classes) float32 logits, on the CPU. The net is in eval mode."""
    device = next(net.parameters()).device
    return torch.cat([net(normalise(part.to(device), convention)).float().cpu() for part in pixels.split(batch_size)])


def compare(outputs: Tensor, reference: Tensor, labels: Tensor | None) -> Fidelity:
    """outputs, reference: (n, classes) logits of the net and of the uncompressed net; labels: (n,) or None."""
    finite = outputs.isfinite().all(1)  # a net that overflows has no opinion
    agreement = float(((outputs.argmax(1) == reference.argmax(1)) & finite).double().mean())
    log_p, target = F.log_softmax(outputs, 1), F.log_softmax(reference, 1)
    mean_kl = max(float(F.kl_div(log_p, target, reduction="batchmean", log_target=True)), 0.0)  # rounding can take it below 0
    n = len(outputs)
    if labels is None:
        return Fidelity(n, agreement, mean_kl)
    right, was_right = right_in_top(outputs, labels, 1), right_in_top(reference, labels, 1)
    lost = was_right.double() - right.double()  # per image: 1 lost, -1 won, 0 same
    return Fidelity(
        n,
        agreement,
        mean_kl,
        top1=float(right.double().mean()),
        top5=float(right_in_top(outputs, labels, min(5, outputs.shape[1])).double().mean()),
        top1_drop=float(lost.mean()),
        drop_interval=Z_95 * float(lost.std(correction=1)) / math.sqrt(n) if n > 1 else None,
    )


def right_in_top(outputs: Tensor, labels: Tensor, k: int) -> Tensor:
    """(n,) bool: the label is among the k largest logits, and all of them are finite."""
    return (outputs.topk(k, dim=1).indices == labels[:, None]).any(1) & outputs.isfinite().all(1)
