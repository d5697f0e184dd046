import json
import os
import subprocess
import sys
import textwrap
from xml.etree import ElementTree

import gate_folder
import pytest
import tiny_net
import yaml
from test_cli import call, refused

import compress

GENEROUS = gate_folder.GENEROUS


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with artifacts/net.sqz, its ledger, and limits that it keeps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return gate_folder.published(tmp_path)


GATE = ("check", "--limits", "artifacts/limits.yaml")

# --- without limits: integrity ------------------------------------------------------------------------------------------


def test_integrity(tmp_path):
    file = tiny_net.write(tmp_path / "net.sqz")
    bad = tmp_path / "bad.sqz"
    bad.write_bytes(file.read_bytes()[:-1])
    first, last = call("check", file).stdout.splitlines()
    assert first.startswith(f"{file}: ok, {file.stat().st_size:,} bytes, 10 tensors, sha256 ")
    assert last == "integrity only, no limits were judged; --limits names them"
    result = call("check", bad, file, code=2)
    assert f"{bad}: REFUSED: {bad}: truncated" in result.stdout and f"{file}: ok" in result.stdout
    assert result.stderr == "error: 1 of 2 files refused\n"
    facts = json.loads(call("check", file, bad, tmp_path / "none.sqz", "--json", code=2).stdout)
    assert [fact["ok"] for fact in facts] == [True, False, False] and "No such file" in facts[2]["error"]
    assert facts[0]["sha256"] == compress.read(file).sha256


# --- with limits --------------------------------------------------------------------------------------------------------


def test_a_pass(folder):
    result = call(*GATE)
    assert result.stdout.startswith("artifacts/net.sqz\n  decodes       pass       ") and result.stderr == ""
    assert "\naccuracy: from the ledger, not re-measured\n1 artifact: 8 passed, 0 failed, 0 could not" in result.stdout
    assert call(*GATE, "artifacts/net.sqz").stdout == result.stdout


def test_over_a_limit_is_1(folder):
    folder.limit(net=GENEROUS | {"max_bytes": 10})
    result = call(*GATE, code=1)
    assert "max_bytes     FAILED" in result.stdout and result.stderr == "error: 1 failed\n"


def test_could_not_judge_is_2(folder):
    folder.publish("other.sqz")
    result = call(*GATE, code=2)
    assert "limits        NOT JUDGED artifacts/limits.yaml does not name it" in result.stdout
    assert result.stderr == "error: 1 could not be judged\n"
    assert "admitted by --allow-new" in call(*GATE, "--allow-new", "other.sqz").stdout
    assert "--allow-new x: no such artifact" in call(*GATE, "--allow-new", "other.sqz", "--allow-new", "x", code=2).stdout


def test_missing_limits_in_every_format(folder):
    """The format that a CI system reads says so too: an absent report must not look like a pass."""
    folder.limits.unlink()
    message = "artifacts/limits.yaml: cannot be read: No such file or directory"
    assert f"limits: NOT JUDGED: {message}" in call(*GATE, code=2).stdout
    assert message in call(*GATE, "--format", "github", code=2).stdout
    assert json.loads(call(*GATE, "--json", code=2).stdout)["findings"][0]["message"] == message
    assert ElementTree.fromstring(call(*GATE, "--format", "junit", code=2).stdout).get("errors") == "1"


def test_against_a_reference_and_a_ledger(folder):
    folder.limit(net={"max_growth": "1%"})
    folder.commit()
    folder.publish("net.sqz", tiny_net.layers(shapes={**tiny_net.SHAPES, "features.0": (4, 3, 5, 5)}))
    text = call(*GATE, "--against", "HEAD", code=1).stdout
    assert "max_growth    FAILED" in text and "features.0.weight: +" in text
    folder.ledger.with_name("same.csv").write_text(folder.ledger.read_text())
    result = call(*GATE, "--against", "artifacts/same.csv")
    assert "max_growth    pass       +0 bytes" in result.stdout and "\nbaseline: ledger artifacts/same.csv\n" in result.stdout
    assert "is the ledger that is judged" in call(*GATE, "--against", "artifacts/ledger.csv", code=2).stdout
    assert "no such git reference here" in call(*GATE, "--against", "--help", code=2).stdout


