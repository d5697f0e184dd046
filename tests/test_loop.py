import contextlib
import errno
import json
import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_training import CONVENTION, Told, assert_same, batch, digit_set, new_net, noise_set, run, setting
from torch import nn

from compress import checkpoint
from compress.data import digits
from compress.data.preprocess import normalise
from compress.errors import ImageError, RunFolderError, TrainingDiverged, TrainingInterrupted
from compress.models.normalised import folded
from compress.models.squeezenet import SqueezeNet
from compress.prune.dsd import DenseSparseDense
from compress.prune.gradual import GradualPruning
from compress.prune.magnitude import n_kept
from compress.recipe import Dsd, Sparse, Train
from compress.train import guards
from compress.train import setting as training_setting
from compress.train.loop import n_steps_of, train
from compress.train.state import Checkpoints

# 50 images, batches of 16: four steps an epoch, the last of two images. Three epochs are 12 steps.
SHORT = {"epochs": 3, "batch_size": 16, "learning_rate": 0.02, "checkpoint_every": 3}


def log_lines(folder, *, of="loss"):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if of in line]


def stopped(folder, settings, *steps, net, last=None, **changes):
    """A run that is stopped at these steps, and goes on to its end, each time with a new net of other weights. net: of a seed."""
    for seed, step in enumerate(steps):
        with pytest.raises(TrainingInterrupted, match=rf"^stopped after step {step} of "):
            run(folder, settings, net=net(seed), stop_after=step, **changes)
    return run(folder, settings, net=last or net(99), **changes)


# Learning


def test_digits_are_learned_from_scratch(tmp_path):
    settings = Train(epochs=6, batch_size=32, learning_rate=0.03, batchnorm=True, ema=0.9)
    net, told = new_net(batchnorm=True), Told()
    net.load_state_dict(run(tmp_path, settings, net=net, images=digit_set(630), told=told))
    assert not net.training
    assert [step[:2] for step in told.steps] == [(i, 120) for i in range(1, 121)]
    plain = SqueezeNet(net.spec).eval()
    plain.load_state_dict(folded(net))
    pixels, labels = digits.held_out_images()
    with torch.no_grad():
        assert (plain(normalise(pixels, CONVENTION)).argmax(1) == labels).double().mean() > 0.9


