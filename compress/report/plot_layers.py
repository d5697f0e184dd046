"""Plots with a row for each weight tensor: what is left of it, its bits, its error, its sensitivity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from compress.plots.labels import distinct, one_line
from compress.report import theme
from compress.report.byte_parts import module_of
from compress.report.frame import BOTTOM, TITLE, axes_of
from compress.report.layer_facts import LayerFacts
from compress.report.plot_sizes import NAME_CHARACTERS
from compress.report.svg import tip
from compress.report.texts import percent, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def density_and_bits(facts: Sequence[LayerFacts], name: str = "density-and-bits") -> theme.Plot:
    """What is not zero; and the coders' bits a weight beside the order-0 entropy of what they coded."""
    return _plot(name, "For each weight tensor, the share that is not zero, and bits a weight", _density_and_bits, facts)


def error_and_sensitivity(facts: Sequence[LayerFacts]) -> theme.Plot:
    """How far the weights are from the uncompressed net's, and how much its outputs mind; the second where it was measured."""
    alt = "For each weight tensor, how far its weights are from the uncompressed net's, and how much the outputs mind an error"
    return _plot("error-and-sensitivity", alt, _error_and_sensitivity, facts)


def _plot(name: str, alt: str, draw: Callable[[Sequence[LayerFacts], Figure], None], facts: Sequence[LayerFacts]) -> theme.Plot:
    height = TITLE + BOTTOM + theme.ROW * max(len(facts), 1)
    return theme.Plot(name, alt, partial(draw, facts), theme.WIDTH, height)


def _density_and_bits(facts: Sequence[LayerFacts], figure: Figure) -> None:
    left, right = _panels(figure, facts, 2)
    places = np.arange(len(facts))
    for bar, each in zip(left.barh(places, [each.density for each in facts], height=0.66, color=theme.TEAL), facts, strict=True):
        tip(bar, f"{each.name}: {percent(each.density)} not zero")
    for bar, each in zip(
        right.barh(places, [each.coded_bits for each in facts], height=0.66, color=theme.BLUE), facts, strict=True
    ):
        tip(bar, f"{each.name}: coded in {each.coded_bits:.2f} bits a weight; order-0 entropy {significant(each.entropy_bits)}")
    ideal = [(place, each.entropy_bits) for place, each in enumerate(facts) if each.entropy_bits is not None]
    if ideal:
        rows, bits = np.array(ideal).T
        right.vlines(bits, rows - 0.42, rows + 0.42, color=theme.INK, linewidth=1.8)
    left.set_xlim(0, 1)
    left.set_xticks([0, 0.5, 1])
    right.set_xlim(left=0)
    right.locator_params(axis="x", nbins=4)
    left.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    left.set_title("not zero")
    right.set_title("bits a weight")


def _error_and_sensitivity(facts: Sequence[LayerFacts], figure: Figure) -> None:
    measured = [(place, each.name, each.sensitivity) for place, each in enumerate(facts) if each.sensitivity]  # 0 has no log
    left, *rest = _panels(figure, facts, 2 if measured else 1)
    compared = [(place, each.name, each.relative_error) for place, each in enumerate(facts) if each.relative_error is not None]
    bars = left.barh([place for place, _, _ in compared], [error for _, _, error in compared], height=0.66, color=theme.ORANGE)
    for bar, (_, name, error) in zip(bars, compared, strict=True):
        tip(bar, f"{name}: rms(before − after) is {percent(error)} of rms(before)")
    left.set_xlim(0, 1.06 * max((error for _, _, error in compared), default=0) or 1)
    left.locator_params(axis="x", nbins=3 if measured else 6)
    left.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
    left.set_title("relative error")
    for axis in rest:
        values = [value for _, _, value in measured]
        low = min(values) / 2
        axis.set_xscale("log")
        axis.set_xlim(low, 2 * max(values))
        axis.hlines([place for place, _, _ in measured], low, values, color=theme.LINE, linewidth=1)
        for place, name, value in measured:
            [point] = axis.plot(value, place, "o", color=theme.PURPLE, markersize=5)
            tip(point, f"{name}: sensitivity {significant(value)}")
        axis.minorticks_off()
        axis.locator_params(axis="x", numticks=4)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_title("sensitivity (log)")


def _panels(figure: Figure, facts: Sequence[LayerFacts], n: int) -> list[Axes]:
    names = distinct([one_line(module_of(each.name)) for each in facts], NAME_CHARACTERS)
    return axes_of(figure, names, n, top=TITLE, bottom=0.3)
