"""What the files are that a recipe names: a result is of these, not of others that stand there another day."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from compress.checkpoint import key_of
from compress.recipe import Recipe

FOLDER = "folder:"  # what a set of pictures begins with


def digest(recipe: Recipe) -> str:
    """Files are known by their content; folders of pictures by the names and sizes of what is in them, for to read them all takes
    as long as to run the point; what is elsewhere, as shards are, by its address. A path is from the working folder; where the
    same files have another one, the digest is the same."""
    found = {}
    for text in _texts(recipe.model_dump(mode="json", exclude_defaults=True)):
        expanded = os.path.expandvars(text)
        content = _of_folder(expanded.removeprefix(FOLDER)) if text.startswith(FOLDER) else _of_file(expanded)
        if content or expanded != text:
            found[text] = content or expanded
    return key_of(found)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


@lru_cache(maxsize=256)
def _of_folder(path: str) -> str:
    """Empty for none. Read once: it has as many entries as a set has pictures."""
    found = hashlib.sha256()
    for folder, names, files in os.walk(path):
        names.sort()
        found.update(f"{Path(folder).relative_to(path)}\0".encode(errors="surrogateescape"))
        for name in sorted(files):
            size = Path(folder, name).stat().st_size if Path(folder, name).exists() else -1
            found.update(f"{name}\0{size}\0".encode(errors="surrogateescape"))
    return found.hexdigest() if Path(path).is_dir() else ""


def _of_file(path: str) -> str:
    """Empty for what is no file."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return ""
    return _sha256(path, found.st_mtime_ns, found.st_size) if stat.S_ISREG(found.st_mode) else ""


@lru_cache(maxsize=256)
def _sha256(path: str, modified: int, size: int) -> str:
    """modified, size: so that a file that was changed is read again."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
