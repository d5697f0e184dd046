"""The fields of docs/FORMAT.md, under the same names, and the File_Header packed and parsed; table.py does the Layer_Table.

    File = File_Header | Metadata | Layer_Table | Header_CRC | block payloads | File_SHA256

Everything that a reader must know before it takes memory (lengths, counts, checksums) is in the header and in the table.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from compress import codecs
from compress.errors import CorruptArtifact, LimitExceeded, UnsupportedVersion

MAGIC = b"SQZ\x1a"  # 0x1A ends a text file on the systems where `type` would print it
FORMAT_VERSION = 2  # the newest; a file has the oldest that holds what is in it, see version_of
VERSIONS = (1, 2)
PORTABLE, HOST = 0, 1  # Profile: what every decoder has, and what only a host has
HOST_CODERS = frozenset(coder_id for name, coder_id in codecs.CODERS.items() if name not in codecs.PORTABLE)

FILE_HEADER = struct.Struct("<4sBBBBQII")
CRC_SIZE, SHA256_SIZE = 4, 32

MAX_METADATA_SIZE = 1 << 16
MAX_WEIGHTS = 1 << 28  # in a file, unless the caller allows more
MIN_BLOCK_LOG, MAX_BLOCK_LOG = 3, 20  # from 8 weights, so that only a last block's bitmap has bits to pad
MAX_WEIGHTS_PER_BYTE = 256
MAX_DIMS = 8
MAX_NAME_SIZE = 255
NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.ASCII)
NAME_RULE = f"must be parts of A-Z a-z 0-9 _ - joined by dots, at most {MAX_NAME_SIZE} bytes"


class Kind(IntEnum):
    RAW_F16 = 0
    RAW_F32 = 1
    RAW_I64 = 2
    CODEBOOK_F16 = 3
    CODEBOOK_F32 = 4
    STEP_F32 = 5
    SORTED_F16 = 6  # a CODEBOOK_F16 whose centroids rise, in fewer bytes
    SPARSE_F16 = 7  # a RAW_F16 that is pruned: where its values are, and the values
    SPARSE_F32 = 8


DTYPES: dict[Kind, np.dtype[Any]] = {
    Kind.RAW_F16: np.dtype("<f2"),
    Kind.RAW_F32: np.dtype("<f4"),
    Kind.RAW_I64: np.dtype("<i8"),
    Kind.CODEBOOK_F16: np.dtype("<f2"),
    Kind.CODEBOOK_F32: np.dtype("<f4"),
    Kind.STEP_F32: np.dtype("<f4"),
    Kind.SORTED_F16: np.dtype("<f2"),
    Kind.SPARSE_F16: np.dtype("<f2"),
    Kind.SPARSE_F32: np.dtype("<f4"),
}
RAW_KINDS = frozenset({Kind.RAW_F16, Kind.RAW_F32, Kind.RAW_I64})
SPARSE_OF = {Kind.RAW_F16: Kind.SPARSE_F16, Kind.RAW_F32: Kind.SPARSE_F32}
SPARSE_KINDS = frozenset(SPARSE_OF.values())
CODEBOOK_KINDS = frozenset({Kind.CODEBOOK_F16, Kind.CODEBOOK_F32, Kind.SORTED_F16})


class PositionMode(IntEnum):
    DENSE = 0
    BITMAP = 1
    BYTES = 2
    GAPS = 3
    LEVELS = 4  # not only where, but also which: every weight as a signed level, zeros too


POSITION_ALPHABET = {
    PositionMode.DENSE: 0,
    PositionMode.BITMAP: 2,
    PositionMode.BYTES: 256,
    PositionMode.GAPS: 16,
}  # LEVELS: n_codes


@dataclass(frozen=True)
class FileHeader:
    version: int
    profile: int
    block_log: int
    file_size: int
    metadata_size: int
    table_size: int

    @property
    def payload_offset(self) -> int:
        return FILE_HEADER.size + self.metadata_size + self.table_size + CRC_SIZE


@dataclass(frozen=True)
class Stream:
    """The coder of a layer's positions or codes, and the model that its blocks share, as the coder packs it.

    The model stays packed here: a table can be parsed and inspected without the coders (numba with them)."""

    coder_id: int
    model: bytes


@dataclass(frozen=True, slots=True)
class BlockRecord:
    n_weights: int
    n_nonzero: int  # of a raw tensor: n_weights, not counted; of a sparse one: all but +0.0
    positions_size: int
    gap_count: int
    codes_size: int
    raw_size: int  # of the weights of a raw tensor, or the values of a sparse one; not in the table, the counts say it
    payload_crc: int

    @property
    def payload_size(self) -> int:
        return self.positions_size + self.codes_size + self.raw_size

    @property
    def within_rate(self) -> bool:
        """At most 256 weights a payload byte, unless the block is declared all-zero."""
        return self.n_nonzero == 0 or self.n_weights <= MAX_WEIGHTS_PER_BYTE * self.payload_size

    @property
    def stored(self) -> bool:
        """An all-zero block has no payload, and no fields but N_Nonzero."""
        return self.n_nonzero > 0


def raw_block(n_weights: int, item_size: int, payload_crc: int) -> BlockRecord:
    """Of a raw tensor: the bytes as they are, so the table holds nothing but their checksum."""
    return BlockRecord(n_weights, n_weights, 0, 0, 0, n_weights * item_size, payload_crc)


@dataclass(frozen=True, eq=False)
class LayerRecord:
    name: str
    kind: Kind
    dims: tuple[int, ...]
    values_crc: int = 0  # of decoded indices, or of a sparse tensor's dense bytes; raw: none, its blocks' checksums say it
    codebook: npt.NDArray[np.float16] | npt.NDArray[np.float32] | None = None
    step: np.float32 | None = None
    n_negative: int = 0  # levels below zero: -n_negative .. -1
    n_positive: int = 0  # levels above zero: 1 .. n_positive
    position_mode: PositionMode = PositionMode.DENSE
    positions: Stream | None = None
    codes: Stream | None = None
    blocks: tuple[BlockRecord, ...] = ()
    record_size: int = 0  # bytes in the table; known once parsed

    @property
    def n_weights(self) -> int:
        return math.prod(self.dims)

    @property
    def n_codes(self) -> int:
        """Size of the codes' alphabet: one symbol a centroid, or one a non-zero level."""
        return len(self.codebook) if self.codebook is not None else self.n_negative + self.n_positive

    @property
    def extent(self) -> tuple[int, int]:
        """Levels below zero, and above: of a codebook its centroids."""
        if self.codebook is None:
            return self.n_negative, self.n_positive
        n_below = int(np.count_nonzero(self.codebook < 0))
        return n_below, len(self.codebook) - n_below

    @property
    def has_levels(self) -> bool:
        """Whether its indices are levels, or are in the order of levels: centroids that rise, none of them zero."""
        if self.codebook is None:
            return self.step is not None
        return bool(np.all(np.diff(self.codebook.astype(np.float64)) > 0) and self.codebook.all())

    @property
    def streams(self) -> list[Stream]:
        return [stream for stream in (self.positions, self.codes) if stream is not None]


