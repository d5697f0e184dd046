"""The terminal: as wide as it is, or a fixed width for a file or a pipe."""

from __future__ import annotations

from rich.console import Console

PLAIN_WIDTH = 180  # columns of a table that goes to a file or a pipe, where there is no terminal to fit


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """rich would leave with exit code 1, which means "judged and missed": the command's own handler decides."""
        raise


def console_for(*, stderr: bool = False) -> Console:
    console = _Console(stderr=stderr, highlight=False, emoji=False)
    return console if console.is_terminal else _Console(stderr=stderr, highlight=False, emoji=False, width=PLAIN_WIDTH)
