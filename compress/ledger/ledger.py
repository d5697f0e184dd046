"""The ledger: one row a stage, in a CSV file whose git diff can be read.

Columns are fixed and in this order; an empty cell is a value that does not exist (top-1 on a set without labels), never a
zero. Rows are keyed by (run_id, stage): writing a row again replaces it.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from compress.atomic import write_atomically
from compress.errors import InputError

ALEXNET_BYTES = 240_000_000  # fp32, arXiv 1602.07360, table 2


@dataclass(frozen=True)
class Row:
    """run_id, recipe_sha256, stage: which. parameters, nonzeros: of all tensors. bits_per_weight: size over parameters.

    size_bytes: what the stage takes in the container. ratio_fp32, ratio_alexnet: times smaller than the net's fp32
    parameters and than AlexNet's. top1, top5, agreement: shares of n images of `test_set`. top1_drop: the uncompressed net's
    top-1 less this one's, drop_interval: half-width of its paired 95% interval. mean_kl: nats. tuned_on: empty until a stage
    has tuned something. overlap: pictures that it was tuned on, or of a reported set chosen by, that are in test_set too
    (--allow-overlap); empty where that was not looked for. not_compressed: tensors of layer types that are stored as they
    are. seconds: of the stage's own work, without measuring it. peak_memory_bytes: of the process, up to then.
    """

    run_id: str
    stage: str
    parameters: int
    nonzeros: int
    bits_per_weight: float
    size_bytes: int
    ratio_fp32: float
    ratio_alexnet: float
    top1: float | None
    top5: float | None
    top1_drop: float | None
    drop_interval: float | None
    agreement: float
    mean_kl: float
    test_set: str
    test_set_sha256: str
    n: int
    tuned_on: str
    overlap: int | None
    not_compressed: str
    recipe_sha256: str
    artifact_sha256: str | None
    teacher_sha256: str
    seed: int
    device: str
    seconds: float
    peak_memory_bytes: int
    versions: str

    def to_csv(self) -> list[str]:
        return [_cell(value) for value in asdict(self).values()]


COLUMNS = tuple(field.name for field in fields(Row))
_TYPES = {field.name: str(field.type) for field in fields(Row)}


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _value(column: str, cell: str) -> object:
    kind = _TYPES[column]
    if cell == "" and "None" in kind:
        return None
    return int(cell) if kind.startswith("int") else float(cell) if kind.startswith("float") else cell


def read(path: Path) -> list[Row]:
    """Raises InputError for a file that is not a ledger, with the line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    reader = csv.reader(io.StringIO(text))
    try:
        lines = list(reader)
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: not a row of a ledger: {error}") from error
    if not lines or tuple(lines[0]) != COLUMNS:
        raise InputError(f"{path}: not a ledger: the first line must name the columns {', '.join(COLUMNS[:4])}, ...")
    rows = []
    for number, cells in enumerate(lines[1:], start=2):
        try:
            rows.append(Row(**{c: _value(c, v) for c, v in zip(COLUMNS, cells, strict=True)}))  # type: ignore[arg-type]
        except ValueError as error:
            raise InputError(f"{path}:{number}: not a row of a ledger: {error}") from error
    return rows


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write the whole ledger, atomically."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(row.to_csv() for row in rows)
    write_atomically(path, out.getvalue().encode())


def merge(old: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """Rows of `new` take the place of rows with the same run and stage; the others follow, in their order."""
    fresh = {(row.run_id, row.stage): row for row in new}
    kept = [fresh.pop((row.run_id, row.stage), row) for row in old]
    return [*kept, *fresh.values()]


def promote(run_folder: Path, artifacts: Path) -> tuple[Path, list[Row]]:
    """Copy a finished run's rows and its file into the artifacts folder. Returns the file's new path and the rows.

    A file of that name that is there already is replaced, and the rows of the run that made it go: every row has its file.
    Raises InputError when the run is not finished, or its file is not the one that its ledger names.
    """
    rows = read(run_folder / "ledger.csv")
    final = next((row for row in rows if row.artifact_sha256), None)
    files = sorted(run_folder.glob("*.sqz"))
    if final is None or len(files) != 1:
        finals = "none" if final is None else "one"
        raise InputError(f"{run_folder}: not a finished run: {len(files)} .sqz files, {len(rows)} rows, {finals} of them final")
    data = files[0].read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != final.artifact_sha256:
        raise InputError(f"{files[0]}: sha256 is {digest}, the run's ledger says {final.artifact_sha256}")
    artifacts.mkdir(parents=True, exist_ok=True)
    ledger = artifacts / "ledger.csv"
    target = artifacts / files[0].name
    published = read(ledger) if ledger.exists() else []
    replaced = {row.run_id for row in published if row.run_id.rpartition("-")[0] == target.stem} - {final.run_id}
    merged = merge([row for row in published if row.run_id not in replaced], rows)
    write_atomically(target, data)
    write(ledger, merged)
    return target, rows
