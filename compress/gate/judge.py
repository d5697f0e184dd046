"""An artifact against its limits: a Finding for every limit, with what is left of it.

What is not known is never a pass: an empty or impossible figure, a missing row, set or baseline is "could not judge".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from compress.artifact.inspect import inspect_bytes
from compress.errors import ArtifactError
from compress.gate.baseline import Previous
from compress.gate.findings import Finding, Unit, Verdict
from compress.gate.ledger_rows import Run, set_name
from compress.gate.limits import ArtifactLimits, allowed_growth_bytes
from compress.ledger.ledger import Row

LAYERS_SHOWN = 10
N_DIGITS = 6  # the ledger's: a drop of 0.07 is 7 points, not 7.000000000000001


@dataclass(frozen=True)
class Evidence:
    """What is known of an artifact. run: None where the ledger has no row of these bytes. labelled: digests of those of its test
    sets that have labels, as other rows show. previous: None without a baseline; why_no_previous: for the message then. against:
    the baseline's name."""

    name: str
    path: str
    data: bytes
    run: Run | None
    labelled: frozenset[str] = frozenset()
    previous: Previous | None = None
    why_no_previous: str = ""
    against: str = ""

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def finding(self) -> Callable[..., Finding]:
        """Finding(rule, verdict, message, ...) of this artifact."""
        return partial(Finding, self.name, self.path)


def judge(limits: ArtifactLimits, evidence: Evidence) -> list[Finding]:
    """Every limit that is set."""
    found: list[Finding] = []
    if limits.max_bytes is not None:
        found.append(_max_bytes(limits.max_bytes, evidence))
    if limits.max_growth is not None:
        found.append(_max_growth(limits.max_growth, evidence))
    for rule, figure in FIGURES.items():
        limit = getattr(limits, rule)
        if limit is not None:
            found += _figures(rule, figure, limit, evidence)
    if limits.max_seconds is not None:
        found.append(_max_seconds(limits.max_seconds, evidence))
    return found


def _max_bytes(limit: int, evidence: Evidence) -> Finding:
    size, left = evidence.size_bytes, limit - evidence.size_bytes
    percent = 100 * left / limit
    message = f"{size:,} bytes, limit {limit:,}: " + (
        f"{left:,} left ({percent:.2f}%)" if left >= 0 else f"{-left:,} over (+{-percent:.2f}%)"
    )
    return evidence.finding()("max_bytes", _verdict(left), message, size, limit, left, percent, "bytes")


def _max_growth(limit: int | str, evidence: Evidence) -> Finding:
    """Percentages are of the old size."""
    if evidence.previous is None:
        return evidence.finding()("max_growth", "could not judge", evidence.why_no_previous)
    old = evidence.previous.size_bytes
    allowed, growth = allowed_growth_bytes(limit, old), evidence.size_bytes - old
    left = allowed - growth
    share = f" ({100 * growth / old:+.2f}%)" if old else ""
    shown = f"{limit:,}" if isinstance(limit, int) else f"{limit}, {allowed:,}"
    verdict = _verdict(left)
    message = f"{growth:+,} bytes{share} since {evidence.against}, limit {shown}: " + (
        f"{left:,} left" if left >= 0 else f"{-left:,} over"
    )
    details = growth_by_part(evidence.previous, evidence.data) if left < 0 else ()
    percent = 100 * left / old if old else None
    return evidence.finding()("max_growth", verdict, message, growth, allowed, left, percent, "bytes", details)


def growth_by_part(previous: Previous, data: bytes) -> tuple[str, ...]:
    """Lines that say which layers, or parts around them, grew by how much, the most first."""
    if previous.data is None:
        return ("which layers grew is not known: a ledger has no layers; give a git reference to --against",)
    try:
        before = {row.name: row.size_bytes for row in inspect_bytes(previous.data)}
    except ArtifactError as error:
        return (f"which layers grew is not known: the old file is refused: {error}",)
    now = {row.name: row.size_bytes for row in inspect_bytes(data)}
    grown = sorted(((now[name] - before.get(name, 0), name) for name in now), key=lambda each: -each[0])
    lines = [
        f"{name}: +{more:,} bytes" + (f" ({before[name]:,} to {now[name]:,})" if name in before else " (new)")
        for more, name in grown
        if more > 0
    ]
    return (*lines[:LAYERS_SHOWN], *([f"and {len(lines) - LAYERS_SHOWN} more"] if len(lines) > LAYERS_SHOWN else []))


@dataclass(frozen=True)
class Figure:
    """A figure of a final row. of: the row's, None where the set has no labels. low, high: what it can be. sign: 1 where it must
    be at least the limit, -1 where at most."""

    of: Callable[[Row], float | None]
    unit: Unit
    low: float
    high: float
    sign: int

    def unknown(self, row: Row) -> str:
        """Why there is no figure of this row to judge by, in words; empty where there is one."""
        name, value = set_name(row), self.of(row)
        if row.overlap:
            return f"{name}: {row.overlap} of its pictures were tuned or chosen by (--allow-overlap), so it shows no accuracy"
        if value is None:
            return f"{name}: no accuracy in the ledger: the set has no labels"
        if not (math.isfinite(value) and self.low <= value <= self.high):
            return f"{name}: {value:g} in the ledger, must be in [{self.low}, {self.high}]"
        return ""


