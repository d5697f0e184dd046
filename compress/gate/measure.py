"""Accuracy measured again, and compared with what the ledger says of the same pictures. Needs the [train] extra."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from compress.errors import CompressError
from compress.gate.findings import Finding
from compress.gate.judge import Evidence
from compress.gate.ledger_rows import set_name
from compress.gate.limits import ArtifactLimits, Measure

TOLERANCE = 0.005  # of a share, or one picture: another processor rounds otherwise, and a near tie falls the other way


def measure(limits: ArtifactLimits, evidence: Evidence) -> Iterator[Finding]:
    """A finding for each set of `limits.measure`: top-1 and agreement within the tolerance of the ledger's."""
    if not limits.measure:
        yield evidence.finding()("measure", "could not judge", "the limits name no set to measure it on (measure)")
    for section in limits.measure:
        try:
            yield _measured(section, evidence)
        except CompressError as error:
            yield evidence.finding()("measure", "could not judge", f"{_sources(section)}: {error}", test_set=_sources(section))


def _measured(section: Measure, evidence: Evidence) -> Finding:
    from compress.evaluate import evaluate
    from compress.models.factory import import_factory

    model = import_factory(section.model) if section.model else None
    found = evaluate(
        Path(evidence.path), section.set, teacher=section.teacher, teacher_sha256=section.teacher_sha256, model=model
    )
    finals = evidence.run.finals if evidence.run else ()
    row = next((row for row in finals if row.test_set_sha256 == found.test_set_sha256), None)
    if row is None or found.sha256 != row.artifact_sha256:
        message = f"{found.test_set}: the ledger has no row of this file on these pictures (sha256 {found.test_set_sha256})"
        return evidence.finding()("measure", "could not judge", message)
    tolerance = max(TOLERANCE, 1 / row.n)
    differences, shown = [abs(found.fidelity.agreement - row.agreement)], [f"agreement {found.fidelity.agreement:.4g}"]
    if found.fidelity.top1 is not None or row.top1 is not None:
        if found.fidelity.top1 is None or row.top1 is None:
            return evidence.finding()("measure", "could not judge", f"{found.test_set}: labels on one side only")
        differences.append(abs(found.fidelity.top1 - row.top1))
        shown.insert(0, f"top-1 {found.fidelity.top1:.4g}")
    name = set_name(row)
    ledger = ", ".join([*([f"top-1 {row.top1:.4g}"] if row.top1 is not None else []), f"agreement {row.agreement:.4g}"])
    largest = max(differences)
    message = f"{found.test_set}: {', '.join(shown)}; the ledger has {ledger}; {largest:.4g} apart, tolerance {tolerance:.4g}"
    verdict = "pass" if largest <= tolerance + 1e-6 else "failed"  # the ledger has six digits; a NaN is no pass
    return evidence.finding()("measure", verdict, message, largest, tolerance, tolerance - largest, None, "share", (), name)


def _sources(section: Measure) -> str:
    return " + ".join(source.source for source in section.set)
