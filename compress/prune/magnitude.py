"""Magnitude pruning: the smallest weights of each layer become zero and stay so (Han et al. 2016, section 2)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from torch import Tensor, ones_like
from torch import bool as torch_bool

from compress.errors import RecipeError
from compress.recipe import per_layer

# The paper's "sparsity" column is the density kept (arXiv 1602.07360, table 1): squeeze, expand1x1, expand3x3 of fire2..9.
PAPER_CONV1, PAPER_CONV10 = 1.00, 0.20
PAPER_FIRES = (
    (1.00, 1.00, 0.33),
    (1.00, 1.00, 0.33),
    (1.00, 1.00, 0.33),
    (1.00, 1.00, 0.33),
    (1.00, 0.50, 0.33),
    (0.50, 1.00, 0.33),
    (1.00, 0.50, 0.30),
    (0.50, 1.00, 0.30),
)


def densities(
    setting: str | float | Mapping[str, float], layers: Iterable[str], *, field: str = "prune.density"
) -> dict[str, float]:
    """The density of each layer from a recipe's `field`: a number, a table of patterns, or "paper".

    layers: module names in network order, for instance "features.3.squeeze". Raises RecipeError where they do not fit.
    """
    layers = list(layers)
    if setting != "paper":
        assert not isinstance(setting, str)
        return per_layer(setting, layers, field=field)
    fires = [name for name in layers if name.endswith((".squeeze", ".expand1x1", ".expand3x3"))]
    if len(fires) != 3 * len(PAPER_FIRES) or len(layers) != len(fires) + 2:
        raise RecipeError(
            f"{field}: paper is for SqueezeNet with 8 Fire modules and no bypass convolutions, 26 layers; "
            f"this net has {len(layers)}"
        )
    kept = dict(zip(fires, (density for fire in PAPER_FIRES for density in fire), strict=True))
    return {name: kept.get(name, PAPER_CONV1 if name == layers[0] else PAPER_CONV10) for name in layers}


def magnitude_masks(weights: Mapping[str, Tensor], densities: Mapping[str, float]) -> dict[str, Tensor]:
    """Keep the largest weights of each layer. densities: fraction kept, in (0, 1].

    Returns bool masks shaped like the weights, True = kept; exactly n_kept(density, n) are kept; of equal magnitudes, the later.
    """
    masks = {}
    for name, weight in weights.items():
        order = weight.detach().abs().flatten().argsort(stable=True)  # smallest first; ties by position
        keep = ones_like(order, dtype=torch_bool)
        keep[order[: weight.numel() - n_kept(densities[name], weight.numel())]] = False
        masks[name] = keep.view_as(weight)
    return masks


def n_kept(density: float, n_weights: int) -> int:
    """density * n_weights, rounded up, at least 1. So the paper's table keeps the paper's 421,098 parameters of v1.0."""
    return max(1, math.ceil(round(density * n_weights, 6)))  # 0.07 * 100 is 7.000000000000001
