"""A net as a drawing: its layers from the input down, Fire modules in their parts, bypasses as arrows, where pixels get fewer."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from compress.models.describe import LayerFacts, NetFacts
from compress.plots.figure import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, BOX = 0.34, 0.24  # inches: a layer's height with the gap below it, and without
LEFT, BOXES, BYPASSES, WIDTH = 0.9, 4.9, 1.2, 8.6  # inches: where boxes begin, most that a row of them and a bypass take, of all
CONV, SQUEEZE, EXPAND1X1, EXPAND3X3, POOL = "#56b4e9", "#f0e442", "#009e73", "#0072b2", "#dddddd"  # of Okabe and Ito's palette
BYPASS = "#d55e00"
DARK = {EXPAND3X3}  # colours with white text


def architecture(net: NetFacts, title: str, file_format: str) -> bytes:
    """A PNG or SVG. Raises MissingDependency without matplotlib."""
    height = ROW * (len(net.layers) + 3.6)
    return render(partial(_draw, net, title, height), width=WIDTH, height=height, file_format=file_format, make_room=False)


def _draw(net: NetFacts, title: str, height: float, figure: Figure) -> None:
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(height, 0)
    axes.axis("off")
    axes.text(0.1, 0.7 * ROW, f"{title}: {net.parameters:,} parameters, {net.macs:,} multiply-accumulates", va="center")
    y, side = 1.4 * ROW, net.side
    scale = BOXES / max(sum(_size(n_channels) for n_channels, _ in _parts(layer)) for layer in net.layers)
    for layer in net.layers:
        _draw_layer(axes, layer, y, scale)
        text, weight = f"{layer.side} x {layer.side}", "normal"
        if layer.side < side:
            text, weight = f"{side} to {layer.side} pixels", "bold"
        axes.text(WIDTH - 0.1, y + BOX / 2, text, ha="right", va="center", fontsize=8, weight=weight)
        side = layer.side
        y += ROW
    _draw_key(axes, y + 0.3 * ROW)


def _draw_layer(axes: Axes, layer: LayerFacts, y: float, scale: float) -> None:
    axes.text(LEFT - 0.1, y + BOX / 2, layer.name, ha="right", va="center", fontsize=8)
    parts = _parts(layer)
    x = LEFT
    for n_channels, colour in parts:
        width = scale * _size(n_channels)
        _box(axes, x, y, width, colour)
        ink = "white" if colour in DARK else "black"
        axes.text(x + width / 2, y + BOX / 2, f"{n_channels}", ha="center", va="center", fontsize=7, color=ink)
        x += width
    if layer.bypass != "none":
        _draw_bypass(axes, x + 0.08, y, layer.bypass)


def _size(n_channels: int) -> float:
    return max(0.5, math.log2(n_channels))


def _parts(layer: LayerFacts) -> list[tuple[int, str]]:
    """Channels and colour of each box."""
    if layer.fire_widths is not None:
        return list(zip(layer.fire_widths, (SQUEEZE, EXPAND1X1, EXPAND3X3), strict=True))
    return [(layer.channels, CONV if layer.parameters else POOL)]


def _box(axes: Axes, x: float, y: float, width: float, colour: str) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((x, y), width, BOX, facecolor=colour, edgecolor="black", linewidth=0.6))


def _draw_bypass(axes: Axes, x: float, y: float, kind: str) -> None:
    """An arrow around the layer, from above it to below."""
    from matplotlib.patches import FancyArrowPatch

    gap = (ROW - BOX) / 2
    arrow = FancyArrowPatch(
        (x, y - gap), (x, y + BOX + gap), connectionstyle="arc3,rad=-0.6", arrowstyle="-|>", mutation_scale=8, color=BYPASS
    )
    axes.add_patch(arrow)
    axes.text(x + 0.2, y + BOX / 2, "bypass" if kind == "identity" else "bypass by 1x1", va="center", fontsize=7, color=BYPASS)


def _draw_key(axes: Axes, y: float) -> None:
    x = LEFT
    names = (("convolution or linear", CONV), ("squeeze", SQUEEZE), ("expand 1x1", EXPAND1X1), ("expand 3x3", EXPAND3X3))
    for name, colour in (*names, ("pool", POOL)):
        _box(axes, x, y, 0.2, colour)
        axes.text(x + 0.26, y + BOX / 2, name, va="center", fontsize=7)
        x += 0.5 + 0.075 * len(name)
    note = "numbers: channels, which a box's width is the logarithm of"
    axes.text(LEFT, y + BOX / 2 + 0.8 * ROW, note, va="center", fontsize=7)
