import torch

from compress.prune.finetune import prune_and_tune
from compress.prune.magnitude import n_kept
from compress.recipe import Tune


def pruned(toy, density=0.4, seed=0, **tune):
    settings = Tune(**{"steps": 30, "learning_rate": 0.05, "bias_learning_rate": 0.003} | tune)
    told = []
    result = prune_and_tune(
        toy.net,
        toy.teacher,
        toy.tensors,
        dict.fromkeys(toy.weights, density),
        settings,
        toy.batches(seed),
        lambda *step: told.append(step),
    )
    assert len(told) == settings.steps
    return result


def test_masks_survive_the_tuning_and_survivors_move(toy):
    result = pruned(toy)
    assert list(result.tensors) == list(toy.tensors) and list(result.masks) == toy.weights
    moved = []
    for name, mask in result.masks.items():
        weight, before = result.tensors[name], toy.tensors[name]
        assert int(mask.sum()) == n_kept(0.4, mask.numel())
        assert (weight[~mask] == 0).all()  # exactly, whatever Adam's momentum holds
        assert not weight[~mask].signbit().any() and (before[~mask] < 0).any()  # -0.0 would be stored in a file
        moved.append(weight[mask] != before[mask])
        assert moved[-1].any() and not weight.requires_grad
    assert torch.cat(moved).float().mean() > 0.4  # where a ReLU never fires there is no gradient
    assert any(not torch.equal(result.tensors[name], toy.tensors[name]) for name in toy.tensors if name not in result.masks)


def test_tuning_brings_the_outputs_closer(toy):
    assert toy.kl(pruned(toy).tensors) < 0.5 * toy.kl(pruned(toy, steps=0).tensors)


def test_no_steps_leave_the_values_of_the_survivors(toy):
    result = pruned(toy, steps=0)
    for name, tensor in toy.tensors.items():
        expected = tensor * result.masks[name] if name in result.masks else tensor
        assert torch.equal(result.tensors[name], expected)


def test_density_one_prunes_nothing(toy):
    result = pruned(toy, density=1.0, steps=0)
    assert all(mask.all() for mask in result.masks.values())
    assert all(torch.equal(result.tensors[name], tensor) for name, tensor in toy.tensors.items())


def test_the_uncompressed_tensors_are_not_touched(toy):
    before = {name: tensor.clone() for name, tensor in toy.tensors.items()}
    result = pruned(toy)
    assert all(torch.equal(toy.tensors[name], tensor) for name, tensor in before.items())
    for tensor in result.tensors.values():
        tensor.add_(1)  # nor does the result share their memory
    assert all(torch.equal(toy.tensors[name], tensor) for name, tensor in before.items())


def test_a_bias_learning_rate_of_zero_holds_the_biases(toy):
    result = pruned(toy, bias_learning_rate=0.0)
    assert all(torch.equal(result.tensors[name], tensor) for name, tensor in toy.tensors.items() if name not in result.masks)


def test_it_repeats(toy):
    first, again, other = pruned(toy), pruned(toy), pruned(toy, seed=1)
    assert all(torch.equal(first.tensors[name], again.tensors[name]) for name in first.tensors)
    assert not torch.equal(first.tensors["features.0.weight"], other.tensors["features.0.weight"])
