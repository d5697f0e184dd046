"""How close a compressed net's outputs are to those of the uncompressed net: agreement and KL divergence; top-1 and top-5.

Everything here works on logits, so that each net runs once over a set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.stats import binom
from torch import Tensor, nn
from torch.nn import functional as F

from compress.convention import InputConvention
from compress.data.preprocess import normalise
from compress.models.memory_format import memory_format

Z_95 = 1.959964  # two-sided 95% quantile of the normal distribution


@dataclass(frozen=True)
class Fidelity:
    """n: images. agreement: share whose top-1 equals the uncompressed net's. mean_kl: KL(uncompressed || net), nats.

    top1, top5: shares that are right, None without labels. top1_drop: the uncompressed net's top-1 less this one's, and
    drop_interval the half-width of its paired 95% interval (paired_interval); None without labels, the interval also for one
    image; 0 only where both nets give the same logits.
    """

    n: int
    agreement: float
    mean_kl: float
    top1: float | None = None
    top5: float | None = None
    top1_drop: float | None = None
    drop_interval: float | None = None


@torch.no_grad()
def logits(net: nn.Module, pixels: Tensor, convention: InputConvention, *, batch_size: int = 8) -> Tensor:
    """(n, h, w, c) uint8 pixels -> (n, classes) float32 logits, on the CPU. The net is in eval mode.

    batch_size: small, or glibc gives activations back to the system after every layer, which takes as long as computing them.
    """
    device = next(net.parameters()).device
    layout, outputs = None, []
    for part in pixels.split(batch_size):
        x = normalise(part.to(device), convention)
        layout = layout or memory_format(net, x)
        outputs.append(net(x.contiguous(memory_format=layout)).float().cpu())
    return torch.cat(outputs)


def compare(outputs: Tensor, reference: Tensor, labels: Tensor | None, weights: Tensor | None = None) -> Fidelity:
    """outputs, reference: (n, classes) logits of the net and of the uncompressed net; labels: (n,) or None.

    weights: (n,) how much each image counts in every mean, relative to the others; None: all the same.
    """
    n = len(outputs)
    weights = (torch.ones(n) if weights is None else weights).double()
    finite = outputs.isfinite().all(1)  # a net that overflows has no opinion
    agreement = _mean((outputs.argmax(1) == reference.argmax(1)) & finite, weights)
    log_p, target = F.log_softmax(outputs, 1), F.log_softmax(reference, 1)
    kl = F.kl_div(log_p, target, reduction="none", log_target=True).sum(1)  # (n,)
    mean_kl = max(_mean(kl, weights), 0.0)  # rounding can take it below 0
    if labels is None:
        return Fidelity(n, agreement, mean_kl)
    right, was_right = right_in_top(outputs, labels, 1), right_in_top(reference, labels, 1)
    lost, won = _mean(was_right & ~right, weights), _mean(right & ~was_right, weights)
    n_effective = float(weights.sum() ** 2 / (weights**2).sum())
    if n == 1:
        interval = None
    elif torch.equal(outputs, reference):
        interval = 0.0
    else:
        interval = paired_interval(lost, won, n_effective)
    return Fidelity(
        n,
        agreement,
        mean_kl,
        top1=_mean(right, weights),
        top5=_mean(right_in_top(outputs, labels, 5), weights),
        top1_drop=_mean(was_right.double() - right.double(), weights),
        drop_interval=interval,
    )


def paired_interval(lost: float, won: float, n_effective: float) -> float:
    """Half-width of the 95% interval of a paired difference: shares of images that only one, and only the other, net gets right.

    n_effective: images, or what weighted ones are worth (Kish). Half an image is added to each of the four counts, as the plain
    interval is much too narrow where few images change, and 0 where none does (Agresti & Min 2005, Statist. Med. 24).
    """
    n = n_effective + 2
    lost, won = lost * n_effective + 0.5, won * n_effective + 0.5
    return Z_95 * math.sqrt(lost + won - (lost - won) ** 2 / n) / n


def at_chance_level(found: Fidelity, n_classes: int) -> bool:
    """Whether a net that guesses would do as well as this one in at least one of a hundred sets of this size: its top-1 is no
    more than the 99% quantile of guessing. False without labels."""
    if found.top1 is None:
        return False
    return found.top1 * found.n <= float(binom.ppf(0.99, found.n, 1 / n_classes))


def right_in_top(outputs: Tensor, labels: Tensor, k: int) -> Tensor:
    """(n,) bool: the label is among the k largest logits, of equal ones the first, and all of them are finite."""
    own = outputs.gather(1, labels[:, None])
    before = torch.arange(outputs.shape[1]) < labels[:, None]
    rank = (outputs > own).sum(1) + ((outputs == own) & before).sum(1)
    return (rank < k) & outputs.isfinite().all(1)


def _mean(values: Tensor, weights: Tensor) -> float:
    return float((values.double() * weights).sum() / weights.sum())
