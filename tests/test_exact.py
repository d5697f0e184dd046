from itertools import combinations

import kmeans1d
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from compress.quantize.exact import (
    _cheapest_path,
    _cheapest_priced_path,
    _cost,
    _cost_of,
    _prefix_sums,
    _splice,
    exact_kmeans,
)
from compress.quantize.kmeans import kmeans, wcss

FEW = st.one_of(
    hnp.arrays(np.float32, st.integers(1, 10), elements=st.floats(-8, 8, width=16)),
    hnp.arrays(np.float32, st.integers(1, 10), elements=st.integers(-4, 4)),  # many equal values, many equally good clusters
)
VALUES = hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(-8, 8, width=16))
EPSILON = float(np.finfo(np.float64).eps)


def spread(values):
    """Sum of squares about the mean."""
    return float(np.square(values - values.mean()).sum()) if len(values) else 0.0


def by_trying_all(values, n_clusters):
    """The least sum of squares over all ways to cut the sorted values into at most n_clusters intervals."""
    ordered = np.sort(values.astype(np.float64))
    n_cuts = min(n_clusters, len(ordered)) - 1
    return min(
        sum(spread(part) for part in np.split(ordered, list(cuts))) for cuts in combinations(range(1, len(ordered)), n_cuts)
    )


def by_rows(values, n_clusters):
    """The least sum of squares for 1, 2, ..., n_clusters clusters, by dynamic programming as in the textbook: O(k n^2)."""
    ordered = np.sort(values.astype(np.float64))
    n = len(ordered)
    costs = np.array([[spread(ordered[i:j]) if i < j else np.inf for j in range(n + 1)] for i in range(n + 1)])
    row, least = costs[0], [float(costs[0, n])]
    for _ in range(n_clusters - 1):
        row = (row[:, None] + costs).min(0)
        least.append(float(row[n]))
    return least


def laplacian(n=20_000, seed=0):
    return np.random.default_rng(seed).laplace(size=n).astype(np.float32)


# --- the optimum -----------------------------------------------------------------------------------------------------


def test_by_hand():
    np.testing.assert_array_equal(exact_kmeans(np.array([12.0, 0.0, 10.0, 1.0, 11.0]), 2), [0.5, 11.0])
    # three equal values draw the cluster: {0, 0, 0, 2} and {5} cost 3, {0, 0, 0} and {2, 5} cost 4.5
    np.testing.assert_array_equal(exact_kmeans(np.array([0.0, 2.0, 0.0, 5.0, 0.0]), 2), [0.5, 5.0])
    np.testing.assert_array_equal(exact_kmeans(np.array([0.0, 2.0, 5.0]), 2), [1.0, 5.0])
    np.testing.assert_array_equal(exact_kmeans(np.array([[1.0, 2.0], [3.0, 6.0]]), 1), [3.0])


def test_where_lloyds_algorithm_stays_in_a_poor_optimum():
    values = np.array([0.0, 1.0, 2.0, 100.0])  # linear starts at 0, 50 and 100, and the middle one never gets a value
    np.testing.assert_array_equal(kmeans(values, 3), [1.0, 100.0])
    best = exact_kmeans(values, 3)
    assert best.tolist() in ([0.0, 1.5, 100.0], [0.5, 2.0, 100.0])  # equally good
    assert wcss(values, best) == 0.5


@given(FEW, st.integers(1, 10))
def test_as_good_as_the_best_of_all_partitions(values, n_clusters):
    best = by_trying_all(values, n_clusters)
    assert wcss(values, exact_kmeans(values, n_clusters)) == pytest.approx(best, rel=1e-12, abs=8 * EPSILON * spread(values))


@pytest.mark.parametrize("kind", ["laplacian", "rounded", "outlier", "clumps"])
def test_as_good_as_plain_dynamic_programming_for_every_number_of_clusters(kind):
    values = laplacian(80).astype(np.float64)
    if kind == "rounded":
        values = values.round(1)
    elif kind == "outlier":
        values[7] = 1e4
    elif kind == "clumps":
        values = values / 1000 + np.repeat([0.0, 1.0, 5.0, 6.0], 20)
    n_distinct = len(np.unique(values))
    found = [wcss(values, exact_kmeans(values, k)) for k in range(1, n_distinct + 1)]
    np.testing.assert_allclose(found, by_rows(values, n_distinct), rtol=1e-9, atol=8 * EPSILON * spread(values))