def test_the_seed_decides(tmp_path):
    settings = Train(**SHORT, mixup=0.2)
    first, again, other = (
        run(tmp_path / name, settings, net=new_net(dropout=0.5), seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert_same(first, again)
    assert not torch.equal(first["features.0.weight"], other["features.0.weight"])


def test_every_image_is_seen_once_an_epoch(tmp_path):
    seen = []
    net = new_net()
    net.register_forward_pre_hook(lambda module, given: seen.append(given[0].clone()) if module.training else None)
    run(tmp_path, Train(**SHORT), net=net)
    assert [len(x) for x in seen] == [16, 16, 16, 2] * 3
    expected = sorted(normalise(torch.from_numpy(digit_set(50).fixed), CONVENTION).flatten(1).tolist())
    for epoch in range(3):
        assert sorted(torch.cat(seen[4 * epoch : 4 * epoch + 4]).flatten(1).tolist()) == expected


@pytest.mark.parametrize("iterations", [1, 3, 4, 6])
def test_iterations_may_end_within_an_epoch(tmp_path, iterations):
    told = Told()
    run(tmp_path, Train(iterations=iterations, batch_size=16), told=told)
    assert [line["step"] for line in log_lines(tmp_path)] == list(range(1, iterations + 1))
    assert told.lines[-1].startswith(f"epoch {iterations / 4:g}: loss ")
    assert n_steps_of(Train(iterations=iterations), 4) == iterations and n_steps_of(Train(epochs=2), 4) == 8


def test_epochs_of_one_step(tmp_path):
    settings = Train(epochs=3, batch_size=50, learning_rate=0.01, checkpoint_every=1)
    whole = run(tmp_path / "whole", settings)
    assert [line["epoch"] for line in log_lines(tmp_path / "whole")] == [1, 2, 3]
    assert_same(whole, stopped(tmp_path / "parts", settings, 1, 2, net=lambda seed: new_net(seed=seed)))


def test_micro_batches_are_the_batch(tmp_path):
    whole, parts = (
        run(tmp_path / str(n), Train(iterations=4, batch_size=16, micro_batch=n, optimizer="sgd", learning_rate=0.05, clip=0.5))
        for n in (16, 5)
    )
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, rtol=1e-6, atol=1e-6)


def test_crops_grow_with_the_steps(tmp_path):
    sides = []

    class Steps:
        n_steps, n_images = 4, 8

        def steps(self, epoch, first, side):
            for step in range(first, self.n_steps):
                sides.append((epoch, step, side(step)))
                yield 2, [batch([1, 2])]

    settings = Train(iterations=10, first_crop=128, learning_rate=1e-4)
    with pytest.raises(TrainingInterrupted):
        train(new_net(), Steps(), setting(tmp_path, settings, crop=160, stop_after=6), Told())
    train(new_net(), Steps(), setting(tmp_path, settings, crop=160), Told())
    assert [divmod(step, 4) for step in range(10)] == [each[:2] for each in sides]
    assert [each[2] for each in sides] == [128, 128, 144, 144, 144, 144, 160, 160, 160, 160]


def test_a_batchnorm_learns_from_the_images_alone(tmp_path):
    """What finds out how images are to lie in memory runs the net on zeros, once every start."""
    settings = Train(**SHORT, batchnorm=True)
    net = new_net(batchnorm=True)
    net.features[1][0].momentum = None  # the plain mean of all batches
    means = []
    net.features[0].register_forward_hook(lambda m, i, y: means.append(y.mean((0, 2, 3)).detach()) if net.training else None)
    state = run(tmp_path, settings, net=net)
    assert state["features.1.0.num_batches_tracked"].item() == 12
    torch.testing.assert_close(state["features.1.0.running_mean"], torch.stack(means).mean(0), rtol=1e-4, atol=1e-5)


def test_torch_compile_is_used_for_training(tmp_path, monkeypatch):
    calls = []

    class Compiled(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            calls.append(self.net.training)
            return self.net(x)

    monkeypatch.setattr(torch, "compile", Compiled)
    plain, compiled = (run(tmp_path / str(on), Train(**SHORT, compile=on)) for on in (False, True))
    assert_same(plain, compiled)
    assert calls == [True] * 12


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_on_the_cpu(tmp_path, precision):
    settings = Train(epochs=10, batch_size=16, learning_rate=0.02, batchnorm=True, precision=precision)
    state = run(tmp_path / "whole", settings)
    assert {tensor.dtype for tensor in state.values()} == {torch.float32, torch.int64}
    losses = [line["loss"] for line in log_lines(tmp_path / "whole")]
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])
    resumed = stopped(tmp_path / "parts", settings, 5, 13, net=lambda seed: new_net(batchnorm=True, seed=seed))
    assert_same(state, resumed)


def test_a_float16_gradient_that_overflows_changes_nothing_but_the_scale(tmp_path):
    """The scale begins at 65536, which is too much for this net's first steps."""
    net = new_net()
    with torch.no_grad():
        net.classifier[1].weight.mul_(1000)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(TrainingInterrupted):
        run(tmp_path, Train(**SHORT, precision="fp16", clip=1.0), net=net, stop_after=1)
    assert_same(before, dict(net.state_dict()))
    assert log_lines(tmp_path)[0]["grad_norm"] is None
    assert checkpoint.load(tmp_path, "step-000000001", "key").facts["scaler"]["scale"] == 2.0**15


# Going on after a stop

EVERYTHING = {"ema": 0.9, "mixup": 0.2, "label_smoothing": 0.1, "weight_decay": 1e-3, "batchnorm": True, "clip": 1.0}
RESUMED = {
    "sgd": {"optimizer": "sgd", "momentum": 0.9, **EVERYTHING},
    "nesterov, micro-batches": {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "micro_batch": 5, "ema": 0.9},
    "adamw": {"optimizer": "adamw", "schedule": "cosine", "warmup": 0.2, **EVERYTHING},
}