def pack_file_header(header: FileHeader) -> bytes:
    return FILE_HEADER.pack(
        MAGIC, header.version, header.profile, header.block_log, 0, header.file_size, header.metadata_size, header.table_size
    )


def parse_file_header(data: bytes, actual_size: int) -> FileHeader:
    """data: the first bytes of the file. Checks all that can be checked before Header_CRC is; see check_header_fields."""
    if actual_size == 0:
        raise CorruptArtifact("an empty file")
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise CorruptArtifact(f"not a .sqz file: begins with {data[: len(MAGIC)].hex(' ')}, not {MAGIC.hex(' ')}")
    if len(data) > len(MAGIC) and data[len(MAGIC)] not in VERSIONS:
        known = " and ".join(map(str, VERSIONS))
        raise UnsupportedVersion(f"format version {data[len(MAGIC)]}, this reader knows {known}")
    if actual_size < FILE_HEADER.size:
        raise CorruptArtifact(f"truncated: {actual_size:,} bytes, the file header alone takes {FILE_HEADER.size}")
    _, version, profile, block_log, _, file_size, metadata_size, table_size = FILE_HEADER.unpack_from(data)
    header = FileHeader(version, profile, block_log, file_size, metadata_size, table_size)
    if file_size != actual_size:
        what = "truncated" if actual_size < file_size else "too long"
        raise CorruptArtifact(f"{what}: {actual_size:,} bytes, the header declares {file_size:,}")
    if metadata_size > MAX_METADATA_SIZE:
        raise LimitExceeded(f"metadata is {metadata_size:,} bytes, at most {MAX_METADATA_SIZE:,} are allowed")
    if header.payload_offset + SHA256_SIZE > file_size:
        raise CorruptArtifact(
            f"metadata of {metadata_size:,} and table of {table_size:,} bytes do not fit a file of {file_size:,} bytes"
        )
    return header


def check_header_fields(data: bytes, header: FileHeader) -> None:
    """The fields that only mean something once Header_CRC has been found right."""
    if header.profile not in (PORTABLE, HOST):
        raise CorruptArtifact(f"profile {header.profile}, allowed 0 (portable) and 1 (host)")
    if not MIN_BLOCK_LOG <= header.block_log <= MAX_BLOCK_LOG:
        raise LimitExceeded(f"block log {header.block_log}, allowed {MIN_BLOCK_LOG} to {MAX_BLOCK_LOG}")
    if data[7] != 0:
        raise CorruptArtifact(f"reserved byte is {data[7]}, must be 0")


def profile_of(records: Sequence[LayerRecord]) -> int:
    return HOST if any(stream.coder_id in HOST_CODERS for record in records for stream in record.streams) else PORTABLE


def version_of(records: Sequence[LayerRecord]) -> int:
    """The oldest version that has what the records use."""
    return 2 if any(record.position_mode == PositionMode.LEVELS for record in records) else 1
