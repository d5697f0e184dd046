"""What the folder of a finished run has for a page. Anything that is missing or damaged there is refused by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress import checkpoint
from compress.errors import InputError
from compress.ledger import ledger
from compress.report.sqz_file import SqzFile, read_sqz
from compress.run_folder import Arrays
from compress.stage_arrays import SENSITIVITY, dense, sha256

RECIPE, LEDGER = "recipe.json", "ledger.csv"


@dataclass(frozen=True, eq=False)
class Run:
    """run_id: its name and its recipe's digest. rows: one a stage, in order, then one a set that the file was reported on.
    recipe: as recipe.json has it. before: the uncompressed net's tensors. sensitivity: of each weight tensor, where the recipe
    measures it, else empty."""

    folder: Path
    run_id: str
    rows: list[ledger.Row]
    recipe: dict[str, Any]
    file: SqzFile
    before: Arrays
    sensitivity: dict[str, float]


def is_run(path: Path) -> bool:
    """Whether a folder is a run's, or of a run that has begun; else it may be one with a ledger of many."""
    return (path / RECIPE).exists()


def read_run(folder: Path) -> Run:
    """Raises InputError for a folder that is not a finished run's, ArtifactError for a file that is not accepted."""
    if not (folder / LEDGER).exists():
        raise InputError(f"{folder}: not a finished run: it has no {LEDGER}; `squeeze-compress run` goes on where it stopped")
    rows = ledger.read(folder / LEDGER)
    final = next((row for row in rows if row.artifact_sha256), None)
    files = sorted(folder.glob("*.sqz"))
    if final is None or len(files) != 1:
        stages = ", ".join(row.stage for row in rows) or "none"
        raise InputError(
            f"{folder}: not a finished run: {len(files)} .sqz files, stages done: {stages}; "
            "`squeeze-compress run` goes on where it stopped"
        )
    file = read_sqz(files[0])
    if file.artifact.sha256 != final.artifact_sha256:
        raise InputError(f"{files[0]}: sha256 is {file.artifact.sha256}, the run's ledger says {final.artifact_sha256}")
    before = dense(_arrays(folder, "baseline"))
    if sha256(before) != final.teacher_sha256:
        raise InputError(
            f"{folder}/stages/baseline: its tensors have sha256 {sha256(before)}, those that the file was made from "
            f"{final.teacher_sha256}"
        )
    return Run(folder, final.run_id, rows, _json(folder / RECIPE), file, before, _sensitivity(folder, rows))


def _sensitivity(folder: Path, rows: list[ledger.Row]) -> dict[str, float]:
    if not any(row.stage == "quantize" for row in rows):
        return {}
    found = _arrays(folder, "quantize")
    return {key.removeprefix(SENSITIVITY): float(value) for key, value in found.items() if key.startswith(SENSITIVITY)}


def _arrays(folder: Path, stage: str) -> Arrays:
    """Of a stage's checkpoint, whatever its key is: the file was made from the one that is there."""
    path = folder / "stages" / f"{stage}.json"
    saved = _json(path)
    found = checkpoint.load(path.parent, stage, saved["key"]) if isinstance(saved.get("key"), str) else None
    if found is None:
        raise InputError(f"{path.with_suffix('')}: the checkpoint of the stage {stage} is damaged, or half of it is missing")
    return found.arrays


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: must hold an object, holds a {type(found).__name__}")
    return found
