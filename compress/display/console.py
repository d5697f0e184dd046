"""The terminal: as wide as it is, or a fixed width for a file or a pipe."""

from __future__ import annotations

from rich.console import Console

PLAIN_WIDTH = 180  # columns of a table that goes to a file or a pipe, where there is no terminal to fit


def console_for(*, stderr: bool = False) -> Console:
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH)
