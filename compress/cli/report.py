"""The command that makes a page to look at: report."""

from __future__ import annotations

from pathlib import Path

import click

from compress.cli.options import page_file
from compress.errors import InputError

MAX_IMAGES = 500  # a set
PUBLISHED = Path("artifacts/ledger.csv")


@click.command()
@click.argument("target", metavar="[RUN|LEDGER]", type=click.Path(path_type=Path), default=PUBLISHED)
@click.option(
    "-o",
    "--output",
    type=page_file,
    default=Path("report.html"),
    show_default=True,
    help="The page, a .html file.",
)
@click.option(
    "--plots",
    "plots_folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also write every plot there, as PNG and SVG.",
)
@click.option(
    "--ledger",
    "ledger_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The files that a RUN is shown beside.  [default: artifacts/ledger.csv, where that is]",
)
@click.option(
    "--images",
    "n_images",
    type=click.IntRange(1, MAX_IMAGES),
    metavar="N",
    help="Also show, of each set of a RUN, N pictures whose prediction changed. Needs torch and the sets. Do not commit it.",
)
def report(target: Path, output: Path, plots_folder: Path | None, ledger_file: Path | None, n_images: int | None) -> None:
    """Make one self-contained HTML page of a RUN (a folder in runs/), or of a LEDGER and the files beside it.

    Of a run: bytes, accuracy, every stage, where the bytes are, each layer, the weights before and after, the other files.
    The page asks for nothing else: it opens from the disk, has no script, and is light or dark as its reader's screen is.
    [default: artifacts/ledger.csv]
    """
    from compress.atomic import write_atomically
    from compress.report.make import page_of_ledger, page_of_run
    from compress.report.run import is_run

    if plots_folder is not None:
        plots_folder.mkdir(parents=True, exist_ok=True)  # or the work would be done before it is refused
    if is_run(target):
        beside = ledger_file if ledger_file is not None or not PUBLISHED.exists() else PUBLISHED
        page = page_of_run(target, beside, n_images=n_images or 0, keep_plots=plots_folder is not None)
    elif ledger_file is not None or n_images is not None:
        raise InputError(f"{target}: not the folder of a run; --ledger and --images are for one")
    else:
        page = page_of_ledger(target, keep_plots=plots_folder is not None)
    if plots_folder is not None:
        for name, content in page.plots.items():
            write_atomically(plots_folder / name, content)
    write_atomically(output, page.html)
    click.echo(f"{output}: {len(page.html):,} bytes")
    if plots_folder is not None:
        click.echo(f"{plots_folder}: {len(page.plots)} files")
