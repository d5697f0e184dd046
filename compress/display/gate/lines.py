"""Text of a finding made harmless: a file's name and its metadata come from whoever made the file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from compress.gate.findings import Finding


def printable(text: str) -> str:
    """Every character that is not printable as an escape, line ends too: nothing reaches a terminal or a log as a command."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def lines_of(finding: Finding) -> list[str]:
    """The message's lines, and the details, each printable."""
    return [printable(line) for part in (finding.message, *finding.details) for line in part.split("\n")]


def by_artifact(findings: Sequence[Finding]) -> list[tuple[str, list[Finding]]]:
    """The path of each artifact with its findings; of the limits file with those of the check as a whole."""
    return [(printable(path), list(found)) for path, found in groupby(findings, lambda each: each.path)]
