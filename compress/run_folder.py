"""The folder of a run: a checkpoint a stage, the ledger so far, the file. What is finished there is not done again. RunResult is
what a run that is over gives back."""

from __future__ import annotations

import contextlib
import glob
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
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
        self._recipe = recipe
        self._fresh = fresh
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
        if (saved := self._saved(name, key)) is not None:
            arrays, row = saved
            self.reused.append(name)
        else:
            arrays, row = make()
            self._forget_what_follows()
            checkpoint.save(self.path / "stages", name, key, checkpoint.Checkpoint(arrays, asdict(row)))
        self.record(row, reused=name in self.reused)
        return arrays

    def _saved(self, name: str, key: str) -> tuple[Arrays, ledger.Row] | None:
        """The stage as this run has finished it, or another run beside it did, whose recipe differs in what comes after."""
        for stages in (self.path / "stages", *self._stages_beside(name)):
            saved = checkpoint.load(stages, name, key)
            if saved is None or saved.facts.keys() != set(ledger.COLUMNS):  # the latter of a ledger with other columns
                continue
            row = ledger.Row(**saved.facts)
            if stages.parent != self.path:
                if row.teacher_sha256 != self.rows[0].teacher_sha256:
                    continue  # trained again since, on another machine perhaps
                row = replace(row, run_id=self.path.name, recipe_sha256=self._recipe.digest())
                self._forget_what_follows()
                checkpoint.save(self.path / "stages", name, key, checkpoint.Checkpoint(saved.arrays, asdict(row)))
            return saved.arrays, row
        return None

    def _stages_beside(self, name: str) -> Iterator[Path]:
        """Of runs of the same name that measure bytes as this one does: a row has the bytes of its stage. The first stage is
        each run's own."""
        if self._fresh or not self.rows:
            return
        encode = self._recipe.model_dump(mode="json")["encode"]
        for path in sorted(self.path.parent.glob(f"{glob.escape(self._recipe.name)}-*/stages/{name}.json")):
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
                if json.loads((path.parent.parent / "recipe.json").read_bytes())["encode"] == encode:
                    yield path.parent

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
