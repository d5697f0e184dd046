"""What `squeeze-compress fleet` shows."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from compress.display.console import console_for
from compress.release.fleet import Fleet


def fleet(found: Fleet) -> None:
    table = Table("sent", box=None, pad_edge=False)
    for heading in ("bytes a device", "bytes for all", "hours a device", "hours for all"):
        table.add_column(heading, justify="right")
    for row in found.rows:
        hours = (_hours(row.device_hours), _hours(row.fleet_hours))
        table.add_row(Text(row.what), f"{row.device_bytes:,}", f"{row.fleet_bytes:,}", *hours)
    console = console_for()
    console.print(table)
    console.print(
        f"{found.n_devices:,} devices, {found.bits_per_second:,.12g} bit/s to each; hours for all: one after the other; "
        "payload bytes only, no protocol",
        soft_wrap=True,
    )


def _hours(hours: float) -> str:
    """Three digits that say something, however few hours they are."""
    return f"{hours:,.1f}" if hours >= 100 else f"{hours:.3g}"
