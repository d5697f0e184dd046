"""What the ledger says of an artifact: the rows of the run that made it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from compress.errors import InputError
from compress.gate.limits import SUFFIX
from compress.ledger.ledger import Row

REPORT = "report "  # a final row's stage: that, and the name of the set; or "encode"
_PART = re.compile(r"(?:[\d.e+-]+ x )?(.+?): \d+ images\b")  # of Row.test_set: "imagenet-val500: 500 images of 10 classes, ..."


@dataclass(frozen=True)
class Run:
    """rows: all of the run. finals: those measured on the file itself, one a test set; at least one; also those of an older run
    that made the same bytes, of sets that this one was not measured on. contradictions: by the name of a set, two rows of the
    same bytes that say otherwise of it."""

    run_id: str
    rows: tuple[Row, ...]
    finals: tuple[Row, ...]
    contradictions: Mapping[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Of all its stages."""
        return sum(row.seconds for row in self.rows)


def finals_named(rows: Sequence[Row], name: str) -> list[Row]:
    """The rows that were measured on a file of this name, in the ledger's order."""
    return [row for row in rows if row.artifact_sha256 and row.run_id.rpartition("-")[0] == name.removesuffix(SUFFIX)]


def run_of(rows: Sequence[Row], name: str, sha256: str, size_bytes: int) -> Run:
    """The last run that made a file of this name with these bytes. Raises InputError where there is none, or of another size."""
    named = finals_named(rows, name)
    if not named:
        raise InputError(f"the ledger has no row of {name}: none whose run is called {name.removesuffix(SUFFIX)}-...")
    finals = [row for row in named if row.artifact_sha256 == sha256]
    if not finals:
        says = ", ".join(dict.fromkeys(f"{row.artifact_sha256} ({row.run_id})" for row in named))
        raise InputError(f"sha256 is {sha256}, the ledger says {says}: these bytes were never measured")
    run_id = finals[-1].run_id
    of_run = tuple(row for row in rows if row.run_id == run_id)
    if wrong := [row for row in finals if row.size_bytes != size_bytes]:
        raise InputError(f"{size_bytes:,} bytes, the ledger says {wrong[0].size_bytes:,} ({wrong[0].run_id}, {wrong[0].stage})")
    if other := [row for row in of_run if row.artifact_sha256 not in (None, "", sha256)]:
        raise InputError(f"sha256 is {sha256}, the ledger says {other[0].artifact_sha256} in {run_id}, {other[0].stage}")
    last = [row for row in finals if row.run_id == run_id]
    known = {set_name(row) for row in last}
    older = {set_name(row): row for row in finals if set_name(row) not in known}
    return Run(run_id, of_run, (*last, *older.values()), contradictions(row for row in rows if row.artifact_sha256 == sha256))


def figures(row: Row) -> tuple[object, ...]:
    """What a final row says that limits are judged by, and of which pictures."""
    return row.test_set_sha256, row.n, row.top1, row.top5, row.top1_drop, row.agreement


def contradictions(rows: Iterable[Row]) -> dict[str, str]:
    """Of the final rows of the same bytes: by the name of each set that two of them say otherwise of, which two. Sets are the
    same where they have one name, or the same pictures. Nothing tells which of the two is right."""
    rows = list(rows)
    found: dict[str, str] = {}
    same: tuple[Callable[[Row], str], ...] = (set_name, lambda row: row.test_set_sha256)
    for key in same:
        first: dict[str, Row] = {}
        for row in rows:
            other = first.setdefault(key(row), row)
            if figures(other) != figures(row):
                two = f"{described(other)} and {described(row)} are of the same bytes"
                found |= {set_name(each): f"the ledger says two things: {two}" for each in (other, row)}
    return found


def described(row: Row) -> str:
    """For messages: where it is, and its figures."""
    top1 = f"top-1 {row.top1:g}, " if row.top1 is not None else ""
    drop = f"drop {row.top1_drop:g}, " if row.top1_drop is not None else ""
    return f"{row.run_id}, {row.stage} ({top1}{drop}agreement {row.agreement:g}, n = {row.n}, pictures {row.test_set_sha256[:8]})"


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
