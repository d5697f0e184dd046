"""A .sqzd file applied: NEW of a base and a delta, byte for byte, in the order of docs/DELTA.md's checks."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from compress.artifact import block_delta, checksums, reader
from compress.artifact.delta_layout import BODY_OFFSET, CRC_SIZE, MAX_NEW_SIZE, DeltaHeader, Form, parse_header
from compress.artifact.layout import MAX_WEIGHTS
from compress.atomic import replacing
from compress.errors import CorruptArtifact, InputError, WrongBase
from compress.regular_file import open_regular

PIECE = 1 << 16  # bytes in memory at a time


def check(update: str | os.PathLike[str], *, max_new_size: int = MAX_NEW_SIZE) -> DeltaHeader:
    """What a delta is for, and what it makes, once its checksums are found right. Raises ArtifactError, InputError."""
    with reader.named(update), open_regular(update) as file:
        return _checked(file, max_new_size)


def apply(
    old: str | os.PathLike[str],
    update: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    max_new_size: int = MAX_NEW_SIZE,
    max_weights: int = MAX_WEIGHTS,
) -> DeltaHeader:
    """Make NEW of `old` and the delta `update`; `output`, which may be `old`, gets it once its SHA-256 is found right.

    max_new_size: bytes of NEW. max_weights: of the symbol form, as of reader.read: of the base, of Whole and of NEW.
    Raises WrongBase where `old` is not the file that the delta was made for; CorruptArtifact, UnsupportedVersion and
    LimitExceeded for a delta that is not accepted; InputError for a file that cannot be read or written. `output` is then as it
    was."""
    with reader.named(update), open_regular(update) as delta:
        header = _checked(delta, max_new_size)
        with reader.named(old):
            base = open_regular(old)
        with base:
            _check_base(base, old, update, header)
            delta.seek(BODY_OFFSET)
            base.seek(0)
            with _writing(output), replacing(Path(output)) as file:
                _write(file, _pieces(delta, header, base, max_weights), header)
                base.close()  # NEW may get its name, and not every system replaces an open file
    return header


def _checked(delta: BinaryIO, max_new_size: int) -> DeltaHeader:
    size = os.fstat(delta.fileno()).st_size
    header = parse_header(delta.read(BODY_OFFSET), size, max_new_size=max_new_size)
    computed = 0
    for piece in _read(delta, header.body_size):
        computed = checksums.crc32c(piece, computed)
    stored = int.from_bytes(delta.read(CRC_SIZE), "little")
    if computed != stored:
        raise CorruptArtifact(f"the body is damaged: CRC-32C {computed:08x}, stored {stored:08x}")
    return header


def _check_base(base: BinaryIO, old: str | os.PathLike[str], update: str | os.PathLike[str], header: DeltaHeader) -> None:
    digest, size = hashlib.sha256(), 0
    with reader.named(old):
        for piece in iter(lambda: base.read(PIECE), b""):
            digest.update(piece)
            size += len(piece)
    if digest.digest() != header.base_sha256:
        hint = "; it is the file that this delta makes" if digest.digest() == header.new_sha256 else ""
        raise WrongBase(
            f"{old}: SHA-256 {digest.hexdigest()}, but {update} is for the base of SHA-256 {header.base_sha256.hex()}{hint}"
        )
    if size != header.base_size:
        raise CorruptArtifact(f"declares a base of {header.base_size:,} bytes, that of its SHA-256 has {size:,}")


def _pieces(delta: BinaryIO, header: DeltaHeader, base: BinaryIO, max_weights: int) -> Iterator[bytes]:
    """NEW, from front to back. delta: at the body's first byte."""
    if header.form == Form.BLOCK:
        yield from block_delta.pieces(delta, header, base)
        return
    from compress.artifact import symbol_delta  # with numba

    body = b"".join(_read(delta, header.body_size))
    with reader.named("the base"):
        old = base.read()
    yield symbol_delta.apply(body, old, max_weights=max_weights)


def _write(file: BinaryIO, pieces: Iterator[bytes], header: DeltaHeader) -> None:
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
        file.write(piece)
    if size != header.new_size:
        raise CorruptArtifact(f"makes a file of {size:,} bytes, declares {header.new_size:,}")
    if digest.digest() != header.new_sha256:
        why = ": another build of the encoder, or of zstandard, writes other bytes" if header.form == Form.SYMBOL else ""
        raise CorruptArtifact(f"makes a file of SHA-256 {digest.hexdigest()}, declares {header.new_sha256.hex()}{why}")


@contextlib.contextmanager
def _writing(output: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename or output}: cannot be written: {error.strerror or error}") from error


def _read(file: BinaryIO, n_bytes: int) -> Iterator[bytes]:
    """At most PIECE bytes at a time."""
    while n_bytes:
        piece = file.read(min(n_bytes, PIECE))
        if not piece:
            raise CorruptArtifact("became shorter while it was read")
        n_bytes -= len(piece)
        yield piece
