"""What `squeeze-compress check --limits` shows, in the formats that people and CI systems read. Nothing is judged here."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from compress.display.gate import github, junit, markdown, text
from compress.gate.findings import Finding, exit_code, summary


def _json(findings: Sequence[Finding]) -> str:
    facts = {
        "exit_code": exit_code(findings),
        "summary": summary(findings),
        "findings": [finding.to_json() for finding in findings],
    }
    return json.dumps(facts, indent=1, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[Sequence[Finding]], str]] = {
    "text": text.render,
    "github": github.render,
    "markdown": markdown.render,
    "junit": junit.render,
    "json": _json,
}
