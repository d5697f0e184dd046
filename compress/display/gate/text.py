"""Findings for a person at a terminal: an artifact, a line a rule, and last the sum."""

from __future__ import annotations

from collections.abc import Sequence

from compress.display.gate.lines import by_artifact, lines_of
from compress.gate.findings import Finding, summary

SHOWN = {"pass": "pass", "failed": "FAILED", "could not judge": "NOT JUDGED", "note": ""}
RULE_WIDTH, VERDICT_WIDTH = 14, 11  # of the longest of them, and a space


def render(findings: Sequence[Finding]) -> str:
    out: list[str] = []
    for path, found in by_artifact([finding for finding in findings if finding.artifact]):
        out.append(path)
        for finding in found:
            first, *others = lines_of(finding)
            out.append(f"  {finding.rule:<{RULE_WIDTH}}{SHOWN[finding.verdict]:<{VERDICT_WIDTH}}{first}")
            out += [f"  {'':<{RULE_WIDTH + VERDICT_WIDTH}}  {line}" for line in others]
    for finding in findings:
        if not finding.artifact:  # of the check as a whole
            first, *others = lines_of(finding)
            verdict = f"{SHOWN[finding.verdict]}: " if SHOWN[finding.verdict] else ""
            out += [f"{finding.rule}: {verdict}{first}", *(f"  {line}" for line in others)]
    return "\n".join([*out, summary(findings), ""])
