"""What `squeeze-compress delta` says of the update that it made."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from compress.artifact.delta import Delta
from compress.display.console import console_for


def made(path: Path, delta: Delta) -> None:
    table = Table("form", box=None, pad_edge=False)
    for heading in ("bytes", "of NEW", ""):
        table.add_column(heading, justify="right")
    for form, size in (("block", delta.block_size), ("symbol", delta.symbol_size), ("NEW whole", delta.new_size)):
        if size is not None:
            written = "written" if form == delta.form.name.lower() else ""
            table.add_row(form, f"{size:,}", f"{100 * size / delta.new_size:.1f}%", written)
    console = console_for()
    console.print(table)
    if delta.no_symbol:
        console.print(f"no symbol form: {delta.no_symbol}", markup=False, soft_wrap=True)
    if delta.n_compared:
        share = f"{delta.n_changed:,} of {delta.n_compared:,} ({100 * delta.n_changed / delta.n_compared:.2f}%)"
        console.print(f"weights that changed, of tensors in both files: {share}", markup=False, soft_wrap=True)
    form = delta.form.name.lower()
    needs = "this version of squeeze-compress to apply; a device refuses it" if form == "symbol" else "no coder to apply"
    console.print(f"{path}: {delta.size_bytes:,} bytes, {form} form; takes {needs}", markup=False, soft_wrap=True)
    if not delta.saves_bytes:
        console.print("not smaller than NEW: send NEW", markup=False)
