"""What changes from step to step: the learning rate, and the side of the crops."""

from __future__ import annotations

import math

from compress.recipe import Train

GROWN = 0.7  # share of the steps after which crops have their last side
SIDE_MULTIPLE = 16  # pixels


def rate_factor(settings: Train, step: int, n_steps: int) -> float:
    """The learning rate at a step, counted from 0, as a share of the largest: up in `warmup` of the steps, then down to 0."""
    n_warmup = round(settings.warmup * n_steps)
    if step < n_warmup:
        return (step + 1) / n_warmup
    done = (step - n_warmup) / max(1, n_steps - n_warmup)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    return float((1 - done) ** (settings.power if settings.schedule == "poly" else 1))


def crop_side(settings: Train, last: int, step: int, n_steps: int) -> int:
    """Side of the crops at a step, pixels: from first_crop to `last`, by multiples of 16 (Touvron et al. 2019, arXiv 1906.06423,
    has why small crops do, and larger ones when measuring)."""
    first = settings.first_crop
    share = step / (GROWN * n_steps)
    if first is None or first >= last or share >= 1:
        return last
    return min(last, first + int(share * (last - first) / SIDE_MULTIPLE + 0.5) * SIDE_MULTIPLE)
