"""Where names go in a scatter plot so that none lies on another, on a point or outside: greedily, the first ones first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CHARACTER_WIDTH, LINE_HEIGHT = 0.62, 1.25  # of the font's size; wide, as a page's font is not known here
GAP = 7.0  # points between a point's centre and its label


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


@dataclass(frozen=True)
class Label:
    """x, y: of the point that it names."""

    text: str
    x: float
    y: float


def place_labels(
    labels: Sequence[Label], taken: Sequence[Box], better_free: Sequence[Box], frame: Box, font_size: float
) -> list[Box | None]:
    """A place for each label, or None where there is no room for it. taken: where no label may lie; better_free: where one may,
    if there is no room elsewhere."""
    found: list[Box | None] = []
    used = list(taken)
    for label in labels:
        width, height = CHARACTER_WIDTH * font_size * len(label.text), LINE_HEIGHT * font_size
        allowed = [box for box in _candidates(label, width, height) if _is_free(box, used, frame)]
        place = next((box for box in allowed if _is_free(box, better_free, frame)), allowed[0] if allowed else None)
        found.append(place)
        if place is not None:
            used.append(place)
    return found


def _is_free(box: Box, used: Sequence[Box], frame: Box) -> bool:
    return frame.holds(box) and not any(box.overlaps(other) for other in used)


def _candidates(label: Label, width: float, height: float) -> list[Box]:
    """Beside the point, right before left, then ever higher and lower."""
    lefts = label.x + GAP, label.x - GAP - width
    offsets = [0.0] + [sign * step * height * 0.75 for step in (1, 2, 3, 4) for sign in (1, -1)]
    return [
        Box(left, label.y + offset - height / 2, left + width, label.y + offset + height / 2)
        for offset in offsets
        for left in lefts
    ]
