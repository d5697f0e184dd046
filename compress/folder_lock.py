"""One process at a time in a folder: a lock that ends with its process, however that ends."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from compress.atomic import remove_leftovers
from compress.errors import RunFolderError
from compress.file_lock import try_lock

LOCK = "lock"  # a file in the folder; it stays, with the number of the last process


@contextlib.contextmanager
def locked(folder: Path, what: str) -> Iterator[IO[bytes]]:
    """The folder is made, and what a killed process was writing there is removed. what: is at work there, for the message.

    Raises RunFolderError while another process, or one that it started with the lock open, has the folder; for a folder that
    cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("a+b")
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be used: {error.strerror or error}") from error
    with lock:
        if not try_lock(lock):
            lock.seek(0)
            raise RunFolderError(f"{folder}: another {what} is at work there (process {lock.read(20).decode(errors='replace')})")
        try:
            lock.truncate(0)
            lock.write(str(os.getpid()).encode())
            lock.flush()
            remove_leftovers(folder)
        except OSError as error:
            raise RunFolderError(f"{folder}: cannot be used: {error.strerror or error}") from error
        yield lock


def empty(folder: Path) -> None:
    """Remove all but the lock. Raises OSError."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()