def dropping_net(settings):
    return lambda seed: new_net(batchnorm=settings.batchnorm, dropout=0.5, seed=seed)


@pytest.mark.parametrize("steps", [(5,), (1, 4, 6, 11)])
@pytest.mark.parametrize("fields", RESUMED.values(), ids=RESUMED)
def test_a_run_that_was_stopped_ends_with_the_same_weights(tmp_path, fields, steps):
    settings = Train(**SHORT, **fields)
    net = dropping_net(settings)
    first, last = net(0), net(99)
    whole = run(tmp_path / "whole", settings, net=first)
    assert_same(whole, stopped(tmp_path / "parts", settings, *steps, net=net, last=last))
    assert_same(dict(first.state_dict()), dict(last.state_dict()))  # the net itself too, beside its mean
    facts = ("step", "epoch", "loss", "accuracy", "learning_rate", "grad_norm")
    told = [[{name: line[name] for name in facts} for line in log_lines(tmp_path / name)] for name in ("whole", "parts")]
    assert told[0] == told[1]


def test_a_truncated_checkpoint_is_passed_over(tmp_path):
    settings = Train(**SHORT, **RESUMED["adamw"])
    net = dropping_net(settings)
    whole = run(tmp_path / "whole", settings, net=net(0))
    with pytest.raises(TrainingInterrupted):
        run(tmp_path / "parts", settings, net=net(0), stop_after=8)
    newest = tmp_path / "parts" / "step-000000008.safetensors"
    newest.write_bytes(newest.read_bytes()[:1000])
    told = Told()
    assert_same(whole, run(tmp_path / "parts", settings, net=net(1), told=told))
    assert told.lines[0] == "goes on after step 6 of 12"


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path):
    """Not from where it was killed; its log has the steps between twice, and a cut line no more."""
    settings = Train(**SHORT, ema=0.9)
    whole = run(tmp_path / "whole", settings)

    class Killed(Told):
        def step(self, step, n_steps, loss, note):
            if step == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", settings, told=Killed())
    with (tmp_path / "parts" / "log.jsonl").open("a") as file:
        file.write('{"step": 6, "epo')
    assert_same(whole, run(tmp_path / "parts", settings, net=new_net(seed=1)))
    assert [line["step"] for line in log_lines(tmp_path / "parts")] == [1, 2, 3, 4, 5, *range(4, 13)]


def test_a_finished_run_is_not_trained_again(tmp_path):
    whole, told = run(tmp_path, Train(**SHORT)), Told()
    again = new_net(seed=1)
    assert_same(whole, run(tmp_path, Train(**SHORT), net=again, told=told))
    assert told.steps == [] and told.lines == ["goes on after step 12 of 12"] and not again.training


def test_another_key_starts_over(tmp_path):
    with pytest.raises(TrainingInterrupted):
        run(tmp_path, Train(**SHORT), stop_after=4)
    told = Told()
    run(tmp_path, Train(**SHORT), key="other", told=told)
    assert told.steps[0][0] == 1


def test_gradients_that_a_net_has_already_do_not_count(tmp_path):
    net = new_net()
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    assert_same(run(tmp_path / "a", Train(**SHORT)), run(tmp_path / "b", Train(**SHORT), net=net))


def test_the_last_checkpoints_are_kept(tmp_path):
    run(tmp_path, Train(**SHORT, keep=2))
    assert sorted(path.stem for path in tmp_path.glob("step-*.json")) == ["step-000000009", "step-000000012"]
    assert len(list(tmp_path.iterdir())) == 5  # and the log


# Signals


class Signals(Told):
    """Sends itself a signal at a step."""

    def __init__(self, number, at):
        super().__init__()
        self.number, self.at = number, at

    def step(self, step, n_steps, loss, note):
        super().step(step, n_steps, loss, note)
        if step == self.at:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [5, 12])