@pytest.mark.parametrize("n_values", [2, 47, 48])
def test_evenly_spaced_values_make_clusters_of_even_size(n_values):
    """m integers in a row cost m (m^2 - 1) / 12. Every price that matters has many cheapest paths: this needs the splice."""
    for n_clusters in range(1, n_values + 1):
        sizes = np.array([len(part) for part in np.array_split(np.arange(n_values), n_clusters)])
        centroids = exact_kmeans(np.arange(n_values), n_clusters)
        assert len(centroids) == n_clusters
        assert wcss(np.arange(n_values), centroids) == pytest.approx((sizes * (sizes**2 - 1) / 12).sum(), rel=1e-12)


@pytest.mark.parametrize("n_clusters", [2, 16, 64, 300])
def test_as_good_as_kmeans1d(n_clusters):
    values = laplacian(3000)
    theirs = np.array(kmeans1d.cluster(values, n_clusters).centroids)
    ours = exact_kmeans(values, n_clusters)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    assert wcss(values, ours) == pytest.approx(wcss(values, theirs), rel=1e-12)


@given(VALUES, st.integers(1, 9), st.sampled_from(["linear", "density", "random"]))
def test_never_worse_than_lloyds_algorithm(values, n_clusters, init):
    best = wcss(values, exact_kmeans(values, n_clusters))
    assert best <= wcss(values, kmeans(values, n_clusters, init=init)) + 8 * EPSILON * spread(values.astype(np.float64))


def test_half_a_million_weights():
    values = laplacian(512_000)
    centroids = exact_kmeans(values, 64)
    assert len(centroids) == 64
    assert wcss(values, centroids) < 0.97 * wcss(values, kmeans(values, 64, max_iterations=3000))


# --- what comes back -------------------------------------------------------------------------------------------------


@given(VALUES, st.integers(1, 70))
def test_sorted_centroids_as_many_as_asked_for(values, n_clusters):
    centroids = exact_kmeans(values, n_clusters)
    assert centroids.dtype == np.float64
    assert len(centroids) == min(n_clusters, len(np.unique(values))) and (np.diff(centroids) > 0).all()
    assert values.min() <= centroids[0] and centroids[-1] <= values.max()


def test_fewer_distinct_values_than_clusters_are_kept_as_they_are():
    values = np.array([[0.5, -1.0], [0.5, 2.0]], np.float32)
    for n_clusters in (3, 4, 1 << 16):
        np.testing.assert_array_equal(exact_kmeans(values, n_clusters), [-1.0, 0.5, 2.0])
    np.testing.assert_array_equal(exact_kmeans(np.full(9, 0.1), 1), [0.1])
    assert len(exact_kmeans(np.empty(0, np.float32), 4)) == 0


def test_a_centroid_of_equal_values_is_that_value():
    values = np.array([0.1] * 3 + [0.7] * 11 + [0.3, 0.30001])  # 3 * 0.1 / 3 is not 0.1
    assert exact_kmeans(values, 3)[[0, 2]].tolist() == [0.1, 0.7]


@given(VALUES, st.integers(1, 9), st.randoms(use_true_random=False))
def test_order_and_shape_do_not_matter_and_it_repeats(values, n_clusters, random):
    first = exact_kmeans(values, n_clusters)
    order = list(range(len(values)))
    random.shuffle(order)
    np.testing.assert_array_equal(exact_kmeans(values[order].reshape(1, -1, 1), n_clusters), first)
    np.testing.assert_array_equal(exact_kmeans(values, n_clusters), first)