def test_what_is_gone_and_that_it_may_be(folder):
    folder.publish("two.sqz")
    folder.limit(net=GENEROUS, two=GENEROUS)
    folder.commit()
    (folder.artifacts / "two.sqz").unlink()
    folder.limit(net=GENEROUS)
    assert "removed: NOT JUDGED: two.sqz: in HEAD, and gone" in call(*GATE, "--against", "HEAD", code=2).stdout
    assert "admitted by --allow-removed" in call(*GATE, "--against", "HEAD", "--allow-removed", "two.sqz").stdout


def test_another_ledger(folder):
    elsewhere = folder.root / "rows.csv"
    folder.ledger.rename(elsewhere)
    assert "ledger: NOT JUDGED: artifacts/ledger.csv: cannot be read" in call(*GATE, code=2).stdout
    call(*GATE, "--ledger", "rows.csv")


def test_a_report_in_a_file_and_the_text_on_stdout(folder):
    result = call(*GATE, "--format", "junit", "-o", "gate.xml")
    assert result.stdout == call(*GATE).stdout
    assert ElementTree.fromstring((folder.root / "gate.xml").read_text()).get("tests") == "9"
    (folder.root / "way").touch()
    assert "error: way/gate.xml: Not a directory" in refused(*GATE, "-o", "way/gate.xml")


@pytest.mark.parametrize(
    "output", ["artifacts/limits.yaml", "artifacts/../artifacts/ledger.csv", "artifacts/net.sqz", "link.yaml", "old.csv", "f.sqz"]
)
def test_a_report_never_replaces_what_is_judged(folder, output):
    (folder.root / "link.yaml").symlink_to("artifacts/limits.yaml")
    (folder.root / "old.csv").write_bytes(folder.ledger.read_bytes())
    (folder.root / "f.sqz").write_bytes((folder.artifacts / "net.sqz").read_bytes())
    before = {path: path.read_bytes() for path in folder.root.rglob("*") if path.is_file()}
    message = refused(*GATE, "--against", "old.csv", "--format", "json", "-o", output, "f.sqz")
    assert f"--output {output} is an input of the check" in message.replace("\n", " ")
    assert {path: path.read_bytes() for path in folder.root.rglob("*") if path.is_file()} == before


def test_a_report_does_not_become_the_ledger_that_is_missing(folder):
    folder.ledger.unlink()
    assert "is an input of the check" in refused(*GATE, "-o", "artifacts/ledger.csv") and not folder.ledger.exists()


def test_github_writes_the_step_summary_beside_what_is_there(folder, monkeypatch):
    place = folder.root / "summary.md"
    place.write_text("before\n")
    assert call(*GATE, "--format", "github").stdout.startswith("::stop-commands::")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place))
    call(*GATE, "--format", "github")
    assert place.read_text().startswith("before\n### squeeze-compress check: passed\n")
    before = place.read_text()
    call(*GATE)
    assert place.read_text() == before


def test_it_costs_no_torch(folder):
    code = """
        import sys
        from click.testing import CliRunner
        from compress.cli import main
        result = CliRunner().invoke(main, ["check", "--limits", "artifacts/limits.yaml", "--against", "HEAD"])
        assert result.exit_code == 0, result.output
        heavy = {"torch", "PIL", "sklearn", "skimage"} & sys.modules.keys()  # scipy: numba takes it where it is
        assert not heavy, heavy
    """
    folder.commit()
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_measuring_without_the_extra(folder, monkeypatch):
    folder.limit(net=GENEROUS | {"measure": [{"set": "bundled"}]})
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "compress.evaluate", raising=False)
    assert "error: this command needs torch: pip install 'squeeze-compress[train]'" in refused(*GATE, "--measure")


# --- --update -----------------------------------------------------------------------------------------------------------


