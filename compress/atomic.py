"""Files that are either whole or as they were: written to a temporary sibling, flushed to the disk, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_NAME_KEPT = 50  # characters of a file's name in its sibling's, which must not be too long where the file's is not
_LEFTOVER = re.compile(r"\..{0,50}\.[0-9a-f]{16}\.part", re.DOTALL)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path`; a failure leaves it as it was, and no sibling. Raises OSError as the system gives it, naming `path`."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A temporary sibling to write to. It gets the name `path` at the end of the block, flushed to the disk; if the block
    raises, it is removed and `path` is as it was. A file that is there keeps its mode; a link is replaced, not what it names.

    Raises OSError, naming `path` where the writing itself failed: what is there and is no regular file (a folder, a device,
    a pipe) stays."""
    mode = _mode_of_regular(path)
    temporary = path.with_name(f".{path.name[:_NAME_KEPT]}.{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as file:
            if mode is not None:
                temporary.chmod(mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # where it could not be made, it cannot be removed either
            temporary.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove the siblings that killed processes left in a folder, and in those inside. Nobody may be writing there."""
    for path in folder.rglob(".*.part"):
        if _LEFTOVER.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _mode_of_regular(path: Path) -> int | None:
    """None where nothing is there."""
    if not path.name:  # "", "." and "/"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "a device, a pipe or a socket; it must be a regular file", str(path))
    return stat.S_IMODE(mode)
