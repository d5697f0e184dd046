"""A logarithmic axis with as many numbers as have room."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Up to how many decades the axis may span, and what is numbered in each; a wider one has powers of ten alone.
NARROWEST = 1.2  # how many times what is at the right is what is at the left
NUMBERED = ((3.0, (1, 2, 5)), (5.0, (1, 3)))


def number(axes: Axes, text: Callable[[float], str]) -> None:
    """The x axis, which is logarithmic: after all is drawn, for its span is then known. text: of a number."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_xlim()
    if high / low < NARROWEST:  # a single value, or values that are one for the eye: matplotlib would divide by zero
        low, high = axes.set_xlim(low / NARROWEST, high * NARROWEST)
    decades = math.log10(high / low)
    subs = next((subs for most, subs in NUMBERED if decades <= most), (1,))
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