def test_a_signal_stops_the_run_with_a_checkpoint_at_that_step(tmp_path, number, at):
    """At the last step too: whoever asked does not want the stages after training."""
    settings, told = Train(**SHORT), Signals(number, at)
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(TrainingInterrupted) as raised:
        run(tmp_path / "parts", settings, told=told)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    assert raised.value.exit_code == 130
    assert str(raised.value).startswith(f"stopped after step {at} of 12; {tmp_path / 'parts'} has the checkpoint")
    assert told.steps[-1][0] == at
    assert Checkpoints(tmp_path / "parts", "key", keep=2).latest().facts["step"] == at
    assert_same(run(tmp_path / "whole", settings), run(tmp_path / "parts", settings, net=new_net(seed=1)))


def test_a_signal_while_gradients_are_computed(tmp_path):
    net, calls = new_net(), []

    def send(module, given):
        calls.append(module.training)
        if sum(calls) == 3 and module.training:
            os.kill(os.getpid(), signal.SIGINT)

    net.register_forward_pre_hook(send)
    with pytest.raises(TrainingInterrupted, match=r"^stopped after step 3 of 12"):
        run(tmp_path, Train(**SHORT), net=net)


# Runs that come to nothing


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("batchnorm", [False, True])
def test_a_learning_rate_of_a_million(tmp_path, optimizer, batchnorm):
    settings = Train(
        iterations=60, batch_size=16, learning_rate=1e6, optimizer=optimizer, batchnorm=batchnorm, checkpoint_every=1, ema=0.9
    )
    with pytest.raises(TrainingDiverged) as raised:
        run(tmp_path, settings)
    message = str(raised.value)
    assert message.startswith("train: the loss is ") and " of 60" in message
    assert message.endswith("; lower train.learning_rate, give it a warmup, or set clip: 1")
    saved = Checkpoints(tmp_path, "key", keep=2).latest()
    assert saved.facts["step"] == len(log_lines(tmp_path)) > 0
    assert all(np.isfinite(array).all() for array in saved.arrays.values())


class Bent(SqueezeNet):
    """What is trained on is finite, but not its gradient: the root of a bias of 0."""

    def forward(self, x):
        return super().forward(x) + self.features[0].bias.abs().sqrt().sum()


def test_a_gradient_that_is_not_finite_changes_no_weight(tmp_path):
    net = Bent(new_net().spec)
    net.load_state_dict(new_net().state_dict())
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    message = r"^train: the gradient is not finite at step 1 of 12, first in the gradient of features.0.bias; lower "
    with pytest.raises(TrainingDiverged, match=message):
        run(tmp_path, Train(**SHORT, clip=1.0, micro_batch=4), net=net)
    assert_same(before, dict(net.state_dict()))


def test_one_image_of_a_batch_is_enough(tmp_path):
    """In the accumulation of micro-batches, before any weight is changed."""
    net, calls = new_net(), []

    def spoil(module, given, output):
        calls.append(module.training)
        return output * torch.inf if sum(calls) == 7 and module.training else None  # the third micro-batch of the second step

    net.features[1].register_forward_hook(spoil)
    saved = {}
    message = r"^train: the loss is nan at step 2 of 12; lower"
    with pytest.raises(TrainingDiverged, match=message):
        run(
            tmp_path,
            Train(**SHORT, micro_batch=4),
            net=net,
            after_step=lambda net, step: saved.update({name: each.clone() for name, each in net.state_dict().items()}),
        )
    assert_same(saved, dict(net.state_dict()))


@pytest.mark.parametrize("at", [6, 12])
def test_weights_that_are_not_finite_are_never_saved(tmp_path, at):
    """By whatever they came: here by after_step, at a checkpoint, and at the end of training."""

    def spoil(net, step):
        if step == at:
            with torch.no_grad():
                net.features[0].weight[0] = torch.nan

    message = rf"^train: the weights are not finite at step {at} of 12, first in features.0.weight; "
    with pytest.raises(TrainingDiverged, match=message):
        run(tmp_path, Train(**SHORT), after_step=spoil)
    assert Checkpoints(tmp_path, "key", keep=2).latest().facts["step"] == at - 3


