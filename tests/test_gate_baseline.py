import gate_folder
import pytest

from compress.errors import InputError
from compress.gate import baseline
from compress.gate.baseline import GitBaseline, LedgerBaseline, NoPrevious


@pytest.fixture
def folder(tmp_path):
    return gate_folder.published(tmp_path / "project")


def test_a_file_at_a_git_reference(folder):
    old = (folder.artifacts / "net.sqz").read_bytes()
    commit = folder.commit()
    folder.git("tag", "v1")
    (folder.artifacts / "net.sqz").write_bytes(b"changed")
    for ref in ("HEAD", "v1", commit, commit[:8], "main"):
        found = baseline.find(ref, folder.artifacts)
        assert isinstance(found, GitBaseline) and (found.name, found.commit) == (ref, commit)
        assert found.artifact("net.sqz") == baseline.Previous(len(old), old)
    with pytest.raises(NoPrevious, match=rf"HEAD \({commit[:10]}\) has no .*/artifacts/other\.sqz"):
        baseline.find("HEAD", folder.artifacts).artifact("other.sqz")


def test_a_ledger(folder):
    size = (folder.artifacts / "net.sqz").stat().st_size
    found = baseline.find(str(folder.ledger), folder.artifacts)
    assert isinstance(found, LedgerBaseline) and found.artifact("net.sqz") == baseline.Previous(size, None)
    with pytest.raises(NoPrevious, match=r"ledger\.csv has no row of other\.sqz"):
        found.artifact("other.sqz")


@pytest.mark.parametrize(
    "against",
    [
        "nothing",
        "HEAD~1",
        "refs/heads/none",
        "--output=x",
        "-1",
        "HEAD^{tree}",
        "",
        "a b",
        "^HEAD",
        "a\0b",
        "HEAD:artifacts/net.sqz",
    ],
)
def test_what_is_no_reference(folder, against):
    folder.commit()
    before = sorted(folder.artifacts.iterdir())
    with pytest.raises(InputError, match=r"no such git reference here; git fetch may bring it; a ledger is|embedded null byte"):
        baseline.find(against, folder.artifacts)
    assert sorted(folder.artifacts.iterdir()) == before  # no option reached git


def test_a_shallow_clone_says_how_to_fetch_more(folder, tmp_path):
    folder.commit("first")
    folder.commit("second")
    folder.git("clone", "--quiet", "--depth", "1", f"file://{folder.root}", str(tmp_path / "clone"))
    with pytest.raises(
        InputError, match=r"this is a shallow clone: fetch the history \(actions/checkout: fetch-depth: 0; GitLab"
    ):
        baseline.find("HEAD~1", tmp_path / "clone" / "artifacts")
    assert isinstance(baseline.find("HEAD", tmp_path / "clone" / "artifacts"), GitBaseline)


def test_no_repository(folder):
    with pytest.raises(
        InputError, match=r"--against main: .*artifacts is in no git repository that can be read, and a ledger is a file.*: fatal"
    ):
        baseline.find("main", folder.artifacts)


def test_git_that_is_not_installed(folder, monkeypatch):
    folder.commit()
    monkeypatch.setenv("PATH", str(folder.root))
    with pytest.raises(InputError, match="--against: git is not installed"):
        baseline.find("HEAD", folder.artifacts)


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(InputError, match="none: no such folder"):
        baseline.find("HEAD", tmp_path / "none")


@pytest.mark.parametrize(("name", "message"), [("none.csv", "no such file; name a ledger"), ("d.csv", "a folder; name a ledger")])
def test_a_ledger_that_is_missing(folder, name, message):
    folder.commit()
    (folder.root / "d.csv").mkdir()
    with pytest.raises(InputError, match=message):
        baseline.find(str(folder.root / name), folder.artifacts)


def test_a_ledger_that_is_none(folder):
    (folder.root / "x.csv").write_text(folder.limits.read_text())
    with pytest.raises(InputError, match=r"x\.csv: not a ledger"):
        baseline.find(str(folder.root / "x.csv"), folder.artifacts)


@pytest.mark.parametrize("name", ["origin/main", "HEAD", "FETCH_HEAD", "v1"])
def test_a_file_never_stands_in_for_a_reference(folder, monkeypatch, name):
    """A change could bring a copy of its own ledger by that name."""
    commit = folder.commit()
    folder.git("update-ref", "refs/remotes/origin/main", "HEAD")
    folder.git("tag", "v1")
    folder.git("fetch", "--quiet", ".", "main")
    monkeypatch.chdir(folder.root)
    (folder.root / name).parent.mkdir(exist_ok=True)
    (folder.root / name).write_bytes(folder.ledger.read_bytes())
    found = baseline.find(name, folder.artifacts)
    assert isinstance(found, GitBaseline) and found.commit == commit and str(found) == f"git {commit[:8]} ({name})"


