"""What is other than in the baseline: an artifact's size, the ledger's figures, the limits, and artifacts that are gone."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import replace

from compress.errors import InputError
from compress.gate.baseline import NoPrevious
from compress.gate.changes import changes
from compress.gate.findings import Finding
from compress.gate.inputs import Before, Gate
from compress.gate.judge import Evidence
from compress.gate.ledger_rows import described, figures, finals_named, set_name
from compress.ledger.ledger import Row

NO_BASELINE = "max_growth needs a baseline: --against REF or LEDGER"


def with_previous(gate: Gate, evidence: Evidence) -> tuple[Evidence, list[Finding]]:
    """The evidence with the artifact as it was in the baseline, and what is to be said of that."""
    make = evidence.finding()
    if gate.before is None:
        return replace(evidence, why_no_previous=NO_BASELINE), []
    try:
        previous = gate.before.baseline.artifact(evidence.name)
    except NoPrevious as error:
        if gate.admits_new(evidence.name):
            return evidence, [make("baseline", "note", f"new: {error}; admitted by --allow-new, growth not judged")]
        is_old = evidence.name in gate.before.names
        message = f"{error}" if is_old else f"{error}; --allow-new {evidence.name} admits a new artifact"
        return replace(evidence, why_no_previous=str(error)), [make("baseline", "could not judge", message)]
    except InputError as error:
        return replace(evidence, why_no_previous=str(error)), [make("baseline", "could not judge", str(error))]
    growth = len(evidence.data) - previous.size_bytes
    is_same = previous.data == evidence.data
    message = f"{gate.before.name}: {'the same bytes' if is_same else f'{previous.size_bytes:,} bytes, {growth:+,} since'}"
    return replace(evidence, previous=previous, against=gate.before.name), [make("baseline", "note", message)]


def changed_figures(before: Before, evidence: Evidence) -> Iterator[Finding]:
    """What the ledger says otherwise than the baseline's: of the same bytes and pictures, which have one accuracy; and sets of
    one name that are other pictures or gone, which a limit of the old ones then judges, or none."""
    if evidence.run is None:
        return
    make, sha256 = evidence.finding(), evidence.run.finals[0].artifact_sha256
    of_these_bytes = [row for row in before.rows if row.artifact_sha256 == sha256]
    for row in evidence.run.finals:
        for old in of_these_bytes:
            if old.test_set_sha256 == row.test_set_sha256 and figures(old) != figures(row):
                message = f"{set_name(row)}: {described(old)} -> {described(row)}: other figures of the same bytes and pictures"
                yield make("ledger", "could not judge", f"{message} than in {before.name}", test_set=set_name(row))
    yield from _changed_sets(before, evidence.run.finals, evidence)


def _changed_sets(before: Before, finals: tuple[Row, ...], evidence: Evidence) -> Iterator[Finding]:
    """By name: the pictures, or how many, or that the set is gone."""
    make, now = evidence.finding(), {set_name(row): row for row in finals}
    for name, old in {set_name(row): row for row in finals_named(before.rows, evidence.name)}.items():
        row = now.get(name)
        if row is None:
            message = f"{name}: measured in {before.name} ({described(old)}), and no longer (LOOSER)"
            yield make("ledger", "note", message, test_set=name)
        elif (old.test_set_sha256, old.n) != (row.test_set_sha256, row.n):
            pictures = f"n {old.n} -> {row.n}, pictures {old.test_set_sha256[:8]} -> {row.test_set_sha256[:8]}"
            message = f"{name}: changed since {before.name}: another set of that name: {pictures} (maybe LOOSER)"
            yield make("ledger", "note", message, test_set=name)


def about_all(gate: Gate, checked: Collection[str]) -> Iterator[Finding]:
    """Of the check as a whole: what it is compared with, limits that changed, and what is gone."""
    before = gate.before
    if before is None:
        return
    yield gate.finding("baseline", str(before.baseline), is_note=True)
    for message in before.not_known:
        rule, _, said = message.partition(": ")
        yield gate.finding(rule, said, is_note=True)
    if before.limits:
        for change in changes(before.limits, gate.limits):
            yield gate.finding("limits", f"changed since {before.name}: {change}", is_note=True)
    for name in removed(gate, checked):
        if name in gate.allow_removed:
            message = f"{name}: in {before.name}, and gone; admitted by --allow-removed"
            yield gate.finding("removed", message, is_note=True)
        else:
            message = f"{name}: in {before.name}, and gone; --allow-removed {name} admits that"
            yield gate.finding("removed", message)


def removed(gate: Gate, checked: Collection[str]) -> list[str]:
    """Artifacts of the baseline that are neither there, nor named by the limits, nor checked elsewhere."""
    names = gate.before.names if gate.before is not None else ()
    known = {*gate.limits, *checked}
    return [name for name in names if name not in known and not os.path.lexists(gate.folder / name)]
