"""What `squeeze-compress fleet` shows."""

from __future__ import annotations

from rich.table import Table

from compress.display.console import console_for
from compress.release.fleet import Fleet


def fleet(found: Fleet) -> None:
    table = Table("sent", box=None, pad_edge=False)
    for heading in ("bytes a device", "bytes for all", "hours a device", "hours for all"):
        table.add_column(heading, justify="right")
    for row in found.rows:
        table.add_row(
            row.what, f"{row.device_bytes:,}", f"{row.fleet_bytes:,}", f"{row.device_hours:,.4f}", f"{row.fleet_hours:,.1f}"
        )
    console = console_for()
    console.print(table)
    console.print(
        f"{found.n_devices:,} devices, {found.bits_per_second:,.0f} bit/s to each; hours for all: one after the other; "
        "payload bytes only, no protocol",
        soft_wrap=True,
    )
