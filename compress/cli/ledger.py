"""The commands of the ledger: show, add."""

from __future__ import annotations

import json
from pathlib import Path

import click

from compress.cli.options import as_json


@click.group()
def ledger() -> None:
    """Show ledgers, and promote a run's rows and file into artifacts/."""


@ledger.command("show")
@click.argument("file", type=click.Path(path_type=Path), default=Path("artifacts/ledger.csv"))
@as_json
def ledger_show(file: Path, as_json: bool) -> None:
    """Print a ledger as a table: a ledger.csv, or a run folder. [default: artifacts/ledger.csv]"""
    from compress.display import tables
    from compress.ledger.ledger import read

    rows = read(file / "ledger.csv" if file.is_dir() else file)
    if as_json:
        click.echo(json.dumps([row.__dict__ for row in rows], indent=1))
    else:
        tables.ledger(rows)


@ledger.command("add")
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--artifacts",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("artifacts"),
    show_default=True,
    help="The folder of published files and their ledger.",
)
@as_json
def ledger_add(run_folder: Path, artifacts: Path, as_json: bool) -> None:
    """Copy the file of a finished RUN folder, and its ledger rows, into artifacts/."""
    from compress.ledger.ledger import promote

    path, rows = promote(run_folder, artifacts)
    if as_json:
        facts = {"artifact": str(path), "size_bytes": path.stat().st_size, "rows": [row.__dict__ for row in rows]}
        click.echo(json.dumps(facts, indent=1))
    else:
        click.echo(f"{path}: {path.stat().st_size:,} bytes; {len(rows)} rows in {artifacts / 'ledger.csv'}")
