"""The training loop: batches in, a state dict out. It resumes where its last checkpoint is, and stops when asked to.

A run that was killed and resumed gives, on the CPU, the very weights of one that was not: what is drawn depends on the step
alone (data/training.py, train/step.py), and a checkpoint has everything else.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import islice

import torch
from torch import Tensor, nn

from compress.data.loader import Batch, Loader
from compress.errors import ImageError, TrainingInterrupted
from compress.models.memory_format import memory_format
from compress.recipe import Train
from compress.train.ema import RunningMean
from compress.train.guards import StuckAtChance, diverged, is_hopeless
from compress.train.interrupts import Interrupts
from compress.train.log import Log
from compress.train.schedule import crop_side, rate_factor
from compress.train.setting import Reporter, Setting
from compress.train.state import Checkpoints, State
from compress.train.step import Sums, clipped_norm, gradients, is_left_out, make_optimizer, update, where_not_finite

RATE_WINDOW = 20  # steps that images/s is the mean of


def n_steps_of(settings: Train, steps_per_epoch: int) -> int:
    """Optimizer steps of the whole run."""
    return settings.iterations or (settings.epochs or 0) * steps_per_epoch


def train(net: nn.Module, loader: Loader, setting: Setting, reporter: Reporter) -> dict[str, Tensor]:
    """Train a net, on its device, in place; returns the state dict that training is for (its running mean, with train.ema).

    Raises TrainingDiverged, TrainingInterrupted, RunFolderError, RankLost, and ImageError where too many pictures cannot be read.
    """
    settings, process = setting.train, setting.process
    n_steps = n_steps_of(settings, loader.n_steps)
    layout = _laid_out(net, setting)
    state = _first_state(net, setting)
    checkpoints = Checkpoints(setting.folder, setting.key, keep=settings.keep)
    saved = process.from_first(checkpoints.latest() if process.is_first else None)
    if saved is not None:
        state.restore(saved)
        setting.after_step(net, state.step)  # changes nothing, but masks are read off the weights while these are at rest
        reporter.line(f"goes on after step {state.step} of {n_steps}")
    if setting.stop_after is not None and setting.stop_after <= state.step < n_steps:
        raise _stopped(state, setting, n_steps)
    forward = process.parallel(_compiled(net, settings), setting.device)
    stuck = StuckAtChance(n_steps, settings.warmup)
    clock = _Clock(state.seconds)
    folder = setting.folder if process.is_first else None
    with Interrupts() as interrupts, Log(folder, tensorboard=setting.tensorboard, done=state.step) as log:
        for n_images, batches in _steps(loader, setting, state.step, n_steps):
            fail = partial(diverged, step=state.step + 1, n_steps=n_steps)  # what is wrong, where -> an exception
            rate = settings.learning_rate * rate_factor(settings, state.step, n_steps)
            sums = gradients(forward, batches, n_images, state.step, setting, layout, state.scaler)
            asked = torch.tensor([float(interrupts.asked)], device=setting.device)
            found = Sums(*process.total(torch.cat([sums, asked])).tolist())
            if is_hopeless(found.loss, found.guessing):
                raise fail(f"the loss is {found.loss:g}", where=where_not_finite(net, batches, setting, layout))
            state.count_unreadable(int(found.n_unreadable), starts_epoch=state.step % loader.n_steps == 0)
            _check_readable(state, settings, loader, batches)
            norm = clipped_norm(state, settings)
            if not math.isfinite(norm) and not is_left_out(state.scaler, norm):
                raise fail("the gradient is not finite", where=_gradient_not_finite(net))
            update(state, rate)
            setting.after_step(net, state.step)
            if state.mean is not None:
                state.mean.update(net, state.step)
                setting.after_step(state.mean.net, state.step)
            stuck.look(state.step, found.loss, found.guessing)

            state.seconds, speed = clock.tick(n_images)
            accuracy = None if settings.mixup else found.accuracy
            place = {"step": state.step, "epoch": round(state.step / loader.n_steps, 4)}
            log.write(
                **place,
                loss=found.loss,
                accuracy=accuracy,
                learning_rate=rate,
                grad_norm=norm,
                images_per_second=speed,
                seconds=round(state.seconds, 3),
            )
            reporter.step(state.step, n_steps, found.loss, _note(accuracy, speed))
            is_last = state.step == n_steps
            epochs_done, rest = divmod(state.step, loader.n_steps)
            if process.is_first and (is_last or (rest == 0 and epochs_done % settings.evaluate_every == 0)):
                text = f"epoch {place['epoch']:g}: loss {found.loss:.3f}, {speed or 0:.0f} images/s"
                if tested := _test(state, setting, checkpoints, reporter, text):
                    log.write(**place, **tested)

            asked_since = process.world == 1 and interrupts.asked  # several processes must all know, so that is their next step's
            stops = found.n_asked > 0 or asked_since or (state.step == setting.stop_after and not is_last)
            if stops or is_last or state.step % settings.checkpoint_every == 0:
                if where := state.not_finite():
                    raise fail("the weights are not finite", step=state.step, where=where)
                if process.is_first:
                    checkpoints.save(state)
            if stops:
                raise _stopped(state, setting, n_steps)
    net.eval()
    return state.result()


def _stopped(state: State, setting: Setting, n_steps: int) -> TrainingInterrupted:
    """What a signal or stop_after ends a run with."""
    return TrainingInterrupted(
        f"stopped after step {state.step} of {n_steps}; {setting.folder} has the checkpoint, and the same command goes on from it"
    )


def _laid_out(net: nn.Module, setting: Setting) -> torch.memory_format:
    """How the images are to lie in memory, and the net does from here on; the net is then in train mode, without gradients."""
    x = torch.zeros(1, len(setting.convention.channels), setting.crop, setting.crop, device=setting.device)
    layout = memory_format(net.eval(), x)  # eval mode: no BatchNorm learns from these zeros
    net.to(memory_format=layout)  # type: ignore[call-overload]
    net.train().zero_grad(set_to_none=True)
    return layout


def _first_state(net: nn.Module, setting: Setting) -> State:
    settings, device = setting.train, setting.device
    mean = RunningMean(net, settings.ema) if settings.ema is not None else None
    scaler = torch.amp.GradScaler(device.type, enabled=setting.precision == torch.float16)
    return State(net, make_optimizer(net, settings), mean, scaler, device)


def _compiled(net: nn.Module, settings: Train) -> nn.Module:
    return torch.compile(net) if settings.compile else net  # type: ignore[return-value]


def _steps(loader: Loader, setting: Setting, done: int, n_steps: int) -> Iterator[tuple[int, list[Batch]]]:
    """The steps that are left, epoch after epoch: see Loader.steps."""
    while done < n_steps:
        epoch, first = divmod(done, loader.n_steps)
        side = partial(_side, setting, epoch * loader.n_steps, n_steps)
        for step in islice(loader.steps(epoch, first, side), n_steps - done):
            yield step
            done += 1


def _side(setting: Setting, first_of_epoch: int, n_steps: int, step: int) -> int:
    return crop_side(setting.train, setting.crop, first_of_epoch + step, n_steps)


class _Clock:
    """seconds: of training before this start."""

    def __init__(self, seconds: float) -> None:
        self._start = time.perf_counter() - seconds
        self._recent: deque[tuple[float, int]] = deque(maxlen=RATE_WINDOW + 1)

    def tick(self, n_images: int) -> tuple[float, float | None]:
        """After a step: seconds of training so far, and images a second of late; None for the first step."""
        now = time.perf_counter()
        self._recent.append((now, n_images))
        taken = now - self._recent[0][0]
        n_recent = sum(n for _, n in self._recent) - self._recent[0][1]
        return now - self._start, round(n_recent / taken, 2) if taken else None


def _check_readable(state: State, settings: Train, loader: Loader, batches: list[Batch]) -> None:
    if state.n_unreadable > settings.max_skipped * loader.n_images:
        found = [reason for batch in batches for reason in batch.skipped]
        last = f"; the last: {found[-1]}" if found else ""
        counted = f"{state.n_unreadable} of {loader.n_images} pictures cannot be read in this epoch"
        raise ImageError(f"data.train: {counted}, train.max_skipped allows {settings.max_skipped:.1%}{last}")


def _gradient_not_finite(net: nn.Module) -> str | None:
    names = (name for name, each in net.named_parameters() if each.grad is not None and not each.grad.isfinite().all())
    return next((f"the gradient of {name}" for name in names), None)


def _note(accuracy: float | None, speed: float | None) -> str:
    parts = [f"right {accuracy:.0%}"] if accuracy is not None else []
    return "  ".join([*parts, f"{speed:.0f} images/s"] if speed is not None else parts)


def _test(state: State, setting: Setting, checkpoints: Checkpoints, reporter: Reporter, text: str) -> dict[str, float]:
    """Measure what training would give now, for the log; other ranks wait at their next gradient."""
    if setting.test is None:
        reporter.line(text)
        return {}
    found = setting.test(state.best_net.eval())
    state.net.train()
    if found.top1 > state.best_top1:
        state.best_top1 = found.top1
        checkpoints.save_best(state)
    unreadable = f"; {state.n_unreadable} pictures could not be read" if state.n_unreadable else ""
    reporter.line(f"{text}; data.test: loss {found.loss:.3f}, top-1 {100 * found.top1:.1f}%{unreadable}")
    return {"test_loss": found.loss, "test_top1": found.top1, "test_top5": found.top5}
