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
    "against", ["nothing", "HEAD~1", "refs/heads/none", "--output=x", "-1", "HEAD^{tree}", "", "a b", "HEAD:artifacts/net.sqz"]
)
def test_what_is_no_reference(folder, against):
    folder.commit()
    before = sorted(folder.artifacts.iterdir())
    with pytest.raises(InputError, match=r"no such git reference here; git fetch may bring it|a folder; name a ledger"):
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
        InputError, match=r"--against main: no such file, and .*artifacts is in no git repository that can be read: .*"
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


@pytest.mark.parametrize(
    ("against", "message"), [("none.csv", "no such file; name a ledger.csv"), (".", "a folder; name a ledger")]
)
def test_a_ledger_that_is_missing(folder, against, message):
    folder.commit()
    with pytest.raises(InputError, match=message):
        baseline.find(against, folder.artifacts)


def test_a_ledger_that_is_none(folder):
    with pytest.raises(InputError, match=r"limits\.yaml: not a ledger"):
        baseline.find(str(folder.limits), folder.artifacts)


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
    with pytest.raises(InputError, match=r"HEAD: git does not give .*net\.sqz: ") as refused:
        baseline.find("HEAD", folder.artifacts).artifact("net.sqz")
    assert not isinstance(refused.value, NoPrevious)


def test_a_hooks_environment_is_another_repositorys(folder, tmp_path, monkeypatch):
    """git calls hooks with GIT_DIR and GIT_INDEX_FILE set; a relative one would not be found from the artifacts' folder."""
    commit = folder.commit()
    monkeypatch.setenv("GIT_DIR", ".git")
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/index")
    assert baseline.find("HEAD", folder.artifacts).commit == commit
