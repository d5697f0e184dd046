"""What the ledger says of an artifact: the rows of the run that made it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from compress.errors import InputError
from compress.gate.limits import SUFFIX
from compress.ledger.ledger import Row

REPORT = "report "  # a final row's stage: that, and the name of the set; or "encode"
_PART = re.compile(r"(?:[\d.e+-]+ x )?(.+?): \d+ images\b")  # of Row.test_set: "imagenet-val500: 500 images of 10 classes, ..."


@dataclass(frozen=True)
class Run:
    """rows: all of the run. finals: those measured on the file itself, one a test set; at least one."""

    run_id: str
    rows: tuple[Row, ...]
    finals: tuple[Row, ...]

    @property
    def seconds(self) -> float:
        """Of all its stages."""
        return sum(row.seconds for row in self.rows)


def finals_named(rows: Sequence[Row], name: str) -> list[Row]:
    """The rows that were measured on a file of this name, in the ledger's order."""
    return [row for row in rows if row.artifact_sha256 and row.run_id.rpartition("-")[0] == name.removesuffix(SUFFIX)]


def run_of(rows: Sequence[Row], name: str, sha256: str, size_bytes: int) -> Run:
    """The run that made a file of this name with these bytes. Raises InputError where the ledger has none, or another size."""
    named = finals_named(rows, name)
    if not named:
        raise InputError(f"the ledger has no row of {name}: none whose run is called {name.removesuffix(SUFFIX)}-...")
    finals = [row for row in named if row.artifact_sha256 == sha256]
    if not finals:
        says = ", ".join(dict.fromkeys(f"{row.artifact_sha256} ({row.run_id})" for row in named))
        raise InputError(f"sha256 is {sha256}, the ledger says {says}: these bytes were never measured")
    run_id = finals[-1].run_id
    of_run = tuple(row for row in rows if row.run_id == run_id)
    finals = [row for row in finals if row.run_id == run_id]
    if wrong := [row for row in finals if row.size_bytes != size_bytes]:
        raise InputError(f"{size_bytes:,} bytes, the ledger says {wrong[0].size_bytes:,} ({run_id}, {wrong[0].stage})")
    if other := [row for row in of_run if row.artifact_sha256 not in (None, "", sha256)]:
        raise InputError(f"sha256 is {sha256}, the ledger says {other[0].artifact_sha256} in {run_id}, {other[0].stage}")
    return Run(run_id, of_run, tuple(finals))


def set_name(row: Row) -> str:
    """The name of the test set, as limits give it: of its stage "report NAME", else out of its description."""
    if row.stage.startswith(REPORT):
        return row.stage.removeprefix(REPORT)
    parts = [_PART.match(part) for part in row.test_set.split(" + ")]
    if all(parts):
        return "+".join(part[1] for part in parts if part)
    if "digits" in row.test_set:
        return "digits"
    return "bundled" if "bundled" in row.test_set else row.test_set
