"""The training loop: batches in, a state dict out. It resumes where its last checkpoint is, and stops when asked to.

A run that was killed and resumed gives, on the CPU, the very weights of one that was not: what is drawn depends on the step
alone (data/training.py), and a checkpoint has everything else.
"""

from __future__ import annotations

import math
import time
from collections import deque
from functools import partial

import torch
from torch import Tensor, nn

from compress.data.loader import Batch, Loader
from compress.errors import ImageError, TrainingInterrupted
from compress.models.memory_format import memory_format
from compress.recipe import Train
from compress.train.ema import RunningMean
from compress.train.first_not_finite import first_not_finite
from compress.train.guards import StuckAtChance, not_finite
from compress.train.interrupts import Interrupts
from compress.train.log import Log
from compress.train.schedule import crop_side, rate_factor
from compress.train.setting import Reporter, Setting
from compress.train.state import Checkpoints, State
from compress.train.step import gradients, inputs, make_optimizer, update

RATE_WINDOW = 20  # steps that images/s is the mean of


def n_steps_of(settings: Train, steps_per_epoch: int) -> int:
    """Optimizer steps of the whole run."""
    return settings.iterations or (settings.epochs or 0) * steps_per_epoch


def train(net: nn.Module, loader: Loader, setting: Setting, reporter: Reporter) -> dict[str, Tensor]:
    """Train a net, on its device, in place; returns the state dict that training is for (its running mean, with train.ema).

    Raises TrainingDiverged, TrainingInterrupted, RunFolderError, RankLost, and ImageError where too many pictures cannot be read.
    """
    settings, process, device = setting.train, setting.process, setting.device
    n_steps = n_steps_of(settings, loader.n_steps)
    mean = RunningMean(net, settings.ema) if settings.ema is not None else None
    scaler = torch.amp.GradScaler(device.type, enabled=setting.precision == torch.float16)
    state = State(net, make_optimizer(net, settings), mean, scaler, device)
    checkpoints = Checkpoints(setting.folder, setting.key, keep=settings.keep)
    torch.manual_seed(setting.seed * process.world + process.rank)  # dropout
    saved = process.from_first(checkpoints.latest() if process.is_first else None)
    if saved is not None:
        state.restore(saved, rng=process.is_first)
        reporter.line(f"goes on after step {state.step} of {n_steps}")
    net.train()
    layout = memory_format(net, torch.zeros(1, len(setting.convention.channels), setting.crop, setting.crop, device=device))
    net.to(memory_format=layout)  # type: ignore[call-overload]
    compiled: nn.Module = torch.compile(net) if settings.compile else net  # type: ignore[assignment]
    forward = process.parallel(compiled, device)
    stuck = StuckAtChance(setting.n_classes, n_steps, settings.warmup)
    clock = _Clock(state.seconds)
    with Interrupts() as interrupts, Log(setting.folder if process.is_first else None, tensorboard=setting.tensorboard) as log:
        while state.step < n_steps:
            epoch, first = divmod(state.step, loader.n_steps)
            side = partial(_side, setting, epoch * loader.n_steps, n_steps)
            for n_images, batches in loader.steps(epoch, first, side):
                rate = settings.learning_rate * rate_factor(settings, state.step, n_steps)
                sums = gradients(forward, batches, n_images, state.step, setting, layout, scaler)
                asked = torch.tensor([float(interrupts.asked)], device=device)
                loss_sum, n_right, n_seen, n_unreadable, stop = process.total(torch.cat([sums, asked])).tolist()
                loss = loss_sum / max(1.0, n_seen)
                if not math.isfinite(loss):
                    where = first_not_finite(net, net.state_dict(), inputs(batches[-1], setting, layout)[0])
                    raise not_finite(loss, state.step, n_steps, where)
                norm = update(state, settings, rate)
                state.count_unreadable(int(n_unreadable), starts_epoch=state.step % loader.n_steps == 1 % loader.n_steps)
                _check_readable(state, settings, loader, batches)
                setting.after_step(net, state.step)
                if mean is not None:
                    mean.update(net, state.step)
                stuck.look(state.step, loss)
                state.seconds, speed = clock.tick(n_images)
                accuracy = None if settings.mixup else n_right / max(1.0, n_seen)
                place = {"step": state.step, "epoch": round(state.step / loader.n_steps, 4)}
                log.write(
                    **place,
                    loss=loss,
                    accuracy=accuracy,
                    learning_rate=rate,
                    grad_norm=norm,
                    images_per_second=speed,
                    seconds=round(state.seconds, 3),
                )
                reporter.step(state.step, n_steps, loss, _note(accuracy, speed))
                is_last = state.step == n_steps
                epochs_done, rest = divmod(state.step, loader.n_steps)
                if process.is_first and (is_last or (rest == 0 and epochs_done % settings.evaluate_every == 0)):
                    text = f"epoch {place['epoch']:g}: loss {loss:.3f}, {speed or 0:.0f} images/s"
                    if found := _test(state, setting, checkpoints, reporter, text):
                        log.write(**place, **found)
                stops = bool(stop) or state.step == setting.stop_after
                if process.is_first and (stops or is_last or state.step % settings.checkpoint_every == 0):
                    checkpoints.save(state)
                if stops and not is_last:
                    raise TrainingInterrupted(
                        f"stopped after step {state.step} of {n_steps}; {setting.folder} has the checkpoint, and the same "
                        "command goes on from it"
                    )
                if is_last:
                    break
    net.eval()
    return state.result()


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


def _side(setting: Setting, first_of_epoch: int, n_steps: int, step: int) -> int:
    return crop_side(setting.train, setting.crop, first_of_epoch + step, n_steps)


def _check_readable(state: State, settings: Train, loader: Loader, batches: list[Batch]) -> None:
    if state.n_unreadable > settings.max_skipped * loader.n_images:
        found = [reason for batch in batches for reason in batch.skipped]
        last = f"; the last: {found[-1]}" if found else ""
        counted = f"{state.n_unreadable} of {loader.n_images} pictures cannot be read in this epoch"
        raise ImageError(f"data.train: {counted}, train.max_skipped allows {settings.max_skipped:.1%}{last}")


def _note(accuracy: float | None, speed: float | None) -> str:
    parts = [f"right {accuracy:.0%}"] if accuracy is not None else []
    return "  ".join([*parts, f"{speed:.0f} images/s"] if speed is not None else parts)


def _test(state: State, setting: Setting, checkpoints: Checkpoints, reporter: Reporter, text: str) -> dict[str, float]:
    """Measure what training would give now, for the log; other ranks wait at their next gradient."""
    if setting.test is None:
        reporter.line(text)
        return {}
    weights = {name: tensor.clone() for name, tensor in state.net.state_dict().items()}
    state.net.load_state_dict(state.result())
    found = setting.test(state.net.eval())
    state.net.load_state_dict(weights)
    state.net.train()
    if found.top1 > state.best_top1:
        state.best_top1 = found.top1
        checkpoints.save_best(state)
    unreadable = f"; {state.n_unreadable} pictures could not be read" if state.n_unreadable else ""
    reporter.line(f"{text}; data.test: loss {found.loss:.3f}, top-1 {100 * found.top1:.1f}%{unreadable}")
    return {"test_loss": found.loss, "test_top1": found.top1, "test_top5": found.top5}
