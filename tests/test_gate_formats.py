import json
import math
import re
from xml.etree import ElementTree

import pytest

from compress.cli.check import FORMATS as OFFERED
from compress.display.gate import FORMATS
from compress.display.gate.lines import printable
from compress.display.gate.markdown import escape
from compress.gate.findings import Finding, counts, exit_code, failure, summary

PASS = Finding("net.sqz", "a/net.sqz", "max_bytes", "pass", "90 bytes, limit 100: 10 left (10.00%)", 90, 100, 10, 10.0, "bytes")
FAILED = Finding(
    "net.sqz", "a/net.sqz", "max_growth", "failed", "+9 bytes, limit 1%", 9, 1, -8, -8.0, "bytes", ("conv: +9 bytes",)
)
UNJUDGED = Finding("net.sqz", "a/net.sqz", "min_top1", "could not judge", "val: no accuracy", test_set="val")
NOTE = Finding("", "a/limits.yaml", "accuracy", "note", "from the ledger, not re-measured")
ALL = [PASS, FAILED, UNJUDGED, NOTE]
# What a file's metadata or name may try: a second command, markup, a terminal's escape, a lone surrogate.
HOSTILE = "x\n::error::y\r\n##[add-mask]z | <b>*w*</b> %0A ]]> \x1b[31m \udcff \u202e"
EVIL = Finding("net.sqz", "a,b:c\n::warning::.sqz", "decodes", "could not judge", HOSTILE, details=(HOSTILE,))


@pytest.mark.parametrize(
    ("findings", "code", "error"),
    [
        ([PASS, NOTE], 0, None),
        ([PASS, FAILED], 1, "1 failed"),
        ([PASS, UNJUDGED], 2, "1 could not be judged"),
        (ALL, 1, "1 failed, 1 could not be judged"),
        ([NOTE], 2, "nothing was judged"),
        ([], 2, "nothing was judged"),
    ],
)
def test_exit_codes(findings, code, error):
    assert exit_code(findings) == code and (str(failure(findings)) if failure(findings) else None) == error
    assert json.loads(FORMATS["json"](findings))["exit_code"] == code


def test_counts_and_summary():
    assert counts(ALL) == {"pass": 1, "failed": 1, "could not judge": 1, "note": 1}
    assert summary(ALL) == "1 artifact: 1 passed, 1 failed, 1 could not be judged"
    assert summary([]) == "0 artifacts: 0 passed, 0 failed, 0 could not be judged"


def test_the_command_offers_every_format():
    assert tuple(FORMATS) == OFFERED


def test_text():
    assert FORMATS["text"](ALL) == (
        "a/net.sqz\n"
        "  max_bytes     pass       90 bytes, limit 100: 10 left (10.00%)\n"
        "  max_growth    FAILED     +9 bytes, limit 1%\n"
        "                             conv: +9 bytes\n"
        "  min_top1      NOT JUDGED val: no accuracy\n"
        "accuracy: from the ledger, not re-measured\n"
        "1 artifact: 1 passed, 1 failed, 1 could not be judged\n"
    )


def test_json():
    facts = json.loads(FORMATS["json"]([PASS, Finding("n", "p", "r", "failed", "m", math.nan, 1, -math.inf)]))
    assert facts["findings"][0] == {
        "artifact": "net.sqz", "path": "a/net.sqz", "rule": "max_bytes", "verdict": "pass", "message": PASS.message,
        "value": 90, "limit": 100, "headroom": 10, "headroom_percent": 10.0, "unit": "bytes", "details": [], "test_set": "",
    }  # fmt: skip
    assert facts["findings"][1]["value"] is None and facts["findings"][1]["headroom"] is None


