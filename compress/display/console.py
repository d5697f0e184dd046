"""The terminal: as wide as it is, or a fixed width for a file or a pipe."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from compress.display.plain import plain

PLAIN_WIDTH = 180  # columns of a table that goes to a file or a pipe, where there is no terminal to fit


class _Console(Console):
    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Names of classes and other metadata are whatever a file says: no control character of theirs reaches the terminal."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=plain(segment.text))

    def on_broken_pipe(self) -> None:
        """rich would leave with exit code 1, which means "judged and missed": the command's own handler decides."""
        raise


def console_for(*, stderr: bool = False) -> Console:
    console = _Console(stderr=stderr, highlight=False, emoji=False)
    return console if console.is_terminal else _Console(stderr=stderr, highlight=False, emoji=False, width=PLAIN_WIDTH)
