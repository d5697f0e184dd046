"""What a page and its plots look like: the colours, and matplotlib's settings.

A plot is drawn in the colours of LIGHT. In a page each of them becomes a CSS variable of its name, so that the page decides,
for the plots too, whether it is light or dark; a plot that is written as a file keeps them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIGHT = {
    "paper": "#fdfdfc",
    "ink": "#1c2430",
    "muted": "#596473",
    "line": "#cdd4dc",
    "blue": "#2d6cb0",
    "orange": "#d8781c",
    "green": "#2b8a5e",
    "purple": "#8456b4",
    "teal": "#1a8797",
    "pink": "#c54c77",
    "olive": "#9a8a1e",
    "grey": "#8c96a2",
    "red": "#c03a33",
}
DARK = {
    "paper": "#14181e",
    "ink": "#e7ebf0",
    "muted": "#a3adba",
    "line": "#39424e",
    "blue": "#6aa5e3",
    "orange": "#f0a050",
    "green": "#5cc193",
    "purple": "#b48fe0",
    "teal": "#55bfce",
    "pink": "#ec85a8",
    "olive": "#cfbf55",
    "grey": "#7d8896",
    "red": "#f07a72",
}
PAPER, INK, MUTED, LINE = (LIGHT[name] for name in ("paper", "ink", "muted", "line"))
BLUE, ORANGE, GREEN, PURPLE = (LIGHT[name] for name in ("blue", "orange", "green", "purple"))
TEAL, PINK, OLIVE, GREY, RED = (LIGHT[name] for name in ("teal", "pink", "olive", "grey", "red"))

SETTINGS = {
    "svg.fonttype": "none",  # text stays text: it can be selected, found and read aloud
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.left": False,
    "axes.titlesize": 9.5,
    "axes.titlepad": 8,
    "text.color": INK,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.color": LINE,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8.5,
    "ytick.major.size": 0,
    "grid.color": LINE,
    "grid.alpha": 0.7,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.handlelength": 1.0,
    "legend.handleheight": 0.9,
    "legend.columnspacing": 1.4,
}
WIDTH = 4.2  # inches, of most plots: as wide as a phone, and two fit beside each other on a desk, where they are enlarged
TEXT = 8.5  # points, of the smallest text in them
ROW = 0.215  # inches, of a layer in a plot that has a row for each


@dataclass(frozen=True)
class Plot:
    """name: of its files, [a-z0-9-]; also before the ids of its SVG. alt: what it shows, in words. width, height: inches."""

    name: str
    alt: str
    draw: Callable[[Figure], None]
    width: float
    height: float
