"""Files as they were at a commit.

git is run without a shell, and gets no argument that a reference could turn into an option. What it cannot give is an error
that says why: no git, no repository, no such reference, a shallow clone, no such file there.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from compress.errors import InputError

FETCH_DEPTH = (
    "this is a shallow clone: fetch the history (actions/checkout: fetch-depth: 0; GitLab: GIT_DEPTH: 0; git fetch --unshallow)"
)
A_LEDGER = "a ledger is a file whose name ends in .csv"
_LOCAL = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY"}
_COMMIT = re.compile(rb"[0-9a-f]{40,64}\s*")
NO_FILES = {"120000": "a symbolic link", "160000": "a submodule", "040000": "a folder"}  # by git's mode


class NotThere(InputError):
    """The commit is there, and has no such file."""


def commit(ref: str, folder: Path) -> str:
    """The commit that a reference stands for. Raises InputError, also for a name that more than one reference has."""
    inside = run(folder, "rev-parse", "--is-inside-work-tree")
    if inside.returncode != 0:
        raise InputError(
            f"--against {ref}: {folder} is in no git repository that can be read, and {A_LEDGER}: {complaint(inside)}"
        )
    found = _resolved(ref, folder)
    if found.returncode != 0 or not _COMMIT.fullmatch(found.stdout):  # "^main" is a revision, and no commit
        is_shallow = run(folder, "rev-parse", "--is-shallow-repository").stdout.strip() == b"true"
        hint = FETCH_DEPTH if is_shallow else "git fetch may bring it"
        raise InputError(f"--against {ref}: no such git reference here; {hint}; {A_LEDGER}")
    if b"is ambiguous" in found.stderr:  # a tag called origin/main would go before the branch
        raise InputError(f"--against {ref}: {complaint(found)} Write refs/remotes/..., refs/heads/..., refs/tags/... or a commit")
    return found.stdout.decode().strip()


def is_reference(ref: str, folder: Path) -> bool:
    """False too where there is no git, or no repository."""
    try:
        return _resolved(ref, folder).returncode == 0
    except InputError:
        return False


def read(folder: Path, at: str, name: str, *, called: str) -> bytes:
    """A file of a folder of the working tree, as it was at a commit. name: relative to the folder. called: what errors call the
    commit. Raises NotThere, or InputError where git does not give it, or where it was no file."""
    listed = run(folder, "ls-tree", "-z", at, "--", name)
    if listed.returncode == 0 and not listed.stdout:
        raise NotThere(f"{called} has no {folder / name}")
    mode = listed.stdout.split(b" ", 1)[0].decode(errors="replace")
    if mode in NO_FILES:
        raise InputError(f"{called} has {NO_FILES[mode]} for {folder / name}, not the file")
    shown = run(folder, "cat-file", "blob", f"{at}:./{name}")
    if listed.returncode or shown.returncode:
        raise InputError(f"{called}: git does not give {folder / name}: {complaint(listed if listed.returncode else shown)}")
    return shown.stdout


def names(folder: Path, at: str) -> list[str]:
    """What lay in a folder at a commit, folders too; nothing where there was no such folder. Raises InputError."""
    listed = run(folder, "ls-tree", "-z", "--name-only", at)
    if listed.returncode != 0:
        raise InputError(f"git does not list {folder}: {complaint(listed)}")
    return [os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Raises InputError where git is not installed, the folder is missing, or an argument is no text for it."""
    # A hook is called with GIT_DIR and the like, for its own working directory and not for `folder`.
    inherited = {key: value for key, value in os.environ.items() if key not in _LOCAL}
    environment = inherited | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_LITERAL_PATHSPECS": "1"}
    environment |= {"GIT_NO_REPLACE_OBJECTS": "1"}  # the commit itself, not what refs/replace puts in its place
    try:
        return subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise InputError(f"{folder}: no such folder" if not folder.is_dir() else "--against: git is not installed") from error
    except ValueError as error:  # a null byte
        raise InputError(f"--against: {error}") from error


def _resolved(ref: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    # Without --quiet, which keeps the warning of an ambiguous name for itself.
    settings = ("-c", "core.warnAmbiguousRefs=true")
    return run(folder, *settings, "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}")


def complaint(done: subprocess.CompletedProcess[bytes]) -> str:
    """On one line: git tells of a repository of another owner, and what to do about it, on several."""
    return " ".join(done.stderr.decode(errors="replace").split()) or f"git ended with {done.returncode}"
