"""What the gate judges by: the limits, the ledger, the baseline, and which artifacts lie there."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from compress.errors import InputError, LimitsError
from compress.gate import baseline as baselines
from compress.gate import limits as limits_file
from compress.gate.baseline import Baseline, GitBaseline
from compress.gate.findings import Finding
from compress.gate.limits import SUFFIX, ArtifactLimits
from compress.ledger import ledger
from compress.ledger.ledger import Row

LEDGER = "ledger.csv"


@dataclass(frozen=True)
class Before:
    """The baseline, and what it says beside the artifacts. limits: by an artifact's name. rows: of its ledger. names: of its
    artifacts, and those that its limits name. not_known: what of this it does not have, or not in a form that can be read."""

    baseline: Baseline
    limits: Mapping[str, ArtifactLimits] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    names: tuple[str, ...] = ()
    not_known: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.baseline.name


@dataclass(frozen=True)
class Gate:
    """path: of the limits file; the artifacts lie beside it. limits: by an artifact's name. rows: of the ledger. encoder: what
    this version of the tool writes in metadata.encoder. before: None without --against. allow_new: names that may be in no
    limits, and not in the baseline. allow_removed: names of the baseline that may be gone."""

    path: Path
    limits: Mapping[str, ArtifactLimits]
    rows: tuple[Row, ...]
    encoder: str
    before: Before | None = None
    allow_new: Collection[str] = ()
    allow_removed: Collection[str] = ()

    @property
    def folder(self) -> Path:
        return self.path.parent

    def admits_new(self, name: str) -> bool:
        """--allow-new, of what the baseline neither has nor has limits for."""
        return name in self.allow_new and (self.before is None or name not in self.before.names)

    def finding(self, rule: str, message: str, *, is_note: bool = False) -> Finding:
        """Of the check as a whole."""
        return Finding("", str(self.path), rule, "note" if is_note else "could not judge", message)


def fill(gate: Gate, ledger_file: Path, against: str | None) -> tuple[Gate, list[Finding]]:
    """The gate with the limits, the ledger and the baseline; and whatever of it is missing."""
    missing: list[Finding] = []

    def is_missing(path: Path, rule: str, error: Exception) -> None:
        missing.append(Finding("", str(path), rule, "could not judge", str(error)))

    try:
        gate = replace(gate, limits=limits_file.load(gate.path).artifacts)
    except LimitsError as error:
        is_missing(gate.path, "limits", error)
    try:
        gate = replace(gate, rows=tuple(ledger.read(ledger_file)))
    except InputError as error:
        is_missing(ledger_file, "ledger", error)
    try:
        gate = replace(gate, before=_before(gate, ledger_file, against) if against is not None else None)
    except InputError as error:
        is_missing(gate.path, "baseline", error)
    return gate, missing


def listed(gate: Gate) -> list[tuple[str, Path]]:
    """Name and path of every artifact that the limits name, then of every other one that lies there: in folders too, and
    whatever the case of its suffix, by its path from the folder of the limits."""
    there = sorted(path for path in gate.folder.rglob("*") if path.name.casefold().endswith(SUFFIX))
    names = [path.relative_to(gate.folder).as_posix() for path in there]
    return [(name, gate.folder / name) for name in dict.fromkeys([*gate.limits, *names])]


def _before(gate: Gate, ledger_file: Path, against: str) -> Before:
    """Raises InputError for a baseline that cannot be used."""
    found = baselines.find(against, gate.folder)
    if isinstance(found, GitBaseline):
        return _at_reference(gate, ledger_file, found)
    if ledger_file.exists() and ledger_file.samefile(found.path):
        raise InputError(f"--against {against}: is the ledger that is judged: nothing can have grown since; name an older one")
    return Before(found, rows=found.rows, names=tuple(found.names()))


def _at_reference(gate: Gate, ledger_file: Path, baseline: GitBaseline) -> Before:
    """What the commit has beside the artifacts; limits and ledger may be new, or moved since."""
    limits: Mapping[str, ArtifactLimits] = {}
    rows: tuple[Row, ...] = ()
    not_known = []
    try:
        text = baseline.file(gate.path.name).decode()
        limits = limits_file.parse(text, f"{baseline.name}:{gate.path}").artifacts
    except (InputError, UnicodeDecodeError) as error:
        not_known.append(f"limits: not compared with those of {baseline.name}: {error}")
    try:
        text = baseline.file(os.path.relpath(ledger_file, gate.folder)).decode()
        rows = tuple(ledger.parse(text, f"{baseline.name}:{ledger_file}"))
    except (InputError, ValueError) as error:  # of text that is no UTF-8, or of a ledger on another drive
        not_known.append(f"ledger: not compared with that of {baseline.name}: {error}")
    names = tuple(dict.fromkeys([*limits, *baseline.names()]))
    return Before(baseline, limits, rows, names, tuple(not_known))
