"""The ledger: one row a stage, in a CSV file whose git diff can be read.

Columns are fixed and in this order; an empty cell is a value that does not exist (top-1 on a set without labels), never a
zero. Rows are keyed by (run_id, stage): writing a row again replaces it. What is read is checked: a ledger may have been edited.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from compress.atomic import write_atomically
from compress.errors import InputError

ALEXNET_BYTES = 240_000_000  # fp32, arXiv 1602.07360, table 2
SHOWN = 60  # characters of a cell in a message


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


@dataclass(frozen=True)
class Range:
    """What a number may be. above_low: low itself is not allowed."""

    low: float
    high: float = math.inf
    above_low: bool = False

    def holds(self, number: float) -> bool:
        return math.isfinite(number) and self.low <= number <= self.high and not (self.above_low and number == self.low)

    def __str__(self) -> str:
        if self.high < math.inf:
            return f"in [{self.low:g}, {self.high:g}]"
        return f"greater than {self.low:g}" if self.above_low else f"from {self.low:g}"


POSITIVE, FROM_ZERO, SHARE = Range(0, above_low=True), Range(0), Range(0, 1)
RANGES = {
    "parameters": POSITIVE,
    "nonzeros": FROM_ZERO,
    "bits_per_weight": POSITIVE,
    "size_bytes": POSITIVE,
    "ratio_fp32": POSITIVE,
    "ratio_alexnet": POSITIVE,
    "top1": SHARE,
    "top5": SHARE,
    "top1_drop": Range(-1, 1),
    "drop_interval": FROM_ZERO,
    "agreement": SHARE,
    "mean_kl": FROM_ZERO,
    "n": POSITIVE,
    "overlap": FROM_ZERO,
    "seed": FROM_ZERO,
    "seconds": FROM_ZERO,
    "peak_memory_bytes": FROM_ZERO,
}
# Neither of them takes all that int and float take: no spaces, no underscores, no digits of other scripts, no words.
_WHOLE = re.compile(r"-?\d{1,18}", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,400}(\.\d{1,400})?(e[+-]?\d{1,3})?", re.ASCII)


def _value(column: str, cell: str) -> object:
    """Raises ValueError, which says what is allowed."""
    kind = _TYPES[column]
    if cell == "" and "None" in kind:
        return None
    if column not in RANGES:
        return cell
    is_whole = kind.startswith("int")
    if (_WHOLE if is_whole else _DECIMAL).fullmatch(cell):
        number = int(cell) if is_whole else float(cell)
        if RANGES[column].holds(number):
            return number
    or_empty = ", or empty" if "None" in kind else ""
    shown = cell if len(cell) <= SHOWN else f"{cell[:SHOWN]}..."
    raise ValueError(f"{column}: {shown!r}, must be a {'whole ' if is_whole else ''}number {RANGES[column]}{or_empty}")


def read(path: Path) -> list[Row]:
    """Raises InputError for a file that is not a ledger, with the line, the column, what is there and what is allowed."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    return parse(text, str(path))


def parse(text: str, name: str) -> list[Row]:
    """As read, for a file in memory. name: what errors call it."""
    reader = csv.reader(io.StringIO(text))
    try:
        lines = [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise InputError(f"{name}:{reader.line_num}: not a row of a ledger: {error}") from error
    if not lines or tuple(lines[0][1]) != COLUMNS:
        raise InputError(f"{name}: not a ledger: the first line must name the columns {', '.join(COLUMNS[:4])}, ...")
    return [_row(cells, f"{name}:{number}") for number, cells in lines[1:]]


def _row(cells: list[str], where: str) -> Row:
    if len(cells) != len(COLUMNS):
        raise InputError(f"{where}: not a row of a ledger: {len(cells)} cells, must be {len(COLUMNS)}")
    try:
        return Row(**{c: _value(c, v) for c, v in zip(COLUMNS, cells, strict=True)})  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError(f"{where}: not a row of a ledger: {error}") from error


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
