"""The commands about image sets: check."""

from __future__ import annotations

import json

import click

from compress.cli import options
from compress.errors import ProblemsFound


@click.group()
def data() -> None:
    """Look at the image sets that a recipe names."""


@data.command("check")
@click.argument("source")
@click.option("--test", metavar="SOURCE", help="The set that is measured on: compared with the first one too.")
@click.option("--size", type=click.IntRange(1, 2048), default=160, show_default=True, help="input.size of the recipe, pixels.")
@click.option("--resize", type=click.IntRange(1, 2048), help="input.resize of the recipe, pixels.  [default: as --size]")
@options.as_json
def data_check(source: str, test: str | None, size: int, resize: int | None, as_json: bool) -> None:
    """Look at every picture of SOURCE, folder:PATH (a sub-folder a class) or shards:GLOB, before training on it.

    Tells classes without pictures, pictures that cannot be decoded, copies, pictures that --test has too, and the `input` that
    a recipe should have: the mean and std of the pixels. Exit code 1 when there is a problem.

    \b
    squeeze-compress data check folder:pets/train --test folder:pets/val
    """
    from compress.data.check import check
    from compress.display import data_check as display

    if resize is not None and resize < size:
        raise click.BadParameter(f"{resize} is less than --size, {size}", param_hint="--resize")
    with display.progress() as advance:
        found = check(source, test, size=size, resize=resize, advance=advance)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1, allow_nan=False))
    else:
        display.data_check(found)
    if found.problems:
        raise ProblemsFound(f"{source}: {len(found.problems)} problem{'s' if len(found.problems) > 1 else ''}")
