from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from compress.quantize.kmeans import (
    assign,
    cluster_edges,
    entropy_constrained,
    initial_centroids,
    kmeans,
    lower_envelope,
    midpoints,
    wcss,
)

INITS = ["linear", "density", "random"]
VALUES = hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(-8, 8, width=16))


def error(values, centroids):
    """Sum of squared distances to the nearest centroid."""
    return float(((np.asarray(values, np.float64).reshape(-1, 1) - centroids) ** 2).min(1).sum())


def laplacian(n=20_000, seed=0):
    return np.random.default_rng(seed).laplace(size=n).astype(np.float32)


# --- where it starts -------------------------------------------------------------------------------------------------


def test_linear_is_evenly_spaced_between_the_ends():
    ordered = np.array([-1.0, 0.0, 0.0, 0.0, 3.0])
    np.testing.assert_array_equal(initial_centroids(ordered, 5, "linear", np.random.default_rng(0)), [-1, 0, 1, 2, 3])


def test_density_is_evenly_spaced_in_the_cumulative_distribution():
    ordered = np.array([0.0] * 50 + [10.0] * 50)
    np.testing.assert_array_equal(initial_centroids(ordered, 4, "density", np.random.default_rng(0)), [0, 0, 10, 10])
    even = initial_centroids(np.arange(101.0), 4, "density", np.random.default_rng(0))
    np.testing.assert_allclose(even, [12.5, 37.5, 62.5, 87.5])


def test_random_draws_values_without_replacement():
    ordered = np.arange(20.0) ** 2
    drawn = initial_centroids(ordered, 6, "random", np.random.default_rng(0))
    assert len(set(drawn)) == 6 and set(drawn) <= set(ordered) and (np.diff(drawn) > 0).all()
    assert not np.array_equal(drawn, initial_centroids(ordered, 6, "random", np.random.default_rng(1)))


def test_no_iterations_is_plain_linear_quantization():
    np.testing.assert_array_equal(kmeans(np.arange(101.0), 5, max_iterations=0), [0, 25, 50, 75, 100])


# --- Lloyd's algorithm -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("init", INITS)
def test_fewer_distinct_values_than_clusters_are_kept_as_they_are(init):
    values = np.array([[0.5, -1.0], [0.5, 2.0]], np.float32)
    np.testing.assert_array_equal(kmeans(values, 4, init=init), [-1.0, 0.5, 2.0])
    np.testing.assert_array_equal(kmeans(values, 3, init=init), [-1.0, 0.5, 2.0])
    np.testing.assert_array_equal(kmeans(values[0, :1], 16, init=init), [0.5])


def test_empty_clusters_are_dropped():
    values = np.array([0.0, 0.1, 0.2, 100.0])  # linear starts at 0, 33.3, 66.7, 100: two have no value
    np.testing.assert_allclose(kmeans(values, 3, max_iterations=300), [0.1, 100.0])
    assert len(kmeans(np.array([0.0, 0.0, 0.0, 1.0, 2.0, 100.0]), 3, init="random")) <= 3


@pytest.mark.parametrize("init", INITS)
def test_the_error_never_grows(init):
    values = laplacian(3000)
    errors = [error(values, kmeans(values, 16, init=init, max_iterations=i)) for i in range(30)]
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in pairwise(errors))
    assert errors[-1] < errors[0]


@pytest.mark.parametrize("init", ["linear", "density"])
@pytest.mark.parametrize("n_clusters", [2, 3, 4])
def test_well_separated_data_is_clustered_as_well_as_can_be(init, n_clusters):
    rng = np.random.default_rng(n_clusters)
    values = np.concatenate([10.0 * k + rng.normal(0, 0.3, 4) for k in range(n_clusters)])
    ordered = np.sort(values)
    splits = combinations(range(1, len(ordered)), n_clusters - 1)  # in one dimension an optimal cluster is an interval
    best = min(sum(((part - part.mean()) ** 2).sum() for part in np.split(ordered, split)) for split in splits)
    found = kmeans(rng.permutation(values), n_clusters, init=init)
    assert error(values, found) == pytest.approx(best)


