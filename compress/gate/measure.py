"""Accuracy measured again, and compared with what the ledger says of the same pictures. Needs the [train] extra."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import CompressError, InputError
from compress.gate.findings import Finding
from compress.gate.judge import Evidence, judged_sets
from compress.gate.ledger_rows import set_name
from compress.gate.limits import NO_TEACHER, ArtifactLimits, Measure
from compress.ledger.ledger import Row

if TYPE_CHECKING:
    from compress.measure.fidelity import Fidelity

TOLERANCE = 0.005  # of a share, or one picture: another processor rounds otherwise, and a near tie falls the other way
ROUNDING = 1e-6  # the ledger has six digits
NEEDS = {"min_top1": "top-1", "min_agreement": "agreement", "max_drop": "drop"}  # what a limit is judged by


@dataclass(frozen=True)
class Measured:
    """test_set, digest: what was measured on. figures: top-1 where the set has labels, agreement where there is a teacher, drop
    of top-1 where both are."""

    sha256: str
    test_set: str
    digest: str
    n: int
    figures: dict[str, float]


def measure(limits: ArtifactLimits, evidence: Evidence) -> Iterator[Finding]:
    """A finding for each set of `limits.measure`, and each row of the ledger that is of it: top-1, agreement and drop within
    the tolerance. Then a note for each set that is judged and was not measured."""
    if not limits.measure:
        yield evidence.finding()("measure", "could not judge", "the limits name no set to measure it on (measure)")
    seen: set[tuple[str, str]] = set()  # name of a set, figure
    for section in limits.measure:
        try:
            found = _run(section, evidence)
        except CompressError as error:
            yield evidence.finding()("measure", "could not judge", f"{_sources(section)}: {error}", test_set=_sources(section))
            continue
        finals = evidence.run.finals if evidence.run else ()
        rows = [row for row in finals if row.test_set_sha256 == found.digest and row.artifact_sha256 == found.sha256]
        if not rows:
            message = f"{found.test_set}: the ledger has no row of this file on these pictures (sha256 {found.digest})"
            yield evidence.finding()("measure", "could not judge", message)
        for row in rows:
            yield _compared(found, row, evidence)
            seen |= {(set_name(row), figure) for figure in found.figures}
    yield from _not_measured(limits, evidence, seen)


def _run(section: Measure, evidence: Evidence) -> Measured:
    """Raises CompressError for a set, a net or a teacher that cannot be used."""
    from compress.evaluate import evaluate
    from compress.models.factory import import_factory

    model, file = import_factory(section.model) if section.model else None, Path(evidence.path)
    if section.teacher == NO_TEACHER:
        return _run_alone(section, file)
    found = evaluate(file, section.set, teacher=section.teacher, teacher_sha256=section.teacher_sha256, model=model)
    facts = found.fidelity
    return Measured(found.sha256, found.test_set, found.test_set_sha256, facts.n, _figures(facts))


def _figures(of: Fidelity | Row) -> dict[str, float]:
    known = {"top-1": of.top1, "agreement": of.agreement, "drop": of.top1_drop}
    return {figure: value for figure, value in known.items() if value is not None}


def _run_alone(section: Measure, file: Path) -> Measured:
    """Top-1 of a file whose uncompressed net is not kept."""
    from compress.artifact.reader import read
    from compress.data.sets import measuring_set
    from compress.evaluate import Net, classes
    from compress.export.load import from_artifact
    from compress.measure.fidelity import compare
    from compress.models.factory import import_factory
    from compress.subject import n_outputs

    artifact = read(file)
    loaded = from_artifact(artifact, str(file), import_factory(section.model) if section.model else None)
    takes = loaded.preprocess.convention
    n_classes = n_outputs(loaded.net, len(takes.channels), takes.size, owner=str(file), field="metadata.input")
    measuring = measuring_set(section.set, takes, classes(artifact.metadata.get("classes")), n_classes, field="measure")
    if measuring.labels is None:
        raise InputError(f"no labels, and teacher is {NO_TEACHER}: nothing to compare its outputs with")
    outputs = Net(loaded.net, takes).logits(measuring)
    top1 = compare(outputs, outputs, measuring.labels, measuring.weights).top1
    assert top1 is not None  # there are labels
    return Measured(artifact.sha256, measuring.description, measuring.digest, len(outputs), {"top-1": top1})


def _compared(found: Measured, row: Row, evidence: Evidence) -> Finding:
    """One row of the ledger with what was measured on its pictures."""
    name, has = set_name(row), _figures(row)
    make = evidence.finding()
    if not found.figures.keys() <= has.keys() or ("top-1" in has and "top-1" not in found.figures):
        return make("measure", "could not judge", f"{found.test_set}: labels on one side only", test_set=name)
    if row.n != found.n:
        message = f"{found.test_set}: {found.n} pictures, the ledger's row {row.stage} says {row.n}"
        return make("measure", "failed", message, test_set=name)
    # two nets have a part in a drop, each within the tolerance
    differences = [abs(value - has[figure]) / (2 if figure == "drop" else 1) for figure, value in found.figures.items()]
    largest = max(differences) if all(map(math.isfinite, differences)) else math.nan  # max() passes over a NaN
    tolerance = max(TOLERANCE, 1 / found.n)
    shown = ", ".join(f"{figure} {value:.4g}" for figure, value in found.figures.items())
    ledger = ", ".join(f"{figure} {has[figure]:.4g}" for figure in found.figures)
    message = f"{found.test_set}: {shown}; the ledger has {ledger}; {largest:.4g} apart, tolerance {tolerance:.4g}"
    verdict = "pass" if largest <= tolerance + ROUNDING else "failed"
    return make("measure", verdict, message, largest, tolerance, tolerance - largest, None, "share", (), name)


def _not_measured(limits: ArtifactLimits, evidence: Evidence, seen: set[tuple[str, str]]) -> Iterator[Finding]:
    """Which of the figures that limits judge are the ledger's word alone."""
    for name, rules in judged_sets(limits, evidence.run).items() if evidence.run else ():
        measured = {figure for of, figure in seen if of == name}
        if missing := [NEEDS[rule] for rule in rules if NEEDS[rule] not in measured]:
            what = " and ".join(missing) if measured else "accuracy"
            yield evidence.finding()("measure", "note", f"{what} of {name}: from the ledger, not re-measured", test_set=name)


def _sources(section: Measure) -> str:
    return " + ".join(source.source for source in section.set)