@pytest.mark.parametrize("batchnorm", [False, True])
def test_a_net_that_cannot_learn_is_told_so(tmp_path, monkeypatch, batchnorm):
    """Images of one grey, labels of all classes in turn. Not before the window, which is shortened here."""
    monkeypatch.setattr(guards, "LEAST_STEPS", 30)
    monkeypatch.setattr(guards, "WINDOW", 10)
    settings = Train(iterations=60, batch_size=40, learning_rate=1e-3, batchnorm=batchnorm)
    with pytest.raises(TrainingDiverged, match=r"^train: after 30 steps the loss is 2\.\d+, guessing gives 2.303: "):
        run(tmp_path, settings, images=noise_set(40))
    assert len(log_lines(tmp_path)) == 29


@pytest.mark.parametrize(("max_skipped", "stops"), [(0.1, False), (0.06, True)])
def test_pictures_that_cannot_be_read(tmp_path, max_skipped, stops):
    """Two in each of two epochs of 25 pictures."""

    class Steps:
        n_steps, n_images = 3, 25

        def steps(self, epoch, first, side):
            for step in range(first, 3):
                bad = batch([1, 2], weights=[1.0, 0.0], skipped=(f"{epoch}-{step}.png: broken",))
                yield 2, [bad if step else batch([1, 2])]

    settings = Train(epochs=2, max_skipped=max_skipped, checkpoint_every=1)
    net, changed = new_net(), []
    with pytest.raises(ImageError) if stops else contextlib.nullcontext() as raised:
        with pytest.raises(TrainingInterrupted):
            train(net, Steps(), setting(tmp_path, settings, stop_after=2), Told())
        net = new_net(seed=1)
        train(net, Steps(), setting(tmp_path, settings, after_step=lambda net, step: changed.append(step)), Told())
    if stops:
        assert str(raised.value) == (
            "data.train: 2 of 25 pictures cannot be read in this epoch, train.max_skipped allows 6.0%; the last: 0-2.png: broken"
        )
        assert changed == [2]  # the restored net, and no step after it


# Dense, sparse, dense


def with_dsd(**changes):
    """Settings with a sparse phase of steps 5 to 8, and what makes its masks, anew for each start. A step moves a weight by as
    much as it is large: after one, a mask could not be told from the weights any more."""
    dsd = Dsd(density=0.3, start=1 / 3, end=2 / 3)
    settings = Train(**SHORT | {"learning_rate": 0.3}, ema=0.9, dsd=dsd, batchnorm=True, **changes)
    return settings, lambda: {"after_step": DenseSparseDense(settings.dsd, 12).apply}


def n_zeros(arrays):
    return {name: int((array == 0).sum()) for name, array in arrays.items() if array.ndim == 4 and not name.startswith("opt")}


def is_dense(arrays):
    """But for some weights of dead outputs, which have no gradient."""
    n_weights = sum(array.size for name, array in arrays.items() if array.ndim == 4 and not name.startswith("opt"))
    return sum(n_zeros(arrays).values()) < 0.1 * n_weights


@pytest.mark.parametrize(("optimizer", "at"), [("sgd", 4), ("adamw", 5), ("sgd", 6), ("adamw", 6), ("sgd", 8), ("adamw", 9)])
def test_dense_sparse_dense(tmp_path, optimizer, at):
    settings, masks = with_dsd(optimizer=optimizer)
    whole = run(tmp_path / "whole", settings, **masks())
    sizes = {name: tensor.numel() for name, tensor in whole.items() if tensor.ndim == 4}
    sparse = {f"{part}:{name}": n - n_kept(0.3, n) for name, n in sizes.items() for part in ("model", "mean")}
    with pytest.raises(TrainingInterrupted):
        run(tmp_path / "parts", settings, stop_after=at, **masks())
    saved = checkpoint.load(tmp_path / "parts", f"step-{at:09}", "key")
    assert n_zeros(saved.arrays) == sparse if 5 <= at <= 8 else is_dense(saved.arrays)
    if at < 8:
        with pytest.raises(TrainingInterrupted):
            run(tmp_path / "parts", settings, net=new_net(batchnorm=True, seed=1), stop_after=at + 1, **masks())
        again = checkpoint.load(tmp_path / "parts", f"step-{at + 1:09}", "key")
        assert n_zeros(again.arrays) == sparse
        if at > 4:
            assert all(np.array_equal(again.arrays[name] == 0, saved.arrays[name] == 0) for name in sparse)
    assert_same(whole, run(tmp_path / "parts", settings, net=new_net(batchnorm=True, seed=2), **masks()))
    assert is_dense({name: tensor.numpy() for name, tensor in whole.items()})


