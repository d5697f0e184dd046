"""A .sqzd file: what makes one .sqz file of another (docs/DELTA.md), made and applied.

The block form copies what is the same and carries the rest; applying it takes no coder and little memory, whatever the sizes.
The symbol form codes the weights that have another index; it is smaller after a little tuning, and takes the encoder. `auto` is
the smaller of both.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from compress.artifact import block_delta, checksums, reader
from compress.artifact.delta_layout import (
    BODY_OFFSET,
    CRC_SIZE,
    MAX_NEW_SIZE,
    DeltaHeader,
    Form,
    pack_header,
    pack_instructions,
    parse_header,
)
from compress.artifact.replacing import replacing
from compress.atomic import write_atomically
from compress.errors import CorruptArtifact, InputError, WrongBase

FormName = Literal["auto", "block", "symbol"]
PIECE = 1 << 16  # bytes in memory at a time


@dataclass(frozen=True)
class Delta:
    """A whole .sqzd file in memory, and what was found out while it was made."""

    data: bytes
    form: Form
    new_size: int
    block_size: int | None  # bytes of the whole .sqzd in that form; None where it was not made
    symbol_size: int | None
    n_compared: int  # weights of NEW that the symbol form compares with the base's, and how many of them it finds changed
    n_changed: int
    no_symbol: str  # why it was not made, where `auto` would have

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def to_json(self) -> dict[str, object]:
        """Everything but the bytes."""
        facts = {name: value for name, value in vars(self).items() if name != "data"}
        return {"size_bytes": self.size_bytes, **facts, "form": self.form.name.lower()}


def make(old: str | os.PathLike[str], new: str | os.PathLike[str], *, form: FormName = "auto") -> Delta:
    """The delta that makes the file `new` of the file `old`; both are decoded and checked whole.

    Raises ArtifactError for a file that is not accepted, InputError where `form` is symbol and cannot be made."""
    base, target = _checked(old), _checked(new)
    block = symbol = None
    no_symbol = ""
    if form != "symbol":
        parts = (reader.parse(data, reader.NO_LIMIT) for data in (base, target))
        block = _file(Form.BLOCK, pack_instructions(block_delta.instructions(*parts)), base, target)
    n_compared = n_changed = 0
    if form != "block":
        from compress.artifact import symbol_delta  # with numba

        try:
            made = symbol_delta.make(base, target)
            symbol, n_compared, n_changed = _file(Form.SYMBOL, made.body, base, target), made.n_compared, made.n_changed
        except InputError as error:
            if form == "symbol":
                raise InputError(f"{new}: {error}") from error
            no_symbol = str(error)
    data = symbol if block is None or (symbol is not None and len(symbol) < len(block)) else block
    assert data is not None
    return Delta(
        data,
        Form.SYMBOL if data is symbol else Form.BLOCK,
        len(target),
        None if block is None else len(block),
        None if symbol is None else len(symbol),
        n_compared,
        n_changed,
        no_symbol,
    )


def write(path: str | os.PathLike[str], delta: Delta) -> None:
    """`path` holds either the whole delta or what it held before, at every moment."""
    try:
        write_atomically(Path(path), delta.data)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _checked(path: str | os.PathLike[str]) -> bytes:
    with reader.named(path):
        data = reader.read_file(path)
    reader.read_bytes(data, name=str(path))
    return data


def _file(form: Form, body: bytes, base: bytes, new: bytes) -> bytes:
    size = BODY_OFFSET + len(body) + CRC_SIZE
    header = DeltaHeader(form, size, len(base), len(new), checksums.sha256(base), checksums.sha256(new))
    return pack_header(header) + body + checksums.crc32c(body).to_bytes(CRC_SIZE, "little")


# --- applied --------------------------------------------------------------------------------------------------------


def read_header(update: str | os.PathLike[str], *, max_new_size: int = MAX_NEW_SIZE) -> DeltaHeader:
    """What a delta is for, and what it makes. The body is not looked at."""
    with reader.named(update), Path(update).open("rb") as file:
        return _header(file, max_new_size)


def apply(
    old: str | os.PathLike[str],
    update: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    max_new_size: int = MAX_NEW_SIZE,
) -> DeltaHeader:
    """Make NEW of `old` and the delta `update`; `output`, which may be `old`, gets it once its SHA-256 is found right.

    Raises WrongBase where `old` is not the file that the delta was made for; CorruptArtifact, UnsupportedVersion and
    LimitExceeded for a delta that is not accepted; InputError for a file that cannot be read or written. `output` is then as it
    was."""
    with reader.named(update), Path(update).open("rb") as delta:
        header = _header(delta, max_new_size)
        _check_body(delta, header)
        _check_base(old, update, header)
        delta.seek(BODY_OFFSET)
        try:
            # the base, which may be the file that is replaced, is closed before that
            with replacing(Path(output)) as file, Path(old).open("rb") as base:
                _write(file, _pieces(delta, header, base), header)
        except OSError as error:
            raise InputError(f"{error.filename or output}: cannot be written: {error.strerror or error}") from error
    return header


def _header(file: BinaryIO, max_new_size: int) -> DeltaHeader:
    return parse_header(file.read(BODY_OFFSET), os.fstat(file.fileno()).st_size, max_new_size=max_new_size)


def _check_body(delta: BinaryIO, header: DeltaHeader) -> None:
    """delta: at the body's first byte."""
    computed = 0
    for piece in _read(delta, header.body_size):
        computed = checksums.google_crc32c.extend(computed, piece)
    stored = int.from_bytes(delta.read(CRC_SIZE), "little")
    if computed != stored:
        raise CorruptArtifact(f"the body is damaged: CRC-32C {computed:08x}, stored {stored:08x}")


def _check_base(old: str | os.PathLike[str], update: str | os.PathLike[str], header: DeltaHeader) -> None:
    digest, size = hashlib.sha256(), 0
    with reader.named(old), Path(old).open("rb") as base:
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


def _pieces(delta: BinaryIO, header: DeltaHeader, base: BinaryIO) -> Iterator[bytes]:
    """NEW, from front to back. delta: at the body's first byte."""
    if header.form == Form.BLOCK:
        yield from block_delta.pieces(delta, header, base)
        return
    from compress.artifact import symbol_delta  # with numba

    yield symbol_delta.apply(b"".join(_read(delta, header.body_size)), base.read())


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


def _read(file: BinaryIO, n_bytes: int) -> Iterator[bytes]:
    """At most PIECE bytes at a time."""
    while n_bytes:
        piece = file.read(min(n_bytes, PIECE))
        if not piece:
            raise CorruptArtifact("became shorter while it was read")
        n_bytes -= len(piece)
        yield piece