@given(VALUES, st.integers(1, 9), st.sampled_from(INITS))
def test_every_centroid_is_the_mean_of_its_cluster(values, n_clusters, init):
    centroids = kmeans(values, n_clusters, init=init)
    assert 1 <= len(centroids) <= n_clusters and (np.diff(centroids) > 0).all()
    places = assign(values, midpoints(centroids))
    means = [values[places == k].mean(dtype=np.float64) for k in range(len(centroids))]  # no cluster is empty
    np.testing.assert_allclose(centroids, means, atol=1e-9)
    distances = np.abs(values[:, None].astype(np.float64) - centroids)
    np.testing.assert_array_equal(distances[np.arange(len(values)), places], distances.min(1))


@pytest.mark.parametrize("init", INITS)
def test_order_and_shape_do_not_matter_and_it_repeats(init):
    values = laplacian(2000)
    first = kmeans(values, 8, init=init)
    np.testing.assert_array_equal(kmeans(values.reshape(40, 50).T[::-1], 8, init=init), first)
    np.testing.assert_array_equal(kmeans(values, 8, init=init, rng=np.random.default_rng(0)), first)


def test_another_generator_gives_another_random_start():
    values = laplacian(2000)
    starts = [kmeans(values, 8, init="random", max_iterations=0, rng=np.random.default_rng(seed)) for seed in (1, 2)]
    assert not np.array_equal(*starts)


def test_a_value_on_a_border_belongs_to_the_smaller_centroid():
    borders = midpoints(np.array([0.0, 1.0, 3.0]))
    np.testing.assert_array_equal(borders, [0.5, 2.0])
    assert assign(np.array([[0.5, 0.6], [2.0, 9.0]]), borders).tolist() == [[0, 1], [1, 2]]
    assert cluster_edges(np.array([0.5, 0.6, 2.0, 9.0]), borders).tolist() == [0, 1, 3, 4]


def test_within_cluster_sum_of_squares_by_hand():
    values = np.array([[0.0, 1.0, 2.0], [6.0, 8.0, 100.0]], np.float32)
    assert wcss(values, np.array([1.0, 7.0, 100.0])) == 4.0
    assert wcss(values, np.array([4.0])) == 16 + 9 + 4 + 4 + 16 + 96**2
    assert wcss(values, np.unique(values).astype(np.float64)) == 0.0


@given(VALUES, hnp.arrays(np.float64, st.integers(1, 9), elements=st.floats(-9, 9)))
def test_within_cluster_sum_of_squares_is_to_the_nearest_centroid(values, centroids):
    assert wcss(values, np.sort(centroids)) == pytest.approx(error(values, centroids), rel=1e-12, abs=1e-12)


# --- with a price on bits ----------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.floats(-4, 4, width=16), st.floats(0, 12, width=16)), min_size=1, max_size=10),
    st.floats(0.001, 4),
)
def test_the_lower_envelope_is_the_cheapest_centroid_for_every_value(lines, price):
    lines.sort(key=lambda line: line[0])
    centroids, n_bits = np.array(lines, np.float64).T
    clusters = lower_envelope(centroids, n_bits, price)
    assert len(clusters.borders) == len(clusters.centroids) - 1 == len(clusters.n_bits) - 1
    assert (np.diff(clusters.borders) > 0).all() and (np.diff(clusters.centroids) > 0).all()
    values = np.linspace(-30, 30, 1201)
    cheapest = ((values[:, None] - centroids) ** 2 + price * n_bits).min(1)
    places = assign(values, clusters.borders)
    costs = (values - clusters.centroids[places]) ** 2 + price * clusters.n_bits[places]
    np.testing.assert_allclose(costs, cheapest, atol=1e-8)


def test_a_border_by_hand():
    clusters = lower_envelope(np.array([0.0, 1.0]), np.array([1.0, 3.0]), 0.25)  # v^2 + 0.25 = (v - 1)^2 + 0.75 at v = 0.75
    np.testing.assert_allclose(clusters.borders, [0.75])


