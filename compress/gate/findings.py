"""What the gate found: one Finding for each thing that it looked at, and the exit code that they come to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from compress.errors import CompressError, GateFailed, InputError

Verdict = Literal["pass", "failed", "could not judge", "note"]
Unit = Literal["", "bytes", "share", "points", "seconds"]


@dataclass(frozen=True)
class Finding:
    """One rule, judged for one artifact.

    artifact: the file's name in the limits, or "" for the check as a whole. path: the file. value, limit: in `unit`. headroom:
    what is left of the limit, in `unit`, negative where it is exceeded; headroom_percent: of what that is, `message` says.
    details: lines that belong to the message, for instance which layers grew. test_set: that the figure is of.
    """

    artifact: str
    path: str
    rule: str
    verdict: Verdict
    message: str
    value: float | None = None
    limit: float | None = None
    headroom: float | None = None
    headroom_percent: float | None = None
    unit: Unit = ""
    details: tuple[str, ...] = ()
    test_set: str = ""

    def to_json(self) -> dict[str, Any]:
        """None for a number that is not finite, which JSON does not have."""
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(self).items()}


def counts(findings: Iterable[Finding]) -> Counter[Verdict]:
    return Counter(finding.verdict for finding in findings)


def exit_code(findings: Sequence[Finding]) -> int:
    """1 where anything is over a limit, else 2 where anything could not be judged, or nothing was, else 0."""
    error = failure(findings)
    return 0 if error is None else error.exit_code


def failure(findings: Sequence[Finding]) -> CompressError | None:
    """The error that the check ends with, None where it passes."""
    found = counts(findings)
    unjudged = f"{found['could not judge']} could not be judged"
    if found["failed"]:
        return GateFailed(f"{found['failed']} failed" + (f", {unjudged}" if found["could not judge"] else ""))
    if found["could not judge"]:
        return InputError(unjudged)
    return None if found["pass"] else InputError("nothing was judged")


def summary(findings: Sequence[Finding]) -> str:
    found = counts(findings)
    n_artifacts = len({finding.artifact for finding in findings} - {""})
    return (
        f"{n_artifacts} artifact{'' if n_artifacts == 1 else 's'}: "
        f"{found['pass']} passed, {found['failed']} failed, {found['could not judge']} could not be judged"
    )
