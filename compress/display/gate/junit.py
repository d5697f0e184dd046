"""Findings as JUnit XML, which GitLab, Jenkins and others show: a test suite an artifact, a test case a rule.

A limit that is exceeded is a failure, what could not be judged an error, a note is a case that passed with output.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as xml

from compress.display.gate.lines import by_artifact, lines_of, printable
from compress.gate.findings import Finding, counts

TAGS = {"failed": "failure", "could not judge": "error"}


def render(findings: Sequence[Finding]) -> str:
    root = xml.Element("testsuites", {"name": "squeeze-compress check", **_counts(findings)})
    for path, found in by_artifact(findings):
        suite = xml.SubElement(root, "testsuite", {"name": path, **_counts(found)})
        for finding in found:
            name = printable(f"{finding.rule} {finding.test_set}".strip())
            case = xml.SubElement(suite, "testcase", classname=path, name=name, file=path)
            lines = lines_of(finding)
            body = "\n".join(lines)
            if finding.verdict in TAGS:
                xml.SubElement(case, TAGS[finding.verdict], message=lines[0], type=finding.rule).text = body
            else:
                xml.SubElement(case, "system-out").text = body
    xml.indent(root)
    return xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _counts(findings: Sequence[Finding]) -> dict[str, str]:
    found = counts(findings)
    return {"tests": str(len(findings)), "failures": str(found["failed"]), "errors": str(found["could not judge"])}