def test_update_says_what_changes(folder):
    folder.limit(net={"max_bytes": 500, "min_top1": 0.95})
    size = (folder.artifacts / "net.sqz").stat().st_size
    lines = call(*GATE, "--update", "--margin", "10%", "--margin-points", "2").stdout.splitlines()
    limit = -(-size * 110 // 100)
    assert lines == [
        f"net.sqz: max_bytes 500 -> {limit} (LOOSER)",
        "net.sqz: min_top1 0.95 -> 0.88 (LOOSER)",
        "artifacts/limits.yaml: 1 artifacts, 2 limits changed, 2 of them looser; "
        "margins: 10% of bytes and seconds, 2 points of top-1, agreement and drop",
    ]
    assert yaml.safe_load(folder.limits.read_text()) == {"artifacts": {"net.sqz": {"max_bytes": limit, "min_top1": 0.88}}}
    call(*GATE)


def test_update_from_nothing_then_the_gate_passes(folder):
    folder.limits.unlink()
    facts = json.loads(call(*GATE, "--update", "--json").stdout)
    assert {change["looser"] for change in facts["changes"]} == {False} and facts["margin_percent"] == 1
    call(*GATE)


def test_update_tells_of_lost_comments_and_refuses_what_would_not_pass(folder):
    folder.limits.write_text("artifacts:\n  # why\n  net.sqz: {max_bytes: 5}\n")
    assert "comments on 1 lines below its head are not kept" in call(*GATE, "--update").stderr
    before = folder.limits.read_text()
    folder.change_rows("net.sqz", artifact_sha256="00" * 32)
    assert "error: artifacts/limits.yaml: not written\nartifacts/net.sqz: ledger: sha256 is" in refused(*GATE, "--update")
    assert folder.limits.read_text() == before


@pytest.mark.skipif(os.geteuid() != 0 and not os.access("/dev/full", os.W_OK), reason="needs /dev/full")
def test_a_full_disk(folder, monkeypatch):
    """Of the step summary; limits.yaml itself is written atomically (compress.atomic has its own tests)."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/dev/full")
    assert "No space left on device" in refused(*GATE, "--format", "github")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check"], "Missing argument 'FILES...', or option '--limits'."),
        (["check", "x.sqz", "--against", "main"], "--against needs --limits."),
        (["check", "x.sqz", "--ledger", "x.csv"], "--ledger needs --limits."),
        (["check", "x.sqz", "--allow-new", "x"], "--allow-new needs --limits."),
        (["check", "x.sqz", "--allow-removed", "x"], "--allow-removed needs --limits."),
        (["check", "x.sqz", "--measure"], "--measure needs --limits."),
        (["check", "x.sqz", "--update"], "--update needs --limits."),
        (["check", "x.sqz", "--format", "junit"], "--format junit needs --limits."),
        (["check", "x.sqz", "-o", "x"], "--output needs --limits."),
        ([*GATE, "--update", "x.sqz"], "FILES does not go with --update."),
        ([*GATE, "--update", "--allow-new", "x"], "--allow-new does not go with --update."),
        ([*GATE, "--update", "--allow-removed", "x"], "--allow-removed does not go with --update."),
        ([*GATE, "--update", "--against", "main"], "--against does not go with --update."),
        ([*GATE, "--update", "--format", "github"], "--format github does not go with --update."),
        ([*GATE, "--json", "--format", "text"], "--json and --format text exclude each other"),
        ([*GATE, "--format", "xml"], "'xml' is not one of 'text', 'github', 'markdown', 'junit', 'json'"),
        ([*GATE, "--update", "--margin", "much"], "much: must be a percentage from 0, for instance 1%"),
        ([*GATE, "--update", "--margin", "nan"], "nan: must be a percentage from 0"),
        ([*GATE, "--update", "--margin", "-1%"], "-1%: must be a percentage from 0"),
        ([*GATE, "--update", "--margin-points", "-1"], "-1"),
    ],
)
def test_bad_usage(folder, arguments, message):
    assert message in refused(*arguments)


def test_an_interrupt_is_130(folder, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("compress.gate.check.read_bytes", interrupted)
    call(*GATE, code=130)


def test_a_bug_is_no_pass(folder, monkeypatch):
    monkeypatch.setattr("compress.gate.check.judge", lambda *_: 1 / 0)
    assert "internal error: ZeroDivisionError" in refused(*GATE)
