"""New limits from what is, with a margin: `check --update`. changes.py says what differs, field by field."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from compress.atomic import write_atomically
from compress.errors import InputError
from compress.gate import limits as limits_file
from compress.gate.check import examine
from compress.gate.inputs import LEDGER, Gate, listed
from compress.gate.judge import FIGURES, N_DIGITS, Evidence, Figure
from compress.gate.ledger_rows import set_name
from compress.gate.limits import SUFFIX, ArtifactLimits, Limits
from compress.ledger import ledger

HEADER = "# Limits of `squeeze-compress check --limits`; docs/GATE.md has the fields. Written by `check --update`.\n"
WIDTH = 120


@dataclass(frozen=True)
class Margins:
    """percent: of bytes and seconds. points: of top-1, agreement and drop."""

    percent: float = 1.0
    points: float = 1.0


def evidence_of_all(
    limits: Path, *, encoder: str, ledger_file: Path | None = None
) -> tuple[Mapping[str, ArtifactLimits], list[Evidence]]:
    """The limits as they are, none where there is no such file, and what is known of every artifact.

    Raises InputError where one is missing, does not decode, is not the ledger's or is not what this encoder makes: limits are
    not written from what would not pass.
    """
    old = limits_file.load(limits).artifacts if limits.exists() else {}
    gate = Gate(limits, old, tuple(ledger.read(ledger_file or limits.parent / LEDGER)), encoder)
    chosen = listed(gate)
    if strangers := [name for name, _ in chosen if not limits_file.is_name(name)]:
        where = f"an artifact lies beside it, and its name ends in {SUFFIX}"
        raise InputError(f"{limits}: not written\nit cannot name {', '.join(strangers)}: {where}")
    examined = examine(gate, chosen)
    wrong = [each for _, found in examined for each in found if each.verdict in ("failed", "could not judge")]
    if wrong or not examined:
        said = [f"{each.path}: {each.rule}: {each.message}" for each in wrong] or [f"no {SUFFIX} file beside it"]
        raise InputError("\n".join([f"{limits}: not written", *said]))
    return old, [evidence for evidence, _ in examined if evidence is not None]


def new_limits(old: Mapping[str, ArtifactLimits], found: Iterable[Evidence], margins: Margins) -> Limits:
    """The limits of `old` with the same fields and new values; an artifact that it does not name gets max_bytes, and min_top1,
    min_agreement and max_drop by test set. max_growth and measure stay as they are.

    found: all artifacts, each with its run. Raises InputError for a figure that is missing or impossible.
    """
    artifacts = {each.name: _limits_of(old.get(each.name), each, margins) for each in found}
    return Limits.model_validate({"artifacts": artifacts})


def write(path: Path, new: Limits) -> int:
    """Write a limits file, atomically; the comments at the top of the old one are kept. Returns how many others are lost."""
    old = path.read_text(encoding="utf-8") if path.exists() else HEADER
    lines = old.splitlines()
    n_top = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    top = "".join(f"{line}\n" for line in lines[:n_top])
    body = yaml.safe_dump(_plain(new), sort_keys=False, default_flow_style=None, width=WIDTH, allow_unicode=True)
    write_atomically(path, (top + body).encode())
    return sum("#" in line for line in lines[n_top:])


def _limits_of(before: ArtifactLimits | None, evidence: Evidence, margins: Margins) -> dict[str, Any]:
    assert evidence.run is not None
    limits: dict[str, Any] = {} if before is None else before.model_dump(exclude_none=True, exclude_defaults=True)
    if before is None or before.max_bytes is not None:
        limits["max_bytes"] = math.ceil(round(evidence.size_bytes * (1 + margins.percent / 100), N_DIGITS))
    for rule in FIGURES:
        value = None if before is None else getattr(before, rule)
        if before is not None and value is None:
            continue
        table = dict(_table(rule, evidence, margins))
        if isinstance(value, dict):
            table = {name: table[name] for name in _known(value, table, f"{evidence.path}: {rule}")}
        if table:
            is_number = value is not None and not isinstance(value, dict)
            limits[rule] = (min if FIGURES[rule].sign > 0 else max)(table.values()) if is_number else table
    if before is not None and before.max_seconds is not None:
        limits["max_seconds"] = math.ceil(round(10 * evidence.run.seconds * (1 + margins.percent / 100), N_DIGITS)) / 10
    return limits


def _table(rule: str, evidence: Evidence, margins: Margins) -> Iterator[tuple[str, float]]:
    """By test set: the figure, less or more the margin."""
    assert evidence.run is not None
    figure = FIGURES[rule]
    margin = margins.points if figure.unit == "points" else margins.points / 100
    for row in evidence.run.finals:
        value = figure.of(row)
        if value is None:
            continue
        if why := figure.unknown(row):
            raise InputError(f"{evidence.path}: {why}")
        yield set_name(row), _rounded(value - figure.sign * margin, figure)


def _known(names: Iterable[str], table: Mapping[str, float], where: str) -> Iterable[str]:
    if missing := [name for name in names if name not in table]:
        raise InputError(f"{where}: the ledger has no figure of set {', '.join(missing)}; it has {', '.join(table) or 'none'}")
    return names


def _rounded(value: float, figure: Figure) -> float:
    """To four decimals, away from what is measured. No drop below 0: a net that gained by chance need not gain again."""
    direction = math.floor if figure.sign > 0 else math.ceil
    return min(max(direction(round(value * 1e4, N_DIGITS)) / 1e4, 0.0), figure.high)


def _plain(limits: Limits) -> dict[str, Any]:
    """As YAML shows it: without what is not set."""
    dumped = limits.model_dump(exclude_defaults=True, mode="json")
    for artifact in dumped["artifacts"].values():
        for section in artifact.get("measure", ()):
            sources = [each["source"] if each.keys() == {"source"} else each for each in section["set"]]
            section["set"] = sources[0] if len(sources) == 1 else sources
    return dict(dumped)
