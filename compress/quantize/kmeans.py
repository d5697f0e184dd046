"""k-means on the weights of one layer (Han et al. 2016, section 3): Lloyd's algorithm on sorted values.

In one dimension a cluster is an interval of the sorted values, so with prefix sums an iteration costs one binary search a
centroid, whatever the number of weights. With a price on bits the borders between clusters shift towards the rarer centroid
(entropy-constrained: Chou, Lookabaugh & Gray 1989; for networks: Choi, El-Khamy & Lee 2017), which is what an entropy coder
behind the clusters wants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Init = Literal["linear", "density", "random"]
Values = npt.NDArray[np.float64]


def initial_centroids(ordered: Values, n_clusters: int, init: Init, rng: np.random.Generator) -> Values:
    """Where k-means starts (Han et al. 2016, section 3.2). ordered: sorted values. Returns n_clusters sorted centroids.

    linear: evenly spaced between the smallest and the largest value, which keeps the few large weights well served.
    density: evenly spaced in the cumulative distribution. random: values drawn without replacement (Forgy).
    """
    if init == "linear":
        return np.linspace(ordered[0], ordered[-1], n_clusters)
    if init == "density":
        places = (np.arange(n_clusters) + 0.5) / n_clusters * (len(ordered) - 1)
        return np.interp(places, np.arange(len(ordered)), ordered)
    return np.sort(rng.choice(ordered, n_clusters, replace=False))


def kmeans(
    values: npt.NDArray[Any],
    n_clusters: int,
    *,
    init: Init = "linear",
    max_iterations: int = 300,
    rng: np.random.Generator | None = None,
) -> Values:
    """Lloyd's algorithm (1982). values: any shape and order, finite. Returns sorted centroids, at most n_clusters of them.

    Fewer come back where there are fewer distinct values, or where a cluster ends empty. max_iterations=0 is plain linear
    quantization. Deterministic; `rng` is used by init="random" alone.
    """
    ordered = np.sort(np.asarray(values, np.float64), axis=None)
    distinct = np.concatenate([ordered[:1], ordered[1:][ordered[1:] != ordered[:-1]]])
    if len(distinct) <= n_clusters:
        return distinct
    prefix_sums = np.concatenate([[0.0], np.cumsum(ordered)])
    centroids = initial_centroids(ordered, n_clusters, init, rng or np.random.default_rng(0))
    edges = cluster_edges(ordered, midpoints(centroids))
    for _ in range(max_iterations):
        counts = np.diff(edges)  # an empty cluster keeps its centroid
        moved = np.where(counts > 0, np.diff(prefix_sums[edges]) / np.maximum(counts, 1), centroids)
        if np.array_equal(moved, centroids):
            break
        centroids = moved
        edges = cluster_edges(ordered, midpoints(centroids))
    return centroids[np.diff(edges) > 0]


@dataclass(frozen=True, eq=False)
class PricedClusters:
    """centroids: sorted. n_bits: what each costs. borders: between neighbours, one fewer; all on the lower envelope."""

    centroids: Values
    n_bits: Values
    borders: Values


def entropy_constrained(
    values: npt.NDArray[Any], centroids: Values, n_bits: Values, *, price: float, max_iterations: int
) -> PricedClusters:
    """Lloyd's algorithm on squared error + price * bits. A centroid that is zero stays zero; one that is not used is dropped.

    values: any shape and order, finite. centroids: sorted. n_bits: what each costs at the start. price: of a bit, in squared
    units of the values. The bits returned are -log2 of the frequencies.
    """
    ordered = np.sort(np.asarray(values, np.float64), axis=None)
    prefix_sums = np.concatenate([[0.0], np.cumsum(ordered)])
    clusters = lower_envelope(centroids, n_bits, price)
    for _ in range(max_iterations):
        edges = cluster_edges(ordered, clusters.borders)
        counts = np.diff(edges)
        used = counts > 0
        means = np.diff(prefix_sums[edges])[used] / counts[used]
        moved = np.where(clusters.centroids[used] == 0, 0.0, means)
        order = np.argsort(moved, kind="stable")  # a mean can pass a zero that stays
        before = clusters.centroids
        clusters = lower_envelope(moved[order], -np.log2(counts[used][order] / counts.sum()), price)
        if np.array_equal(clusters.centroids, before):
            break
    return clusters


def lower_envelope(centroids: Values, n_bits: Values, price: float) -> PricedClusters:
    """The centroids that are the cheapest for some value, by squared error + price * bits, and the borders between them.

    Less the square of the value, which all share, each cost is a line in it: the lower envelope of lines, sorted by slope.
    """
    if not price:
        return PricedClusters(centroids, n_bits, midpoints(centroids))
    costs = centroids**2 + price * n_bits
    kept: list[int] = []
    borders: list[float] = []
    for j in range(len(centroids)):
        while kept:
            gap = centroids[j] - centroids[kept[-1]]
            rise = costs[j] - costs[kept[-1]]
            border = rise / (2 * gap) if gap > 0 else -np.inf if rise < 0 else np.inf
            if borders and border <= borders[-1]:
                kept.pop()
                borders.pop()
            elif border == -np.inf:
                kept.pop()
            else:
                break
        if kept and border == np.inf:
            continue
        if kept:
            borders.append(float(border))
        kept.append(j)
    return PricedClusters(centroids[kept], n_bits[kept], np.array(borders, np.float64))


def midpoints(centroids: Values) -> Values:
    return (centroids[1:] + centroids[:-1]) / 2


def cluster_edges(ordered: Values, borders: Values) -> npt.NDArray[np.int64]:
    """Cluster k holds ordered[edges[k]:edges[k + 1]]; a value on a border belongs to the smaller centroid."""
    return np.concatenate([[0], np.searchsorted(ordered, borders, side="right"), [len(ordered)]]).astype(np.int64)


def wcss(values: npt.NDArray[Any], centroids: Values) -> float:
    """Within-cluster sum of squares: of the distances of values, any shape, to the nearest of the sorted centroids."""
    nearest = centroids[assign(values, midpoints(centroids))]
    return float(np.square(np.asarray(values, np.float64) - nearest).sum())


def assign(values: npt.NDArray[Any], borders: Values) -> npt.NDArray[np.int32]:
    """The cluster of each value, shaped like values; a value on a border belongs to the smaller centroid."""
    return np.searchsorted(borders, values).astype(np.int32)
