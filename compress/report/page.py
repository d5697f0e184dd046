"""A page that is made: its HTML, and its plots as files of their own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from compress.report.svg import files, inline
from compress.report.theme import Plot


@dataclass(frozen=True)
class Page:
    """plots: file name -> content, as SVG and PNG; empty where they were not asked for."""

    html: bytes
    plots: dict[str, bytes]


@dataclass(frozen=True)
class Drawn:
    """A plot as a page has it: its SVG, and its alt text."""

    svg: str
    alt: str


@dataclass
class Drawer:
    """Draws the plots of a page, and keeps them as files too where they are wanted. Names are unique within a page."""

    keep_files: bool
    files: dict[str, bytes] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def draw(self, plot: Plot) -> Drawn:
        if plot.name in self.names:
            raise ValueError(f"two plots of a page are called {plot.name}")
        self.names.add(plot.name)
        if self.keep_files:
            self.files.update(files(plot))
        return Drawn(inline(plot), plot.alt)

    def draw_all(self, plots: Iterable[Plot]) -> list[Drawn]:
        return [self.draw(plot) for plot in plots]
