"""Options and arguments that several commands take."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import click

as_json = click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")
sqz_file = click.argument("file", type=click.Path(path_type=Path))
overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Change a field of the recipe, for instance --set seed=1. Repeatable.",
)
runs = click.option(
    "--runs",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where the run's folder is made.",
)
device = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True, help="Where to compute."
)


def refuse_inputs(output: Path, *inputs: Path) -> None:
    """Raises InputError for an output that is one of the files that are read, by whatever name."""
    from compress.errors import InputError

    for path in inputs:
        try:
            same = output.samefile(path)
        except OSError:  # one of them is not there
            continue
        if same:
            raise InputError(f"{output}: is read from ({path}), and would be overwritten; name another file to write")


class _PageFile(click.Path):
    """A .html file to write: nothing else is overwritten by a page, and its folder must be there before work begins."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if path.suffix != ".html":
            self.fail(f"{path}: must end in .html", param, ctx)
        if not path.parent.is_dir():
            self.fail(f"{path}: the folder {path.parent} does not exist", param, ctx)
        return path


page_file = _PageFile(dir_okay=False, writable=True, path_type=Path)


class _Seconds(click.FloatRange):
    """A time to wait: a number, which NaN is not, although it is in every range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        seconds = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value} is not a number of seconds", param, ctx)
        return seconds


class _FileToWrite(click.Path):
    """A file's path: an empty one, as of a variable that is not set, names none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not os.fspath(value):
            self.fail("the name of the file is empty", param, ctx)
        return super().convert(value, param, ctx)


seconds = _Seconds(min=0, min_open=True, max=86_400)
file_to_write = _FileToWrite(dir_okay=False, path_type=Path)
