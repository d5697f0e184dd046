"""What the terminal shows: tables on stdout, progress on stderr. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich import progress as bars
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from compress.artifact.inspect import Row as LayerRow
from compress.ledger.ledger import Row as LedgerRow

PLAIN_WIDTH = 150  # columns of a table that goes to a file or a pipe, where there is no terminal to fit


def _console(*, stderr: bool = False) -> Console:
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH)


class Progress:
    """Draws a run: a line a finished stage, and for the one at work a bar with its loss and the time left."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._console = _console(stderr=True)
        self._bar = bars.Progress(
            bars.TextColumn("{task.description:<9}"),
            bars.BarColumn(),
            bars.TextColumn("{task.fields[state]}"),
            bars.TimeElapsedColumn(),
            bars.TextColumn("left"),
            bars.TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = bars.TaskID(0)

    def __enter__(self) -> Progress:
        self._console.print(f"running {self._title}", markup=False, soft_wrap=True)
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def stage_started(self, stage: str) -> None:
        self._task = self._bar.add_task(stage, total=None, state="")  # pulses until the first step, or the end

    def step(self, stage: str, step: int, steps: int, loss: float) -> None:
        state = f"{step}/{steps}  loss {loss:.4f}" if step < steps else "measuring"
        self._bar.update(self._task, total=steps, completed=step, state=state)

    def stage_finished(self, row: LedgerRow, *, reused: bool) -> None:
        self._bar.update(self._task, visible=False)
        took = "taken as finished" if reused else f"{row.seconds:.1f} s"
        self._console.print(f"{row.stage:<9} {row.size_bytes:>9,} bytes  agreement {row.agreement:.3f}  {took}")


def margin(margin_bytes: int | None) -> str:
    """How far a file is from its target, to follow its size."""
    if margin_bytes is None:
        return ""
    return f", {abs(margin_bytes):,} {'under' if margin_bytes >= 0 else 'OVER'} the target"


def ledger(rows: Sequence[LedgerRow]) -> None:
    table = Table("run", "stage", box=None, pad_edge=False)
    numbers = ("non-zeros", "bits/weight", "bytes", "x fp32", "x AlexNet", "top-1", "top-5", "agreement", "KL", "n", "seconds")
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
            f"{row.agreement:.3f}",
            f"{row.mean_kl:.4f}",
            str(row.n),
            f"{row.seconds:.1f}",
        )
    console = _console()
    console.print(table)
    for measured_on in dict.fromkeys(row.test_set for row in rows):
        console.print(f"measured on: {measured_on}", markup=False, soft_wrap=True)
    for tuned_on in dict.fromkeys(row.tuned_on for row in rows if row.tuned_on):
        console.print(f"tuned on: {tuned_on}", markup=False, soft_wrap=True)


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
    console = _console()
    console.print(table)
    for key, value in metadata.items():
        console.print(f"{key}: {value}", soft_wrap=True, markup=False)
    parts = {
        "payloads": sum(row.positions_bytes + row.codes_bytes + row.raw_bytes for row in rows),
        "codebooks": sum(row.codebook_bytes for row in rows),
        "coder models": sum(row.model_bytes for row in rows),
        "header, metadata and table": sum(row.table_bytes for row in rows),
    }
    console.print(
        f"{file}: {total:,} bytes = " + " + ".join(f"{n:,} {part}" for part, n in parts.items()), markup=False, soft_wrap=True
    )


def predictions(found: Iterable[tuple[Path, Sequence[Any]]]) -> None:
    console = _console()
    for path, classes in found:
        console.print(str(path), markup=False, soft_wrap=True)
        for guess in classes:
            console.print(f"  {100 * guess.probability:5.1f}%  {guess.name}  ({guess.index})", markup=False, soft_wrap=True)
