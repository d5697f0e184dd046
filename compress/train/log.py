"""What training tells: a JSON object a line in log.jsonl, and the same numbers in TensorBoard where asked for."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from compress.errors import MissingDependency, RunFolderError

LOG = "log.jsonl"


class Log:
    """folder: of the training run; None: nothing is written, as on every rank but the first. done: steps before this start. A
    line is on the disk when the step after it is done; after a crash the last may be cut."""

    def __init__(self, folder: Path | None, *, tensorboard: bool = False, done: int = 0) -> None:
        self._file: IO[str] | None = None
        self._board: Any = None
        if folder is None:
            return
        self._path = folder / LOG
        writer = _board_writer() if tensorboard else None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _drop_cut_line(self._path)
            if writer is not None:  # purge_step: what a run that was killed had written after its last checkpoint is not shown
                self._board = writer(str(folder / "tensorboard"), purge_step=done + 1)
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._failed(error) from error

    def __enter__(self) -> Log:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(OSError):  # every line was flushed: what is left is one that could not be written
            if self._file is not None:
                self._file.close()
        if self._board is not None:
            self._board.close()

    def write(self, **facts: float | int | None) -> None:
        """step and epoch among the facts. One that is not finite is null, for JSON has no such numbers. Raises RunFolderError."""
        if self._file is None:
            return
        facts = {name: value if value is not None and math.isfinite(value) else None for name, value in facts.items()}
        try:
            self._file.write(json.dumps(facts, allow_nan=False) + "\n")
            self._file.flush()
            if self._board is not None:
                for name, value in facts.items():
                    if value is not None and name not in ("step", "epoch"):
                        self._board.add_scalar(name.replace("test_", "test/"), value, facts["step"])
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> RunFolderError:
        return RunFolderError(f"{self._path}: cannot be written: {error.strerror or error}")


def _board_writer() -> Any:
    """TensorBoard's class. Raises MissingDependency."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependency("--tensorboard needs tensorboard: pip install 'squeeze-compress[tensorboard]'") from error
    return SummaryWriter


def _drop_cut_line(path: Path) -> None:
    """A run that was killed may have left half a line at the end."""
    if path.exists():
        with path.open("rb+") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
