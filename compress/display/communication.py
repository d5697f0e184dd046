"""What a training step sends, and how long that takes: what `squeeze-compress comm` shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from compress.display.console import console_for

if TYPE_CHECKING:
    from compress.train.communication import Communication


def communication(rows: Sequence[Communication], *, images: int, batch_size: int, steps: int) -> None:
    """A row a net, bytes against the first one's; then a row a net and link, a column a number of workers. steps: an epoch."""
    console = console_for()
    console.print(_bytes_table(rows))
    console.print(f"epoch: {images:,} images in batches of {batch_size:,}, {steps:,} steps", soft_wrap=True)
    for row in rows:
        n_frozen = row.parameters - row.bytes_per_step // 4
        if n_frozen:
            console.print(f"{row.name}: {n_frozen:,} parameters are frozen and not sent", markup=False, soft_wrap=True)
    console.print()
    console.print(_times_table(rows))
    console.print(
        "bytes: measured on two processes of this machine, by a communication hook of DistributedDataParallel; times: computed, "
        "2 (n - 1) / n x bytes / bandwidth of a ring all-reduce, without latency",
        soft_wrap=True,
    )


def _bytes_table(rows: Sequence[Communication]) -> Table:
    table = Table("net", box=None, pad_edge=False)
    for heading in ("parameters", "bytes/step", "bytes/epoch", f"x less than {rows[0].name}"):
        table.add_column(escape(heading), justify="right")
    for row in rows:
        table.add_row(
            escape(row.name),
            f"{row.parameters:,}",
            f"{row.bytes_per_step:,}",
            f"{row.bytes_per_epoch:,}",
            f"{rows[0].bytes_per_step / row.bytes_per_step:.1f}",
        )
    return table


def _times_table(rows: Sequence[Communication]) -> Table:
    """Milliseconds a step."""
    table = Table("all-reduce of a step, ms", box=None, pad_edge=False)
    table.add_column("Gbit/s", justify="right")
    for workers in dict.fromkeys(time.workers for time in rows[0].seconds):
        table.add_column(f"{workers:,} workers", justify="right")
    for row in rows:
        for gbit_per_second in dict.fromkeys(time.gbit_per_second for time in row.seconds):
            cells = [_milliseconds(time.seconds) for time in row.seconds if time.gbit_per_second == gbit_per_second]
            table.add_row(escape(row.name), f"{gbit_per_second:g}", *cells)
    return table


def _milliseconds(seconds: float) -> str:
    """Three digits, so that what is not zero is not shown as zero."""
    milliseconds = 1000 * seconds
    return f"{milliseconds:,.0f}" if milliseconds >= 99.5 else f"{milliseconds:#.3g}"
