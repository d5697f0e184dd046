"""--allow-new and --allow-removed: what each name came to, and one that is wrong is no pass.

What was admitted is said where it would have been refused (check.py, since.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from compress.gate.findings import Finding
from compress.gate.inputs import Gate
from compress.gate.since import removed


def outcomes(gate: Gate, checked: Collection[str]) -> Iterator[Finding]:
    """checked: names of the artifacts that were looked at."""
    for name in sorted(gate.allow_new):
        if name not in checked:
            yield gate.finding("allow-new", f"--allow-new {name}: no such artifact is checked")
        elif gate.before is not None and not gate.admits_new(name):
            message = f"--allow-new {name}: not new: {gate.before.name} has it, or limits for it"
            yield gate.finding("allow-new", message)
        elif gate.before is None and name in gate.limits:
            message = f"--allow-new {name}: no effect: {gate.path} names it, and without --against nothing is compared"
            yield gate.finding("allow-new", message, is_note=True)
    gone = removed(gate, checked)
    for name in sorted(gate.allow_removed):
        if gate.before is None:
            yield gate.finding("allow-removed", f"--allow-removed {name}: needs a baseline: --against REF or LEDGER")
        elif name not in gone:
            was = "is not gone" if name in gate.before.names else f"{gate.before.name} has no such artifact"
            yield gate.finding("allow-removed", f"--allow-removed {name}: {was}")
