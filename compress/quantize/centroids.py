"""Tuning shared weights with the clusters fixed (Han et al. 2016, section 3.3): only the centroids move.

The gradient of a centroid is the sum of the gradients of its weights, which is what differentiating codebook[indices]
gives. A summed gradient wants plain SGD: Adam would divide its scale away.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from compress.errors import RecipeError


class _Gather(torch.autograd.Function):
    """codebook[indices], its gradient summed by bincount: deterministic on the CPU, and fast where indexing's backward is not."""

    @staticmethod
    def forward(ctx: Any, codebook: Tensor, indices: Tensor) -> Tensor:
        ctx.save_for_backward(indices)
        ctx.n_centroids = len(codebook)
        return codebook[indices]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (indices,) = ctx.saved_tensors
        summed = torch.bincount(indices.flatten(), weights=gradients[0].flatten(), minlength=ctx.n_centroids)
        return summed.to(gradients[0].dtype), None


def shared_weight(codebook: Tensor, indices: Tensor) -> Tensor:
    """The weights that indices stand for. codebook: (n_centroids,) float32, entry i - 1 for index i; index 0 is zero.

    indices: int64, any shape. Differentiable in codebook.
    """
    return _Gather.apply(torch.cat([codebook.new_zeros(1), codebook]), indices)


def stored_codebook(name: str, centroids: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Centroids as the file holds them. Raises RecipeError, naming the layer, where the dtype cannot hold one."""
    with np.errstate(over="ignore"):
        codebook = centroids.astype(dtype)
    if not np.isfinite(codebook).all():
        largest = float(np.abs(centroids).max())
        raise RecipeError(f"encode.codebook: {name} has a centroid of {largest:g}, more than {dtype} holds; use float32")
    return codebook
