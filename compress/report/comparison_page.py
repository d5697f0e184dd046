"""The page of two files beside each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from compress.artifact.compare import Comparison, TensorPair
from compress.artifact.inspect import Row
from compress.plots.labels import distinct, one_line
from compress.report import theme
from compress.report.byte_parts import module_of
from compress.report.frame import axes_of, end_with_texts, legend_height
from compress.report.page import Drawer, Page
from compress.report.plot_sizes import NAME_CHARACTERS, byte_axis
from compress.report.svg import tip
from compress.report.template import fill
from compress.report.texts import percent, signed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def comparison_page(found: Comparison) -> Page:
    """No plot of it is kept as a file."""
    drawer = Drawer(keep_files=False)
    html = fill(
        "comparison.html",
        found=found,
        name_a=Path(found.a.path).name,
        name_b=Path(found.b.path).name,
        outcomes=Counter(pair.outcome for pair in found.tensors),
        tensor_bytes=drawer.draw(tensor_bytes(found.tensors)),
        differences=drawer.draw(differences(found.tensors)),
        parts_a=found.a.parts.named(),
        parts_b=found.b.parts.named(),
        both=both,
    )
    return Page(html, drawer.files)


def both(rows: Sequence[Row], what: str) -> str:
    """A fact of a tensor in A and in B, once where it is the same. rows: of the files that have the tensor."""
    facts = {
        "shape": ["×".join(map(str, row.shape)) for row in rows],
        "density": [percent(row.n_nonzero / row.n_weights) for row in rows],
        "values": [str(row.n_centroids or "-") for row in rows],
        "coding": [" + ".join(part for part in (row.positions, row.codes) if part) or row.kind for row in rows],
    }
    return ", ".join(dict.fromkeys(facts[what]))


def tensor_bytes(pairs: Sequence[TensorPair]) -> theme.Plot:
    """What each module takes in either file."""
    sizes = _by_module(pairs)
    alt = "Bytes of each module in A and in B: " + ", ".join(f"{name} {a:,} and {b:,}" for name, (a, b) in sizes.items())
    return theme.Plot("tensor-bytes", one_line(alt), partial(_tensor_bytes, sizes), theme.WIDTH, _height(len(sizes)))


def differences(pairs: Sequence[TensorPair]) -> theme.Plot:
    """How far apart the decoded weights are, a row a tensor of two dimensions or more."""
    shown = [pair for pair in pairs if max(len(row.shape) for row in (pair.a, pair.b) if row is not None) > 1]
    alt = "How far the weights of B are from those of A, tensor by tensor"
    return theme.Plot("differences", alt, partial(_differences, shown), theme.WIDTH, _height(len(shown)))


def _height(n_rows: int) -> float:
    """The same for both plots, so that the rows of one are at the height of the other's."""
    return 0.9 + 1.25 * theme.ROW * max(n_rows, 1)


def _by_module(pairs: Sequence[TensorPair]) -> dict[str, tuple[int, int]]:
    sizes: dict[str, tuple[int, int]] = {}
    for pair in pairs:
        a, b = sizes.get(module_of(pair.name), (0, 0))
        sizes[module_of(pair.name)] = (
            a + (pair.a.size_bytes if pair.a else 0),
            b + (pair.b.size_bytes if pair.b else 0),
        )
    return sizes


def _tensor_bytes(sizes: dict[str, tuple[int, int]], figure: Figure) -> None:
    names = distinct([one_line(name) for name in sizes], NAME_CHARACTERS)
    [axis] = axes_of(figure, names, top=legend_height(2, 2))
    largest = max(max(pair) for pair in sizes.values())
    places = np.arange(len(sizes))
    for side, offset, colour in ((0, -0.19, theme.BLUE), (1, 0.19, theme.ORANGE)):
        of_side = [pair[side] for pair in sizes.values()]
        bars = axis.barh(places + offset, of_side, height=0.36, color=colour, label="AB"[side])
        for bar, name, n_bytes in zip(bars, sizes, of_side, strict=True):
            tip(bar, f"{name}: {'AB'[side]} {n_bytes:,} bytes")
    texts = [signed(b - a) for a, b in sizes.values()]
    for place, (pair, text) in enumerate(zip(sizes.values(), texts, strict=True)):
        axis.annotate(text, (max(pair), place), (5, 0), textcoords="offset points", va="center", fontsize=theme.TEXT)
    axis.set_xlim(0, end_with_texts(axis, [max(pair) for pair in sizes.values()], texts, theme.TEXT))
    axis.locator_params(axis="x", nbins=5)
    byte_axis(axis, largest)
    figure.legend(loc="upper left", ncols=2, borderaxespad=0.2)


def _differences(pairs: Sequence[TensorPair], figure: Figure) -> None:
    names = distinct([one_line(module_of(pair.name)) for pair in pairs], NAME_CHARACTERS)
    [axis] = axes_of(figure, names, top=legend_height(2, 2))
    errors = [pair.values.relative_rms if pair.values is not None else None for pair in pairs]
    widths = [error or 0 for error in errors]
    texts = [pair.outcome if error is None else percent(error) for pair, error in zip(pairs, errors, strict=True)]
    bars = axis.barh(range(len(pairs)), widths, height=0.66, color=theme.PURPLE)
    for place, (bar, pair, text) in enumerate(zip(bars, pairs, texts, strict=True)):
        tip(bar, f"{pair.name}: {text}")
        axis.annotate(text, (widths[place], place), (5, 0), textcoords="offset points", va="center", fontsize=theme.TEXT)
    axis.set_xlim(0, end_with_texts(axis, widths, texts, theme.TEXT))
    axis.locator_params(axis="x", nbins=5)
    axis.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
    axis.set_xlabel("rms(A − B) / rms(A)")
