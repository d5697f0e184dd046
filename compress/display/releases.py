"""What `squeeze-compress ls` shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from compress.display.console import console_for

if TYPE_CHECKING:
    from compress.release.listing import Listed


def versions(found: Sequence[Listed]) -> None:
    table = Table("version", box=None, pad_edge=False)
    table.add_column("bytes", justify="right")
    for heading in ("sha256", "signed by (not checked)", "published"):
        table.add_column(heading, overflow="fold")
    for each in found:
        if each.manifest is not None:
            facts = each.manifest.file
            table.add_row(str(each.version), f"{facts.size_bytes:,}", facts.sha256, each.signed_by or "-", each.manifest.time)
        else:
            table.add_row(str(each.version), "", "REFUSED")
    console = console_for()
    console.print(table)
    for each in found:
        if each.error:
            console.print(Text(f"REFUSED: {each.error}"), soft_wrap=True)
