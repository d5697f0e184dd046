"""Plots of the weights themselves: histograms before and after, and the first layer's kernels as pictures."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from compress.layer import SharedLayer
from compress.plots.labels import one_line
from compress.report import theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

HISTOGRAM = 1.95, 1.3  # inches; two stand beside each other on a phone
N_BINS = 80
TAIL = 0.002  # of the weights, on either side, that a histogram may leave out
COLUMNS_OF_KERNELS = 12
MAX_KERNELS = 144
PIXELS, GAP = 4, 3  # of a weight's side; between two kernels
MAX_POINTS = 40  # values that are drawn with a point at their height


def histogram(number: int, name: str, before: npt.NDArray[Any], after: SharedLayer) -> theme.Plot:
    """The distribution of a layer's weights before, and the shared values after, each as high as its share of the weights
    says. number: of the layer, for the plot's name."""
    alt = f"{name}: the weights before, and after them the {len(values_of(after)[0])} values that are left"
    draw = partial(_histogram, before.ravel().astype(np.float64), after)
    return theme.Plot(f"histogram-{number:03d}", one_line(alt), draw, *HISTOGRAM)


def values_of(layer: SharedLayer) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The values that a layer's weights have, rising, and how many weights have each; both (n,)."""
    values, counts = np.unique(layer.values(), return_counts=True)
    return values.astype(np.float64), counts


def densities(values: Floats, counts: npt.NDArray[np.int64], n_weights: int) -> Floats:
    """How high a value stands beside a histogram that is a density: its share of n_weights over its width, which is from half
    way to the one below to half way to the one above. values: rising, two or more."""
    gaps = np.diff(values)
    widths = (np.concatenate([gaps[:1], gaps]) + np.concatenate([gaps, gaps[-1:]])) / 2
    return np.asarray(counts / n_weights / widths, np.float64)


def kernels(name: str, before: npt.NDArray[Any], after: npt.NDArray[Any], channels: str) -> list[theme.Plot]:
    """The kernels of a convolution, (out, in, h, w), as pictures on one scale, before and after: grey is zero. channels: of its
    input, "RGB", "BGR" or "L"."""
    shown = [_order(weights.astype(np.float64), channels)[:MAX_KERNELS] for weights in (before, after)]
    largest = max(float(np.abs(weights).max()) for weights in shown) or 1.0
    plots = []
    for when, weights in zip(("before", "after"), shown, strict=True):
        sheet = tiles(0.5 + weights / (2 * largest))
        alt = one_line(f"The first {len(weights)} kernels of {name} as pictures, {when}")
        height = theme.WIDTH * sheet.shape[0] / sheet.shape[1]
        plots.append(theme.Plot(f"kernels-{when}", alt, partial(_kernels, sheet), theme.WIDTH, height))
    return plots


def tiles(kernels: Floats) -> npt.NDArray[np.uint8]:
    """kernels: (n, h, w, 3) in [0, 1]. Side by side, PIXELS for each weight, with transparent lines between: (H, W, 4)."""
    kernels = kernels.repeat(PIXELS, 1).repeat(PIXELS, 2)
    n, height, width, _ = kernels.shape
    n_columns = min(n, COLUMNS_OF_KERNELS)
    n_rows = -(-n // n_columns)
    sheet = np.zeros((n_rows * (height + GAP) - GAP, n_columns * (width + GAP) - GAP, 4), np.uint8)
    for i, kernel in enumerate(kernels):
        y, x = i // n_columns * (height + GAP), i % n_columns * (width + GAP)
        sheet[y : y + height, x : x + width, :3] = np.round(255 * kernel)
        sheet[y : y + height, x : x + width, 3] = 255
    return sheet


def _order(weights: Floats, channels: str) -> Floats:
    """(n, h, w, 3): red, green, blue; of what is no colour picture, the mean over the channels as grey."""
    weights = weights.transpose(0, 2, 3, 1)
    if weights.shape[-1] == 3 and channels in ("RGB", "BGR"):
        return weights[..., :: -1 if channels == "BGR" else 1]
    return np.repeat(weights.mean(-1, keepdims=True), 3, axis=-1)


def _kernels(sheet: npt.NDArray[np.uint8], figure: Figure) -> None:
    axis = figure.add_axes((0, 0, 1, 1))
    axis.imshow(sheet, interpolation="none")
    axis.set_axis_off()


def _histogram(before: Floats, after: SharedLayer, figure: Figure) -> None:
    axis = figure.add_axes((0.03, 0.2, 0.94, 0.76))
    values, counts = values_of(after)
    heights = densities(values, counts, after.n_weights) if len(values) > 1 else np.array([np.inf])
    low, high = _limits(before, values)
    density, edges = np.histogram(before, N_BINS, (low, high), density=False)
    density = density / max(len(before), 1) / (edges[1] - edges[0])
    shown = heights[(values != 0) & np.isfinite(heights)]
    top = 1.12 * max(float(density.max()), float(np.quantile(shown, 0.95)) if len(shown) else 0.0)
    axis.stairs(density, edges, fill=True, color=theme.GREY, alpha=0.45)
    for found, colour in ((values != 0, theme.BLUE), (values == 0, theme.ORANGE)):
        tops = np.minimum(heights[found], 1.01 * top)  # a little over the frame: the point of what is higher is not seen
        _stems(axis, values[found], tops, colour, 1.2 if len(values) <= MAX_POINTS else 0.7)
        if len(values) <= MAX_POINTS:
            axis.plot(values[found], np.where(tops > top, np.nan, tops), "o", color=colour, markersize=2.8)
    axis.set_xlim(low, high)
    axis.set_ylim(0, top)
    _frame(axis)


def _stems(axis: Axes, x: Floats, tops: Floats, colour: str, width: float) -> None:
    """Lines up from zero, as one path with gaps: a layer may have hundreds."""
    gaps = np.full(len(x), np.nan)
    axis.plot(np.repeat(x, 3), np.column_stack([np.zeros(len(x)), tops, gaps]).ravel(), color=colour, linewidth=width)


def _limits(before: Floats, values: Floats) -> tuple[float, float]:
    low, high = np.quantile(before, [TAIL, 1 - TAIL])
    low, high = min(low, values[0]), max(high, values[-1])
    margin = 0.03 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def _frame(axis: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_yticks([])
    low, high = axis.get_xlim()
    margin = 0.12 * (high - low)  # of the labels, which would leave the picture
    axis.set_xticks([tick for tick in MaxNLocator(3).tick_values(low, high) if low + margin < tick < high - margin])
    axis.tick_params(axis="x", labelsize=theme.TEXT, length=2.5)