@pytest.mark.parametrize(("scale", "offset"), [(1e-200, 0.0), (1e200, 0.0), (-1.0, 0.0), (1.0, 1e6)])
def test_scale_and_offset_do_not_matter(scale, offset):
    values = laplacian(500).astype(np.float64)
    moved = (exact_kmeans(values * scale + offset, 20) - offset) / scale
    np.testing.assert_allclose(np.sort(moved), exact_kmeans(values, 20), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("n_clusters", [0, -1])
def test_no_clusters_are_refused(n_clusters):
    with pytest.raises(ValueError, match=f"exact k-means: n_clusters must be at least 1, got {n_clusters}"):
        exact_kmeans(np.arange(4.0), n_clusters)


# --- its parts ---------------------------------------------------------------------------------------------------------


def test_costs_by_hand():
    sums = _prefix_sums(np.array([0.0, 1.0, 5.0]), np.array([2, 1, 1]))
    np.testing.assert_array_equal(sums[:, 0], [0, 2, 3, 4])
    assert _cost(sums, 0, 1) == 0
    assert _cost(sums, 0, 2) == pytest.approx(2 / 3)  # 0, 0, 1 about 1/3
    assert _cost(sums, 1, 3) == pytest.approx(8)  # 1, 5 about 3
    assert _cost_of(sums, np.array([0, 1, 3])) == pytest.approx(8)


def test_a_cost_is_right_to_the_rounding_of_its_own_values():
    """Not to that of the outliers before them, whose squares are a million times as large."""
    values = np.sort(np.append(laplacian(3000).astype(np.float64), [-3e3, 2e3]))
    sums = _prefix_sums(values, np.ones(len(values), np.int64))
    for start in range(1, len(values) - 9):
        for end in (start + 2, start + 8):
            part = values[start:end]
            assert _cost(sums, start, end) == pytest.approx(spread(part), rel=0, abs=16 * EPSILON * float(np.square(part).sum()))


@pytest.mark.parametrize("price", [1e-6, 1e-3, 0.03, 0.5, 10.0, 1e6])
def test_the_cheapest_path_at_a_price(price):
    values = np.sort(laplacian(60).astype(np.float64))
    sums = _prefix_sums(values, np.ones(60, np.int64))
    path = _cheapest_priced_path(sums, price)
    assert path[0] == 0 and path[-1] == 60 and (np.diff(path) > 0).all()
    least = min(cost + price * (k + 1) for k, cost in enumerate(by_rows(values, 60)))
    assert _cost_of(sums, path) + price * (len(path) - 1) == pytest.approx(least, rel=1e-12)


def test_a_splice_by_hand():
    # 4 links and 2 make 3: the link 1-2 lies within 0-3, so the longer path is left at 1 for the end of that link
    assert _splice(np.array([0, 3, 6]), np.array([0, 1, 2, 5, 6]), 3).tolist() == [0, 1, 3, 6]
    assert _splice(np.array([0, 6]), np.arange(7), 4).tolist() == [0, 1, 2, 3, 6]


@given(st.data(), st.integers(3, 30))
def test_a_splice_and_what_is_left_over_cost_no_more_than_the_two_paths(data, n):
    inner = st.sets(st.integers(1, n - 1))
    shorter, longer = sorted((np.array([0, *sorted(data.draw(inner)), n]) for _ in range(2)), key=len)
    sums = _prefix_sums(np.linspace(-1, 1, n) ** 3, np.ones(n, np.int64))
    for n_links in range(len(shorter), len(longer) - 1):
        path = _splice(shorter, longer, n_links)
        assert len(path) == n_links + 1 and path[0] == 0 and path[-1] == n and (np.diff(path) > 0).all()
        left_over = []
        for n_longer in range(1, n_links + 1):  # places of the longer path that the splice starts with
            n_shorter = len(path) - n_longer  # places of the shorter path that it ends with
            if n_shorter < len(shorter) and path.tolist() == [*longer[:n_longer], *shorter[len(shorter) - n_shorter :]]:
                left_over.append(np.append(shorter[: len(shorter) - n_shorter], longer[n_longer:]))
        both = _cost_of(sums, shorter) + _cost_of(sums, longer)
        assert min(_cost_of(sums, path) + _cost_of(sums, rest) for rest in left_over) <= both + 1e-12


def test_more_clusters_never_cost_more_and_each_saves_less():
    values = np.sort(laplacian(200).astype(np.float64))
    sums = _prefix_sums(values, np.ones(200, np.int64))
    costs = np.array([_cost_of(sums, _cheapest_path(sums, k)) for k in range(1, 201)])
    saved = -np.diff(costs)
    assert (saved >= 0).all() and (np.diff(saved) <= 1e-12).all() and costs[-1] == 0