@pytest.mark.parametrize("at", [1, 17, 20])
def test_a_net_that_is_pruned_as_it_trains_goes_on_bit_for_bit(tmp_path, at):
    settings = Train(**SHORT | {"epochs": 8}, ema=0.9, sparse=Sparse(density=0.2, start=0.0, end=0.75), batchnorm=True)

    def masks(net):
        return {"net": net, "after_step": GradualPruning(settings.sparse, net, 24).apply}

    whole = run(tmp_path / "whole", settings, **masks(new_net(batchnorm=True)))
    with pytest.raises(TrainingInterrupted):
        run(tmp_path / "parts", settings, stop_after=at, **masks(new_net(batchnorm=True)))
    assert_same(whole, run(tmp_path / "parts", settings, **masks(new_net(batchnorm=True, seed=2))))
    assert n_zeros({name: tensor.numpy() for name, tensor in whole.items()}) == {
        name: tensor.numel() - n_kept(0.2, tensor.numel()) for name, tensor in whole.items() if tensor.ndim == 4
    }


# The test set


class Measure:
    """Gives these shares of images that are right, one after the other, and keeps the weights that it was given."""

    def __init__(self, *top1):
        self.top1, self.states, self.modes = list(top1), [], set()

    def __call__(self, net):
        self.states.append({name: tensor.clone() for name, tensor in net.state_dict().items()})
        self.modes.add(net.training)
        torch.rand(3)  # draws what it likes
        return training_setting.Tested(loss=1.5, top1=self.top1[len(self.states) - 1], top5=0.75)


def test_what_is_measured_is_the_running_mean_and_changes_nothing(tmp_path):
    settings, test, told = Train(**SHORT, ema=0.9, batchnorm=True), Measure(0.25, 0.5, 0.375), Told()
    net = lambda: new_net(batchnorm=True, dropout=0.5)  # noqa: E731
    measured = run(tmp_path / "a", settings, net=net(), test=test, told=told)
    assert_same(run(tmp_path / "b", settings, net=net()), measured)
    assert len(test.states) == 3 and test.modes == {False}
    assert_same(test.states[-1], measured)
    best = checkpoint.load(tmp_path / "a", "best", "key")
    assert best.facts == {"step": 8, "top1": 0.5}
    assert all(np.array_equal(best.arrays[name], tensor.numpy()) for name, tensor in test.states[1].items())
    assert told.lines[1].startswith("epoch 2: loss ") and told.lines[1].endswith("; data.test: loss 1.500, top-1 50.0%")


def test_without_a_running_mean_the_net_itself_is_measured(tmp_path):
    test = Measure(0.5, 0.5, 0.5)
    plain = run(tmp_path / "b", Train(**SHORT), net=new_net(dropout=0.5))
    measured = run(tmp_path / "a", Train(**SHORT), net=new_net(dropout=0.5), test=test)
    assert_same(plain, measured)
    assert_same(test.states[-1], measured)
    assert checkpoint.load(tmp_path / "a", "best", "key").facts["step"] == 4  # of equals the first


def test_the_best_is_known_after_a_stop(tmp_path):
    with pytest.raises(TrainingInterrupted):
        run(tmp_path, Train(**SHORT), test=Measure(0.5), stop_after=4)
    run(tmp_path, Train(**SHORT), test=Measure(0.25, 0.375))
    assert checkpoint.load(tmp_path, "best", "key").facts == {"step": 4, "top1": 0.5}