def test_a_ledger_is_told_by_its_suffix_alone(folder, monkeypatch):
    folder.commit()
    monkeypatch.chdir(folder.root)
    (folder.root / "old").write_bytes(folder.ledger.read_bytes())
    with pytest.raises(InputError, match=r"--against old: no such git reference here; .*; a ledger is a file whose name ends in"):
        baseline.find("old", folder.artifacts)
    assert str(baseline.find("artifacts/ledger.csv", folder.artifacts)) == "ledger artifacts/ledger.csv"


def test_a_ledger_that_is_a_reference_too_is_ambiguous(folder, monkeypatch):
    commit = folder.commit()
    folder.git("branch", "old.csv")
    monkeypatch.chdir(folder.root)
    for _ in range(2):
        with pytest.raises(
            InputError, match=r"--against old\.csv: ambiguous: a git reference, and .*; \./old\.csv is the file, old"
        ):
            baseline.find("old.csv", folder.artifacts)
        (folder.root / "old.csv").write_bytes(folder.ledger.read_bytes())
    assert isinstance(baseline.find("./old.csv", folder.artifacts), LedgerBaseline)
    assert baseline.find("old.csv~0", folder.artifacts).commit == commit


def test_a_name_of_two_references_is_ambiguous(folder):
    """git takes a tag before a remote branch, and only warns."""
    folder.commit()
    folder.git("update-ref", "refs/remotes/origin/main", "HEAD")
    folder.git("tag", "origin/main")
    folder.git("config", "core.warnAmbiguousRefs", "false")
    with pytest.raises(
        InputError, match=r"--against origin/main: warning: refname 'origin/main' is ambiguous\. Write refs/remotes/"
    ):
        baseline.find("origin/main", folder.artifacts)
    assert isinstance(baseline.find("refs/remotes/origin/main", folder.artifacts), GitBaseline)


def test_the_names_of_a_baseline(folder):
    folder.publish("net-small.sqz")
    folder.publish("Y.SQZ")
    folder.commit()
    assert set(baseline.find("HEAD", folder.artifacts).names()) == {"net.sqz", "net-small.sqz", "Y.SQZ"}
    assert baseline.find(str(folder.ledger), folder.artifacts).names()[:2] == ["net.sqz", "net-small.sqz"]
    (folder.root / "new").mkdir()
    assert baseline.find("HEAD", folder.root / "new").names() == []


def test_what_was_no_file(folder):
    """git keeps a link as a blob of its target, which is not the artifact."""
    (folder.artifacts / "net.sqz").rename(folder.root / "real.sqz")
    (folder.artifacts / "net.sqz").symlink_to("../real.sqz")
    (folder.artifacts / "d.sqz").mkdir()
    (folder.artifacts / "d.sqz" / "x").touch()
    folder.commit()
    found = baseline.find("HEAD", folder.artifacts)
    with pytest.raises(InputError, match=r"HEAD \(\w{10}\) has a symbolic link for .*/net\.sqz, not the file"):
        found.artifact("net.sqz")
    with pytest.raises(InputError, match=r"has a folder for .*/d\.sqz, not the file"):
        found.artifact("d.sqz")


def test_a_git_lfs_pointer_is_no_file(folder):
    (folder.artifacts / "net.sqz").write_bytes(baseline.LFS_POINTER + b"v1\noid sha256:00\nsize 5\n")
    folder.commit()
    with pytest.raises(InputError, match=r"HEAD has a Git LFS pointer for net\.sqz, not the file"):
        baseline.find("HEAD", folder.artifacts).artifact("net.sqz")


def test_an_object_that_is_gone_is_no_new_artifact(folder):
    """A damaged repository: the tree names the file, and its bytes are not there."""
    folder.commit()
    blob = folder.git("rev-parse", "HEAD:artifacts/net.sqz")
    (folder.root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(InputError, match=r"HEAD \(\w{10}\): git does not give .*net\.sqz: ") as refused:
        baseline.find("HEAD", folder.artifacts).artifact("net.sqz")
    assert not isinstance(refused.value, NoPrevious)


def test_a_hooks_environment_is_another_repositorys(folder, tmp_path, monkeypatch):
    """git calls hooks with GIT_DIR and GIT_INDEX_FILE set; a relative one would not be found from the artifacts' folder."""
    commit = folder.commit()
    monkeypatch.setenv("GIT_DIR", ".git")
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/index")
    assert baseline.find("HEAD", folder.artifacts).commit == commit
