"""Accuracy against bytes, of all points of a sweep: each net in float32 and as its file, and the front that no point beats.

Points that differ in their seed alone are one, at their mean. Figures of others stand on the right axis: they were measured on
other pictures, and only their shape is to be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from compress.explore.means import SeedMean, front, n_seeds, only_difference, over_seeds
from compress.explore.results import Result
from compress.explore.space import shown as shown_value
from compress.plots import beside, log_axis
from compress.plots.beside import Label
from compress.plots.figure import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from compress.explore.space import Reference

WIDTH, KEY, HEIGHT = 8.4, 2.2, 4.8  # inches; KEY: what numbers beside the marks need more
# Of Okabe and Ito's palette, told apart by the colour-blind; the marks have other shapes too, for print.
FLOAT32, FILE, FRONT, OTHERS = "#d55e00", "#0072b2", "#000000", "#555555"
MAX_LISTED = 24  # points whose labels have room

Place = tuple[float, float]  # bytes, top-1 in percent


def tradeoff(results: Sequence[Result], title: str, file_format: str, reference: Reference | None = None) -> bytes:
    """A PNG or SVG. Points without a top-1 are left out; at least one has one. Raises MissingDependency without matplotlib."""
    shown = [mean for mean in over_seeds(results) if _file(mean) is not None]
    width = WIDTH if only_difference(shown) is not None else WIDTH + KEY
    return render(partial(_draw, shown, title, reference), width=width, height=HEIGHT, file_format=file_format)


def _draw(shown: Sequence[SeedMean], title: str, reference: Reference | None, figure: Figure) -> None:
    axes = figure.add_subplot()
    axes.set_xscale("log")
    field = only_difference(shown)
    texts = [str(number) if field is None else shown_value(mean.results[0].fields[field]) for number, mean in enumerate(shown)]
    labels = [_draw_file(axes, mean, text) for mean, text in zip(shown, texts, strict=True)]
    labels += _draw_nets(axes, shown, texts)
    best = [_file(mean) or (0.0, 0.0) for mean in front(shown)]
    axes.plot(*zip(*best, strict=True), color=FRONT, linewidth=0.8, drawstyle="steps-post", zorder=1)
    fewest, most = n_seeds(shown)
    seeds = "" if most == 1 else f" over {most} seeds" if fewest == most else f" over {fewest} to {most} seeds"
    axes.set_xlabel("bytes, logarithmic")
    axes.set_ylabel(f"top-1, %, with its standard error{seeds}")
    axes.set_title(f"{title}: {_measured_on(shown)}", wrap=True)
    axes.grid(visible=True)
    axes.margins(x=0.1)
    axes.plot([], [], "s", color=FLOAT32, markerfacecolor="white", label="net in float32")
    axes.plot([], [], "o", color=FILE, label="its file")
    axes.plot([], [], color=FRONT, linewidth=0.8, label="front: no file is smaller and as good")
    if reference is not None:
        labels += _draw_reference(axes, reference)
    log_axis.number(axes, _short)
    legend = figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    if field is None:
        _draw_key(figure, shown)
    else:
        legend.set_title(f"beside each mark: {field}")
    beside.write(figure, labels)


def _draw_key(figure: Figure, shown: Sequence[SeedMean]) -> None:
    """What the numbers beside the marks mean."""
    from matplotlib.lines import Line2D

    lines = [f"{number}  {mean.label}" for number, mean in enumerate(shown)]
    if len(lines) > MAX_LISTED:
        lines = [*lines[:MAX_LISTED], f"and {len(lines) - MAX_LISTED} more"]
    nothing = Line2D([], [], linestyle="")
    figure.legend([nothing] * len(lines), lines, loc="outside right upper", handlelength=0, handletextpad=0, fontsize=7)


def _short(n_bytes: float) -> str:
    for unit, name in ((1e6, " MB"), (1e3, " KB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:g}{name}"
    return f"{n_bytes:g} B"


def _draw_nets(axes: Axes, shown: Sequence[SeedMean], texts: Sequence[str]) -> list[Label]:
    """The nets in float32, each once, though many files are made of it: a line goes to each."""
    nets: dict[Place, list[int]] = {}
    for number, mean in enumerate(shown):
        top1 = mean.fp32_top1
        if mean.fp32_bytes is not None and top1 is not None:
            nets.setdefault((float(mean.fp32_bytes), 100 * top1.value), []).append(number)
    labels = []
    for place, made in nets.items():
        for number in made:
            file = _file(shown[number])
            assert file is not None
            axes.plot(*zip(place, file, strict=True), color="#bbbbbb", linewidth=0.8, zorder=1)
        top1 = shown[made[0]].fp32_top1
        assert top1 is not None
        error = 100 * top1.error
        axes.errorbar(*place, error, fmt="s", color=FLOAT32, markerfacecolor="white", markersize=5, linewidth=0.8, zorder=2)
        labels.append(Label(axes, texts[made[0]] if len(made) == 1 else "", place, FLOAT32, error))
    return labels


def _draw_file(axes: Axes, mean: SeedMean, text: str) -> Label:
    place, top1 = _file(mean), mean.top1
    assert place is not None and top1 is not None
    error = 100 * top1.error
    axes.errorbar(*place, yerr=error, fmt="o", color=FILE, markersize=5, linewidth=0.8, zorder=3)
    return Label(axes, text, place, FILE, error)


def _draw_reference(axes: Axes, reference: Reference) -> list[Label]:
    other = axes.twinx()
    other.spines["right"].set_visible(True)
    other.set_ylabel(reference.what)
    labels = []
    for mark in reference.marks:
        place = (float(mark.size_bytes), mark.accuracy)
        other.plot(*place, "D", color=OTHERS, markerfacecolor="white", markersize=5, zorder=2)
        labels.append(Label(other, mark.label, place, OTHERS))
    other.margins(y=0.25)
    axes.plot([], [], "D", color=OTHERS, markerfacecolor="white", markersize=5, label="of others, right axis")
    return labels


def _file(mean: SeedMean) -> Place | None:
    return (mean.size_bytes, 100 * mean.top1.value) if mean.size_bytes is not None and mean.top1 is not None else None


def _measured_on(shown: Sequence[SeedMean]) -> str:
    sets = sorted({f"{result.test_set.partition(':')[0]} (n = {result.n:,})" for mean in shown for result in mean.results})
    return "; ".join(sets)
