"""How sure a share of so many images is."""

from __future__ import annotations

import math

Z_95 = 1.959964  # two-sided 95% quantile of the normal distribution


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95% interval of a share of n images, in [0, 1] (Wilson 1927): the plain one collapses at 0 and 1."""
    if n < 1 or not 0 <= share <= 1:
        raise ValueError(f"a share of {share} of {n} images")
    centre = share + Z_95**2 / (2 * n)
    half = Z_95 * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n**2))
    scale = 1 + Z_95**2 / n
    return max((centre - half) / scale, 0.0), min((centre + half) / scale, 1.0)
