"""The command of fleets: fleet."""

from __future__ import annotations

import json
from pathlib import Path

import click

from compress.cli.options import as_json, sqz_file


@click.command()
@sqz_file
@click.option("--devices", required=True, metavar="N", help="How many devices, for instance 1e6.")
@click.option("--rate", required=True, metavar="RATE", help="Of the link to one device, for instance 100kbit or 2.5Mbit/s.")
@click.option("--against", type=click.Path(path_type=Path), metavar="OLD", help="The .sqz file that devices have: its delta too.")
@click.option("--delta", "update", type=click.Path(path_type=Path), metavar="UPDATE", help="A .sqzd file that makes FILE.")
@as_json
def fleet(file: Path, devices: str, rate: str, against: Path | None, update: Path | None, as_json: bool) -> None:
    """What it takes to send FILE to many devices: bytes and hours, beside AlexNet, float32 and an update. Needs no torch."""
    from compress.display import fleet as display
    from compress.release.fleet import fleet as fleet_of
    from compress.release.fleet import parse_devices, parse_rate

    if against is not None and update is not None:
        raise click.UsageError("--against makes the delta that --delta names: give one of them")
    found = fleet_of(file, n_devices=parse_devices(devices), bits_per_second=parse_rate(rate), against=against, update=update)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1))
    else:
        display.fleet(found)
