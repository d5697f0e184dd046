"""The commands of updates: delta, apply."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from compress.cli.options import as_json, refuse_inputs


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .sqzd file to write.")
@click.option(
    "--form",
    type=click.Choice(["block", "symbol", "auto"]),
    default="block",
    show_default=True,
    help="block: copies and replaces whole blocks, so that a device needs no encoder. symbol: the weights that changed, smaller "
    "after a little tuning, for hosts with this version of squeeze-compress. auto: the smaller.",
)
@as_json
def delta(old: Path, new: Path, output: Path, form: Literal["auto", "block", "symbol"], as_json: bool) -> None:
    """Write the update that makes the file NEW of the file OLD. Needs no torch."""
    from compress.artifact import delta as delta_file
    from compress.display.delta import made

    refuse_inputs(output, old, new)
    found = delta_file.make(old, new, form=form)
    delta_file.write(output, found)
    if as_json:
        click.echo(json.dumps({"file": str(output), **found.to_json()}, indent=1))
    else:
        made(output, found)


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("update", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .sqz file to write.")
@click.option(
    "--max-bytes", type=click.IntRange(min=1), metavar="N", help="Refuse an UPDATE that makes a larger file.  [default: 2^30]"
)
@as_json
def apply(old: Path, update: Path, output: Path, max_bytes: int | None, as_json: bool) -> None:
    """Make the new file of OLD and UPDATE, byte for byte. OUTPUT may be OLD, and is replaced when all of it is there.

    OLD must be the very file that UPDATE was made for. Needs no torch.
    """
    from compress.artifact.delta_apply import apply as apply_delta
    from compress.artifact.delta_layout import MAX_NEW_SIZE

    refuse_inputs(output, update)
    header = apply_delta(old, update, output, max_new_size=max_bytes or MAX_NEW_SIZE)
    digest = header.new_sha256.hex()
    if as_json:
        facts = {"file": str(output), "size_bytes": header.new_size, "sha256": digest, "form": header.form.name.lower()}
        click.echo(json.dumps(facts, indent=1))
    else:
        click.echo(f"{output}: {header.new_size:,} bytes, sha256 {digest}")
