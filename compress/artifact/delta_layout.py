"""The fields of docs/DELTA.md, under the same names: the Delta_Header, and the instructions of the block form.

    File = Delta_Header | Header_CRC | Body | Body_CRC

The header and its checksum say what a delta is for and what comes out before anything else of it is read.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from compress.artifact.checksums import crc32c
from compress.codecs.bits import write_varint
from compress.errors import CorruptArtifact, LimitExceeded, UnsupportedVersion

MAGIC = b"SQD\x1a"
DELTA_VERSION = 1
DELTA_HEADER = struct.Struct("<4sBBHQQQ32s32s")
CRC_SIZE = 4
BODY_OFFSET = DELTA_HEADER.size + CRC_SIZE
MAX_NEW_SIZE = 1 << 30  # bytes of NEW, unless the caller says otherwise: a short delta may copy the base over and over
MAX_FILE_SIZE = 1 << 34  # of base, delta and NEW: a length and one bit are a varint


class Form(IntEnum):
    BLOCK = 0  # copies of the base and literal bytes: NEW is put together without a coder
    SYMBOL = 1  # the symbols that changed: NEW is decoded and encoded again


@dataclass(frozen=True)
class DeltaHeader:
    form: Form
    file_size: int  # of the delta
    base_size: int
    new_size: int
    base_sha256: bytes
    new_sha256: bytes

    @property
    def body_size(self) -> int:
        return self.file_size - BODY_OFFSET - CRC_SIZE


@dataclass(frozen=True)
class Copy:
    """NEW goes on with bytes [offset, offset + length) of the base."""

    offset: int
    length: int


@dataclass(frozen=True)
class Literal:
    """NEW goes on with these bytes."""

    data: bytes


Instruction = Copy | Literal


def pack_header(header: DeltaHeader) -> bytes:
    """With its checksum: the bytes before the body."""
    head = DELTA_HEADER.pack(
        MAGIC,
        DELTA_VERSION,
        header.form,
        0,
        header.file_size,
        header.base_size,
        header.new_size,
        header.base_sha256,
        header.new_sha256,
    )
    return head + crc32c(head).to_bytes(CRC_SIZE, "little")


def parse_header(data: bytes, actual_size: int, *, max_new_size: int = MAX_NEW_SIZE) -> DeltaHeader:
    """data: the first BODY_OFFSET bytes of a file of actual_size bytes. In docs/DELTA.md's order of the checks.

    Raises CorruptArtifact, UnsupportedVersion, LimitExceeded."""
    if actual_size == 0:
        raise CorruptArtifact("an empty file")
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise CorruptArtifact(f"not a .sqzd file: begins with {data[: len(MAGIC)].hex(' ')}, not {MAGIC.hex(' ')}")
    if len(data) > len(MAGIC) and data[len(MAGIC)] != DELTA_VERSION:
        raise UnsupportedVersion(f"delta version {data[len(MAGIC)]}, this reader knows {DELTA_VERSION}")
    if actual_size < BODY_OFFSET + CRC_SIZE:
        raise CorruptArtifact(f"truncated: {actual_size:,} bytes, header and checksums alone take {BODY_OFFSET + CRC_SIZE}")
    computed, stored = crc32c(data[: DELTA_HEADER.size]), int.from_bytes(data[DELTA_HEADER.size : BODY_OFFSET], "little")
    if computed != stored:
        raise CorruptArtifact(f"the header is damaged: CRC-32C {computed:08x}, stored {stored:08x}")
    _, _, form, reserved, file_size, base_size, new_size, base_sha256, new_sha256 = DELTA_HEADER.unpack_from(data)
    if form not in list(Form):
        raise CorruptArtifact(f"form {form}, allowed 0 (block) and 1 (symbol)")
    if reserved:
        raise CorruptArtifact(f"reserved bytes are {reserved}, must be 0")
    if file_size != actual_size:
        what = "truncated" if actual_size < file_size else "too long"
        raise CorruptArtifact(f"{what}: {actual_size:,} bytes, the header declares {file_size:,}")
    if base_size == 0 or new_size == 0:
        raise CorruptArtifact(f"base of {base_size:,} and new file of {new_size:,} bytes, neither can be empty")
    for what, size, allowed in (("base", base_size, MAX_FILE_SIZE - 1), ("new file", new_size, max_new_size)):
        if size > allowed:
            raise LimitExceeded(f"the {what} is of {size:,} bytes, at most {allowed:,} are allowed")
    return DeltaHeader(Form(form), file_size, base_size, new_size, base_sha256, new_sha256)


def pack_instructions(instructions: Sequence[Instruction]) -> bytes:
    return b"".join(
        write_varint(each.length << 1 | 1) + write_varint(each.offset)
        if isinstance(each, Copy)
        else write_varint(len(each.data) << 1) + each.data
        for each in instructions
    )
