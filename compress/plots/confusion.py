"""Which classes a net takes for which: a matrix, or, where that would be too large to read, the pairs it mistakes most."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from compress.plots.figure import render
from compress.plots.labels import distinct, one_line, readable, shorten
from compress.plots.log import Integers, Predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_WITH_COUNTS = 20  # classes of a matrix with a number in every cell
MAX_IN_MATRIX = 50  # classes
N_PAIRS = 20
MATRIX_CHARACTERS, PAIR_CHARACTERS, TITLE_CHARACTERS = 28, 34, 90


@dataclass(frozen=True)
class Pair:
    """n images of class `label` that the net takes for `predicted`, of n_label images of that class."""

    label: int
    predicted: int
    n: int
    n_label: int


def confusion(predictions: Predictions, title: str, file_format: str) -> bytes:
    names = readable(predictions.classes)
    n_classes = len(names)
    if n_classes > MAX_IN_MATRIX:
        pairs = most_confused(predictions, N_PAIRS)
        draw = partial(_draw_pairs, pairs, names, _title(predictions, title))
        return render(draw, width=10, height=1.6 + 0.27 * max(len(pairs), 2), file_format=file_format)
    side = 2.6 + (0.48 * n_classes if n_classes <= MAX_WITH_COUNTS else 0.19 * n_classes)
    draw = partial(_draw_matrix, counts(predictions), names, _title(predictions, title))
    return render(draw, width=max(side + 1.2, 6), height=max(side, 4), file_format=file_format)


def counts(predictions: Predictions) -> Integers:
    """(classes, classes): images of the row's class that the net takes for the column's."""
    n = len(predictions.classes)
    return np.bincount(predictions.labels * n + predictions.predicted, minlength=n * n).reshape(n, n)


def most_confused(predictions: Predictions, n_pairs: int) -> list[Pair]:
    """Pairs of different classes, by falling number of images; at the same number, those of the smaller class first."""
    n = len(predictions.classes)
    n_of_class = np.bincount(predictions.labels, minlength=n)
    wrong = predictions.labels != predictions.predicted
    keys, found = np.unique(predictions.labels[wrong] * n + predictions.predicted[wrong], return_counts=True)
    order = np.lexsort((keys, n_of_class[keys // n], -found))[:n_pairs]
    return [Pair(int(keys[i] // n), int(keys[i] % n), int(found[i]), int(n_of_class[keys[i] // n])) for i in order]


def _title(predictions: Predictions, title: str) -> str:
    right = np.mean(predictions.labels == predictions.predicted)
    facts = f"{len(predictions.labels):,} test images, {right:.1%} right"
    texts = (title, predictions.test_set, facts)
    return "\n".join(shorten(one_line(text), TITLE_CHARACTERS) for text in texts)


def _draw_matrix(numbers: Integers, names: list[str], title: str, figure: Figure) -> None:
    n_classes, n_of_class = len(numbers), numbers.sum(1)
    shares = numbers / np.maximum(n_of_class, 1)[:, None]
    shown = distinct(names, MATRIX_CHARACTERS)
    axis = figure.subplots()
    picture = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal", interpolation="nearest")
    with_counts = n_classes <= MAX_WITH_COUNTS
    size = 8 if with_counts else 6.5
    axis.set_xticks(range(n_classes), shown, rotation=90 if max(map(len, shown)) > 3 else 0, fontsize=size)
    rows = [f"{name}  ({n:,})" for name, n in zip(shown, n_of_class, strict=True)]
    axis.set_yticks(range(n_classes), rows, fontsize=size)
    axis.tick_params(length=0)
    axis.set_xticks(np.arange(n_classes - 1) + 0.5, minor=True)  # lines between the cells
    axis.set_yticks(np.arange(n_classes - 1) + 0.5, minor=True)
    axis.grid(which="minor", color="white", alpha=1, linewidth=1)
    axis.tick_params(which="minor", length=0)
    axis.spines[:].set_visible(False)
    axis.set_xlabel("predicted class")
    axis.set_ylabel("true class (images)")
    if with_counts:
        for (row, column), n in np.ndenumerate(numbers):
            if n:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axis.text(column, row, f"{n:,}", ha="center", va="center", fontsize=8 if n < 10_000 else 6, color=colour)
    bar = figure.colorbar(picture, ax=axis, shrink=0.6, aspect=25, format=lambda share, _: f"{share:.0%}")
    bar.set_label("of the true class's images")
    bar.outline.set_visible(False)
    figure.suptitle(title, fontsize=10)


def _draw_pairs(pairs: list[Pair], names: list[str], title: str, figure: Figure) -> None:
    from matplotlib.ticker import MaxNLocator

    axis = figure.subplots()
    figure.suptitle(title, fontsize=10)
    if not pairs:
        axis.text(0.5, 0.5, "no image was mistaken", transform=axis.transAxes, ha="center", color="grey")
        axis.set_axis_off()
        return
    places = range(len(pairs))
    bars = axis.barh(places, [pair.n for pair in pairs], color="tab:blue", height=0.7)
    axis.bar_label(
        bars, [f"{pair.n:,} of {pair.n_label:,} ({pair.n / pair.n_label:.0%})" for pair in pairs], padding=3, fontsize=8
    )
    shown = distinct(names, PAIR_CHARACTERS)
    labels = [f"{shown[pair.label]} → {shown[pair.predicted]}" for pair in pairs]
    axis.set_yticks(places, labels, fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.16, y=0.01)  # room for the numbers
    axis.tick_params(axis="y", length=0)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_title(f"the {len(pairs)} pairs most often mistaken: true class → predicted class")
    axis.set_xlabel("images")
    axis.grid(axis="x")
