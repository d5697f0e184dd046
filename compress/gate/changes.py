"""How one set of limits differs from another: each field, from what to what, and whether that is looser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from compress.gate.limits import LIMITS, ArtifactLimits

Value = int | float | str | None


@dataclass(frozen=True)
class Change:
    """where: "deep.sqz: min_top1.imagenet-val500". old, new: None where there is no such limit."""

    where: str
    old: Value
    new: Value
    looser: bool

    def __str__(self) -> str:
        return f"{self.where} {_shown(self.old)} -> {_shown(self.new)} ({'LOOSER' if self.looser else 'tighter'})"


def changes(old: Mapping[str, ArtifactLimits], new: Mapping[str, ArtifactLimits]) -> Iterator[Change]:
    """Of every limit of every artifact, in the order of the old, then of the new."""
    for name in dict.fromkeys([*old, *new]):
        before, after = _entries(old.get(name)), _entries(new.get(name))
        for entry in dict.fromkeys([*before, *after]):
            a, b = before.get(entry), after.get(entry)
            if a != b:
                yield Change(f"{name}: {'.'.join(entry)}", a, b, _is_looser(entry[0], a, b))


def _entries(limits: ArtifactLimits | None) -> dict[tuple[str, ...], Value]:
    found: dict[tuple[str, ...], Value] = {}
    for field in LIMITS if limits is not None else ():
        value = getattr(limits, field)
        if isinstance(value, dict):
            found |= {(field, name): each for name, each in value.items()}
        elif value is not None:
            found[(field,)] = value
    return found


def _is_looser(field: str, old: Value, new: Value) -> bool:
    """A limit that is gone is looser. Bytes and percentages of growth do not compare: taken as looser."""
    if old is None or new is None:
        return new is None
    a, b = (float(value.rstrip("% ")) if isinstance(value, str) else value for value in (old, new))
    if isinstance(old, str) != isinstance(new, str):
        return True
    return b < a if field.startswith("min_") else b > a


def _shown(value: Value) -> str:
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
