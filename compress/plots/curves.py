"""The curves of a training run against its epochs: loss, accuracy, learning rate, images a second."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from compress.plots.figure import render
from compress.plots.labels import one_line, shorten
from compress.plots.log import Evaluations, Floats, TrainingLog, TrainSteps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 11.0, 7.2  # inches
TRAIN, TEST, FAINT = "tab:blue", "tab:red", 0.3
WINDOWS = 40  # a smoothed line has so many windows side by side
MAX_HALF_WINDOW = 250  # steps
MAX_BLOCKS = 1500  # of a line with a point a step: about its width in pixels
LOG_SCALE_RATIO = 100  # of the largest loss to the smallest, from which a linear axis would hide the small ones
ROOM = 1.02  # of an axis, over the largest value on it: or its point is cut in half
FEW = 30  # points that are drawn as such


def curves(log: TrainingLog, title: str, file_format: str) -> bytes:
    return render(partial(_draw, log, title), width=WIDTH, height=HEIGHT, file_format=file_format)


def smooth(values: Floats) -> tuple[Floats, int]:
    """The mean of the values around each, and of how many; near an end of fewer. NaN and infinite ones are not counted."""
    half = min(len(values) // (2 * WINDOWS), MAX_HALF_WINDOW)
    window = 2 * half + 1
    finite = np.isfinite(values)
    sums = np.convolve(np.where(finite, values, 0), np.ones(window), "same")
    counts = np.convolve(finite, np.ones(window), "same")
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0.5), window


def thin(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Of every block of a long line its lowest and its highest point, so that no spike is lost; a shorter line as it is."""
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    if len(y) <= 2 * MAX_BLOCKS:
        return x, y
    blocks = np.array_split(np.arange(len(y)), MAX_BLOCKS)
    kept = np.unique([place for block in blocks for place in (block[y[block].argmin()], block[y[block].argmax()])])
    return x[kept], y[kept]


def duration(seconds: float) -> str:
    """As a person says it: 48 s, 12 min, 3 h 05 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60:02} min"


def _draw(log: TrainingLog, title: str, figure: Figure) -> None:
    train, test = log.train, log.test
    axes = figure.subplot_mosaic([["loss", "accuracy"], ["learning rate", "speed"]], height_ratios=[2, 1], sharex=True)
    _loss(axes["loss"], train, test)
    _accuracy(axes["accuracy"], train, test)
    _learning_rate(axes["learning rate"], train)
    _speed(axes["speed"], train)
    last_epoch = max([train.epoch[-1], *test.epoch[-1:]])
    for axis in axes.values():
        axis.grid()
        axis.set_xlim(0, ROOM * last_epoch or 1)
        axis.tick_params(labelbottom=True)
    for name in ("learning rate", "speed"):
        axes[name].set_xlabel("epoch")
    figure.suptitle(f"{shorten(one_line(title), 90)}\n{summary(log)}", fontsize=11)


def summary(log: TrainingLog) -> str:
    """How long it was, and where it ended."""
    train, test = log.train, log.test
    steps, epochs = _counted(train.step[-1], "step"), _counted(train.epoch[-1], "epoch")
    parts = [f"{steps}, {epochs}, {duration(train.seconds[-1])}"]
    if len(test.step):
        top5 = f", top-5 {test.top5[-1]:.1%}" if np.isfinite(test.top5[-1]) else ""
        parts.append(f"test top-1 {test.top1[-1]:.1%}{top5} after epoch {test.epoch[-1]:,.4g}")
    return "; ".join(parts)


def _counted(n: float, what: str) -> str:
    number = f"{n:,}" if isinstance(n, np.integer) else f"{n:,.4g}"
    return f"{number} {what}" if n == 1 else f"{number} {what}s"


def _loss(axis: Axes, train: TrainSteps, test: Evaluations) -> None:
    axis.set_title("loss")
    mean = _each_and_mean(axis, train.epoch, train.loss, "training")
    _points(axis, test.epoch, test.loss, "test")
    shown = np.concatenate([mean, test.loss])
    shown = shown[np.isfinite(shown)]
    if len(shown) and shown.min() > 0 and shown.max() > LOG_SCALE_RATIO * shown.min():
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:g}")
    axis.legend(loc="upper right")


def _accuracy(axis: Axes, train: TrainSteps, test: Evaluations) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_title("accuracy")
    if np.isfinite(train.accuracy).any():
        _each_and_mean(axis, train.epoch, train.accuracy, "training batch, top-1")
    _points(axis, test.epoch, test.top1, "test top-1")
    if np.isfinite(test.top5).any():
        _points(axis, test.epoch, test.top5, "test top-5", linestyle="--")
    axis.set_ylim(0, ROOM)
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    if axis.lines:
        axis.legend(loc="lower right")
    else:
        axis.text(0.5, 0.5, "none was taken", transform=axis.transAxes, ha="center", color="grey")


def _learning_rate(axis: Axes, train: TrainSteps) -> None:
    axis.set_title("learning rate")
    axis.plot(*thin(train.epoch, train.learning_rate), color=TRAIN, marker=_marker(train.epoch))
    axis.set_ylim(0, 1.1 * train.learning_rate.max() or 1)


def _speed(axis: Axes, train: TrainSteps) -> None:
    known = train.images_per_second[np.isfinite(train.images_per_second)]
    axis.set_title(f"images a second, median {np.median(known):,.4g}" if len(known) else "images a second")
    _each_and_mean(axis, train.epoch, train.images_per_second, "")
    axis.set_ylim(0, 1.1 * known.max(initial=0) or 1)
    axis.yaxis.set_major_formatter("{x:,g}")


def _each_and_mean(axis: Axes, x: Floats, y: Floats, label: str) -> Floats:
    """Every step faintly, and a smoothed line over it; few steps as they are. Returns the smoothed values."""
    mean, window = smooth(y)
    if window == 1:
        axis.plot(*thin(x, y), color=TRAIN, marker=_marker(x), label=label)
    else:
        axis.plot(*thin(x, y), color=TRAIN, alpha=FAINT, linewidth=0.7)
        axis.plot(*thin(x, mean), color=TRAIN, linewidth=1.6, label=f"{label}, mean of {window} steps")
    return mean


def _points(axis: Axes, x: Floats, y: Floats, label: str, *, linestyle: str = "-") -> None:
    if len(x):
        marker = "o" if len(x) <= FEW else ""
        axis.plot(x, y, color=TEST, linestyle=linestyle, marker=marker, markersize=4, label=label)


def _marker(x: Floats) -> str:
    return "." if len(x) <= FEW else ""
