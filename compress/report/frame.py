"""Where the axes of a plot lie: placed by how long the names beside them are. matplotlib would measure every text for that, which
takes longer than drawing, and in its own font, where a page may have a wider one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHARACTER_WIDTH = 0.62  # of the font's size
RIGHT, BOTTOM, TOP, GAP = 0.19, 0.46, 0.1, 0.3  # inches: around the axes, and between two
TITLE, LEGEND_ROW = 0.24, 0.175  # inches above the axes
POINTS = 72  # in an inch
TEXT_GAP = 0.12  # inches: between a bar and the text right of it
WIDEST_TEXT = 0.8  # of an axis; a longer one may leave the picture, or no bar would be seen


def axes_of(
    figure: Figure, names: Sequence[str], n: int = 1, *, size: float = 8.5, top: float = TOP, bottom: float = BOTTOM
) -> list[Axes]:
    """n axes beside each other, with a row for each name, from the top down, which stand left of the first. size: of the names,
    in points. top, bottom: inches that are left free there."""
    width, height = figure.get_size_inches()
    left = 0.14 + name_width(names, size)
    each = (width - left - RIGHT - GAP * (n - 1)) / n
    axes: list[Axes] = []
    for i in range(n):
        frame = ((left + i * (each + GAP)) / width, bottom / height, each / width, (height - top - bottom) / height)
        axes.append(figure.add_axes(frame, sharey=axes[0] if axes else None))
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(max(len(names), 1) - 0.4, -0.6)
    for axis in axes:
        axis.grid(axis="x")
    for axis in axes[1:]:
        axis.tick_params(labelleft=False)
    return axes


def end_with_texts(axis: Axes, ends: Sequence[float], texts: Sequence[str], size: float) -> float:
    """Where an axis from 0 must end so that each text has room right of its bar, which ends at one of `ends`. size: in points."""
    width = axis.bbox.width / axis.figure.dpi
    shares = [(TEXT_GAP + name_width([text], size)) / width for text in texts]
    needed = [end / (1 - min(share, WIDEST_TEXT)) for end, share in zip(ends, shares, strict=True)]
    return max(needed, default=0.0) or 1.0


def name_width(names: Sequence[str], size: float) -> float:
    """Inches, of the longest line."""
    longest = max((len(line) for name in names for line in name.splitlines()), default=0)
    return CHARACTER_WIDTH * size / POINTS * longest


def legend_height(n_entries: int, n_columns: int) -> float:
    """Inches."""
    return 0.2 + LEGEND_ROW * -(-n_entries // n_columns)
