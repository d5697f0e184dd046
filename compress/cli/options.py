"""Options and arguments that several commands take."""

from __future__ import annotations

from pathlib import Path

import click

as_json = click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")
sqz_file = click.argument("file", type=click.Path(path_type=Path))
device = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True, help="Where to compute."
)
