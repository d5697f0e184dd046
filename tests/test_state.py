import errno
import json

import numpy as np
import pytest
import torch
from tiny_training import CPU, assert_same, new_net

from compress import checkpoint
from compress.errors import RunFolderError
from compress.recipe import Train
from compress.train.ema import RunningMean
from compress.train.state import BEST, Checkpoints, State
from compress.train.step import make_optimizer

OPTIMIZERS = [
    {"optimizer": "adamw"},
    {"optimizer": "sgd"},
    {"optimizer": "sgd", "momentum": 0.0},
    {"optimizer": "sgd", "nesterov": True},
]


def scaler(**settings):
    return torch.amp.GradScaler("cpu", **settings)


def new_state(seed=0, *, layout=torch.channels_last, ema=0.9, loss_scaler=None, **settings):
    net = new_net(batchnorm=True, seed=seed).to(memory_format=layout).train()
    mean = RunningMean(net, ema) if ema else None
    optimizer = make_optimizer(net, Train(epochs=1, weight_decay=0.01, **settings))
    return State(net, optimizer, mean, loss_scaler or scaler(enabled=False), CPU)


def go_on(state, n=1):
    """Steps whose images depend on the step alone."""
    for _ in range(n):
        state.step += 1
        x = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(state.step))
        state.net(x.contiguous(memory_format=torch.channels_last)).square().mean().backward()
        state.optimizer.step()
        state.optimizer.zero_grad()
        if state.mean is not None:
            state.mean.update(state.net, state.step)
    return state


@pytest.mark.parametrize("settings", OPTIMIZERS)
def test_what_is_restored_goes_on_as_if_nothing_had_been(settings, tmp_path):
    state = go_on(new_state(**settings), 3)
    state.seconds, state.best_top1, state.n_unreadable = 4.5, 0.75, 2
    Checkpoints(tmp_path, "key", keep=2).save(state)
    other = new_state(seed=1, **settings)
    other.restore(Checkpoints(tmp_path, "key", keep=2).latest())
    assert (other.step, other.seconds, other.best_top1, other.n_unreadable) == (3, 4.5, 0.75, 2)
    assert_same(go_on(state, 3).net.state_dict(), go_on(other, 3).net.state_dict())
    assert_same(state.result(), other.result())
    assert_same(state._tensors(), other._tensors())


def test_the_optimizer_lies_in_memory_as_the_weights_do():
    """Else a sum could be taken in another order, and differ in its last bit."""
    state = go_on(new_state(optimizer="adamw"))
    other = new_state(optimizer="adamw")
    other.restore(state.to_checkpoint())
    for i, parameter in enumerate(parameter for group in other.optimizer.param_groups for parameter in group["params"]):
        entry = other.optimizer.state_dict()["state"][i]
        assert entry["exp_avg"].stride() == entry["exp_avg_sq"].stride() == parameter.stride()


def test_what_is_restored_does_not_change_with_the_state_that_was_saved():
    state = go_on(new_state(optimizer="sgd"))
    saved = state.to_checkpoint()
    other = new_state()
    other = new_state(optimizer="sgd")
    other.restore(saved)
    before = {name: tensor.clone() for name, tensor in other._tensors().items()}
    go_on(state)
    assert_same(before, other._tensors())


def test_the_result_is_the_running_mean_where_there_is_one():
    assert not torch.equal(go_on(new_state(), 2).result()["features.0.weight"], new_state().result()["features.0.weight"])
    with_mean, without = go_on(new_state(), 2), go_on(new_state(ema=None), 2)
    assert_same(with_mean.result(), dict(with_mean.mean.tensors))
    assert_same(without.result(), dict(without.net.state_dict()))
    assert_same(dict(with_mean.net.state_dict()), without.result())
    assert with_mean.best_net is with_mean.mean.net and without.best_net is without.net


@pytest.mark.parametrize(("then", "restored"), [({"init_scale": 4.0}, 1024.0), ({"enabled": False}, 1.0)])
def test_the_scale_of_the_loss_where_both_have_one(then, restored):
    """A run may go on on a device with another precision."""
    state = new_state(loss_scaler=scaler(init_scale=1024.0))
    other = new_state(loss_scaler=scaler(**then))
    other.restore(state.to_checkpoint())
    assert other.scaler.get_scale() == restored


def test_a_scale_is_kept_where_the_checkpoint_has_none():
    other = new_state(loss_scaler=scaler(init_scale=4.0))
    other.restore(new_state().to_checkpoint())
    assert other.scaler.get_scale() == 4


def test_the_scale_counts_on():
    state = new_state(loss_scaler=scaler(init_scale=8.0, growth_interval=3), optimizer="sgd")
    for _ in range(2):
        state.scaler.scale(state.net(torch.ones(2, 1, 8, 8)).sum()).backward()
        state.scaler.step(state.optimizer)
        state.scaler.update()
    other = new_state(loss_scaler=scaler(init_scale=1.0, growth_interval=3), optimizer="sgd")
    saved = state.to_checkpoint()
    json.dumps(saved.facts)
    other.restore(saved)
    for each in (state, other):
        each.scaler.scale(each.net(torch.ones(2, 1, 8, 8)).sum()).backward()
        each.scaler.step(each.optimizer)
        each.scaler.update()
    assert state.scaler.get_scale() == other.scaler.get_scale() == 16


