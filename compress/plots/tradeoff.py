"""Accuracy against bytes, of all points of a sweep: each net in float32 and as its file, and the front that no point beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from compress.explore.results import Result, pareto
from compress.plots.figure import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 8.0, 4.6  # inches
FLOAT32, FILE, FRONT = "#d55e00", "#0072b2", "#000000"  # of Okabe and Ito's palette, told apart by the colour-blind
MAX_LISTED = 24  # points whose labels have room


def tradeoff(results: Sequence[Result], title: str, file_format: str) -> bytes:
    """A PNG or SVG. Points without a top-1 are left out; at least one has one. Raises MissingDependency without matplotlib."""
    shown = [result for result in results if result.size_bytes is not None and result.top1 is not None]
    return render(partial(_draw, shown, title), width=WIDTH, height=HEIGHT, file_format=file_format)


def _draw(shown: Sequence[Result], title: str, figure: Figure) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda n_bytes, _: f"{n_bytes:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    _draw_nets(axes, shown)
    for result in shown:
        _draw_file(axes, result)
    front = pareto(shown)
    axes.plot(*zip(*map(_place, front), strict=True), color=FRONT, linewidth=0.8, drawstyle="steps-post", zorder=1)
    axes.set_xlabel("bytes, logarithmic")
    axes.set_ylabel("top-1, %, with its standard error")
    axes.set_title(f"{title}: {_measured_on(shown)}", wrap=True)
    axes.grid(visible=True)
    axes.plot([], [], "o", color=FLOAT32, markerfacecolor="white", label="net in float32")
    axes.plot([], [], "o", color=FILE, label="its file")
    axes.plot([], [], color=FRONT, linewidth=0.8, label="front: no point is smaller and as good")
    figure.legend(loc="outside lower center", ncols=3)
    listed = shown if len(shown) <= MAX_LISTED else front[:MAX_LISTED]
    lines = [f"{result.index}  {result.label}" for result in listed]
    axes.annotate(
        "\n".join(lines), (1.02, 1.0), xycoords="axes fraction", va="top", fontsize=7, annotation_clip=False, linespacing=1.4
    )


def _draw_nets(axes: Axes, shown: Sequence[Result]) -> None:
    """The nets in float32, each once, though many files are made of it."""
    nets: dict[tuple[int, float], list[Result]] = {}
    for result in shown:
        if result.fp32_bytes is not None and result.fp32_top1 is not None:
            nets.setdefault((result.fp32_bytes, 100 * result.fp32_top1), []).append(result)
    for place, made in nets.items():
        for result in made:
            axes.plot(*zip(place, _place(result), strict=True), color="#bbbbbb", linewidth=0.8, zorder=1)
        axes.plot(*place, "o", color=FLOAT32, markerfacecolor="white", markersize=5, zorder=2)
        _label(axes, ", ".join(str(result.index) for result in made), place, FLOAT32)


def _draw_file(axes: Axes, result: Result) -> None:
    top1 = result.top1 or 0.0
    error = 100 * math.sqrt(top1 * (1 - top1) / result.n) if result.n else 0.0
    axes.errorbar(*_place(result), yerr=error, fmt="o", color=FILE, markersize=5, linewidth=0.8, zorder=3)
    _label(axes, str(result.index), _place(result), FILE)


def _place(result: Result) -> tuple[int, float]:
    return result.size_bytes or 0, 100 * (result.top1 or 0.0)


def _label(axes: Axes, text: str, place: tuple[int, float], colour: str) -> None:
    axes.annotate(text, place, xytext=(4, 3), textcoords="offset points", fontsize=7, color=colour)


def _measured_on(shown: Sequence[Result]) -> str:
    sets = sorted({f"{result.test_set} (n = {result.n:,})" for result in shown})
    return "; ".join(sets)
