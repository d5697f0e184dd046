"""A plot of what one file gets right on each of its sets, with 95% intervals."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from compress.ledger import ledger
from compress.plots.labels import distinct, one_line, shorten
from compress.report import theme
from compress.report.frame import axes_of
from compress.report.intervals import wilson
from compress.report.plot_sizes import NAME_CHARACTERS, path_of, stages_height
from compress.report.svg import tip
from compress.report.texts import percent, set_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SET_LINE = 20  # characters of a set's name on each of its two lines
SET_ROW = 0.5  # inches: two lines, and one with n


def sets(rows: Sequence[ledger.Row]) -> theme.Plot:
    """rows: of one file, a set each: top-1 beside the uncompressed net's, and agreement, with 95% intervals."""
    labelled = any(row.top1 is not None for row in rows)
    texts = [f"{set_name(row.test_set)}: top-1 {percent(row.top1)}, agreement {percent(row.agreement)}" for row in rows]
    height = 0.95 + SET_ROW * len(rows)
    alt = "What the file gets right, with 95% intervals. " + "; ".join(texts)
    return theme.Plot("accuracy", one_line(alt), partial(_sets, rows, labelled), theme.WIDTH, height)


def stages(rows: Sequence[ledger.Row]) -> theme.Plot:
    """rows: of one run. Agreement after each stage, with 95% intervals."""
    path = path_of(rows)
    alt = "Agreement after each stage: " + ", ".join(f"{row.stage} {percent(row.agreement)}" for row in path)
    return theme.Plot("stage-agreement", one_line(alt), partial(_stages, path), theme.WIDTH, stages_height(path))


def _stages(path: Sequence[ledger.Row], figure: Figure) -> None:
    [axis] = axes_of(figure, distinct([one_line(row.stage) for row in path], NAME_CHARACTERS))
    for place, row in enumerate(path):
        _bar(axis, place, row.agreement, row.n, theme.TEAL, None)
    axis.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    axis.margins(x=0.1)
    axis.set_xlabel("agreement")


def _sets(rows: Sequence[ledger.Row], labelled: bool, figure: Figure) -> None:
    names = [f"{_on_two_lines(set_name(row.test_set))}\nn = {row.n:,}" for row in rows]
    axes = axes_of(figure, names, 2 if labelled else 1, top=0.3)
    for place, row in enumerate(rows):
        if labelled and row.top1 is not None:
            _bar(axes[0], place, row.top1, row.n, theme.BLUE, "the file" if place == 0 else None)
            if row.top1_drop is not None:
                before = row.top1 + row.top1_drop
                mark = axes[0].vlines(before, place, place + 0.3, color=theme.INK, linewidth=1.8)
                mark.set_label("uncompressed net" if place == 0 else None)
                tip(mark, f"uncompressed net: {percent(before)}")
        _bar(axes[-1], place, row.agreement, row.n, theme.TEAL, None)
    for axis in axes:
        axis.locator_params(axis="x", nbins=3 if labelled else 6)
        axis.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        axis.margins(x=0.2 if labelled else 0.1)  # the numbers over the points stay in the picture
    if labelled:
        axes[0].set_xlabel("top-1")
        if len(axes[0].get_legend_handles_labels()[0]):
            axes[0].legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, borderaxespad=0.1)
    axes[-1].set_xlabel("agreement")


def _on_two_lines(name: str) -> str:
    first, *others = textwrap.wrap(name, SET_LINE) or [""]
    return f"{first}\n{shorten(' '.join(others), SET_LINE)}" if others else first


def _bar(axis: Axes, place: int, share: float, n: int, colour: str, label: str | None) -> None:
    low, high = wilson(share, n)
    axis.plot([low, high], [place] * 2, color=colour, linewidth=2.2, solid_capstyle="round", alpha=0.55)
    [point] = axis.plot(share, place, "o", color=colour, markersize=6, label=label)
    tip(point, f"{percent(share)}, 95% interval {percent(low)} to {percent(high)}")
    axis.annotate(percent(share), (share, place), (0, 6), textcoords="offset points", ha="center", fontsize=theme.TEXT)
