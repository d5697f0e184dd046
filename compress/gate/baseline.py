"""What artifacts were before: the files and the ledger at a git reference, or the sizes and figures in another ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compress.errors import InputError
from compress.gate import git
from compress.gate.ledger_rows import finals_named
from compress.gate.limits import SUFFIX
from compress.ledger import ledger

LEDGER_SUFFIX = ".csv"
LFS_POINTER = b"version https://git-lfs.github.com/spec/"


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

    def __str__(self) -> str:
        return f"ledger {self.path}"

    def artifact(self, name: str) -> Previous:
        """Raises NoPrevious where the ledger has no final row of a file of that name."""
        found = finals_named(self.rows, name)
        if not found:
            raise NoPrevious(f"{self.path} has no row of {name}")
        return Previous(found[-1].size_bytes, None)

    def names(self) -> list[str]:
        """Of its artifacts."""
        return list(dict.fromkeys(row.run_id.rpartition("-")[0] + SUFFIX for row in self.rows if row.artifact_sha256))


@dataclass(frozen=True)
class GitBaseline:
    """folder: of the artifacts, in the working tree. commit: what the reference `name` stands for."""

    name: str
    commit: str
    folder: Path

    def __str__(self) -> str:
        return f"git {self.commit[:8]} ({self.name})"

    def artifact(self, name: str) -> Previous:
        """Raises NoPrevious where the commit has no such file, InputError where git does not give it."""
        data = self.file(name)
        if data.startswith(LFS_POINTER):
            raise InputError(f"{self.name} has a Git LFS pointer for {name}, not the file: give a ledger to --against")
        return Previous(len(data), data)

    def file(self, name: str) -> bytes:
        """A file of that folder, or of one beside it ("../name"), as it was. Raises as artifact does."""
        try:
            return git.read(self.folder, self.commit, name, called=f"{self.name} ({self.commit[:10]})")
        except git.NotThere as error:
            raise NoPrevious(str(error)) from error

    def names(self) -> list[str]:
        """Of the artifacts that lay there, whatever the case of their suffix. Raises InputError."""
        try:
            return [name for name in git.names(self.folder, self.commit) if name.casefold().endswith(SUFFIX)]
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from error


Baseline = LedgerBaseline | GitBaseline


def find(against: str, folder: Path) -> Baseline:
    """What --against names: a ledger where it ends in .csv, else a git reference, whatever files there are: a change could bring
    one with the name of a branch. folder: of the artifacts.

    Raises InputError for what is neither, and for a name that is both.
    """
    if not against.endswith(LEDGER_SUFFIX):
        return GitBaseline(against, git.commit(against, folder), folder)
    if git.is_reference(against, folder):
        raise InputError(
            f"--against {against}: ambiguous: a git reference, and {git.A_LEDGER}; "
            f"./{against} is the file, {against}~0 the reference"
        )
    path = Path(against)
    if not path.is_file():
        raise InputError(f"--against {against}: {'a folder' if path.is_dir() else 'no such file'}; name a ledger.csv")
    return LedgerBaseline(path, tuple(ledger.read(path)))
