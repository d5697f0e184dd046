"""What `squeeze-compress fit` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from compress.display.console import console_for

if TYPE_CHECKING:
    from compress.export.fit import Fit, Verdict
    from compress.export.needs import Layer, Need


def fit(found: Fit) -> None:
    if found.not_described:
        _memory(found)
        _line(f"{found.file}: {found.not_described}: activations and parts cannot be told")
        return
    _layers(found)
    _line("")
    _memory(found)
    _line("")
    _needs(found.needs)
    _line("by row: the weights of one output at a time, a layer whole where that is less; fused: conv1 and its pool in one")
    _line("")
    _parts(found.verdicts)
    _line(
        "shown is the way that takes the most RAM and fits, or the least where none does; an FPGA has the file in RAM too; all "
        "RAM of a chip is counted, which is rarely in one piece, and no code, stack or buffer of a program"
    )


def _layers(found: Fit) -> None:
    headings = ("weights", "non-zero", "multiply-accumulates", "of non-zero weights", "decoder", "live, float32", "live, int8")
    table = _table("layer", "output", numbers=headings)
    for layer in found.layers:
        table.add_row(*_layer(layer))
    weights, nonzero = (sum(counts) for counts in zip(*map(_weights, found.layers), strict=True))
    table.add_row("all", "", f"{weights:,}", f"{nonzero:,}", f"{found.macs:,}", f"{found.nonzero_macs:,}", "", "", "")
    console_for().print(table)
    share = found.nonzero_macs / found.macs
    _line(
        f"input {found.side} x {found.side}; live: bytes of activations that are in memory at once; decoder: bytes of its state; "
        f"with zero weights skipped {100 * share:.1f}% of the multiply-accumulates are left"
    )


def _layer(layer: Layer) -> tuple[str, ...]:
    operation = layer.operation
    live = (f"{4 * operation.live_values:,}", f"{operation.live_values:,}")
    output = f"{operation.channels} x {operation.side} x {operation.side}"
    counts = (operation.n_weights, layer.n_nonzero, operation.macs, layer.nonzero_macs, layer.decoder_bytes)
    return operation.name, output, *(f"{count:,}" if count else "" for count in counts), *live


def _weights(layer: Layer) -> tuple[int, int]:
    return layer.operation.n_weights, layer.n_nonzero


def _memory(found: Fit) -> None:
    weights = found.weights
    table = _table("in memory", "where", numbers=("bytes",))
    table.add_row("flash: the file", "", f"{found.flash_bytes:,}")
    table.add_row(f"weights: all {weights.n_values:,}, float32", "", f"{weights.all_bytes:,}")
    table.add_row("weights: a layer, float32, at most", escape(weights.layer), f"{weights.layer_bytes:,}")
    table.add_row("weights: a row of a layer, float32, at most", escape(weights.row_layer), f"{weights.row_bytes:,}")
    table.add_row("state of the decoder, at most", "", f"{weights.decoder_bytes:,}")
    for activations, (size, where) in (found.peaks or {}).items():
        table.add_row(f"activations: {activations}", where, f"{size:,}")
    console_for().print(table)


def _needs(needs: tuple[Need, ...]) -> None:
    table = _table("activations", "weights", "most at", numbers=("RAM",))
    for need in needs:
        table.add_row(need.activations, need.weights, need.peak, f"{need.ram_bytes:,}")
    console_for().print(table)


def _parts(verdicts: tuple[Verdict, ...]) -> None:
    numbers = ("needs", "RAM", "RAM to spare", "flash", "flash to spare")
    table = _table("part", "fits", "activations", "weights", numbers=numbers)
    table.add_column("RAM and flash from")
    for verdict in verdicts:
        part = verdict.part
        no_flash = "file in RAM" if part.kind == "FPGA" else "another chip"
        table.add_row(
            part.name,
            "yes" if verdict.fits else "NO",
            verdict.need.activations,
            verdict.need.weights,
            f"{part.ram_bytes - verdict.ram_spare_bytes:,}",
            f"{part.ram_bytes:,}",
            f"{verdict.ram_spare_bytes:,}",
            f"{part.flash_bytes:,}" if part.flash_bytes is not None else no_flash,
            f"{verdict.flash_spare_bytes:,}" if verdict.flash_spare_bytes is not None else "",
            part.source,
        )
    console_for().print(table)


def _table(*texts: str, numbers: tuple[str, ...]) -> Table:
    table = Table(*texts, box=None, pad_edge=False)
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table


def _line(text: str) -> None:
    console_for().print(text, markup=False, soft_wrap=True)
