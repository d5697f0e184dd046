import pytest
import torch
from tiny_training import new_net, shake, weights

from compress.prune.dsd import DenseSparseDense
from compress.prune.magnitude import n_kept
from compress.recipe import Dsd
from compress.train.ema import RunningMean


def densities(net):
    return {float((weight != 0).sum()) / weight.numel() for weight in weights(net).values()}


def is_sparse(net, density):
    return all(int((weight != 0).sum()) == n_kept(density, weight.numel()) for weight in weights(net).values())


def new_masks(density=0.3, n_steps=10):
    return DenseSparseDense(Dsd(density=density, start=0.4, end=0.7), n_steps)


@pytest.mark.parametrize("density", [0.3, 0.5, 0.001])
def test_sparse_in_its_phase_alone(density):
    net, masks = new_net(bypass="complex"), new_masks(density)
    sparse = []
    for step in range(1, 11):
        shake(net, step)
        masks.apply(net, step)
        sparse.append(is_sparse(net, density))
        assert sparse[-1] or densities(net) == {1.0}
    assert sparse == [False] * 4 + [True] * 3 + [False] * 3


def test_the_largest_are_kept_and_the_same_ones_to_the_end():
    net, masks = new_net(), new_masks()
    shake(net, 5)
    before = {name: weight.clone() for name, weight in weights(net).items()}
    masks.apply(net, 5)
    kept = {name: weight != 0 for name, weight in weights(net).items()}
    for name, weight in before.items():
        assert torch.equal(weights(net)[name], weight * kept[name])
        assert weight.abs()[kept[name]].min() >= weight.abs()[~kept[name]].max()
    for step in (6, 7):
        shake(net, step)
        masks.apply(net, step)
        assert all(torch.equal(weight != 0, kept[name]) for name, weight in weights(net).items())


def test_biases_and_batchnorms_are_left():
    net, masks = new_net(batchnorm=True), new_masks()
    shake(net, 5)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items() if tensor.ndim != 4}
    masks.apply(net, 5)
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("resumed_after", range(1, 10))
def test_resumed_at_any_step_it_is_the_same(resumed_after):
    plain, resumed = new_net(), new_net()
    masks, first, second = new_masks(), new_masks(), new_masks()
    for step in range(1, 11):
        for net, each in ((plain, masks), (resumed, first if step <= resumed_after else second)):
            shake(net, step)
            each.apply(net, step)
        if step == resumed_after:
            second.apply(resumed, step)
        assert all(torch.equal(weight, weights(resumed)[name]) for name, weight in weights(plain).items())


@pytest.mark.parametrize("resumed", [False, True])
def test_the_running_mean_has_the_masks_of_its_net(resumed):
    net, masks = new_net(), new_masks()
    mean = RunningMean(net, 0.9)
    for step in range(1, 11):
        if resumed and step > 1:
            masks = new_masks()
            masks.apply(net, step - 1)
        shake(net, step)
        masks.apply(net, step)
        mean.update(net, step)
        masks.apply(mean.net, step)
        if 5 <= step <= 7:
            assert is_sparse(mean.net, 0.3)
            assert all(torch.equal(weight != 0, weights(net)[name] != 0) for name, weight in weights(mean.net).items())
        else:
            assert densities(mean.net) == {1.0}


def test_a_phase_from_the_first_step_to_the_last():
    net, masks = new_net(), DenseSparseDense(Dsd(density=0.5, start=0.0, end=1.0), 4)
    for step in range(1, 5):
        shake(net, step)
        masks.apply(net, step)
        assert is_sparse(net, 0.5)
        assert not any(weight[weight == 0].signbit().any() for weight in weights(net).values())  # -0.0 would be stored in a file
