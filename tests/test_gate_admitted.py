"""--allow-new and --allow-removed: each is said with its outcome, and admits nothing else."""

import gate_folder
import pytest
from gate_folder import GENEROUS, judged, larger_net, notes, unjudged


@pytest.fixture
def folder(tmp_path):
    return gate_folder.published(tmp_path / "project")


def test_allow_new_of_what_is_old(folder):
    """Its limits were taken away, so that it is judged by none."""
    folder.publish("two.sqz")
    folder.limit(net=GENEROUS | {"max_growth": 0}, two=GENEROUS)
    folder.commit()
    folder.publish("net.sqz", larger_net(), top1=0.1)
    folder.limit(two=GENEROUS)
    code, found = judged(folder, against="HEAD", allow_new=["net.sqz"])
    missing = unjudged(found)
    assert code == 2 and missing["allow-new"] == "--allow-new net.sqz: not new: HEAD has it, or limits for it"
    assert "does not name it" in missing["limits"] and not any("admitted" in note for note in notes(found))


def test_allow_new_of_what_the_old_limits_name(folder):
    (folder.artifacts / "net.sqz").unlink()
    folder.commit()
    folder.publish("net.sqz")
    folder.limit(net=GENEROUS | {"max_growth": 0})
    code, found = judged(folder, against="HEAD", allow_new=["net.sqz"])
    assert code == 2 and unjudged(found).keys() == {"baseline", "max_growth", "allow-new"}


def test_allow_new_of_what_an_old_ledger_has(folder):
    old = folder.root / "old.csv"
    old.write_text(folder.ledger.read_text())
    code, found = judged(folder, against=str(old), allow_new=["net.sqz"])
    assert code == 2 and f"--allow-new net.sqz: not new: {old} has it" in unjudged(found)["allow-new"]


def test_allow_new_without_effect_is_said(folder):
    code, found = judged(folder, allow_new=["net.sqz"])
    assert code == 0
    assert (
        f"allow-new: --allow-new net.sqz: no effect: {folder.limits} names it, and without --against nothing is compared"
    ) in notes(found)


@pytest.fixture
def two(folder):
    """net.sqz and two.sqz, committed; then two.sqz and its limits are gone. old.csv: the ledger of both."""
    folder.publish("two.sqz")
    folder.limit(net=GENEROUS, two=GENEROUS)
    folder.commit()
    (folder.root / "old.csv").write_text(folder.ledger.read_text())
    (folder.artifacts / "two.sqz").unlink()
    folder.limit(net=GENEROUS)
    return folder


@pytest.mark.parametrize("against", ["HEAD", "old.csv"])
def test_an_artifact_that_is_gone_with_its_limits(two, monkeypatch, against):
    monkeypatch.chdir(two.root)
    code, found = judged(two, against=against)
    assert code == 2
    assert unjudged(found) == {"removed": f"two.sqz: in {against}, and gone; --allow-removed two.sqz admits that"}
    code, found = judged(two, against=against, allow_removed=["two.sqz"])
    assert code == 0 and f"removed: two.sqz: in {against}, and gone; admitted by --allow-removed" in notes(found)
    assert judged(two, two.artifacts / "net.sqz", against=against)[0] == 2  # also where others are checked


def test_an_artifact_that_only_the_old_limits_name(two):
    two.git("rm", "--quiet", "--cached", "artifacts/two.sqz")
    two.git("commit", "--quiet", "--amend", "-m", "limits alone")
    assert unjudged(judged(two, against="HEAD")[1]).keys() == {"removed"}


def test_an_artifact_that_is_built_elsewhere_is_not_gone(two, tmp_path):
    """The limits name it, and it does not lie beside them."""
    two.limit(net=GENEROUS, two=GENEROUS)
    (two.artifacts / "net.sqz").rename(tmp_path / "net.sqz")
    assert judged(two, tmp_path / "net.sqz", against="HEAD")[0] == 0


@pytest.mark.parametrize(
    ("name", "against", "message"),
    [
        ("net.sqz", "HEAD", "--allow-removed net.sqz: is not gone"),
        ("typo.sqz", "HEAD", "--allow-removed typo.sqz: HEAD has no such artifact"),
        ("net.sqz", None, "--allow-removed net.sqz: needs a baseline: --against REF or LEDGER"),
    ],
)
def test_allow_removed_of_what_is_not_removed(folder, name, against, message):
    folder.commit()
    code, found = judged(folder, against=against, allow_removed=[name])
    assert code == 2 and unjudged(found) == {"allow-removed": message}
