"""The gate: every artifact decoded, compared with its ledger row, encoded again, and judged by its limits.

It fails closed. Whatever is missing or cannot be read becomes a Finding that says so, "could not judge", so that every output
format shows it; nothing is left out because it could not be looked at.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from compress.artifact.reader import Artifact, named, read_bytes, read_file
from compress.errors import CompressError, InputError, LimitsError
from compress.gate import baseline as baselines
from compress.gate import limits as limits_file
from compress.gate.baseline import Baseline, GitBaseline, NoPrevious
from compress.gate.changes import changes
from compress.gate.findings import Finding
from compress.gate.judge import Evidence, judge
from compress.gate.ledger_rows import run_of
from compress.gate.limits import SUFFIX, ArtifactLimits
from compress.gate.measure import measure as measure_again
from compress.gate.reencode import reencode
from compress.ledger import ledger
from compress.ledger.ledger import Row

LEDGER = "ledger.csv"
NO_BASELINE = "max_growth needs a baseline: --against REF or LEDGER"


@dataclass(frozen=True)
class Gate:
    """path: of the limits file; the artifacts lie beside it. limits: by an artifact's name. rows: of the ledger. encoder: what
    this version of the tool writes in metadata.encoder. allow_new: names that may be in no limits, and not in the baseline."""

    path: Path
    limits: Mapping[str, ArtifactLimits]
    rows: tuple[Row, ...]
    encoder: str
    baseline: Baseline | None = None
    allow_new: Collection[str] = ()

    @property
    def folder(self) -> Path:
        return self.path.parent

    def finding(self, rule: str, message: str, *, is_note: bool = False) -> Finding:
        """Of the check as a whole."""
        return Finding("", str(self.path), rule, "note" if is_note else "could not judge", message)


def check(
    limits: Path,
    files: Sequence[Path] = (),
    *,
    encoder: str,
    ledger_file: Path | None = None,
    against: str | None = None,
    allow_new: Collection[str] = (),
    measure: bool = False,
    threads: int | None = None,
) -> list[Finding]:
    """Judge artifacts; the findings are in the order of the artifacts, and do not depend on threads.

    files: which; none: every one that the limits name, and every .sqz beside the limits file. ledger_file: ledger.csv beside it
    where None. against: a ledger or a git reference. measure: run accuracy again. threads: as many as there are CPUs.
    """
    gate, missing = _open(limits, ledger_file, against, Gate(limits, {}, (), encoder, allow_new=frozenset(allow_new)))
    if missing:
        return missing
    chosen = [(path.name, path) for path in files] if files else listed(gate)
    judged = [(evidence, [*found, *_judged(gate, evidence)]) for evidence, found in examine(gate, chosen, threads)]
    found = []
    for evidence, findings in judged:
        found += findings
        if measure and evidence is not None and evidence.name in gate.limits:
            found += measure_again(gate.limits[evidence.name], evidence)
    return [*found, *_about_all(gate, {name for name, _ in chosen}, measure)]


def _open(limits: Path, ledger_file: Path | None, against: str | None, gate: Gate) -> tuple[Gate, list[Finding]]:
    """The gate with the limits, the ledger and the baseline; and whatever of it is missing."""
    missing: list[Finding] = []

    def is_missing(path: Path, rule: str, error: Exception) -> None:
        missing.append(Finding("", str(path), rule, "could not judge", str(error)))

    try:
        gate = replace(gate, limits=limits_file.load(limits).artifacts)
    except LimitsError as error:
        is_missing(limits, "limits", error)
    path = ledger_file or limits.parent / LEDGER
    try:
        gate = replace(gate, rows=tuple(ledger.read(path)))
    except InputError as error:
        is_missing(path, "ledger", error)
    try:
        gate = replace(gate, baseline=baselines.find(against, limits.parent) if against is not None else None)
    except InputError as error:
        is_missing(limits, "baseline", error)
    return gate, missing


def listed(gate: Gate) -> list[tuple[str, Path]]:
    """Name and path of every artifact that the limits name, then of every other one that lies there."""
    there = sorted(path.name for path in gate.folder.glob(f"*{SUFFIX}"))
    return [(name, gate.folder / name) for name in dict.fromkeys([*gate.limits, *there])]


def examine(
    gate: Gate, chosen: Iterable[tuple[str, Path]], threads: int | None = None
) -> list[tuple[Evidence | None, list[Finding]]]:
    """Each file decoded, looked up in the ledger and encoded again: what is known of it, None where it does not decode, and the
    findings; no limit is judged."""
    with ThreadPoolExecutor(threads or _n_cpus()) as pool:
        return list(pool.map(lambda each: _examined(gate, *each), chosen))


def _examined(gate: Gate, name: str, path: Path) -> tuple[Evidence | None, list[Finding]]:
    try:
        with named(path):
            data = read_file(path)
        artifact = read_bytes(data, name=str(path))
    except CompressError as error:
        return None, [Finding(name, str(path), "decodes", "could not judge", f"{error}; none of its limits was judged")]
    evidence = Evidence(name, str(path), data, None)
    make = evidence.finding()
    found = [make("decodes", "pass", f"{len(data):,} bytes, {len(artifact.layers)} tensors, sha256 {artifact.sha256}")]
    try:
        run = run_of(gate.rows, name, artifact.sha256, len(data))
        evidence, n = replace(evidence, run=run), len(run.finals)
        found.append(make("ledger", "pass", f"{run.run_id}: this sha256 and size; {n} row{'s' if n > 1 else ''} of the file"))
    except InputError as error:
        found.append(make("ledger", "could not judge", str(error)))
    return evidence, [*found, _reencodes(gate, evidence, artifact)]


def _judged(gate: Gate, evidence: Evidence | None) -> list[Finding]:
    """One artifact against its limits and its baseline."""
    if evidence is None:
        return []
    evidence, found = _with_previous(gate, evidence)
    make, limits = evidence.finding(), gate.limits.get(evidence.name)
    if limits is not None:
        is_new = evidence.previous is None and gate.baseline is not None and evidence.name in gate.allow_new
        return [*found, *judge(limits.model_copy(update={"max_growth": None}) if is_new else limits, evidence)]
    if evidence.name in gate.allow_new:
        return [*found, make("limits", "note", f"new: {gate.path} does not name it; admitted by --allow-new, judged by no limit")]
    message = f"{gate.path} does not name it: name it there, or --allow-new {evidence.name}"
    return [*found, make("limits", "could not judge", message)]


def _reencodes(gate: Gate, evidence: Evidence, artifact: Artifact) -> Finding:
    make, made_by = evidence.finding(), artifact.metadata.get("encoder")
    if made_by != gate.encoder:
        return make("re-encodes", "note", f"not re-encoded: made by {made_by!r}, this is {gate.encoder!r}")
    try:
        again = reencode(evidence.data, artifact)
    except CompressError as error:
        return make("re-encodes", "could not judge", str(error))
    if (settings := again.settings) is not None:
        return make("re-encodes", "pass", f"to the same bytes (coder {settings.coder}, positions {settings.positions})")
    message = f"{gate.encoder} makes other bytes of it, whatever its settings"
    return make("re-encodes", "failed", message, details=again.different)


def _with_previous(gate: Gate, evidence: Evidence) -> tuple[Evidence, list[Finding]]:
    """The evidence with the artifact as it was in the baseline, and what is to be said of that."""
    make, is_admitted = evidence.finding(), evidence.name in gate.allow_new
    if gate.baseline is None:
        return replace(evidence, why_no_previous=NO_BASELINE), []
    against = gate.baseline.name
    try:
        previous = gate.baseline.artifact(evidence.name)
    except NoPrevious as error:
        if is_admitted:
            return evidence, [make("baseline", "note", f"new: {error}; admitted by --allow-new, growth not judged")]
        message = f"{error}; --allow-new {evidence.name} admits a new artifact"
        return replace(evidence, why_no_previous=str(error)), [make("baseline", "could not judge", message)]
    except InputError as error:
        return replace(evidence, why_no_previous=str(error)), [make("baseline", "could not judge", str(error))]
    growth = len(evidence.data) - previous.size_bytes
    is_same = previous.data == evidence.data
    message = f"{against}: {'the same bytes' if is_same else f'{previous.size_bytes:,} bytes, {growth:+,} since'}"
    return replace(evidence, previous=previous, against=against), [make("baseline", "note", message)]


def _about_all(gate: Gate, checked: set[str], measure: bool) -> Iterator[Finding]:
    """What is to be said of the check as a whole."""
    for name in sorted(set(gate.allow_new) - checked):
        yield gate.finding("allow-new", f"--allow-new {name}: no such artifact is checked")
    if isinstance(gate.baseline, GitBaseline):
        yield from _changed_limits(gate, gate.baseline)
    if not measure:
        yield gate.finding("accuracy", "from the ledger, not re-measured", is_note=True)


def _changed_limits(gate: Gate, baseline: GitBaseline) -> Iterator[Finding]:
    """Limits that are others than at the reference: a gate that is opened wider is to be seen."""
    try:
        text = baseline.file(gate.path.name).decode()
        old = limits_file.parse(text, f"{baseline.name}:{gate.path}")
    except (InputError, UnicodeDecodeError) as error:
        yield gate.finding("limits", f"not compared with those of {baseline.name}: {error}", is_note=True)
        return
    for change in changes(old.artifacts, gate.limits):
        yield gate.finding("limits", f"changed since {baseline.name}: {change}", is_note=True)


def _n_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
