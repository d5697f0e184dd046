"""One figure against another, a line for each way: panels side by side with the same axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from compress.plots import beside, log_axis
from compress.plots.beside import Label
from compress.plots.figure import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_WIDTH, HEIGHT = 4.6, 4.0  # inches
# Of Okabe and Ito's palette, told apart by the colour-blind; in print by their marks.
STYLES = (("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"), ("#000000", "v"), ("#e69f00", "P"))


@dataclass(frozen=True)
class Spot:
    """error: standard error of y. label: beside it."""

    x: float
    y: float
    error: float = 0.0
    label: str = ""


@dataclass(frozen=True)
class Panel:
    """lines: by what they are called; at most as many as STYLES has."""

    title: str
    lines: Mapping[str, Sequence[Spot]]


def lines(panels: Sequence[Panel], *, x: str, y: str, file_format: str, logarithmic: bool = False) -> bytes:
    """A PNG or SVG. x, y: what the axes show. logarithmic: x. Raises MissingDependency without matplotlib."""
    draw = partial(_draw, panels, x, y, logarithmic)
    return render(draw, width=PANEL_WIDTH * max(len(panels), 1.5), height=HEIGHT, file_format=file_format)


def _draw(panels: Sequence[Panel], x: str, y: str, logarithmic: bool, figure: Figure) -> None:
    labels: list[Label] = []
    all_axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axes, panel in zip(all_axes, panels, strict=True):
        if logarithmic:
            axes.set_xscale("log")
        axes.set_title(panel.title)
        axes.set_xlabel(x)
        axes.grid(visible=True)
        for (name, spots), style in zip(panel.lines.items(), STYLES, strict=False):
            _draw_line(axes, name, spots, style)
            labels += [Label(axes, spot.label, (spot.x, spot.y), style[0], spot.error) for spot in spots]
    if logarithmic:
        log_axis.number(all_axes[0], "{:g}".format)
    all_axes[0].set_ylabel(y)
    handles, names = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    beside.write(figure, labels)


def _draw_line(axes: Axes, name: str, spots: Sequence[Spot], style: tuple[str, str]) -> None:
    colour, mark = style
    xs, ys = [spot.x for spot in spots], [spot.y for spot in spots]
    errors = [spot.error for spot in spots]
    axes.errorbar(xs, ys, errors, color=colour, marker=mark, markersize=5, linewidth=1, elinewidth=0.8, label=name)
