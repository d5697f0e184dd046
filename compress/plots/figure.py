"""matplotlib as it is used here: one figure, the same bytes from the same numbers, whatever the user's settings are."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

from compress.errors import MissingDependency

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 120
SETTINGS = {
    "svg.hashsalt": "squeeze-compress",  # or the ids in an SVG are random
    "text.parse_math": False,  # a class may have a $ in its name
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}


def matplotlib() -> ModuleType:
    """Raises MissingDependency where it is not installed."""
    try:
        import matplotlib as mpl
    except ModuleNotFoundError as error:
        raise MissingDependency("plots need matplotlib: pip install 'squeeze-compress[plot]'") from error
    return mpl


def render(
    draw: Callable[[Figure], None],
    *,
    width: float,
    height: float,
    file_format: str,
    settings: Mapping[str, Any] = MappingProxyType({}),
    make_room: bool = True,
    dpi: int = DPI,
) -> bytes:
    """The PNG or SVG of what `draw` draws. width, height: in inches. settings: of matplotlib, before these. make_room: place the
    axes so that every label has room; without it `draw` places them, and it takes half of the time. dpi: of a PNG."""
    mpl = matplotlib()
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # drawn as a box, as any program does
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS | dict(settings))
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        layout = ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.1) if make_room else None
        figure = Figure(figsize=(width, height), dpi=dpi, layout=layout)
        draw(figure)
        buffer = io.BytesIO()
        undated = {"Date": None} if file_format == "svg" else {"Software": None}
        figure.savefig(buffer, format=file_format, dpi=dpi, metadata=undated)
    return buffer.getvalue()
