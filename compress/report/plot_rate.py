"""Plots of many files on one set: what they get right against their bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from compress.ledger import ledger
from compress.plots.labels import distinct, one_line
from compress.report import theme
from compress.report.intervals import wilson
from compress.report.label_places import GAP, Box, Label, Placed, place_labels
from compress.report.svg import tip
from compress.report.texts import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Measure = Literal["top-1", "agreement"]
NET_COLOURS = (theme.BLUE, theme.ORANGE, theme.GREEN, theme.PURPLE, theme.TEAL, theme.OLIVE)
HEIGHT = 3.7  # inches
FRAME = (0.125, 0.13, 0.855, 0.79)  # left, bottom, width, height of the axes, as shares of the picture
NAME_CHARACTERS = 44  # of a set's title, in the name of a plot's file
LABEL_SIZE = theme.TEXT
LABEL_CHARACTERS = 22
RADIUS = 5.0  # of a point and what is kept free around it, points


@dataclass(frozen=True)
class Point:
    """A file on a set. number: of its row in the table under the plot. net: of the uncompressed net that it was made from, the
    digest; of_net: that one's own share there, None for agreement. own: whether the page is about this file."""

    number: int
    label: str
    size_bytes: int
    share: float
    n: int
    net: str
    of_net: float | None
    own: bool


def points(rows: Sequence[ledger.Row], measure: Measure, names: dict[str, str], own: str | None) -> list[Point]:
    """rows: of finished files, on one set, in the table's order; those without labels have no top-1. names: by run_id. own: a
    run_id."""
    found = []
    for number, row in enumerate(rows, start=1):
        share = row.top1 if measure == "top-1" else row.agreement
        if share is None:
            continue
        of_net = row.top1 + row.top1_drop if measure == "top-1" and row.top1 is not None and row.top1_drop is not None else None
        name, is_own = names[row.run_id], row.run_id == own
        found.append(Point(number, name, row.size_bytes, share, row.n, row.teacher_sha256, of_net, is_own))
    return found


def rate(shown: Sequence[Point], measure: Measure, title: str, number: int) -> theme.Plot:
    """Files on one set, by bytes and by what they get right, with 95% intervals. title, number: of the set."""
    name = re.sub("[^a-z0-9]+", "-", f"rate-{number}-{measure}-{title[:NAME_CHARACTERS]}".lower()).strip("-")
    alt = f"{measure} on {title} against bytes: " + ", ".join(
        f"{point.number} {point.label} {point.size_bytes:,} bytes {percent(point.share)}" for point in shown
    )
    return theme.Plot(name, one_line(alt), partial(_rate, shown, measure), theme.WIDTH, HEIGHT)


def _rate(shown: Sequence[Point], measure: Measure, figure: Figure) -> None:
    axis = figure.add_axes(FRAME)
    intervals = np.array([wilson(point.share, point.n) for point in shown])
    low, high = float(intervals.min()), float(intervals.max())
    margin = 0.04 * (high - low)
    axis.set_ylim(max(low - margin, 0.0), min(high + 2 * margin, 1.02))
    largest = max(point.size_bytes for point in shown)
    axis.set_xlim(0, 1.13 * largest)
    axis.grid(visible=True)
    axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
    axis.locator_params(axis="y", nbins=8, steps=[1, 2, 5, 10])
    axis.set_title(measure)
    unit, name = (1000, "KB (1,000 bytes)") if largest >= 2000 else (1, "bytes")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value / unit:,.0f}")
    axis.locator_params(axis="x", nbins=7)
    axis.set_xlabel(f"size of the file, {name}")
    _points(axis, shown, intervals)
    _labels(axis, shown, intervals)


def _points(axis: Axes, shown: Sequence[Point], intervals: npt.NDArray[np.float64]) -> None:
    nets = list(dict.fromkeys(point.net for point in shown))
    colours = {net: NET_COLOURS[i % len(NET_COLOURS)] for i, net in enumerate(nets)}
    of_nets = {(point.net, round(point.of_net, 4)) for point in shown if point.of_net is not None}  # a ledger has six digits
    for net, share in sorted(of_nets, key=lambda pair: (nets.index(pair[0]), pair[1])):
        axis.axhline(share, color=colours[net], linewidth=1, linestyle=(0, (4, 3)), alpha=0.8)
    for point, (bottom, top) in zip(shown, intervals, strict=True):
        colour = colours[point.net]
        axis.plot([point.size_bytes] * 2, [bottom, top], color=colour, linewidth=1.6, alpha=0.35)
        [mark] = axis.plot(point.size_bytes, point.share, "o", color=colour, markersize=9 if point.own else 6)
        mark.set_markeredgecolor(theme.INK if point.own else theme.PAPER)
        interval = f"{percent(bottom)} to {percent(top)}"
        tip(mark, f"{point.number} {point.label}: {point.size_bytes:,} bytes, {percent(point.share)} ({interval})")


def _labels(axis: Axes, shown: Sequence[Point], intervals: npt.NDArray[np.float64]) -> None:
    """A number at every point, and names as far as there is room; the page's own file first."""
    order = sorted(range(len(shown)), key=lambda i: (not shown[i].own, shown[i].size_bytes, i))
    sizes = np.array([point.size_bytes for point in shown], np.float64)
    centres = _in_points(axis, sizes, np.array([point.share for point in shown]))
    lows, highs = (_in_points(axis, sizes, intervals[:, side])[:, 1] for side in (0, 1))
    taken = [Box(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y in centres]
    bars = [Box(x - 1, low, x + 1, high) for (x, _), low, high in zip(centres, lows, highs, strict=True)]
    frame = Box(*(np.asarray(axis.bbox.extents) * 72 / axis.figure.dpi).tolist())
    names = distinct([one_line(point.label) for point in shown], LABEL_CHARACTERS)
    labels = [Label(str(shown[i].number), names[i], *centres[i]) for i in order]
    for i, label, placed in zip(order, labels, place_labels(labels, taken, bars, frame, LABEL_SIZE), strict=True):
        _label(axis, shown[i], label, placed)


def _label(axis: Axes, point: Point, label: Label, placed: Placed) -> None:
    place = placed.box
    right = place.left > label.x
    middle = (place.bottom + place.top) / 2
    away = not place.bottom < label.y < place.top or place.distance(label.x, label.y) > GAP + 1  # a line leads there
    line = {"arrowstyle": "-", "color": theme.MUTED, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3, "relpos": (not right, 0.5)}
    axis.annotate(
        placed.text,
        (point.size_bytes, point.share),
        ((place.left if right else place.right) - label.x, middle - label.y),
        textcoords="offset points",
        ha="left" if right else "right",
        va="center",
        fontsize=LABEL_SIZE,
        weight="bold" if point.own else "normal",
        bbox={"facecolor": theme.PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.3},
        arrowprops=line if away else None,
    )


def _in_points(axis: Axes, sizes: npt.NDArray[np.float64], shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n, 2): places in the picture, in points of 1/72 inch."""
    return np.asarray(axis.transData.transform(np.column_stack([sizes, shares])) * 72 / axis.figure.dpi)
