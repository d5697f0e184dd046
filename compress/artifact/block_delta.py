"""The block form of a delta (docs/DELTA.md): NEW as ranges of the base and literal bytes. Nothing is encoded or decoded.

NEW is cut where the container has its joints: the header, the metadata, each layer's record, each block's payload, the
checksums. A part that lies somewhere in the base, byte for byte, is copied from there; others are literal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import BinaryIO

from compress.artifact.delta_layout import Copy, DeltaHeader, Instruction, Literal
from compress.artifact.layout import CRC_SIZE, FILE_HEADER, SHA256_SIZE
from compress.artifact.reader import Contents
from compress.codecs.bits import MAX_BYTES, read_varint
from compress.errors import CorruptArtifact, InputError

MIN_COPY = 10  # bytes; a copy takes up to about so many, with the second head of the literal that it cuts in two
PIECE = 1 << 16  # bytes in memory at a time


def instructions(base: Contents, new: Contents) -> list[Instruction]:
    """What makes `new` of `base`: adjacent copies are one, and so are adjacent literals."""
    offsets: dict[bytes, list[int]] = {}
    for start, end in _parts(base):
        offsets.setdefault(base.data[start:end], []).append(start)
    runs: list[_Run] = []
    for start, end in _parts(new):
        found = offsets.get(new.data[start:end], [])
        goes_on = runs[-1].goes_on if runs else None
        _append(runs, _Run(goes_on if goes_on in found else next(iter(found), None), start, end))
    worth: list[_Run] = []
    for run in runs:
        _append(worth, run if run.end - run.start >= MIN_COPY else replace(run, offset=None))
    return [
        Literal(new.data[run.start : run.end]) if run.offset is None else Copy(run.offset, run.end - run.start) for run in worth
    ]


@dataclass(frozen=True)
class _Run:
    """Bytes start to end of NEW, and where they are in the base; None: nowhere."""

    offset: int | None
    start: int
    end: int

    @property
    def goes_on(self) -> int | None:
        """Where in the base the bytes lie that come after these."""
        return None if self.offset is None else self.offset + self.end - self.start


def _append(runs: list[_Run], run: _Run) -> None:
    """As a part of the last run, where that goes on so."""
    if runs and runs[-1].goes_on == run.offset:
        runs[-1] = replace(runs[-1], end=run.end)
    else:
        runs.append(run)


def _parts(contents: Contents) -> list[tuple[int, int]]:
    """Start and end of every part of a container, in order; together they are the file."""
    header = contents.header
    sizes = [FILE_HEADER.size, header.metadata_size]
    sizes += [record.record_size for record in contents.records]
    sizes.append(CRC_SIZE)
    sizes += [block.payload_size for record in contents.records for block in record.blocks]
    sizes.append(SHA256_SIZE)
    ends = [0]
    for size in sizes:
        ends.append(ends[-1] + size)
    return [(start, end) for start, end in pairwise(ends) if start < end]


def pieces(body: BinaryIO, header: DeltaHeader, base: BinaryIO) -> Iterator[bytes]:
    """NEW, at most PIECE bytes at a time. body: at its first byte; it is read once, from front to back.

    Raises CorruptArtifact for instructions that read outside of the base or the body, or do not make New_Size bytes."""
    source = _Body(body, header.body_size)
    done = 0
    while source.left:
        head = source.varint()
        length = head >> 1
        if length == 0:
            raise CorruptArtifact(f"an instruction of no bytes, at byte {done:,} of the new file")
        if length > header.new_size - done:
            raise CorruptArtifact(
                f"instructions make at least {done + length:,} bytes, the header declares a new file of {header.new_size:,}"
            )
        if head & 1:
            offset = source.varint()
            if offset + length > header.base_size:
                raise CorruptArtifact(f"a copy of bytes {offset:,} to {offset + length:,} of a base of {header.base_size:,}")
            base.seek(offset)
        else:
            source.check(length)
        for size in [PIECE] * (length // PIECE) + [length % PIECE]:
            yield _exactly(base, size, "the base") if head & 1 else source.take(size)
        done += length
    if done != header.new_size:
        raise CorruptArtifact(f"instructions make {done:,} bytes, the header declares a new file of {header.new_size:,}")


class _Body:
    """The instructions, from front to back. Nothing is read past their end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file = file
        self.size = self.left = size

    def check(self, n_bytes: int) -> None:
        if n_bytes > self.left:
            raise CorruptArtifact(f"the instructions end inside one, {n_bytes - self.left:,} bytes short")

    def take(self, n_bytes: int) -> bytes:
        self.check(n_bytes)
        self.left -= n_bytes
        return _exactly(self.file, n_bytes, "the delta")

    def varint(self) -> int:
        start, packed = self.size - self.left, b""
        while len(packed) < MAX_BYTES and (not packed or packed[-1] >= 0x80):
            packed += self.take(1)
        return read_varint(packed, 0, origin=start)[0]


def _exactly(file: BinaryIO, n_bytes: int, what: str) -> bytes:
    try:
        data = file.read(n_bytes)
    except OSError as error:
        raise InputError(f"{what} cannot be read: {error.strerror or error}") from error
    if len(data) != n_bytes:
        raise CorruptArtifact(f"{what} became shorter while it was read")
    return data
