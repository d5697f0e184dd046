"""The command about devices: fit."""

from __future__ import annotations

import json
from pathlib import Path

import click

from compress.cli.options import as_json, sqz_file


@click.command()
@sqz_file
@as_json
def fit(file: Path, as_json: bool) -> None:
    """What FILE and its net need on a device, layer by layer, and which microcontrollers and FPGAs have that. Needs no torch.

    Flash, weights decoded whole, by layer or by row, the decoder's state, activations in float32 and int8, multiply-accumulates
    with and without zero weights. All of it is arithmetic on the file; what parts have is from their data sheets.
    """
    from compress.display import fit as display
    from compress.export.fit import fit as fit_of

    found = fit_of(file)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1))
    else:
        display.fit(found)
