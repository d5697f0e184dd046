"""Shared weights that may change cluster while they are tuned: a latent weight is trained, the net sees its centroid.

The gradient passes the rounding unchanged (straight-through: Bengio et al. 2013). Zero is a centroid that never moves, so
a weight can be pruned, or come back. Clusters are kept up with the latents by entropy-constrained k-means (kmeans.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compress.layer import SharedLayer
from compress.quantize.kmeans import PricedClusters, entropy_constrained, lower_envelope

REFRESH_EVERY = 50  # steps between two updates of the clusters


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, latent: Tensor, rounded: Tensor) -> Tensor:
        return rounded.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


@dataclass(eq=False)
class Reassigning:
    """One layer while it is tuned.

    latent: float32, requires grad, the layer's shape. clusters: where they are now. price: of a bit, in squared units of the
    weights. dtype: of the codebook in the file; centroids are rounded to it, so that what is tuned is what is stored.
    """

    latent: Tensor
    clusters: PricedClusters
    price: float
    dtype: np.dtype[Any]

    @classmethod
    def start(cls, layer: SharedLayer, latent: Tensor, *, rate_weight: float, max_iterations: int) -> Reassigning:
        """layer: as k-means left it. latent: the float weights that it came from. rate_weight: price of a bit, in variances
        of the weights. max_iterations: of entropy-constrained k-means, before anything is tuned."""
        assert layer.codebook is not None
        counts = np.bincount(layer.indices.ravel(), minlength=len(layer.codebook) + 1)
        centroids = layer.codebook.astype(np.float64)
        if not counts[0]:  # nothing is pruned: the centroid nearest to zero makes way for it
            nearest = np.abs(centroids).argmin()
            counts[0], counts[nearest + 1] = counts[nearest + 1], 0
        centroids, counts = np.append(centroids, 0.0), np.append(counts[1:], counts[0])
        used = counts > 0
        order = np.argsort(centroids[used], kind="stable")
        price = rate_weight * float(latent.var(unbiased=False))
        clusters = lower_envelope(centroids[used][order], -np.log2(counts[used][order] / counts.sum()), price)
        started = cls(latent.clone().requires_grad_(), clusters, price, layer.codebook.dtype)
        started.refresh(max_iterations)
        return started

    def refresh(self, max_iterations: int = 1) -> None:
        """Move the centroids to the means of their latents, drop those that have none, price the others anew."""
        latent, now = self.latent.detach().cpu().numpy(), self.clusters
        moved = entropy_constrained(latent, now.centroids, now.n_bits, price=self.price, max_iterations=max_iterations)
        largest = float(np.finfo(self.dtype).max)
        rounded = moved.centroids.clip(-largest, largest).astype(self.dtype).astype(np.float64)
        self.clusters = lower_envelope(rounded, moved.n_bits, self.price)

    def places(self) -> Tensor:
        """For each weight, the place of its centroid among `centroids`; int64, the layer's shape."""
        borders = torch.from_numpy(self.clusters.borders.astype(np.float32)).to(self.latent.device)
        return torch.bucketize(self.latent.detach(), borders)

    def weight(self) -> Tensor:
        """What the net computes with; differentiable in latent (straight-through)."""
        values = torch.from_numpy(self.clusters.centroids.astype(np.float32)).to(self.latent.device)
        return _StraightThrough.apply(self.latent, values[self.places()])

    def step_size(self) -> float:
        """The width of the uniform quantizer with the same mean squared error: the unit of the learning rate."""
        error = self.weight().detach() - self.latent.detach()
        return float((12 * error.square().mean()).sqrt())

    def to_layer(self, name: str) -> SharedLayer:
        """As the file stores it: unused centroids are dropped, zero becomes the mask."""
        places = self.places().cpu().numpy()
        used = np.unique(places)
        used = used[self.clusters.centroids[used] != 0]
        index_of_place = np.zeros(len(self.clusters.centroids), np.int32)
        index_of_place[used] = np.arange(1, len(used) + 1)
        return SharedLayer(
            name, tuple(places.shape), index_of_place[places], codebook=self.clusters.centroids[used].astype(self.dtype)
        )
