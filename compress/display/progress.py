"""A run as it goes, on stderr."""

from __future__ import annotations

from types import TracebackType

from rich import progress as bars

from compress.display.console import console_for
from compress.ledger.ledger import Row as LedgerRow


class Progress:
    """Draws a run: a line a finished stage, and for the one at work a bar with its loss and the time left."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._console = console_for(stderr=True)
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
        if self._bar.tasks:  # the stage before; "inputs" has no end of its own
            self._bar.update(self._task, visible=False)
        self._task = self._bar.add_task(stage, total=None, state="")  # pulses until the first step, or the end

    def step(self, stage: str, step: int, steps: int, loss: float, note: str = "") -> None:
        state = f"{step}/{steps}  loss {loss:.4f}  {note}".rstrip() if step < steps else "measuring"
        self._bar.update(self._task, total=steps, completed=step, state=state)

    def line(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def stage_finished(self, row: LedgerRow, *, reused: bool) -> None:
        self._bar.update(self._task, visible=False)
        took = "taken as finished" if reused else f"{row.seconds:.1f} s"
        self._console.print(f"{row.stage:<9} {row.size_bytes:>9,} bytes  agreement {row.agreement:.3f}  {took}")
