import numpy as np
import pytest
import torch

from compress.errors import RecipeError, TrainingDiverged
from compress.prune.magnitude import magnitude_masks
from compress.quantize.share import Shared, cluster, cluster_by_rate, tune_fixed, tune_reassigned
from compress.recipe import Tune

HALF, SINGLE = np.dtype("float16"), np.dtype("float32")


def no_step(step, steps, loss):
    pass


def clustered(weight, mask, bits, dtype=SINGLE, init="linear", seed=0):
    return cluster("conv.weight", weight, mask, bits, init=init, max_iterations=100, dtype=dtype, seed=seed)


# --- cluster -----------------------------------------------------------------------------------------------------------


def test_a_layer_by_hand():
    weight = torch.tensor([[0.0, 1.0, 1.5], [-2.0, 0.1, 1.25]])
    layer = clustered(weight, weight.abs() > 0.5, 1)
    assert layer.codebook.tolist() == [-2.0, 1.25]
    assert layer.indices.tolist() == [[0, 2, 2], [1, 0, 2]] and layer.indices.dtype == np.int32
    assert (layer.name, layer.shape, layer.n_nonzero) == ("conv.weight", (2, 3), 4)


@pytest.mark.parametrize("init", ["linear", "density", "random"])
@pytest.mark.parametrize("bits", [1, 3, 5])
def test_zero_lives_in_the_mask(init, bits):
    weight = torch.randn(16, 8, 3, 3, generator=torch.Generator().manual_seed(0))
    (mask,) = magnitude_masks({"w": weight}, {"w": 0.3}).values()
    layer = clustered(weight * mask, mask, bits, HALF, init)
    np.testing.assert_array_equal(layer.indices > 0, mask.numpy())
    assert len(layer.codebook) <= 2**bits and layer.codebook.dtype == HALF
    kept = weight[mask].numpy()
    distances = np.abs(kept[:, None] - layer.codebook.astype(np.float32))
    np.testing.assert_allclose(np.abs(kept - layer.values()[mask.numpy()]), distances.min(1), atol=2e-3)  # the nearest, in half


def test_random_initialisation_follows_its_seed():
    weight = torch.randn(2000, generator=torch.Generator().manual_seed(0))
    everything = torch.ones_like(weight, dtype=torch.bool)
    books = [clustered(weight, everything, 3, init="random", seed=seed).codebook.tolist() for seed in (1, 1, 2)]
    assert books[0] == books[1] != books[2]


def test_few_values_are_kept_exactly():
    weight = torch.tensor([0.1, 0.2, 0.1, -0.3])
    layer = clustered(weight, torch.ones(4, dtype=torch.bool), 4)
    assert len(layer.codebook) == 3
    np.testing.assert_array_equal(layer.values(), weight.numpy())


def test_a_centroid_beyond_float16_is_refused_by_the_layers_name():
    weight = torch.tensor([1.0, -7e4])
    with pytest.raises(RecipeError, match=r"^encode.codebook: conv.weight has a centroid of 70000, more than float16 holds"):
        clustered(weight, torch.ones(2, dtype=torch.bool), 1, HALF)
    assert clustered(weight, torch.ones(2, dtype=torch.bool), 1, SINGLE).codebook.tolist() == [-7e4, 1.0]


def test_clustering_by_rate_trades_error_for_bits():
    weight = torch.from_numpy(np.random.default_rng(0).laplace(size=(64, 64)).astype(np.float32))
    layer = clustered(weight, torch.ones_like(weight, dtype=torch.bool), 5)
    by_rate = [cluster_by_rate(layer, weight, rate_weight, 100) for rate_weight in (0.0, 0.02, 0.2)]

    def entropy(shared):
        shares = np.unique(shared.indices, return_counts=True)[1] / shared.n_weights
        return float(-(shares * np.log2(shares)).sum())

    entropies = [entropy(shared) for shared in by_rate]
    errors = [float(np.square(shared.values() - weight.numpy()).mean()) for shared in by_rate]
    assert entropies == sorted(entropies, reverse=True) and errors == sorted(errors) and entropies[2] < entropies[0] / 2
    assert by_rate[2].n_nonzero < by_rate[0].n_nonzero < layer.n_weights and by_rate[1].name == "conv.weight"


# --- tuning --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shared(toy):
    masks = magnitude_masks({name: toy.tensors[name] for name in toy.weights}, dict.fromkeys(toy.weights, 0.6))
    toy.latents = {name: toy.tensors[name] * masks[name] for name in toy.weights}
    layers = {
        name: cluster(name, toy.latents[name], masks[name], 2, init="linear", max_iterations=50, dtype=HALF, seed=0)
        for name in toy.weights
    }
    return Shared(layers, {name: tensor for name, tensor in toy.tensors.items() if name not in layers})


def tensors_of(shared):
    return {**shared.others, **{name: torch.from_numpy(layer.values()) for name, layer in shared.layers.items()}}


def fixed(toy, shared, seed=0, on_step=no_step, **tune):
    settings = Tune(**{"steps": 40, "learning_rate": 2e-3, "bias_learning_rate": 2e-3} | tune)
    return tune_fixed(toy.net, toy.teacher, shared, settings, toy.batches(seed), on_step, field="quantize.also_fixed")


