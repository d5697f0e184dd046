"""k-means at its optimum: of all clusters in one dimension, those with the least within-cluster sum of squares.

An optimal cluster is an interval of the sorted values, so a clustering is a path over the places between them: a link costs the
sum of squares, about their mean, of the values that it spans, and the cheapest path of k links is wanted. Dynamic programming
finds it in k rows (Wu 1991; Wang & Song 2011; Gronlund et al. 2017, arXiv 1701.07204), which k = 2^16 makes too many to compute
and to keep. But the costs have the Monge property, and so
  * with a price on every link, the cheapest path of any length is one pass (Hirschberg & Larmore 1987; Galil & Park 1992);
  * the least cost is convex in the number of links, so at some price a cheapest path has k links, or there are one with fewer
    and one with more, and these two splice into one that has k (Aggarwal, Schieber & Tokuyama 1994).
For n distinct values a pass takes O(n log n) time and the whole search some 100 bytes a value, whatever k is; a search is about
ten passes, twenty for k = 2^16.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from compress.codecs.jit import jit
from compress.quantize.kmeans import Values

Path = npt.NDArray[np.int64]  # 0 = path[0] < path[1] < ... = n; cluster c holds the distinct values path[c]:path[c + 1]
Sums = npt.NDArray[np.float64]  # (n + 1, 5): of the first values, their count, their sum and that of their squares as high + low

ROUNDING = 1e-14  # a path that saves no more than this fraction saves nothing


def exact_kmeans(values: npt.NDArray[Any], n_clusters: int) -> Values:
    """The centroids with the least sum of squares. values: any shape and order, finite, less than 2^31 distinct ones.

    Returns n_clusters sorted centroids, or the distinct values where there are fewer. Deterministic. Optimal to rounding: the
    cost of a cluster is known to about 1e-16 of the sum of squares of its values about the mean of all.
    Raises ValueError for n_clusters < 1.
    """
    if n_clusters < 1:
        raise ValueError(f"exact k-means: n_clusters must be at least 1, got {n_clusters}")
    distinct, counts = np.unique(np.asarray(values, np.float64), return_counts=True)
    if len(distinct) <= n_clusters:
        return distinct
    centred = distinct - np.average(distinct, weights=counts)
    centred /= np.abs(centred).max()  # so that no square overflows or vanishes
    path = _cheapest_path(_prefix_sums(centred, counts), n_clusters)
    starts, ends = path[:-1], path[1:]
    means = np.add.reduceat(distinct * counts, starts) / np.add.reduceat(counts, starts)
    return np.clip(means, distinct[starts], distinct[ends - 1])  # rounding moves no mean out of its cluster


def _cheapest_path(sums: Sums, n_links: int) -> Path:
    """The cheapest path of n_links, from 1 to n. Two paths close in on it, each the cheapest of its length: one has fewer links,
    one has more, and the price to try next is that at which both cost the same."""
    shorter, longer = np.array([0, len(sums) - 1]), np.arange(len(sums))
    for path in (shorter, longer):
        if len(path) - 1 == n_links:
            return path
    while True:
        price = (_cost_of(sums, shorter) - _cost_of(sums, longer)) / (len(longer) - len(shorter))
        found = _cheapest_priced_path(sums, price)
        if len(found) - 1 == n_links:
            return found
        known = _cost_of(sums, shorter) + price * (len(shorter) - 1)
        saved = known - (_cost_of(sums, found) + price * (len(found) - 1))
        if saved <= ROUNDING * known or not len(shorter) < len(found) < len(longer):
            return _splice(shorter, longer, n_links)
        if len(found) - 1 < n_links:
            shorter = found
        else:
            longer = found


def _splice(shorter: Path, longer: Path, n_links: int) -> Path:
    """Start on the longer path and change to the shorter one where that makes n_links (Aggarwal et al. 1994).

    The change is made where a link of the longer path lies within one of the shorter: by the Monge property what is taken up
    and what is left over cost no more than the two paths, so if these are cheapest at some price, both are.
    """
    ahead = n_links - (len(shorter) - 1)
    change = int(np.argmax(longer[ahead + 1 : n_links + 1] <= shorter[1:]))
    return np.concatenate([longer[: ahead + change + 1], shorter[change + 1 :]])


def _prefix_sums(values: Values, counts: npt.NDArray[np.int64]) -> Sums:
    sums = np.zeros((len(values) + 1, 5))
    sums[1:, 0] = np.cumsum(counts)
    _accumulate(counts * values, sums[1:, 1:3])
    _accumulate(counts * values**2, sums[1:, 3:5])
    return sums


@jit("void(float64[::1], float64[:,:])")
def _accumulate(terms, sums):  # type: ignore[no-untyped-def]
    """Sums of the first terms as pairs, high + low (Knuth's two-sum): the rounding of one is not that of all before it."""
    high, low = 0.0, 0.0
    for i in range(len(terms)):
        total = high + terms[i]
        added = total - high
        low += (high - (total - added)) + (terms[i] - added)
        high = total
        sums[i, 0], sums[i, 1] = high, low


@jit("float64(float64[:,::1], int64, int64)")
def _cost(sums, start, end):  # type: ignore[no-untyped-def]
    """Sum of squares of the values start:end about their mean."""
    count = sums[end, 0] - sums[start, 0]
    total = (sums[end, 1] - sums[start, 1]) + (sums[end, 2] - sums[start, 2])
    squares = (sums[end, 3] - sums[start, 3]) + (sums[end, 4] - sums[start, 4])
    return max(squares - total * total / count, 0.0)


@jit("float64(float64[:,::1], int64[::1])")
def _cost_of(sums, path):  # type: ignore[no-untyped-def]
    cost = 0.0
    for c in range(len(path) - 1):
        cost += _cost(sums, path[c], path[c + 1])
    return cost


@jit("int64[::1](int32[::1])")
def _walk_back(came_from):  # type: ignore[no-untyped-def]
    """The path to the last place, from the place that each place was reached from."""
    n_links, place = 0, len(came_from) - 1
    while place > 0:
        n_links, place = n_links + 1, came_from[place]
    path, place = np.zeros(n_links + 1, np.int64), len(came_from) - 1
    for c in range(n_links, 0, -1):
        path[c], place = place, came_from[place]
    return path


@jit("int64[::1](float64[:,::1], float64)")
def _cheapest_priced_path(sums, price):  # type: ignore[no-untyped-def]
    """The cheapest path of any length where every link costs `price` more.

    By the Monge property, once a link is better from j than from an i < j, it is so for every later end. So the ends that are
    still to come are split among a queue of places: queue[c] is the best of those seen for the ends from since[c] on.
    """
    n = len(sums) - 1
    best, came_from = np.zeros(n + 1), np.zeros(n + 1, np.int32)
    queue, since = np.zeros(n + 1, np.int32), np.zeros(n + 1, np.int32)
    front, back = 0, 0
    for j in range(1, n + 1):
        while front < back and since[front + 1] <= j:
            front += 1
        came_from[j] = queue[front]
        best[j] = best[queue[front]] + _cost(sums, queue[front], j) + price
        tail = queue[back]
        if j == n or best[j] + _cost(sums, j, n) >= best[tail] + _cost(sums, tail, n):
            continue  # most places are never the best
        while front < back and best[j] + _cost(sums, j, since[back]) < best[tail] + _cost(sums, tail, since[back]):
            back -= 1
            tail = queue[back]
        before, takes_over = max(since[back], j), n  # ends for which the tail is still the best, and for which j is
        while takes_over - before > 1:
            middle = (before + takes_over) // 2
            if best[j] + _cost(sums, j, middle) < best[tail] + _cost(sums, tail, middle):
                takes_over = middle
            else:
                before = middle
        back += 1
        queue[back], since[back] = j, takes_over
    return _walk_back(came_from)
