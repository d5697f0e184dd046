import numpy as np
import pytest
import torch

from compress.layer import SharedLayer
from compress.quantize.kmeans import midpoints
from compress.quantize.reassign import Reassigning
from compress.quantize.share import cluster

HALF, SINGLE = np.dtype("float16"), np.dtype("float32")


def weight_and_layer(density=0.6, bits=3, dtype=HALF, shape=(8, 4, 3, 3)):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    mask = weight.abs() > weight.abs().flatten().quantile(1 - density)
    weight = weight * mask
    return weight, cluster("w", weight, mask, bits, init="linear", max_iterations=100, dtype=dtype, seed=0)


def started(rate_weight=0.0, max_iterations=1, **made):
    weight, layer = weight_and_layer(**made)
    return Reassigning.start(layer, weight, rate_weight=rate_weight, max_iterations=max_iterations)


def n_zero(sharing):
    return int((sharing.weight() == 0).sum())


@pytest.mark.parametrize("rate_weight", [0.0, 0.05])
@pytest.mark.parametrize("dtype", [HALF, SINGLE])
def test_the_weight_is_the_cheapest_centroid_of_each_latent(rate_weight, dtype):
    sharing = started(rate_weight, dtype=dtype)
    latent, clusters = sharing.latent.detach().numpy().astype(np.float64), sharing.clusters
    assert 0.0 in clusters.centroids
    costs = (latent[..., None] - clusters.centroids) ** 2 + sharing.price * clusters.n_bits
    chosen = np.take_along_axis(costs, sharing.places().numpy()[..., None], -1)[..., 0]
    np.testing.assert_allclose(chosen, costs.min(-1), atol=1e-6)
    np.testing.assert_array_equal(sharing.weight().detach().numpy(), clusters.centroids.astype(np.float32)[sharing.places()])


def test_without_a_price_the_borders_are_the_midpoints():
    clusters = started().clusters
    np.testing.assert_array_equal(clusters.borders, midpoints(clusters.centroids))


def test_the_price_is_in_variances_of_the_weights():
    weight, layer = weight_and_layer()
    sharing = Reassigning.start(layer, weight, rate_weight=0.25, max_iterations=0)
    assert sharing.price == pytest.approx(0.25 * float(weight.var(unbiased=False)))


def test_the_gradient_passes_the_rounding_unchanged():
    sharing = started()
    gradient = torch.randn(sharing.latent.shape, generator=torch.Generator().manual_seed(1))
    sharing.weight().backward(gradient)
    assert torch.equal(sharing.latent.grad, gradient)


def test_the_weights_that_it_came_from_are_not_touched():
    weight, layer = weight_and_layer()
    before = weight.clone()
    sharing = Reassigning.start(layer, weight, rate_weight=0.0, max_iterations=1)
    with torch.no_grad():
        sharing.latent.add_(1)
    assert torch.equal(weight, before) and not weight.requires_grad


@pytest.mark.parametrize("rate_weight", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("dtype", [HALF, SINGLE])
def test_what_is_stored_is_what_was_tuned(rate_weight, dtype):
    sharing = started(rate_weight, dtype=dtype)
    with torch.no_grad():
        sharing.latent.add_(0.3 * torch.randn(sharing.latent.shape, generator=torch.Generator().manual_seed(2)))
    sharing.refresh()
    layer = sharing.to_layer("w")
    assert layer.name == "w" and layer.codebook.dtype == dtype and layer.indices.dtype == np.int32
    np.testing.assert_array_equal(layer.values(), sharing.weight().detach().numpy())
    np.testing.assert_array_equal(layer.indices == 0, (sharing.weight() == 0).numpy())  # zero is the mask
    assert (layer.codebook != 0).all()
    assert np.unique(layer.indices[layer.indices > 0]).tolist() == list(range(1, len(layer.codebook) + 1))  # all are used


def test_centroids_are_numbers_of_the_codebooks_type():
    sharing = started()
    for _ in range(3):
        sharing.refresh()
        np.testing.assert_array_equal(sharing.clusters.centroids, sharing.clusters.centroids.astype(HALF))


def test_a_weight_can_be_pruned_and_come_back():
    sharing = started()
    (pruned, kept) = (sharing.weight() == 0).flatten().nonzero()[0], (sharing.weight() != 0).flatten().nonzero()[0]
    with torch.no_grad():
        sharing.latent.view(-1)[pruned] = 2.0
        sharing.latent.view(-1)[kept] = 0.01
    weight = sharing.weight().detach().flatten()
    assert weight[pruned] > 1 and weight[kept] == 0
    indices = sharing.to_layer("w").indices.ravel()
    assert indices[pruned] != 0 and indices[kept] == 0


def test_zero_never_moves():
    sharing = started()
    with torch.no_grad():
        sharing.latent[sharing.weight() == 0] += 0.05  # the mean of what is pruned is no longer zero
    for _ in range(5):
        sharing.refresh()
    assert 0.0 in sharing.clusters.centroids


def test_where_nothing_is_pruned_the_centroid_nearest_to_zero_makes_way():
    weight = torch.tensor([[-2.0, -2.0, 0.25, 3.0]])
    layer = cluster("w", weight, weight != 0, 2, init="linear", max_iterations=10, dtype=SINGLE, seed=0)
    assert layer.codebook.tolist() == [-2.0, 0.25, 3.0] and layer.n_nonzero == 4
    sharing = Reassigning.start(layer, weight, rate_weight=0.0, max_iterations=0)
    assert sharing.clusters.centroids.tolist() == [-2.0, 0.0, 3.0]
    assert sharing.weight().tolist() == [[-2.0, -2.0, 0.0, 3.0]]


def test_a_layer_that_is_all_zero_stays_so():
    weight = torch.zeros(2, 3)
    layer = SharedLayer("w", (2, 3), np.zeros((2, 3), np.int32), codebook=np.zeros(0, np.float16))
    sharing = Reassigning.start(layer, weight, rate_weight=0.1, max_iterations=3)
    stored = sharing.to_layer("w")
    assert stored.n_nonzero == 0 and len(stored.codebook) == 0 and sharing.step_size() == 0


def test_a_dearer_bit_leaves_more_zeros():
    zeros = [n_zero(started(rate_weight, max_iterations=50)) for rate_weight in (0.0, 0.05, 0.2, 1.0)]
    assert zeros == sorted(zeros) and zeros[0] < zeros[-1]


def test_the_step_is_that_of_the_uniform_quantizer_with_the_same_error():
    sharing = started(bits=5, density=1.0)
    error = float((sharing.weight() - sharing.latent).detach().square().mean())
    assert sharing.step_size() == pytest.approx((12 * error) ** 0.5)


def test_a_centroid_beyond_the_type_is_held_at_its_end():
    sharing = started()
    with torch.no_grad():
        sharing.latent.mul_(1e6)
    sharing.refresh()
    assert np.abs(sharing.clusters.centroids).max() == 65504
    assert np.isfinite(sharing.to_layer("w").values()).all()