def reassigned(toy, shared, rate_weight=0.0, on_step=no_step, **tune):
    settings = Tune(**{"steps": 60, "learning_rate": 0.05, "bias_learning_rate": 2e-3} | tune)
    return tune_reassigned(
        toy.net,
        toy.teacher,
        shared,
        toy.latents,
        settings,
        toy.batches(),
        on_step,
        rate_weights=dict.fromkeys(toy.weights, rate_weight),
    )


def test_fixed_moves_centroids_and_no_weight_changes_cluster(toy, shared):
    tuned = fixed(toy, shared)
    assert toy.kl(tensors_of(tuned)) < 0.7 * toy.kl(tensors_of(shared))
    for name, layer in tuned.layers.items():
        np.testing.assert_array_equal(layer.indices, shared.layers[name].indices)
        assert layer.codebook.dtype == HALF
    assert any(not np.array_equal(layer.codebook, shared.layers[name].codebook) for name, layer in tuned.layers.items())
    assert any(not torch.equal(tuned.others[name], shared.others[name]) for name in shared.others)


def test_fixed_is_sgd_on_the_gradient_summed_over_each_cluster(toy, shared):
    """One step without momentum's history: the centroid moves by the learning rate times the sum of its weights' gradients."""
    shared = Shared({n: layer.__class__(n, layer.shape, layer.indices, codebook=layer.codebook.astype(np.float32))
                     for n, layer in shared.layers.items()}, shared.others)  # fmt: skip
    tuned = fixed(toy, shared, steps=1, learning_rate=0.01)
    weights = {name: tensor.clone().requires_grad_() for name, tensor in tensors_of(shared).items()}
    x = next(toy.batches())
    log_p, target = torch.func.functional_call(toy.net, weights, (x,)).log_softmax(1), toy.teacher(x).log_softmax(1)
    torch.nn.functional.kl_div(log_p, target, reduction="batchmean", log_target=True).backward()
    for name, layer in shared.layers.items():
        gradient = weights[name].grad.numpy()
        summed = [gradient[layer.indices == i + 1].sum() for i in range(len(layer.codebook))]
        np.testing.assert_allclose(tuned.layers[name].codebook, layer.codebook - 0.01 * np.array(summed), atol=1e-6)


@pytest.mark.parametrize("tune", [fixed, reassigned])
def test_no_steps_leave_the_values(toy, shared, tune):
    tuned = tensors_of(tune(toy, shared, steps=0))
    assert all(torch.equal(tuned[name], tensor) for name, tensor in tensors_of(shared).items())


@pytest.mark.parametrize("tune", [fixed, reassigned])
def test_tuning_repeats_and_reports_every_step(toy, shared, tune):
    told = []
    first, again = tune(toy, shared, on_step=lambda *step: told.append(step), steps=12), tune(toy, shared, steps=12)
    assert [step[:2] for step in told] == [(i, 12) for i in range(1, 13)]
    for name, tensor in tensors_of(first).items():
        assert torch.equal(tensor, tensors_of(again)[name]) and not tensor.requires_grad


def test_reassign_lets_weights_change_cluster(toy, shared):
    tuned = reassigned(toy, shared, learning_rate=0.2)
    assert toy.kl(tensors_of(tuned)) < 0.7 * toy.kl(tensors_of(shared))
    was, now = ({n: layer.values() for n, layer in s.layers.items()} for s in (shared, tuned))
    came_back = sum(int(((was[name] == 0) & (now[name] != 0)).sum()) for name in was)
    went = sum(int(((was[name] != 0) & (now[name] == 0)).sum()) for name in was)
    assert came_back > 0 and went > 0
    assert all(len(layer.codebook) <= 4 and layer.codebook.dtype == HALF for layer in tuned.layers.values())


def test_a_price_on_bits_prunes_while_tuning(toy, shared):
    def n_nonzero(tuned):
        return sum(layer.n_nonzero for layer in tuned.layers.values())

    assert n_nonzero(reassigned(toy, shared, rate_weight=0.3)) < n_nonzero(reassigned(toy, shared))


def test_the_start_is_not_touched(toy, shared):
    before = {name: tensor.clone() for name, tensor in tensors_of(shared).items()}
    latents = {name: tensor.clone() for name, tensor in toy.latents.items()}
    fixed(toy, shared, steps=3), reassigned(toy, shared, steps=3)
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors_of(shared).items())
    assert all(torch.equal(tensor, latents[name]) for name, tensor in toy.latents.items())


def test_centroids_that_leave_float16_while_tuned_are_refused_by_name(toy, shared):
    with pytest.raises(RecipeError, match=r"^encode.codebook: \S+.weight has a centroid of \S+, more than float16 holds"):
        fixed(toy, shared, steps=1, learning_rate=1e8)


def test_divergence_names_the_field_to_change(toy, shared):
    with pytest.raises(TrainingDiverged, match=r"^quantize.also_fixed: .* lower quantize.also_fixed.learning_rate$"):
        fixed(toy, shared, learning_rate=1e30)


def test_zero_lives_in_the_mask_also_where_the_mask_would_keep_one():
    weight = torch.tensor([0.0, 0.0, 0.1, 0.2])
    layer = cluster(
        "w", weight, torch.ones(4, dtype=torch.bool), 4, init="linear", max_iterations=9, dtype=np.dtype("float32"), seed=0
    )
    assert layer.indices.tolist() == [0, 0, 1, 2] and layer.n_nonzero == 2
    np.testing.assert_array_equal(layer.codebook, np.float32([0.1, 0.2]))
