"""What artifacts were before: the files at a git reference, or the sizes in another ledger.

git is run without a shell, and gets no argument that a reference could turn into an option. What it cannot give is an error
that says why: no git, no repository, no such reference, a shallow clone, no such file there.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from compress.errors import InputError
from compress.gate.ledger_rows import finals_named
from compress.ledger import ledger

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
FETCH_DEPTH = (
    "this is a shallow clone: fetch the history (actions/checkout: fetch-depth: 0; GitLab: GIT_DEPTH: 0; git fetch --unshallow)"
)


class NoPrevious(InputError):
    """The baseline is there, and has no such artifact."""


@dataclass(frozen=True)
class Previous:
    """An artifact as it was. data: its bytes, None where only the size is known."""

    size_bytes: int
    data: bytes | None


@dataclass(frozen=True)
class LedgerBaseline:
    path: Path
    rows: tuple[ledger.Row, ...]

    @property
    def name(self) -> str:
        return str(self.path)

    def artifact(self, name: str) -> Previous:
        """Raises NoPrevious where the ledger has no final row of a file of that name."""
        found = finals_named(self.rows, name)
        if not found:
            raise NoPrevious(f"{self.path} has no row of {name}")
        return Previous(found[-1].size_bytes, None)


@dataclass(frozen=True)
class GitBaseline:
    """folder: of the artifacts, in the working tree. commit: what the reference `name` stands for."""

    name: str
    commit: str
    folder: Path

    def artifact(self, name: str) -> Previous:
        """Raises NoPrevious where the commit has no such file, InputError where git does not give it."""
        data = self.file(name)
        if data.startswith(LFS_POINTER):
            raise InputError(f"{self.name} has a Git LFS pointer for {name}, not the file: give a ledger to --against")
        return Previous(len(data), data)

    def file(self, name: str) -> bytes:
        """A file of that folder, as it was. Raises as artifact does."""
        listed = _git(self.folder, "ls-tree", self.commit, "--", name)
        if listed.returncode == 0 and not listed.stdout:
            raise NoPrevious(f"{self.name} ({self.commit[:10]}) has no {self.folder / name}")
        shown = _git(self.folder, "cat-file", "blob", f"{self.commit}:./{name}")
        if listed.returncode or shown.returncode:
            raise InputError(
                f"{self.name}: git does not give {self.folder / name}: {_said(listed if listed.returncode else shown)}"
            )
        return shown.stdout


Baseline = LedgerBaseline | GitBaseline


def find(against: str, folder: Path) -> Baseline:
    """What --against names: a ledger, where a file of that name exists, else a git reference. folder: of the artifacts.

    Raises InputError for what is neither.
    """
    path = Path(against)
    if path.is_file():
        return LedgerBaseline(path, tuple(ledger.read(path)))
    if path.suffix == ".csv" or path.is_dir():
        raise InputError(
            f"--against {against}: {'a folder' if path.is_dir() else 'no such file'}; name a ledger.csv or a git reference"
        )
    return GitBaseline(against, _commit(against, folder), folder)


def _commit(ref: str, folder: Path) -> str:
    """The commit that a reference stands for."""
    inside = _git(folder, "rev-parse", "--is-inside-work-tree")
    if inside.returncode != 0:
        raise InputError(f"--against {ref}: no such file, and {folder} is in no git repository that can be read: {_said(inside)}")
    found = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if found.returncode != 0:
        is_shallow = _git(folder, "rev-parse", "--is-shallow-repository").stdout.strip() == b"true"
        hint = f"; {FETCH_DEPTH}" if is_shallow else "; git fetch may bring it"
        raise InputError(f"--against {ref}: no such file, and no such git reference here{hint}")
    return found.stdout.decode().strip()


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Raises InputError where git is not installed, or the folder is missing."""
    # A hook is called with GIT_DIR and the like, for its own working directory and not for `folder`.
    inherited = {key: value for key, value in os.environ.items() if key not in _LOCAL}
    environment = inherited | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_LITERAL_PATHSPECS": "1"}
    try:
        return subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise InputError(f"{folder}: no such folder" if not folder.is_dir() else "--against: git is not installed") from error


_LOCAL = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY"}


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    """On one line: git tells of a repository of another owner, and what to do about it, on several."""
    return " ".join(done.stderr.decode(errors="replace").split()) or f"git ended with {done.returncode}"
