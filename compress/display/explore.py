"""What `squeeze-compress explore` and `describe` show."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from compress.display.console import console_for
from compress.display.tables import drop

if TYPE_CHECKING:
    from compress.explore.results import Result
    from compress.explore.space import Point
    from compress.models.describe import NetFacts


def net(facts: NetFacts) -> None:
    table = _table("layer", "module", "of", "output", numbers=("parameters", "multiply-accumulates", "float32 bytes"))
    for layer in facts.layers:
        output = f"{layer.channels} x {layer.side} x {layer.side}"
        bypass = {"none": "", "identity": ", bypass", "conv": ", bypass of 1x1"}[layer.bypass]
        counts = (f"{n:,}" if n else "" for n in (layer.parameters, layer.macs, layer.fp32_bytes))
        table.add_row(layer.name, layer.module, layer.widths + bypass, output, *counts)
    table.add_row("all", "", "", "", f"{facts.parameters:,}", f"{facts.macs:,}", f"{facts.fp32_bytes:,}")
    console_for().print(table)
    print_line(
        f"input {facts.side} x {facts.side}; activations of one image take {facts.peak_activation_bytes:,} bytes in float32, "
        "where what is no longer read is freed"
    )


def plan(points: Sequence[Point], nets: Sequence[NetFacts | None], *, n_trials: int | None = None) -> None:
    """n_trials: of a search; the points are then its samples."""
    table = _table("point", "", numbers=("parameters", "float32 bytes", "multiply-accumulates", "bytes of activations", "input"))
    for point, facts in zip(points, nets, strict=True):
        counts: tuple[str, ...] = ("", "", "", "", "")
        if facts is not None:
            numbers = (facts.parameters, facts.fp32_bytes, facts.macs, facts.peak_activation_bytes)
            counts = (*(f"{n:,}" for n in numbers), f"{facts.side}")
        table.add_row(str(point.index), escape(point.label), *counts)
    console_for().print(table)
    if n_trials is None:
        print_line(f"{len(points):,} points; nothing was run")
    else:
        print_line(
            f"each value, or end of a range; the {n_trials:,} points of the search are chosen while it runs. nothing was run"
        )


def progress(result: Result, was_there: bool, n_done: int, n_points: int) -> str:
    """A line as a point is done."""
    what = f"{n_done}/{n_points} {result.label}: "
    if result.error or result.stopped:
        return f"{what}FAILED: {result.error}" if result.error else f"{what}stopped: {result.stopped}"
    top1 = f"top-1 {100 * result.top1:.1f}%, " if result.top1 is not None else ""
    how = "was done before" if was_there else f"{result.seconds:.0f} s"
    return f"{what}{result.size_bytes:,} bytes, {top1}{how}"


def results(found: Sequence[Result], front: Set[int], folder: Path) -> None:
    """front: the indices of the points that no other beats, seeds together."""
    reported = sorted({name for result in found for name in result.report})
    figures = ("parameters", "float32 bytes", "its top-1", "bytes", "x smaller", "top-1", "drop", "agreement", "n")
    table = _table("point", "", numbers=(*figures, *reported, "seconds"))
    for result in found:
        label = escape(result.label) + (" *" if result.index in front else "")
        if result.error or result.stopped:
            what = "FAILED" if result.error else "stopped"
            table.add_row(str(result.index), label, _count(result.parameters), _count(result.fp32_bytes), what)
            continue
        assert result.size_bytes is not None
        ratio = f"{result.fp32_bytes / result.size_bytes:.1f}" if result.fp32_bytes else ""
        table.add_row(
            str(result.index),
            label,
            _count(result.parameters),
            _count(result.fp32_bytes),
            _share(result.fp32_top1),
            f"{result.size_bytes:,}" + (" OVER" if result.missed else ""),
            ratio,
            _share(result.top1),
            drop(result.top1_drop, result.drop_interval),
            f"{result.agreement:.3f}",
            _count(result.n),
            *(_share(result.report.get(name)) for name in reported),
            f"{result.seconds:.0f}",
        )
    console_for().print(table)
    sets = sorted({result.test_set for result in found if result.test_set})
    print_line("*: no other point has fewer bytes and as good a top-1; seeds together")
    print_line(f"measured on: {'; '.join(sets) or 'nothing'}")
    for result in found:
        if result.error:
            print_line(f"point {result.index} ({result.label}): {result.error}")
    print_line(str(folder))


def print_line(text: str) -> None:
    console_for().print(text, markup=False, soft_wrap=True)


def _table(*texts: str, numbers: tuple[str, ...]) -> Table:
    table = Table(*texts, box=None, pad_edge=False)
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table


def _count(number: int | None) -> str:
    return f"{number:,}" if number is not None else ""


def _share(share: float | None) -> str:
    return f"{100 * share:.1f}" if share is not None else "-"