@pytest.mark.parametrize(("fields", "steps"), [({"epochs": 5, "evaluate_every": 2}, [8, 16, 20]), ({"iterations": 6}, [4, 6])])
def test_when_it_is_measured(tmp_path, fields, steps):
    run(tmp_path, Train(batch_size=16, **fields), test=Measure(0.1, 0.2, 0.3))
    assert [line["step"] for line in log_lines(tmp_path, of="test_loss")] == steps


# The log


def test_log_lines(tmp_path):
    told = Told()
    run(tmp_path, Train(**SHORT), test=Measure(0.1, 0.2, 0.3), told=told)
    steps, tests = log_lines(tmp_path), log_lines(tmp_path, of="test_loss")
    fields = ["step", "epoch", "loss", "accuracy", "learning_rate", "grad_norm", "images_per_second", "seconds"]
    assert [list(line) for line in steps] == [fields] * 12
    assert [line["step"] for line in steps] == list(range(1, 13))
    assert [line["epoch"] for line in steps] == [step / 4 for step in range(1, 13)]
    assert [line["learning_rate"] for line in steps] == pytest.approx([0.02 * (1 - step / 12) for step in range(12)])
    assert [line["loss"] for line in steps] == [step[2] for step in told.steps]
    assert all(line["grad_norm"] > 0 and 0 <= line["accuracy"] <= 1 for line in steps)
    assert steps[0]["images_per_second"] is None and all(line["images_per_second"] > 0 for line in steps[1:])
    assert [line["seconds"] for line in steps] == sorted(line["seconds"] for line in steps)
    assert tests[1] == {"step": 8, "epoch": 2.0, "test_loss": 1.5, "test_top1": 0.2, "test_top5": 0.75}
    assert told.steps[0][3].startswith("right ") and told.steps[1][3].endswith(" images/s")


def test_mixed_images_have_no_accuracy_and_seconds_go_on(tmp_path):
    settings = Train(**SHORT, mixup=0.2)
    with pytest.raises(TrainingInterrupted):
        run(tmp_path, settings, stop_after=5)
    before = log_lines(tmp_path)[-1]["seconds"]
    run(tmp_path, settings)
    lines = log_lines(tmp_path)
    assert {line["accuracy"] for line in lines} == {None}
    assert lines[5]["seconds"] > before and lines[5]["images_per_second"] is None


# A disk that is full


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    real = checkpoint.write_atomically

    def full(path, data):
        if "000000006" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, data)

    settings = Train(**SHORT, keep=1)
    monkeypatch.setattr(checkpoint, "write_atomically", full)
    with pytest.raises(
        RunFolderError, match=r"step-000000006 cannot be written: No space left on device; [\d,]+ bytes are needed"
    ):
        run(tmp_path / "parts", settings)
    monkeypatch.undo()
    told = Told()
    assert_same(run(tmp_path / "whole", settings), run(tmp_path / "parts", settings, net=new_net(seed=1), told=told))
    assert told.lines[0] == "goes on after step 3 of 12"


# Several processes: what one of them does, with the sums of all made up


def test_another_rank_writes_nothing_and_stops_when_the_first_is_asked(tmp_path):
    class Second(SimpleNamespace):
        rank, world, is_first = 1, 2, False
        calls = 0

        def parallel(self, net, device):
            return net

        def from_first(self, value):
            assert value is None
            return value

        def total(self, values):
            self.calls += 1
            values[-1] += self.calls == 3
            return values

    settings = Train(**SHORT)
    with pytest.raises(TrainingInterrupted, match=r"^stopped after step 3 "):
        run(tmp_path, settings, process=Second(), test=Measure())
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_already_where_it_should_stop_does_no_step(tmp_path):
    settings = Train(**SHORT)
    for _ in range(2):
        with pytest.raises(TrainingInterrupted, match=r"^stopped after step 5 of 12"):
            run(tmp_path, settings, net=new_net(), stop_after=5)
    assert [line["step"] for line in log_lines(tmp_path)] == [1, 2, 3, 4, 5]
