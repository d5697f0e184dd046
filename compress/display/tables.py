"""What the commands show on stdout. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from compress.artifact.inspect import Row as LayerRow
from compress.artifact.inspect import parts_of
from compress.display.console import console_for
from compress.ledger.ledger import Row as LedgerRow

if TYPE_CHECKING:
    from compress.evaluate import Evaluation
    from compress.plan import Plan


def margin(margin_bytes: int | None) -> str:
    """How far a file is from its target, to follow its size."""
    if margin_bytes is None:
        return ""
    return f", {abs(margin_bytes):,} {'under' if margin_bytes >= 0 else 'OVER'} the target"


def ledger(rows: Sequence[LedgerRow]) -> None:
    table = Table("run", "stage", box=None, pad_edge=False)
    numbers = (
        "non-zeros",
        "bits/weight",
        "bytes",
        "x fp32",
        "x AlexNet",
        "top-1",
        "top-5",
        "drop",
        "agreement",
        "KL",
        "n",
        "seconds",
    )
    for heading in numbers:
        table.add_column(heading, justify="right")
    for row in rows:
        top1, top5 = ("-" if share is None else f"{100 * share:.1f}" for share in (row.top1, row.top5))
        table.add_row(
            escape(row.run_id),
            escape(row.stage),
            f"{row.nonzeros:,}",
            f"{row.bits_per_weight:.2f}",
            f"{row.size_bytes:,}",
            f"{row.ratio_fp32:.1f}",
            f"{row.ratio_alexnet:.0f}",
            top1,
            top5,
            drop(row.top1_drop, row.drop_interval),
            f"{row.agreement:.3f}",
            f"{row.mean_kl:.4f}",
            str(row.n),
            f"{row.seconds:.1f}",
        )
    console = console_for()
    console.print(table)
    for measured_on in dict.fromkeys(row.test_set for row in rows):
        console.print(f"measured on: {measured_on}", markup=False, soft_wrap=True)
    for tuned_on in dict.fromkeys(row.tuned_on for row in rows if row.tuned_on):
        console.print(f"tuned on: {tuned_on}", markup=False, soft_wrap=True)
    for row in rows:
        if row.overlap:
            console.print(
                f"{row.stage}: {row.overlap} pictures that it was tuned or chosen by are in its set too (--allow-overlap)",
                soft_wrap=True,
            )
    for names in dict.fromkeys(row.not_compressed for row in rows if row.not_compressed):
        console.print(f"stored as they are, no Conv2d or Linear: {names}", markup=False, soft_wrap=True)


def drop(top1_drop: float | None, interval: float | None) -> str:
    """Points of top-1 that were lost, with the half-width of the paired 95% interval."""
    return "-" if top1_drop is None or interval is None else f"{100 * top1_drop:+.1f}±{100 * interval:.1f}"


def evaluation(found: Evaluation) -> None:
    table = Table("net", box=None, pad_edge=False)
    for heading in ("bytes", "top-1", "top-5", "drop of top-1, 95%", "agreement", "KL", "n"):
        table.add_column(heading, justify="right")
    for name, size, fidelity in (
        (found.file, f"{found.size_bytes:,}", found.fidelity),
        (f"uncompressed ({found.teacher})", "", found.teacher_fidelity),
    ):
        top1, top5 = ("-" if share is None else f"{100 * share:.1f}" for share in (fidelity.top1, fidelity.top5))
        of_file = fidelity is found.fidelity
        table.add_row(
            escape(name),
            size,
            top1,
            top5,
            drop(fidelity.top1_drop, fidelity.drop_interval) if of_file else "",
            f"{fidelity.agreement:.3f}" if of_file else "",
            f"{fidelity.mean_kl:.4f}" if of_file else "",
            str(fidelity.n),
        )
    console = console_for()
    console.print(table)
    console.print(f"measured on: {found.test_set}", markup=False, soft_wrap=True)
    console.print(f"sha256 of the set: {found.test_set_sha256}; of the file: {found.sha256}", markup=False, soft_wrap=True)


def layers(file: Path, rows: Sequence[LayerRow], metadata: dict[str, Any]) -> None:
    total = sum(row.size_bytes for row in rows)
    table = Table("tensor", "kind", "shape", box=None, pad_edge=False)
    for heading in ("density", "clusters", "positions", "codes", "bytes", "bits/weight", "share"):
        table.add_column(heading, justify="right")
    for row in rows:
        is_layer = bool(row.kind)
        table.add_row(
            row.name,
            row.kind,
            "x".join(map(str, row.shape)),
            f"{row.n_nonzero / row.n_weights:.3f}" if is_layer else "",
            str(row.n_centroids or ""),
            row.positions,
            row.codes,
            f"{row.size_bytes:,}",
            f"{row.bits_per_weight:.2f}" if is_layer else "",
            f"{100 * row.size_bytes / total:.1f}%",
        )
    n_weights = sum(row.n_weights for row in rows)
    table.add_row("total", "", "", "", "", "", "", f"{total:,}", f"{8 * total / n_weights:.2f}", "100.0%")
    console = console_for()
    console.print(table)
    for key, value in metadata.items():
        console.print(f"{key}: {value}", soft_wrap=True, markup=False)
    parts = " + ".join(f"{n:,} {part}" for part, n in parts_of(rows).named().items())
    console.print(f"{file}: {total:,} bytes = {parts}", markup=False, soft_wrap=True)


def plan(found: Plan) -> None:
    table = Table("tensor", box=None, pad_edge=False)
    for heading in ("weights", "sensitivity", "step", "levels", "density", "bits/weight", "bytes", "share"):
        table.add_column(heading, justify="right")
    for layer in found.layers:
        table.add_row(
            layer.name,
            f"{layer.n_weights:,}",
            f"{layer.sensitivity:.2e}",
            f"{layer.step:.5f}",
            str(layer.n_levels),
            f"{layer.density:.3f}",
            f"{layer.bits_per_weight:.2f}",
            f"{layer.size_bytes:,}",
            f"{100 * layer.size_bytes / found.size_bytes:.1f}%",
        )
    other_share = f"{100 * found.other_bytes / found.size_bytes:.1f}%"
    table.add_row("(biases, other tensors, metadata, checksums)", "", "", "", "", "", "", f"{found.other_bytes:,}", other_share)
    n_weights = sum(layer.n_weights for layer in found.layers)
    table.add_row(
        "total", f"{n_weights:,}", "", "", "", "", f"{8 * found.size_bytes / n_weights:.2f}", f"{found.size_bytes:,}", "100.0%"
    )
    console = console_for()
    console.print(table)
    console.print(f"predicted: {found.size_bytes:,} bytes{margin(found.max_bytes - found.size_bytes)}", soft_wrap=True)


def predictions(found: Iterable[tuple[Path, Sequence[Any]]]) -> None:
    console = console_for()
    for path, classes in found:
        console.print(str(path), markup=False, soft_wrap=True)
        for guess in classes:
            console.print(f"  {100 * guess.probability:5.1f}%  {guess.name}  ({guess.index})", markup=False, soft_wrap=True)
