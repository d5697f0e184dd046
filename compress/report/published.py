"""A ledger and the files beside it, as a page shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compress.artifact.checksums import sha256
from compress.errors import InputError
from compress.ledger import ledger
from compress.report.sqz_file import SqzFile, read_sqz


@dataclass(frozen=True, eq=False)
class Entry:
    """A run of a ledger. finals: its rows that are of the finished file, a row a set; file: where it lies beside the ledger."""

    run_id: str
    rows: list[ledger.Row]
    finals: list[ledger.Row]
    file: SqzFile | None


@dataclass(frozen=True, eq=False)
class Published:
    """entries: by rising size of their files. strangers: names of .sqz files beside the ledger that no row is of."""

    name: str
    rows: list[ledger.Row]
    entries: list[Entry]
    strangers: list[str]


def read_published(path: Path) -> Published:
    """path: of the ledger. Raises InputError for a file that is no ledger, or has no finished file in it, or beside which a file
    lies under a run's name with other bytes; ArtifactError for a file that is not accepted."""
    rows = ledger.read(path)
    by_run: dict[str, list[ledger.Row]] = {}
    for row in rows:
        by_run.setdefault(row.run_id, []).append(row)
    files = {file: sha256(file.read_bytes()).hex() for file in sorted(path.parent.glob("*.sqz"))}
    entries = [_entry(run_id, own, files) for run_id, own in by_run.items() if any(row.artifact_sha256 for row in own)]
    if not entries:
        raise InputError(f"{path}: no row is of a finished file: none has an artifact_sha256")
    entries.sort(key=lambda entry: (entry.finals[0].size_bytes, entry.run_id))
    used = {entry.file.name for entry in entries if entry.file is not None}
    return Published(path.name, rows, entries, [file.name for file in files if file.name not in used])


def final_rows(rows: Sequence[ledger.Row]) -> list[ledger.Row]:
    """Those of finished files, a row a set that one was measured on."""
    return [row for row in rows if row.artifact_sha256]


def display_names(run_ids: Sequence[str]) -> dict[str, str]:
    """run_id -> the recipe's name alone, where only one run has it."""
    n_called = Counter(name_of(run_id) for run_id in set(run_ids))
    return {run_id: name_of(run_id) if n_called[name_of(run_id)] == 1 else run_id for run_id in run_ids}


def name_of(run_id: str) -> str:
    """ "deep-0123abcd" -> "deep"."""
    return run_id.rpartition("-")[0] or run_id


def _entry(run_id: str, rows: list[ledger.Row], files: dict[Path, str]) -> Entry:
    finals = final_rows(rows)
    expected = finals[0].artifact_sha256
    found = next((file for file, digest in files.items() if digest == expected), None)
    if found is None:
        for file, digest in files.items():
            if file.stem == name_of(run_id):
                raise InputError(f"{file}: sha256 is {digest}, the ledger's row of {run_id} says {expected}")
    return Entry(run_id, rows, finals, read_sqz(found) if found is not None else None)
