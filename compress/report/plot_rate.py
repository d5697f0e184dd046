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
from compress.plots.labels import one_line, shorten
from compress.report import theme
from compress.report.intervals import wilson
from compress.report.label_places import Box, Label, place_labels
from compress.report.svg import tip
from compress.report.texts import percent, set_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Measure = Literal["top-1", "agreement"]
NET_COLOURS = (theme.BLUE, theme.ORANGE, theme.GREEN, theme.PURPLE, theme.TEAL, theme.OLIVE)
HEIGHT = 3.9  # inches
FRAME = (0.125, 0.125, 0.855, 0.82)  # left, bottom, width, height of the axes, as shares of the picture
LABEL_SIZE = 8.0  # points
LABEL_CHARACTERS = 30
RADIUS = 5.0  # of a point and what is kept free around it, points


@dataclass(frozen=True)
class Point:
    """A file on a set. net: of the uncompressed net that it was made from, the digest; of_net: that one's own share there, None
    for agreement. own: whether the page is about this file."""

    label: str
    size_bytes: int
    share: float
    n: int
    net: str
    of_net: float | None
    own: bool


def points(rows: Sequence[ledger.Row], measure: Measure, names: dict[str, str], own: str | None) -> list[Point]:
    """rows: of finished files, on one set; those without labels have no top-1. names: by run_id. own: a run_id."""
    found = []
    for row in rows:
        share = row.top1 if measure == "top-1" else row.agreement
        if share is None:
            continue
        of_net = row.top1 + row.top1_drop if measure == "top-1" and row.top1 is not None and row.top1_drop is not None else None
        found.append(Point(names[row.run_id], row.size_bytes, share, row.n, row.teacher_sha256, of_net, row.run_id == own))
    return found


def rate(shown: Sequence[Point], measure: Measure, test_set: str, number: int) -> theme.Plot:
    """Files on one set, by bytes and by what they get right, with 95% intervals. number: of the set, for the plot's name."""
    name = re.sub("[^a-z0-9]+", "-", f"rate-{number}-{measure}-{set_name(test_set)}".lower()).strip("-")
    alt = f"{measure} on {set_name(test_set)} against bytes: " + ", ".join(
        f"{point.label} {point.size_bytes:,} bytes {percent(point.share)}" for point in shown
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
    axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    axis.set_ylabel(measure)
    unit, name = (1000, "KB (1,000 bytes)") if largest >= 2000 else (1, "bytes")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value / unit:,.0f}")
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
        tip(mark, f"{point.label}: {point.size_bytes:,} bytes, {percent(point.share)} ({percent(bottom)} to {percent(top)})")


def _labels(axis: Axes, shown: Sequence[Point], intervals: npt.NDArray[np.float64]) -> None:
    """Names beside the points, as far as there is room; the page's own file first. The others are in the table."""
    order = sorted(range(len(shown)), key=lambda i: (not shown[i].own, shown[i].size_bytes, i))
    sizes = np.array([point.size_bytes for point in shown], np.float64)
    centres = _in_points(axis, sizes, np.array([point.share for point in shown]))
    lows, highs = (_in_points(axis, sizes, intervals[:, side])[:, 1] for side in (0, 1))
    taken = [Box(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y in centres]
    bars = [Box(x - 1, low, x + 1, high) for (x, _), low, high in zip(centres, lows, highs, strict=True)]
    frame = Box(*(np.asarray(axis.bbox.extents) * 72 / axis.figure.dpi).tolist())
    labels = [Label(shorten(one_line(shown[i].label), LABEL_CHARACTERS), *centres[i]) for i in order]
    places = place_labels(labels, taken, bars, frame, LABEL_SIZE)
    for i, label, place in zip(order, labels, places, strict=True):
        if place is not None:
            _label(axis, shown[i], label, place)


def _label(axis: Axes, point: Point, label: Label, place: Box) -> None:
    right = place.left > label.x
    middle = (place.bottom + place.top) / 2
    moved = not place.bottom < label.y < place.top  # away from its point: a line leads there
    line = {"arrowstyle": "-", "color": theme.MUTED, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3, "relpos": (not right, 0.5)}
    axis.annotate(
        label.text,
        (point.size_bytes, point.share),
        ((place.left if right else place.right) - label.x, middle - label.y),
        textcoords="offset points",
        ha="left" if right else "right",
        va="center",
        fontsize=LABEL_SIZE,
        weight="bold" if point.own else "normal",
        bbox={"facecolor": theme.PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.3},
        arrowprops=line if moved else None,
    )


def _in_points(axis: Axes, sizes: npt.NDArray[np.float64], shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n, 2): places in the picture, in points of 1/72 inch."""
    return np.asarray(axis.transData.transform(np.column_stack([sizes, shares])) * 72 / axis.figure.dpi)