def test_what_is_not_finite_has_a_name():
    state = go_on(new_state(optimizer="adamw"))
    assert state.not_finite() is None
    state.optimizer.state_dict()["state"][0]["exp_avg_sq"][0] = torch.inf
    assert state.not_finite() == "optimizer:0:exp_avg_sq"
    state.mean.tensors["features.1.0.running_var"][0] = torch.nan
    assert state.not_finite() == "mean:features.1.0.running_var"
    with torch.no_grad():
        state.net.features[0].bias[0] = -torch.inf
    assert state.not_finite() == "features.0.bias"


def test_pictures_that_cannot_be_read_are_counted_by_the_epoch():
    state = new_state()
    counted = []
    for n, starts in ((1, True), (2, False), (0, False), (4, True), (0, True)):
        state.count_unreadable(n, starts_epoch=starts)
        counted.append(state.n_unreadable)
    assert counted == [1, 3, 3, 4, 0]


# Checkpoints


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def save(checkpoints, *steps):
    state = new_state(ema=None)
    for step in steps:
        state.step = step
        checkpoints.save(state)
    return state


def of(*steps):
    return sorted(f"step-{step:09}.{suffix}" for step in steps for suffix in ("json", "safetensors"))


def test_the_last_few_are_kept_and_the_best(tmp_path):
    checkpoints = Checkpoints(tmp_path, "key", keep=2)
    state = save(checkpoints, 5, 10)
    state.best_top1 = 0.5
    checkpoints.save_best(state)
    save(checkpoints, 15, 20)
    assert names(tmp_path) == ["best.json", "best.safetensors", *of(15, 20)]
    assert checkpoints.latest().facts["step"] == 20
    best = checkpoint.load(tmp_path, BEST, "key")
    assert best.facts == {"step": 10, "top1": 0.5}
    np.testing.assert_array_equal(best.arrays["features.0.weight"], state.result()["features.0.weight"].numpy())


def test_what_a_kill_left_half_written_goes(tmp_path):
    """Tensors without their JSON, and a file that had not got its name."""
    for name in ("step-000000003.safetensors", ".step-000000003.json.0123abcd.part", "step-x.json", "other.txt"):
        (tmp_path / name).touch()
    checkpoints = Checkpoints(tmp_path, "key", keep=1)
    assert checkpoints.latest() is None
    save(checkpoints, 5)
    assert names(tmp_path) == ["other.txt", *of(5), "step-x.json"]


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_a_damaged_one_is_passed_over(tmp_path, suffix):
    checkpoints = Checkpoints(tmp_path, "key", keep=3)
    save(checkpoints, 5, 10)
    path = tmp_path / f"step-000000010.{suffix}"
    path.write_bytes(path.read_bytes()[:-7])
    assert checkpoints.latest().facts["step"] == 5
    save(checkpoints, 7)
    assert names(tmp_path) == of(5, 7)  # the damaged one, which is later, is not kept in the place of a good one


def test_the_only_one_is_not_dropped_for_a_damaged_later_one(tmp_path):
    checkpoints = Checkpoints(tmp_path, "key", keep=1)
    save(checkpoints, 10)
    (tmp_path / "step-000000010.safetensors").write_bytes(b"")
    save(checkpoints, 7)
    assert checkpoints.latest().facts["step"] == 7


def test_another_runs_are_not_used(tmp_path):
    save(Checkpoints(tmp_path, "key", keep=1), 5)
    assert Checkpoints(tmp_path, "other", keep=1).latest() is None
    assert Checkpoints(tmp_path / "none", "key", keep=1).latest() is None


def test_a_full_disk(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, "key", keep=1)
    state = save(checkpoints, 5)
    checkpoints.save_best(state)
    size = (tmp_path / "step-000000005.safetensors").stat().st_size

    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(checkpoint, "write_atomically", full)
    message = r"the checkpoint step-000000010 cannot be written: No space left on device; ([\d,]+) bytes are needed$"
    with pytest.raises(RunFolderError, match=message) as raised:
        save(checkpoints, 10)
    assert f"{size:,} bytes" in str(raised.value)
    with pytest.raises(RunFolderError, match="the checkpoint best cannot be written"):
        checkpoints.save_best(state)
    monkeypatch.undo()
    assert checkpoints.latest().facts["step"] == 5
    assert checkpoint.load(tmp_path, BEST, "key").facts["step"] == 5  # the best before is still there


def test_one_that_cannot_be_removed_does_no_harm(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, "key", keep=1)
    save(checkpoints, 5)

    def refuse(self, missing_ok=False):
        raise PermissionError

    monkeypatch.setattr(type(tmp_path), "unlink", refuse)
    save(checkpoints, 10)
    monkeypatch.undo()
    assert checkpoints.latest().facts["step"] == 10
