"""The gate: every artifact decoded, compared with its ledger row, encoded again, and judged by its limits.

It fails closed. Whatever is missing or cannot be read becomes a Finding that says so, "could not judge", so that every output
format shows it; nothing is left out because it could not be looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from compress.artifact.reader import Artifact, named, read_bytes, read_file
from compress.cores import n_cores
from compress.errors import CompressError, InputError
from compress.gate import admitted, since
from compress.gate.findings import Finding
from compress.gate.inputs import LEDGER, Gate, fill, listed
from compress.gate.judge import Evidence, judge
from compress.gate.ledger_rows import Run, finals_named, run_of, set_name
from compress.gate.limits import SUFFIX, is_name
from compress.gate.measure import measure as measure_again
from compress.gate.reencode import reencode


def check(
    limits: Path,
    files: Sequence[Path] = (),
    *,
    encoder: str,
    ledger_file: Path | None = None,
    against: str | None = None,
    allow_new: Collection[str] = (),
    allow_removed: Collection[str] = (),
    measure: bool = False,
    threads: int | None = None,
) -> list[Finding]:
    """Judge artifacts; the findings are in the order of the artifacts, and do not depend on threads.

    files: which; none: every one that the limits name, and every .sqz beside the limits file. ledger_file: ledger.csv beside it
    where None. against: a ledger or a git reference. allow_new, allow_removed: names that are in no baseline, or no longer there.
    measure: run accuracy again. threads: as many as there are CPUs.
    """
    gate = Gate(limits, {}, (), encoder, allow_new=frozenset(allow_new), allow_removed=frozenset(allow_removed))
    gate, missing = fill(gate, ledger_file or limits.parent / LEDGER, against)
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


def examine(
    gate: Gate, chosen: Iterable[tuple[str, Path]], threads: int | None = None
) -> list[tuple[Evidence | None, list[Finding]]]:
    """Each file decoded, looked up in the ledger and encoded again: what is known of it, None where it does not decode, and the
    findings; no limit is judged."""
    with ThreadPoolExecutor(threads or n_cores()) as pool:
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
        evidence, n = replace(evidence, run=run, labelled=_labelled(gate, name, run)), len(run.finals)
        found.append(make("ledger", "pass", f"{run.run_id}: this sha256 and size; {n} row{'s' if n > 1 else ''} of the file"))
        found += [make("ledger", "could not judge", f"{of}: {why}", test_set=of) for of, why in run.contradictions.items()]
    except InputError as error:
        found.append(make("ledger", "could not judge", str(error)))
    return evidence, [*found, _reencodes(gate, evidence, artifact)]


def _labelled(gate: Gate, name: str, run: Run) -> frozenset[str]:
    """Digests of the run's sets that have labels: some row of them, or the baseline's of that name, has top-1."""
    old = gate.before.rows if gate.before is not None else ()
    digests = {row.test_set_sha256 for row in (*gate.rows, *old) if row.top1 is not None}
    names = {set_name(row) for row in finals_named(old, name) if row.top1 is not None}
    return frozenset(row.test_set_sha256 for row in run.finals if row.test_set_sha256 in digests or set_name(row) in names)


def _judged(gate: Gate, evidence: Evidence | None) -> list[Finding]:
    """One artifact against its limits and its baseline."""
    if evidence is None:
        return []
    evidence, found = since.with_previous(gate, evidence)
    found += since.changed_figures(gate.before, evidence) if gate.before is not None else []
    make, limits = evidence.finding(), gate.limits.get(evidence.name)
    if limits is not None:
        is_new = gate.before is not None and gate.admits_new(evidence.name)
        return [*found, *judge(limits.model_copy(update={"max_growth": None}) if is_new else limits, evidence)]
    if gate.admits_new(evidence.name):
        return [*found, make("limits", "note", f"new: {gate.path} does not name it; admitted by --allow-new, judged by no limit")]
    message = f"{gate.path} does not name it: name it there, or --allow-new {evidence.name}"
    if not is_name(evidence.name):
        message = f"{gate.path} cannot name it: an artifact lies beside it, and its name ends in {SUFFIX}"
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


def _about_all(gate: Gate, checked: set[str], measure: bool) -> Iterator[Finding]:
    """What is to be said of the check as a whole."""
    yield from since.about_all(gate, checked)
    yield from admitted.outcomes(gate, checked)
    if not measure:
        yield gate.finding("accuracy", "from the ledger, not re-measured", is_note=True)
