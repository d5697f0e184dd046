"""matplotlib's SVG made part of a page: no ids but those that are used, colours and font of the page, tooltips."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from compress.plots.figure import render
from compress.plots.labels import one_line
from compress.report.theme import LIGHT, SETTINGS, Plot

if TYPE_CHECKING:
    from matplotlib.artist import Artist

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
PIXELS_PER_INCH = 96  # of CSS
ENLARGED = 1.25  # of a plot's own size: how large a page shows it where there is room
PNG_DPI = 200
_HREF = f"{{{XLINK}}}href"
_TIP = "tip:"
_COLOUR = re.compile("|".join(LIGHT.values()))
_VARIABLES = {value: f"var(--{name})" for name, value in LIGHT.items()}
_FONT = re.compile(r"font-family: [^;]*;? ?")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def tip(artist: Artist, text: str) -> None:
    """Shown where the pointer rests on an artist."""
    artist.set_gid(_TIP + one_line(text))


def inline(plot: Plot) -> str:
    """An <svg> for a page, every text in it escaped: as wide as there is room, at most ENLARGED."""
    root = _drawn(plot)
    for child in list(root):  # a <style> in an SVG is one of the whole page
        if child.tag == f"{{{SVG}}}metadata" or child.find(f"{{{SVG}}}style") is not None:
            root.remove(child)
    _own_ids(root, plot.name)
    for element in root.iter():
        if style := element.get("style"):
            style = _COLOUR.sub(lambda match: _VARIABLES[match[0]], style)
            element.set("style", _FONT.sub("", style))
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("style", f"max-width: {ENLARGED * plot.width * PIXELS_PER_INCH:.0f}px")
    root.set("role", "img")
    root.set("aria-label", plot.alt)
    return _text(root)


def files(plot: Plot) -> dict[str, bytes]:
    """The same as files of its own: name -> content."""
    svg = '<?xml version="1.0" encoding="utf-8"?>\n' + _text(_drawn(plot)) + "\n"
    return {f"{plot.name}.svg": svg.encode(), f"{plot.name}.png": _rendered(plot, "png")}


def _rendered(plot: Plot, file_format: str) -> bytes:
    size = {"width": plot.width, "height": plot.height}
    return render(plot.draw, **size, file_format=file_format, settings=SETTINGS, make_room=False, dpi=PNG_DPI)


def _drawn(plot: Plot) -> Element:
    root = ElementTree.fromstring(_rendered(plot, "svg"))
    used = set(_references(root))
    for element in root.iter():
        found = element.get("id", "")
        if found.startswith(_TIP):
            title = Element(f"{{{SVG}}}title")
            title.text = found.removeprefix(_TIP)
            element.insert(0, title)
        if found not in used:
            element.attrib.pop("id", None)
    return root


def _references(root: Element) -> Iterator[str]:
    for element in root.iter():
        for value in element.attrib.values():
            yield from _REFERENCE.findall(value)
        if element.get(_HREF, "").startswith("#"):
            yield element.get(_HREF, "")[1:]


def _own_ids(root: Element, prefix: str) -> None:
    """Ids that no other plot of the page has."""
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            if key == "id":
                element.set(key, f"{prefix}-{value}")
            elif key == _HREF and value.startswith("#"):
                element.set(key, f"#{prefix}-{value[1:]}")
            elif "url(#" in value:
                element.set(key, _REFERENCE.sub(rf"url(#{prefix}-\1)", value))


def _text(root: Element) -> str:
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    return re.sub(r"\n\s*", "\n", ElementTree.tostring(root, encoding="unicode"))
