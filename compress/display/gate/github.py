"""Findings as workflow commands of GitHub Actions: an annotation for each that did not pass, and the text for the log.

The runner obeys every line of stdout that begins with `::`. The text is put where it does not: between stop-commands and a token
that nobody can know before.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from compress.display.gate import text
from compress.display.gate.lines import lines_of, printable
from compress.gate.findings import Finding

COMMANDS = {"failed": "error", "could not judge": "error", "note": "notice"}
WIDER = ("--allow-new", "--allow-removed", "LOOSER", "not compared with")  # in a note that opens the gate wider


def render(findings: Sequence[Finding]) -> str:
    token = secrets.token_hex(16)
    annotations = [_annotation(finding) for finding in findings if finding.verdict in COMMANDS and _matters(finding)]
    log = text.render(findings).rstrip("\n")
    return "\n".join([f"::stop-commands::{token}", log, f"::{token}::", *annotations, ""])


def _matters(finding: Finding) -> bool:
    """Of the notes, those that open the gate wider; GitHub shows ten annotations a step."""
    return finding.verdict != "note" or any(mark in finding.message for mark in WIDER)


def _annotation(finding: Finding) -> str:
    title = f"{finding.rule}: {finding.verdict}"
    message = "\n".join(lines_of(finding))
    return f"::{COMMANDS[finding.verdict]} file={_property(finding.path)},title={_property(title)}::{_data(message)}"


def _data(value: str) -> str:
    """As @actions/core escapes it."""
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(printable(value)).replace(":", "%3A").replace(",", "%2C")
