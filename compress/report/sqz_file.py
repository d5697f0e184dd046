"""A .sqz file as a page shows it: decoded whole, and where its bytes are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compress.artifact.inspect import Row, inspect
from compress.artifact.reader import Artifact, read


@dataclass(frozen=True, eq=False)
class SqzFile:
    """name: without the folders around it, so that a page does not depend on where a run lies."""

    name: str
    artifact: Artifact
    rows: list[Row]


def read_sqz(path: Path) -> SqzFile:
    """Raises ArtifactError for a file that is not accepted, InputError for one that cannot be read."""
    return SqzFile(path.name, read(path), inspect(path))
