"""The command that draws a training run: plot."""

from __future__ import annotations

from pathlib import Path

import click

MAX_IMAGES = 500  # a sheet of 10 x 50 pictures


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="Where the pictures go  [default: RUN/plots]"
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["png", "svg"]),
    default="png",
    show_default=True,
    help="Of the curves and the confusions.",
)
@click.option(
    "--images",
    "n_images",
    type=click.IntRange(1, MAX_IMAGES),
    metavar="N",
    help="Also show the N test images that the net gets most wrong, as worst.png.",
)
def plot(run: Path, output: Path | None, file_format: str, n_images: int | None) -> None:
    """Draw the training of RUN, a folder runs/NAME-train-KEY: curves, the classes that are mistaken, the worst images.

    Also while it trains. Prints the files that it writes: curves, and where the net was tested, confusion and worst.
    """
    from compress.atomic import write_atomically
    from compress.plots.draw import draw

    files = draw(run, file_format=file_format, n_images=n_images or 0)
    folder = output or run / "plots"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_atomically(folder / name, content)
        click.echo(str(folder / name))
