"""Plots of bytes: from stage to stage, and within the file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from compress.ledger import ledger
from compress.plots.labels import distinct, one_line
from compress.report import theme
from compress.report.byte_parts import (
    BIASES,
    CODEBOOKS,
    CODES,
    LEVELS,
    MODELS,
    POSITIONS,
    RAW,
    RECORDS,
    ModuleBytes,
    total,
)
from compress.report.frame import BOTTOM, axes_of, end_with_texts, legend_height
from compress.report.svg import tip
from compress.report.texts import ASIDE, percent, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    LEVELS: theme.BLUE,
    POSITIONS: theme.TEAL,
    CODES: theme.PURPLE,
    RAW: theme.OLIVE,
    BIASES: theme.ORANGE,
    CODEBOOKS: theme.GREEN,
    MODELS: theme.PINK,
    RECORDS: theme.GREY,
}
NAME_CHARACTERS = 24
LEGEND_COLUMNS = 1


def waterfall(rows: Sequence[ledger.Row]) -> theme.Plot:
    """rows: of one run. From the uncompressed net down to the file, each stage by what it took away or added."""
    path = path_of(rows)
    alt = "Bytes after each stage: " + ", ".join(f"{row.stage} {row.size_bytes:,}" for row in path)
    return theme.Plot("waterfall", one_line(alt), partial(_waterfall, path), theme.WIDTH, stages_height(path))


def path_of(rows: Sequence[ledger.Row]) -> list[ledger.Row]:
    """The stages that lead to the file, each from the one before."""
    return [row for row in rows if row.stage != ASIDE and not row.stage.startswith("report ")]


def stages_height(path: Sequence[ledger.Row]) -> float:
    """Inches, of a plot with a row a stage."""
    return 0.75 + 0.36 * len(path)


def file_bytes(modules: Sequence[ModuleBytes], name: str = "file-bytes") -> theme.Plot:
    """modules: of one file, as byte_parts.by_module gives them."""
    whole = total(modules)
    parts = ", ".join(f"{part} {n_bytes:,}" for part, n_bytes in whole.bytes_of.items())
    alt = f"Where the file's {whole.size_bytes:,} bytes are, module by module: {parts}"
    return theme.Plot(name, alt, partial(_file_bytes, modules), theme.WIDTH, _height(modules))


def file_shares(modules: Sequence[ModuleBytes]) -> theme.Plot:
    """The same, each module's bytes as shares of its own: what the small ones are made of is seen too."""
    alt = "What the bytes of each module are for, as shares of the module"
    return theme.Plot("file-shares", alt, partial(_file_shares, modules), theme.WIDTH, _height(modules))


def _height(modules: Sequence[ModuleBytes]) -> float:
    return BOTTOM + theme.ROW * len(modules) + legend_height(len(total(modules).bytes_of), LEGEND_COLUMNS)


def byte_axis(axis: Axes, largest: int) -> None:
    """Ticks as 1.5 MB, 200 KB (1,000 bytes) or bytes."""
    unit, name = next(((u, n) for u, n in ((10**6, "MB"), (10**3, "KB")) if largest >= 2 * u), (1, "bytes"))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value / unit:g}")
    axis.set_xlabel(name)


def _waterfall(rows: Sequence[ledger.Row], figure: Figure) -> None:
    [axis] = axes_of(figure, distinct([one_line(row.stage) for row in rows], NAME_CHARACTERS))
    largest = max(row.size_bytes for row in rows)
    highs, texts = [], []
    for place, row in enumerate(rows):
        before = rows[place - 1].size_bytes if place else 0
        change = row.size_bytes - before
        whole = place in (0, len(rows) - 1)
        low, high = (0, row.size_bytes) if whole else sorted((before, row.size_bytes))
        colour = theme.BLUE if whole else theme.GREEN if change <= 0 else theme.RED
        [bar] = axis.barh(place, max(high - low, largest / 400), left=low, height=0.62, color=colour)
        tip(bar, f"{row.stage}: {row.size_bytes:,} bytes")
        text = f"{row.size_bytes:,}" + (f" ({signed(change)})" if place and change else "")
        axis.annotate(text, (high, place), (6, 0), textcoords="offset points", va="center", fontsize=theme.TEXT)
        highs.append(high)
        texts.append(text)
        if place < len(rows) - 1:  # where the next one starts
            axis.plot([row.size_bytes] * 2, [place - 0.31, place + 1.31], color=theme.MUTED, linewidth=0.7, zorder=0.5)
    axis.set_xlim(0, end_with_texts(axis, highs, texts, theme.TEXT))
    axis.locator_params(axis="x", nbins=6)
    axis.set_xticks([tick for tick in axis.get_xticks() if 0 <= tick <= 1.05 * largest])
    axis.spines["bottom"].set_bounds(0, largest)
    byte_axis(axis, largest)


def _file_bytes(modules: Sequence[ModuleBytes], figure: Figure) -> None:
    axis = _module_axis(modules, figure)
    whole = total(modules)
    largest = max(module.size_bytes for module in modules)
    _stack(axis, modules, [1.0] * len(modules))
    texts = [f"{module.size_bytes:,} ({percent(module.size_bytes / whole.size_bytes)})" for module in modules]
    for place, (module, text) in enumerate(zip(modules, texts, strict=True)):
        axis.annotate(text, (module.size_bytes, place), (5, 0), textcoords="offset points", va="center", fontsize=theme.TEXT)
    axis.set_xlim(0, end_with_texts(axis, [module.size_bytes for module in modules], texts, theme.TEXT))
    axis.locator_params(axis="x", nbins=5)
    byte_axis(axis, largest)
    figure.legend(loc="upper left", ncols=LEGEND_COLUMNS, borderaxespad=0.2)


def _file_shares(modules: Sequence[ModuleBytes], figure: Figure) -> None:
    axis = _module_axis(modules, figure)
    _stack(axis, modules, [1 / module.size_bytes for module in modules])
    axis.set_xlim(0, 1)
    axis.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    axis.set_xlabel("of the module's bytes")
    figure.legend(loc="upper left", ncols=LEGEND_COLUMNS, borderaxespad=0.2)


def _module_axis(modules: Sequence[ModuleBytes], figure: Figure) -> Axes:
    names = distinct([one_line(module.name) for module in modules], NAME_CHARACTERS)
    [axis] = axes_of(figure, names, top=legend_height(len(total(modules).bytes_of), LEGEND_COLUMNS))
    return axis


def _stack(axis: Axes, modules: Sequence[ModuleBytes], scales: Sequence[float]) -> None:
    """A bar a module, of its parts side by side; scales: what a byte of each is wide."""
    left = [0.0] * len(modules)
    for part, of_all in total(modules).bytes_of.items():
        places = [place for place, module in enumerate(modules) if part in module.bytes_of]
        widths = [modules[place].bytes_of[part] * scales[place] for place in places]
        starts = [left[place] for place in places]
        bars = axis.barh(places, widths, left=starts, height=0.7, color=COLOURS[part], label=f"{part}: {of_all:,}")
        for bar, place, width in zip(bars, places, widths, strict=True):
            tip(bar, f"{modules[place].name}: {part}: {modules[place].bytes_of[part]:,} bytes")
            left[place] += width