def test_github():
    """Commands are obeyed only outside stop-commands; what passed is in the log and makes no annotation."""
    first, *log, end, growth, top1, last = FORMATS["github"](ALL).split("\n")
    token = first.removeprefix("::stop-commands::")
    assert re.fullmatch("[0-9a-f]{32}", token) and end == f"::{token}::" and last == ""
    assert "\n".join([*log, ""]) == FORMATS["text"](ALL)
    assert growth == "::error file=a/net.sqz,title=max_growth%3A failed::+9 bytes, limit 1%25%0Aconv: +9 bytes"
    assert top1 == "::error file=a/net.sqz,title=min_top1%3A could not judge::val: no accuracy"
    assert first != FORMATS["github"](ALL).split("\n")[0]


def test_github_tells_what_opens_the_gate():
    new = Finding("n.sqz", "n.sqz", "limits", "note", "new: admitted by --allow-new")
    looser = Finding("", "limits.yaml", "limits", "note", "n.sqz: max_bytes 1 -> 2 (LOOSER)")
    gone = Finding("", "limits.yaml", "removed", "note", "n.sqz: in main, and gone; admitted by --allow-removed")
    unknown = Finding("", "limits.yaml", "limits", "note", "not compared with those of main: main (1234) has no limits.yaml")
    lines = FORMATS["github"]([PASS, NOTE, new, looser, gone, unknown]).splitlines()
    assert [line.split("::")[1] for line in lines[-4:]] == [
        "notice file=n.sqz,title=limits%3A note",
        "notice file=limits.yaml,title=limits%3A note",
        "notice file=limits.yaml,title=removed%3A note",
        "notice file=limits.yaml,title=limits%3A note",
    ]


def test_github_obeys_nothing_of_a_file():
    lines = FORMATS["github"]([EVIL]).split("\n")
    outside = [line for line in lines[lines.index(f"::{lines[0].removeprefix('::stop-commands::')}::") + 1 :] if line]
    assert len(outside) == 1  # one annotation, whatever the message holds
    assert outside[0].startswith(
        "::error file=a%2Cb%3Ac\\n%3A%3Awarning%3A%3A.sqz,title=decodes%3A could not judge::x%0A::error::y"
    )
    assert "%250A" in outside[0] and "\x1b" not in outside[0]


def test_markdown():
    text = FORMATS["markdown"](ALL)
    assert text.startswith("### squeeze-compress check: FAILED\n\n1 artifact: ")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[2] == r"| net.sqz | max\_bytes | pass | 10 bytes, 10.00% | 90 bytes, limit 100: 10 left (10.00%) |"
    assert rows[3].endswith("| -8 bytes, -8.00% | +9 bytes, limit 1%<br>conv: +9 bytes |")
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}
    assert len([line for line in FORMATS["markdown"]([EVIL]).splitlines() if line.startswith("|")]) == 3
    assert escape("<b>|*`x`*") == r"\<b\>\|\*\`x\`\*"
    assert "could not judge" in FORMATS["markdown"]([UNJUDGED]) and "check: passed" in FORMATS["markdown"]([PASS])


def test_junit():
    root = ElementTree.fromstring(FORMATS["junit"](ALL))
    assert root.attrib == {"name": "squeeze-compress check", "tests": "4", "failures": "1", "errors": "1"}
    net, whole = root
    assert (net.get("name"), net.get("tests"), whole.get("name")) == ("a/net.sqz", "3", "a/limits.yaml")
    assert [case.get("name") for case in net] == ["max_bytes", "max_growth", "min_top1 val"]
    assert [case[0].tag for case in net] == ["system-out", "failure", "error"]
    assert net[1][0].get("message") == "+9 bytes, limit 1%" and net[1][0].text == "+9 bytes, limit 1%\nconv: +9 bytes"


def test_junit_is_xml_whatever_a_file_holds():
    [suite] = ElementTree.fromstring(FORMATS["junit"]([EVIL]).encode())
    assert suite[0][0].tag == "error" and "<b>" in suite[0][0].text and "\\x1b" in suite[0][0].text


def test_printable():
    assert printable("plain é ü 日") == "plain é ü 日"
    assert printable("a\nb\r\t\x1b\x00\udcff\u2028") == r"a\nb\r\t\x1b\x00\udcff\u2028"