def test_a_centroid_too_dear_for_any_value_is_dropped():
    clusters = lower_envelope(np.array([0.0, 1.0, 2.0]), np.array([1.0, 50.0, 1.0]), 1.0)
    np.testing.assert_array_equal(clusters.centroids, [0, 2])


def test_of_equal_centroids_the_cheapest_stays():
    for n_bits in ([5.0, 2.0], [2.0, 5.0]):
        clusters = lower_envelope(np.array([1.0, 1.0]), np.array(n_bits), 1.0)
        assert clusters.centroids.tolist() == [1.0] and clusters.n_bits.tolist() == [2.0] and len(clusters.borders) == 0


def entropy(values, clusters):
    counts = np.bincount(assign(values, clusters.borders))
    shares = counts[counts > 0] / values.size
    return float(-(shares * np.log2(shares)).sum())


def start(values, n_clusters=15):
    """Evenly spaced centroids, zero among them, of equal price."""
    reach = float(np.abs(values).max())
    return np.linspace(-reach, reach, n_clusters), np.full(n_clusters, np.log2(n_clusters))


def test_price_zero_is_lloyds_algorithm():
    values = np.random.default_rng(0).normal(1.0, 1.0, 5000)
    centroids = np.linspace(values.min(), values.max(), 8)
    priced = entropy_constrained(values, centroids, np.zeros(8), price=0.0, max_iterations=300)
    np.testing.assert_array_equal(priced.centroids, kmeans(values, 8))
    np.testing.assert_array_equal(priced.borders, midpoints(priced.centroids))


def test_a_larger_price_never_raises_the_entropy():
    values = laplacian()
    runs = [entropy_constrained(values, *start(values), price=p, max_iterations=100) for p in (0, 0.01, 0.03, 0.1, 0.3, 1, 3, 20)]
    entropies = [entropy(values, run) for run in runs]
    assert entropies == sorted(entropies, reverse=True) and entropies[0] > 2 > entropies[4] and entropies[-1] < 0.2


def test_the_price_paid_never_grows():
    values, price = laplacian(5000).astype(np.float64), 0.1

    def cost(clusters):
        nearest = clusters.centroids[assign(values, clusters.borders)]
        return float(((values - nearest) ** 2).mean()) + price * entropy(values, clusters)

    costs = [cost(entropy_constrained(values, *start(values), price=price, max_iterations=i)) for i in range(1, 40)]
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(costs))


@pytest.mark.parametrize("price", [0.0, 0.02, 0.5])
def test_zero_stays_zero(price):
    values = laplacian() + 0.3  # the mean of the values about zero is not zero
    clusters = entropy_constrained(values, *start(values), price=price, max_iterations=50)
    assert 0.0 in clusters.centroids
    without = entropy_constrained(values, *start(values, 14), price=price, max_iterations=50)  # no centroid is zero to begin with
    assert 0.0 not in without.centroids


def test_unused_centroids_are_dropped_and_bits_are_of_the_frequencies():
    values = np.array([-1.0] * 6 + [1.0] * 2)
    clusters = entropy_constrained(values, np.array([-1.0, 0.0, 1.0]), np.full(3, 1.6), price=0.01, max_iterations=5)
    np.testing.assert_array_equal(clusters.centroids, [-1, 1])
    np.testing.assert_allclose(clusters.n_bits, [-np.log2(0.75), 2.0])


@given(VALUES, st.floats(0, 2))
def test_the_clusters_come_back_sorted_with_finite_bits(values, price):
    clusters = entropy_constrained(values, *start(np.append(values, 1.0), 7), price=price, max_iterations=10)
    assert (np.diff(clusters.centroids) >= 0).all() and (np.diff(clusters.borders) >= 0).all()
    assert np.isfinite(clusters.n_bits).all() and (clusters.n_bits >= 0).all()
    assert len(clusters.centroids) == len(clusters.n_bits) == len(clusters.borders) + 1


def test_a_layer_of_half_a_million_weights():
    values = laplacian(512_000)
    centroids = kmeans(values, 64)
    assert 48 <= len(centroids) <= 64  # a few between the outliers have no value
    assert error(values[:2000], centroids) / 2000 < 0.01  # the variance is 2
