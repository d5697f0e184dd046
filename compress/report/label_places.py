"""Where names and numbers go in a scatter plot. Every point gets its number, which a table explains; its name too where there is
room. None lies on another or on a point as long as there is a place left in the plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CHARACTER_WIDTH, LINE_HEIGHT = 0.62, 1.25  # of the font's size; wide, as a page's font is not known here
GAP = 7.0  # points between a point's centre and its label
NEAR, FAR = (4, 1), (16, 12)  # places tried for a name, for a number: up and down, and to either side


@dataclass(frozen=True)
class Box:
    """In points of 1/72 inch; y goes up."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: Box) -> bool:
        return self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top

    def holds(self, other: Box) -> bool:
        return self.left <= other.left and other.right <= self.right and self.bottom <= other.bottom and other.top <= self.top

    def distance(self, x: float, y: float) -> float:
        """From a point to the nearest one of this box; 0 inside."""
        return math.hypot(max(self.left - x, 0, x - self.right), max(self.bottom - y, 0, y - self.top))


@dataclass(frozen=True)
class Label:
    """x, y: of the point. number: short, always shown; name: shown after it where there is room."""

    number: str
    name: str
    x: float
    y: float

    @property
    def whole(self) -> str:
        return f"{self.number} {self.name}"


@dataclass(frozen=True)
class Placed:
    text: str
    box: Box


def place_labels(
    labels: Sequence[Label], taken: Sequence[Box], better_free: Sequence[Box], frame: Box, font_size: float
) -> list[Placed]:
    """A place for each label, the first ones first. taken: where none may lie, if there is another place in the whole frame;
    better_free: where one may, but rather not."""
    numbers: list[Box] = []
    for label in labels:
        box = _place(label, label.number, FAR, [*taken, *numbers], better_free, frame, font_size)
        numbers.append(box if box is not None else _beside(label, frame, font_size))
    placed = [Placed(label.number, box) for label, box in zip(labels, numbers, strict=True)]
    for i, label in enumerate(labels):
        others = [other.box for other in (*placed[:i], *placed[i + 1 :])]
        box = _place(label, label.whole, NEAR, [*taken, *others], better_free, frame, font_size)
        if box is not None:
            placed[i] = Placed(label.whole, box)
    return placed


def _place(
    label: Label,
    text: str,
    reach: tuple[int, int],
    taken: Sequence[Box],
    better_free: Sequence[Box],
    frame: Box,
    font_size: float,
) -> Box | None:
    width, height = _size(text, font_size)
    first = None
    for box in _candidates(label, width, height, reach):
        if _is_free(box, taken, frame):
            if _is_free(box, better_free, frame):
                return box
            first = first or box
    return first


def _size(text: str, font_size: float) -> tuple[float, float]:
    return CHARACTER_WIDTH * font_size * len(text), LINE_HEIGHT * font_size


def _is_free(box: Box, used: Sequence[Box], frame: Box) -> bool:
    return frame.holds(box) and not any(box.overlaps(other) for other in used)


def _candidates(label: Label, width: float, height: float, reach: tuple[int, int]) -> list[Box]:
    """Beside the point, right before left, then ever farther from it."""
    n_up, n_aside = reach
    offsets = [0.0] + [sign * step * height * 0.75 for step in range(1, n_up + 1) for sign in (1, -1)]
    gaps = [GAP * (1 + 2 * step) for step in range(n_aside)]
    boxes = [
        Box(left, label.y + offset - height / 2, left + width, label.y + offset + height / 2)
        for gap in gaps
        for offset in offsets
        for left in (label.x + gap, label.x - gap - width)
    ]
    return sorted(boxes, key=lambda box: round(box.distance(label.x, label.y), 6))


def _beside(label: Label, frame: Box, font_size: float) -> Box:
    """Right of the point, or where the frame ends: of a plot so full that labels must lie on each other."""
    width, height = _size(label.number, font_size)
    left = min(max(label.x + GAP, frame.left), frame.right - width)
    bottom = min(max(label.y - height / 2, frame.bottom), frame.top - height)
    return Box(left, bottom, left + width, bottom + height)
