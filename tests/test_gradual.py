import math

import pytest
import torch
from tiny_training import new_net, shake, weights

from compress.errors import RecipeError
from compress.prune.gradual import EVERY, GradualPruning, layer_densities
from compress.prune.magnitude import n_kept
from compress.recipe import Sparse
from compress.train.ema import RunningMean

N_STEPS = 20 * EVERY
FIRST, END = 5 * EVERY, 15 * EVERY
DENSITY = 0.1


def new_masks(net, density=DENSITY, *, start=0.25, end=0.75):
    return GradualPruning(Sparse(density=density, start=start, end=end), net, N_STEPS)


def density(net):
    """That of every layer, where they are one to the rounding of n_kept."""
    found = weights(net)
    kept = sum(int((weight != 0).sum()) for weight in found.values()) / sum(weight.numel() for weight in found.values())
    for weight in found.values():
        assert abs(int((weight != 0).sum()) - kept * weight.numel()) <= 1 + 0.05 * weight.numel()
    return kept


def test_the_density_falls_along_a_cubic_and_stays():
    net = new_net(bypass="complex")
    masks = new_masks(net)
    found = {}
    for step in range(1, N_STEPS + 1):
        shake(net, step)
        masks.apply(net, step)
        found[step] = density(net)
    assert all(found[step] == 1 for step in range(1, FIRST + EVERY))
    for step in range(FIRST, END + 1, EVERY):
        left = (1 - (step - FIRST) / (END - FIRST)) ** 3
        assert math.isclose(found[step], DENSITY + (1 - DENSITY) * left, abs_tol=0.01)
    assert all(after <= before for before, after in zip(list(found.values())[:-1], list(found.values())[1:], strict=True))
    for weight in weights(net).values():
        assert int((weight != 0).sum()) == n_kept(DENSITY, weight.numel())
        assert not weight[weight == 0].signbit().any()  # -0.0 would be stored in a file
    assert {found[step] for step in range(END, N_STEPS + 1)} == {found[N_STEPS]}


def test_what_is_pruned_stays_pruned_and_was_the_smallest():
    net = new_net()
    masks, zeros = new_masks(net), None
    for step in range(1, N_STEPS + 1):
        shake(net, step)
        before = {name: weight.clone() for name, weight in weights(net).items()}
        masks.apply(net, step)
        now = {name: weight == 0 for name, weight in weights(net).items()}
        for name, pruned in now.items():
            assert torch.equal(weights(net)[name], before[name] * ~pruned)
            if zeros is not None:
                assert (pruned | ~zeros[name]).all()
                fresh = pruned & ~zeros[name]
                if fresh.any():
                    assert before[name].abs()[fresh].max() <= before[name].abs()[~pruned].min()
        zeros = now


def test_biases_and_batchnorms_are_left():
    net = new_net(batchnorm=True)
    masks = new_masks(net)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items() if tensor.ndim != 4}
    masks.apply(net, N_STEPS)
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())


def test_a_table_of_densities():
    net = new_net()
    masks = new_masks(net, {"features.0": 1.0, "*.squeeze": 0.5, "*": 0.1})
    masks.apply(net, N_STEPS)
    for name, weight in weights(net).items():
        kept = 1.0 if name.startswith("features.0.") else 0.5 if ".squeeze." in name else 0.1
        assert int((weight != 0).sum()) == n_kept(kept, weight.numel())


def test_a_table_that_does_not_fit_is_refused():
    with pytest.raises(RecipeError, match=r"train\.sparse\.density: pattern 'conv9' matches no layer"):
        layer_densities(Sparse(density={"conv9": 0.5, "*": 0.1}), ["features.0", "classifier.1"])


@pytest.mark.parametrize("resumed_after", [1, FIRST, FIRST + 1, FIRST + EVERY, END - 1, END, END + 1, FIRST + EVERY + EVERY // 2])
def test_resumed_at_any_step_it_is_the_same(resumed_after):
    plain, resumed = new_net(), new_net()
    masks, first, second = new_masks(plain), new_masks(resumed), new_masks(resumed)
    for step in range(1, N_STEPS + 1):
        for net, each in ((plain, masks), (resumed, first if step <= resumed_after else second)):
            shake(net, step)
            each.apply(net, step)
        if step == resumed_after:
            before = {name: weight.clone() for name, weight in weights(resumed).items()}
            second.apply(resumed, step)
            assert all(torch.equal(weight, weights(resumed)[name]) for name, weight in before.items())
    assert all(torch.equal(weight, weights(resumed)[name]) for name, weight in weights(plain).items())


def test_the_running_mean_has_the_masks_of_its_net():
    net = new_net()
    masks, mean = new_masks(net), RunningMean(net, 0.9)
    for step in range(1, N_STEPS + 1):
        shake(net, step)
        masks.apply(net, step)
        mean.update(net, step)
        masks.apply(mean.net, step)
        assert all(torch.equal(weight != 0, weights(net)[name] != 0) for name, weight in weights(mean.net).items())


def test_from_the_first_step_to_the_last():
    net = new_net()
    masks = new_masks(net, start=0.0, end=1.0)
    for step in range(1, N_STEPS + 1):
        shake(net, step)
        masks.apply(net, step)
    for weight in weights(net).values():
        assert int((weight != 0).sum()) == n_kept(DENSITY, weight.numel())
