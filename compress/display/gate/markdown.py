"""Findings as a Markdown table, for a step summary or a comment on a merge request."""

from __future__ import annotations

import re
from collections.abc import Sequence

from compress.display.gate.lines import lines_of, printable
from compress.gate.findings import Finding, exit_code, summary

SHOWN = {"pass": "pass", "failed": "**FAILED**", "could not judge": "**NOT JUDGED**", "note": "note"}
VERDICT = {0: "passed", 1: "FAILED", 2: "could not judge"}
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~!&])")


def render(findings: Sequence[Finding]) -> str:
    rows = [
        f"| {escape(finding.artifact or finding.path)} | {escape(finding.rule)} | {SHOWN[finding.verdict]} | {_left(finding)} "
        f"| {'<br>'.join(escape(line) for line in lines_of(finding))} |"
        for finding in findings
    ]
    head = [f"### squeeze-compress check: {VERDICT[exit_code(findings)]}", "", summary(findings), ""]
    return "\n".join([*head, "| artifact | rule | | left | |", "|---|---|---|---:|---|", *rows, ""])


def escape(text: str) -> str:
    """For a cell: no markup, no HTML, no end of the cell."""
    return _MARKUP.sub(r"\\\1", printable(text))


def _left(finding: Finding) -> str:
    """What is left of the limit, with its percentage."""
    if finding.headroom is None:
        return ""
    amount = f"{finding.headroom:,.0f} bytes" if finding.unit == "bytes" else f"{finding.headroom:.4g}"
    return amount + (f", {finding.headroom_percent:.2f}%" if finding.headroom_percent is not None else "")
