"""The baseline that --against names, and artifacts that lie where limits cannot name them."""

import gate_folder
import pytest
from gate_folder import judged, larger_net, notes, unjudged


@pytest.fixture
def folder(tmp_path):
    return gate_folder.published(tmp_path / "project")


def test_the_baseline_is_said(folder):
    commit = folder.commit()
    assert f"baseline: git {commit[:8]} (HEAD)" in notes(judged(folder, against="HEAD")[1])
    old = folder.root / "old.csv"
    old.write_text(folder.ledger.read_text())
    assert f"baseline: ledger {old}" in notes(judged(folder, against=str(old))[1])


@pytest.mark.parametrize("name", ["artifacts/ledger.csv", "link.csv"])
def test_the_ledger_that_is_judged_is_no_baseline(folder, monkeypatch, name):
    monkeypatch.chdir(folder.root)
    (folder.root / "link.csv").symlink_to("artifacts/ledger.csv")
    code, found = judged(folder, against=name)
    assert code == 2 and f"--against {name}: is the ledger that is judged" in unjudged(found)["baseline"]


def test_a_copy_of_the_ledger_by_the_name_of_the_branch_changes_nothing(folder, monkeypatch):
    folder.limit(net={"max_growth": "1%"})
    folder.commit()
    folder.git("update-ref", "refs/remotes/origin/main", "HEAD")
    folder.publish("net.sqz", larger_net())
    (folder.root / "origin").mkdir()
    (folder.root / "origin" / "main").write_text(folder.ledger.read_text())
    folder.commit("larger")
    monkeypatch.chdir(folder.root)
    assert judged(folder, against="origin/main")[0] == 1


@pytest.mark.parametrize("name", ["sub/x.sqz", "sub/deep/.x.sqz", "Y.SQZ", "net.Sqz"])
def test_an_artifact_in_a_folder_or_of_another_case_is_seen(folder, name):
    path = folder.artifacts / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((folder.artifacts / "net.sqz").read_bytes())
    for options in ({}, {"allow_new": [name]}):
        code, found = judged(folder, **options)
        assert code == 2 and str(path) in {finding.path for finding in found if finding.verdict == "could not judge"}
    assert f"{folder.limits} cannot name it: an artifact lies beside it" in unjudged(judged(folder)[1])["limits"]
