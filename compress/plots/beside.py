"""Labels beside marks, each where it covers the least of other labels, of marks and of their error bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

# Where a label may stand: points right of and above its mark, and its alignments. The first of equals is taken.
Side = tuple[tuple[int, int], Literal["left", "center", "right"], Literal["bottom", "center", "top"]]
SIDES: tuple[Side, ...] = (
    ((4, 3), "left", "bottom"),
    ((-4, 3), "right", "bottom"),
    ((4, -3), "left", "top"),
    ((-4, -3), "right", "top"),
    ((0, 6), "center", "bottom"),
    ((0, -6), "center", "top"),
    ((7, 0), "left", "center"),
    ((-7, 0), "right", "center"),
    ((8, 12), "left", "bottom"),
    ((-8, 12), "right", "bottom"),
    ((8, -12), "left", "top"),
    ((-8, -12), "right", "top"),
)
FONT_SIZE = 7  # points
HALF_MARK, HALF_BAR = 3.5, 2.0  # points
BACKGROUND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.6, "pad": 0.3}  # over lines


@dataclass(frozen=True)
class Label:
    """Beside a mark at `place`, in the axes' data. text: "" keeps the others away all the same. error: the bar's half-height."""

    axes: Axes
    text: str
    place: tuple[float, float]
    colour: str
    error: float = 0.0


def write(figure: Figure, labels: Sequence[Label]) -> None:
    """Last, when all else is drawn: it lays the figure out to know where the marks are. No layout makes room for the labels."""
    figure.draw_without_rendering()
    pixels = figure.dpi / 72
    taken = [box for label in labels for box in _boxes(label, pixels)]
    for label in labels:
        if label.text:
            taken.append(_settle(label, taken))


def _boxes(label: Label, pixels: float) -> list[Bbox]:
    """Of the mark and of its error bar. pixels: in a point."""
    from matplotlib.transforms import Bbox

    (x, y), error = label.place, label.error
    (middle, centre), (_, low), (_, high) = label.axes.transData.transform([(x, y), (x, y - error), (x, y + error)])
    mark, bar = HALF_MARK * pixels, HALF_BAR * pixels
    return [
        Bbox.from_extents(middle - mark, centre - mark, middle + mark, centre + mark),
        Bbox.from_extents(middle - bar, low, middle + bar, high),
    ]


def _settle(label: Label, taken: Sequence[Bbox]) -> Bbox:
    options = {"textcoords": "offset points", "fontsize": FONT_SIZE, "color": label.colour}
    text = label.axes.annotate(label.text, label.place, xytext=(0, 0), **options)  # type: ignore[arg-type]
    text.set_in_layout(False)
    text.set_bbox(BACKGROUND)
    sides = range(len(SIDES))
    best = min(sides, key=lambda side: _covered(_moved(text, side), taken, label.axes.get_window_extent()))
    return _moved(text, best)


def _moved(text: Annotation, side: int) -> Bbox:
    offset, horizontal, vertical = SIDES[side]
    text.set_position(offset)
    text.set_horizontalalignment(horizontal)
    text.set_verticalalignment(vertical)
    return text.get_window_extent()


def _covered(box: Bbox, taken: Sequence[Bbox], inside: Bbox) -> float:
    """In square pixels: what it covers of the boxes taken, and what of it is outside the axes."""
    return sum(_common(box, other) for other in taken) + box.width * box.height - _common(box, inside)


def _common(one: Bbox, other: Bbox) -> float:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return width * height if width > 0 and height > 0 else 0.0