FIGURES = {
    "min_top1": Figure(lambda row: row.top1, "share", 0, 1, 1),
    "min_agreement": Figure(lambda row: row.agreement, "share", 0, 1, 1),
    "max_drop": Figure(
        lambda row: None if row.top1_drop is None else round(100 * row.top1_drop, N_DIGITS), "points", -100, 100, -1
    ),
}


def _figures(rule: str, figure: Figure, limit: float | dict[str, float], evidence: Evidence) -> Iterator[Finding]:
    """One finding a test set: every set that the figure exists for, or those of the table."""
    unjudged = partial(evidence.finding(), rule, "could not judge")
    if evidence.run is None:
        yield unjudged("the ledger has no row of these bytes")
        return
    rows = {set_name(row): row for row in evidence.run.finals}
    if len(rows) < len(evidence.run.finals):
        yield unjudged(
            f"two rows of {evidence.run.run_id} are of sets with one name: {_names(map(set_name, evidence.run.finals))}"
        )
        return
    limits, skipped = (limit, []) if isinstance(limit, dict) else _every_set(figure, limit, rows, evidence.labelled)
    if not limits:
        yield unjudged(f"no accuracy in the ledger: {_names(rows)} without labels")
    elif skipped:
        yield evidence.finding()(rule, "note", f"not judged, without labels: {_names(skipped)}")
    for name, least in limits.items():
        if name not in rows:
            yield unjudged(f"the ledger has no row of set {name}; it has {_names(rows)}", test_set=name)
        else:
            yield _figure(rule, figure, name, rows[name], least, evidence)


def _every_set(
    figure: Figure, limit: float, rows: dict[str, Row], labelled: frozenset[str]
) -> tuple[dict[str, float], list[str]]:
    """What one number comes to: a limit for each set that has the figure or must have it; and the sets that are left out."""
    has = {name: figure.of(row) is not None or row.test_set_sha256 in labelled for name, row in rows.items()}
    return {name: limit for name in rows if has[name]}, [name for name in rows if not has[name]]


def judged_sets(limits: ArtifactLimits, run: Run) -> dict[str, list[str]]:
    """By the name of each set that a limit judges: the limits."""
    found: dict[str, list[str]] = {}
    for rule, figure in FIGURES.items():
        limit = getattr(limits, rule)
        with_figure = [set_name(row) for row in run.finals if figure.of(row) is not None]
        for name in limit if isinstance(limit, dict) else with_figure if limit is not None else ():
            found.setdefault(name, []).append(rule)
    return found


def _figure(rule: str, figure: Figure, name: str, row: Row, limit: float, evidence: Evidence) -> Finding:
    assert evidence.run is not None
    make, value = partial(evidence.finding(), rule, test_set=name), figure.of(row)
    if value is None and row.test_set_sha256 in evidence.labelled:
        return make("could not judge", f"{name}: no accuracy in the ledger, and other rows show that the set has labels")
    if why := evidence.run.contradictions.get(name) or figure.unknown(row):
        return make("could not judge", why)
    assert value is not None  # else there is a why
    is_met = figure.sign * (value - limit) >= 0
    left = round(figure.sign * (value - limit), N_DIGITS)
    percent = 100 * left / abs(limit) if limit else None
    unit = " points" if figure.unit == "points" else ""
    message = f"{name} (n = {row.n}): {value:g}{unit}, limit {limit:g}: {abs(left):g} {'left' if is_met else 'MISSED'}"
    message += f" ({abs(percent):.2f}%)" if percent is not None else ""
    return make("pass" if is_met else "failed", message, value, limit, left, percent, figure.unit)


def _max_seconds(limit: float, evidence: Evidence) -> Finding:
    if evidence.run is None:
        return evidence.finding()("max_seconds", "could not judge", "the ledger has no row of these bytes")
    seconds = evidence.run.seconds
    if not (math.isfinite(seconds) and seconds >= 0):
        message = f"{seconds} seconds in the ledger's rows of {evidence.run.run_id}"
        return evidence.finding()("max_seconds", "could not judge", message)
    left = limit - seconds
    percent = 100 * left / limit
    message = f"{seconds:.1f} seconds, {evidence.run.run_id}, limit {limit:g}: " + (
        f"{left:.1f} left ({percent:.2f}%)" if left >= 0 else f"{-left:.1f} over (+{-percent:.2f}%)"
    )
    return evidence.finding()("max_seconds", _verdict(left), message, seconds, limit, left, percent, "seconds")


def _verdict(left: float) -> Verdict:
    return "pass" if left >= 0 else "failed"  # a NaN is never here: it was refused as a figure


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)
