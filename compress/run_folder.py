"""The folder of a run: a checkpoint a stage, the ledger so far, the file. What is finished there is not done again. RunResult is
what a run that is over gives back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from compress import checkpoint
from compress.atomic import write_atomically
from compress.errors import InputError, RunFolderError
from compress.folder_lock import empty
from compress.ledger import ledger
from compress.recipe import Recipe

Arrays = dict[str, np.ndarray[Any, Any]]


class Watcher(Protocol):
    """What a run tells while it works; the command line draws it."""

    def stage_started(self, stage: str) -> None: ...
    def step(self, stage: str, step: int, steps: int, loss: float, note: str = "") -> None: ...
    def line(self, text: str) -> None: ...
    def stage_finished(self, row: ledger.Row, *, reused: bool) -> None: ...


class Silent:
    """Watches without a word."""

    def stage_started(self, stage: str) -> None: ...
    def step(self, stage: str, step: int, steps: int, loss: float, note: str = "") -> None: ...
    def line(self, text: str) -> None: ...
    def stage_finished(self, row: ledger.Row, *, reused: bool) -> None: ...


class RunFolder:
    """path: made if missing; whoever uses it holds its lock. rows: the ledger, in stage order. reused: stages that were taken
    as finished."""

    def __init__(self, path: Path, recipe: Recipe, watcher: Watcher, *, fresh: bool = False) -> None:
        self.path = path
        self.rows: list[ledger.Row] = []
        self.reused: list[str] = []
        self._watcher = watcher
        self._before: list[ledger.Row] = []  # of an earlier run: a row stays until its stage, or one before, is made anew
        try:
            path.mkdir(parents=True, exist_ok=True)
            if fresh:
                empty(path)
            if (path / "ledger.csv").exists():
                self._before = _read_rows(path / "ledger.csv")
            write_atomically(path / "recipe.json", json.dumps(recipe.model_dump(mode="json"), indent=1).encode())
        except OSError as error:
            raise RunFolderError(f"{path}: the run folder cannot be written: {error.strerror or error}") from error

    def stage(self, name: str, key: str, make: Callable[[], tuple[Arrays, ledger.Row]]) -> Arrays:
        """The arrays of a stage: from its checkpoint where that has this key, else made, with its ledger row, and saved."""
        self._watcher.stage_started(name)
        saved = checkpoint.load(self.path / "stages", name, key)
        if saved is not None and saved.facts.keys() == set(ledger.COLUMNS):  # else of a ledger with other columns
            arrays, row = saved.arrays, ledger.Row(**saved.facts)
            self.reused.append(name)
        else:
            arrays, row = make()
            self._forget_what_follows()
            checkpoint.save(self.path / "stages", name, key, checkpoint.Checkpoint(arrays, asdict(row)))
        self.record(row, reused=name in self.reused)
        return arrays

    def _forget_what_follows(self) -> None:
        """A stage that was made anew makes the rows and the file of an earlier run those of another: nobody may publish them."""
        self._before = []
        try:
            for file in self.path.glob("*.sqz"):
                file.unlink()
        except OSError as error:
            raise RunFolderError(f"{self.path}: the run folder cannot be written: {error.strerror or error}") from error

    def record(self, row: ledger.Row, *, reused: bool = False) -> None:
        self.rows.append(row)
        try:
            ledger.write(self.path / "ledger.csv", ledger.merge(self._before, self.rows))
        except OSError as error:
            raise RunFolderError(f"{self.path}: the ledger cannot be written: {error.strerror or error}") from error
        self._watcher.stage_finished(row, reused=reused)


@dataclass(frozen=True)
class RunResult:
    """folder: of the run. artifact: the .sqz file. rows: one a stage. reused: stages taken as finished.

    margin_bytes: target.max_bytes less the file's size, negative where the target was missed; None without one.
    missed: in words, what was asked for and not met; empty where all was.
    """

    folder: Path
    artifact: Path
    rows: tuple[ledger.Row, ...]
    reused: tuple[str, ...]
    margin_bytes: int | None
    missed: str = ""


def _read_rows(path: Path) -> list[ledger.Row]:
    """The rows of an earlier run; none where its ledger is damaged or of other columns: every stage writes its row again."""
    try:
        return ledger.read(path)
    except InputError:
        return []
