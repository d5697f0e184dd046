"""The Layer_Table of docs/FORMAT.md, packed and parsed: a record for each tensor, with all that its payloads need.

Nothing is read past the table's end, and no memory is taken for what it declares. Errors name the layer; the reader puts the
file's name before them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from compress import codecs
from compress.artifact import codebook as sorted_codebook
from compress.artifact.layout import (
    CODEBOOK_KINDS,
    DTYPES,
    MAX_DIMS,
    MAX_NAME_SIZE,
    MAX_WEIGHTS_PER_BYTE,
    NAME,
    NAME_RULE,
    RAW_KINDS,
    SHA256_SIZE,
    SPARSE_KINDS,
    BlockRecord,
    FileHeader,
    Kind,
    LayerRecord,
    PositionMode,
    Stream,
    profile_of,
    raw_block,
    version_of,
)
from compress.codecs.bits import Cursor, write_varint
from compress.errors import ArtifactError, CorruptArtifact, LimitExceeded, UnsupportedVersion
from compress.layer import MAX_CENTROIDS, MAX_LEVEL, MAX_VALUE, MIN_STEP

KINDS, POSITION_MODES = frozenset(Kind), frozenset(PositionMode)


def pack_layer_table(records: Sequence[LayerRecord]) -> bytes:
    previous = ""
    packed = []
    for record in records:
        packed.append(_pack_record(record, previous))
        previous = record.name
    return b"".join(packed)


def parse_layer_table(table: bytes, header: FileHeader, *, max_weights: int) -> list[LayerRecord]:
    """Also holds the table against File_Size: the payloads that it declares must fill the file exactly."""
    cursor = Cursor(table, "the table ends inside a record")
    records: list[LayerRecord] = []
    names: set[str] = set()
    n_weights = payload_size = 0
    while cursor.offset < len(table):
        start = cursor.offset
        name = _parse_name(cursor, records[-1].name if records else "")
        if name in names:
            raise CorruptArtifact(f"{name}: named twice")
        names.add(name)
        try:
            record = _parse_record(cursor, name, start, 1 << header.block_log, max_weights - n_weights)
        except ArtifactError as error:
            raise type(error)(f"{name}: {error}") from error
        records.append(record)
        n_weights += record.n_weights
        payload_size += sum(block.payload_size for block in record.blocks)
    if not records:
        raise CorruptArtifact("the table has no layer")
    declared = header.payload_offset + payload_size + SHA256_SIZE
    if declared != header.file_size:
        raise CorruptArtifact(f"the table's blocks make a file of {declared:,} bytes, the header declares {header.file_size:,}")
    if header.profile != profile_of(records):
        raise CorruptArtifact(f"profile {header.profile}, but the table's coders are of profile {profile_of(records)}")
    if header.version != version_of(records):
        raise CorruptArtifact(f"format version {header.version}, but the table is of version {version_of(records)}")
    return records


def _shared_prefix(name: str, previous: str) -> int:
    for i, (a, b) in enumerate(zip(name, previous, strict=False)):
        if a != b:
            return i
    return min(len(name), len(previous))


def _pack_record(record: LayerRecord, previous: str) -> bytes:
    n_shared = _shared_prefix(record.name, previous)
    suffix = record.name[n_shared:].encode("ascii")
    parts = [bytes([n_shared, len(suffix)]), suffix, bytes([record.kind | len(record.dims) << 4])]
    parts += [write_varint(dim) for dim in record.dims]
    if record.kind not in RAW_KINDS:
        parts.append(record.values_crc.to_bytes(4, "little"))
    if record.codebook is not None:
        parts += [write_varint(len(record.codebook)), pack_codebook(record.kind, record.codebook)]
    elif record.step is not None:
        parts += [np.array(record.step, "<f4").tobytes(), write_varint(record.n_negative), write_varint(record.n_positive)]
    if record.kind not in RAW_KINDS:
        positions_coder = record.positions.coder_id if record.positions else 0
        parts.append(bytes([record.position_mode | positions_coder << 4]))
        if record.positions:
            parts += [write_varint(len(record.positions.model)), record.positions.model]
        if record.codes:
            parts += [bytes([record.codes.coder_id]), write_varint(len(record.codes.model)), record.codes.model]
    parts += [_pack_block(record, block) for block in record.blocks]
    return b"".join(parts)


def pack_codebook(kind: Kind, codebook: npt.NDArray[Any]) -> bytes:
    return sorted_codebook.pack(codebook) if kind == Kind.SORTED_F16 else codebook.astype(DTYPES[kind]).tobytes()


def _pack_block(record: LayerRecord, block: BlockRecord) -> bytes:
    if record.kind in RAW_KINDS:
        return block.payload_crc.to_bytes(4, "little")
    parts = []
    if record.positions:
        parts.append(write_varint(block.n_nonzero))
        if not block.stored:
            return parts[0]
        parts.append(write_varint(block.positions_size))
        if record.position_mode == PositionMode.GAPS:
            parts.append(write_varint(block.gap_count))
    if record.codes:
        parts.append(write_varint(block.codes_size))
    return b"".join(parts) + block.payload_crc.to_bytes(4, "little")


def _parse_name(cursor: Cursor, previous: str) -> str:
    n_shared, suffix_size = cursor.u8(), cursor.u8()
    if n_shared > len(previous):
        raise CorruptArtifact(f"a name shares {n_shared} bytes with {previous!r}, which has {len(previous)}")
    name = previous[:n_shared] + cursor.take(suffix_size).decode("latin-1")
    if len(name) > MAX_NAME_SIZE or not NAME.fullmatch(name):
        raise CorruptArtifact(f"layer name {name!r}: {NAME_RULE}")
    return name


def _parse_record(cursor: Cursor, name: str, start: int, block_size: int, weights_left: int) -> LayerRecord:
    """start: where its name's fields begin."""
    kind_and_dims = cursor.u8()
    if kind_and_dims & 15 not in KINDS:
        raise CorruptArtifact(f"kind {kind_and_dims & 15}, allowed 0 to {max(Kind)}")
    kind, n_dims = Kind(kind_and_dims & 15), kind_and_dims >> 4
    if n_dims > MAX_DIMS:
        raise LimitExceeded(f"{n_dims} dimensions, at most {MAX_DIMS} are allowed")
    dims = tuple(cursor.varint() for _ in range(n_dims))
    if 0 in dims:
        raise CorruptArtifact(f"shape {dims} has no weight")
    if math.prod(dims) > weights_left:
        raise LimitExceeded(f"shape {dims} has {math.prod(dims):,} weights, {weights_left:,} are left of the file's limit")
    values_crc = cursor.u32() if kind not in RAW_KINDS else 0
    codebook = step = None
    n_negative = n_positive = 0
    if kind in CODEBOOK_KINDS:
        codebook = _parse_codebook(cursor, kind)
    elif kind == Kind.STEP_F32:
        step, n_negative, n_positive = _parse_step(cursor)
    record = LayerRecord(name, kind, dims, values_crc, codebook, step, n_negative, n_positive)
    if kind not in RAW_KINDS:
        mode, positions, codes = _parse_streams(cursor, record)
        record = replace(record, position_mode=mode, positions=positions, codes=codes)
    blocks = _parse_blocks(cursor, record, block_size)
    return replace(record, blocks=blocks, record_size=cursor.offset - start)


def _parse_blocks(cursor: Cursor, record: LayerRecord, block_size: int) -> tuple[BlockRecord, ...]:
    """All-zero blocks, of which each byte of a table may be one, are one object."""
    n_full, rest = divmod(record.n_weights, block_size)
    all_zero = BlockRecord(block_size, 0, 0, 0, 0, 0, 0)
    blocks: list[BlockRecord] = []
    while len(blocks) < n_full:
        if record.positions and cursor.data[cursor.offset : cursor.offset + 1] == b"\0":
            cursor.offset += 1
            blocks.append(all_zero)
        else:
            blocks.append(_parse_block(cursor, record, len(blocks), block_size))
    if rest:
        blocks.append(_parse_block(cursor, record, n_full, rest))
    return tuple(blocks)


def _parse_codebook(cursor: Cursor, kind: Kind) -> npt.NDArray[Any]:
    n_centroids = cursor.varint()
    if n_centroids > MAX_CENTROIDS:
        raise LimitExceeded(f"{n_centroids:,} centroids, at most {MAX_CENTROIDS:,} are allowed")
    if kind == Kind.SORTED_F16:
        codebook, cursor.offset = sorted_codebook.unpack(cursor.data, cursor.offset, n_centroids)
    else:
        dtype = DTYPES[kind]
        codebook = np.frombuffer(cursor.take(n_centroids * dtype.itemsize), dtype).astype(dtype.newbyteorder("="))
    if not np.isfinite(codebook).all():
        raise CorruptArtifact("a centroid is not finite")
    return codebook


def _parse_step(cursor: Cursor) -> tuple[np.float32, int, int]:
    step = np.frombuffer(cursor.take(4), "<f4")[0]
    if not (np.isfinite(step) and step >= MIN_STEP):
        raise CorruptArtifact(f"step is {step}, must be a normal float32 above zero")
    n_negative, n_positive = cursor.varint(), cursor.varint()
    if max(n_negative, n_positive) > MAX_LEVEL:
        raise LimitExceeded(f"levels span [-{n_negative}, {n_positive}], allowed magnitude {MAX_LEVEL:,}")
    if float(step) * max(n_negative, n_positive) > MAX_VALUE:
        raise CorruptArtifact(f"step {step} times level {max(n_negative, n_positive)} is not a finite float32")
    return np.float32(step), n_negative, n_positive


def _parse_streams(cursor: Cursor, record: LayerRecord) -> tuple[PositionMode, Stream | None, Stream | None]:
    mode_and_coder = cursor.u8()
    if mode_and_coder & 15 not in POSITION_MODES:
        raise CorruptArtifact(f"position mode {mode_and_coder & 15}, allowed 0 to {max(PositionMode)}")
    mode, coder_id = PositionMode(mode_and_coder & 15), mode_and_coder >> 4
    if mode == PositionMode.DENSE:
        if coder_id != 0:
            raise CorruptArtifact(f"a dense layer has no positions, but names coder {coder_id}")
        if record.kind in SPARSE_KINDS:
            raise CorruptArtifact("a sparse tensor without positions")
        if record.n_codes == 0:
            raise CorruptArtifact("a dense layer without a centroid or a level")
        positions = None
    elif mode == PositionMode.LEVELS:
        _check_has_levels(record, coder_id)
        return mode, Stream(coder_id, cursor.take(cursor.varint())), None
    else:
        positions = _parse_stream(cursor, coder_id)
    # a single centroid or level needs no codes: every non-zero weight has it; nor do the values of a sparse tensor
    codes = _parse_stream(cursor, cursor.u8()) if record.n_codes > 1 else None
    return mode, positions, codes


def _check_has_levels(record: LayerRecord, coder_id: int) -> None:
    if coder_id != codecs.CONTEXT:
        raise CorruptArtifact(f"levels are coded by coder {coder_id}, must be {codecs.CONTEXT}")
    if record.kind in SPARSE_KINDS or record.n_codes == 0:
        raise CorruptArtifact("levels without a centroid or a step")
    if not record.has_levels:
        raise CorruptArtifact("levels of a codebook that does not rise, or holds zero")
    if max(record.extent) > codecs.MAX_CODED_LEVEL:
        raise LimitExceeded(f"levels span [-{record.extent[0]}, {record.extent[1]}], the coder takes {codecs.MAX_CODED_LEVEL:,}")


def _parse_stream(cursor: Cursor, coder_id: int) -> Stream:
    if coder_id not in codecs.CODER_IDS:
        known = ", ".join(f"{number} {name}" for number, name in codecs.CODER_IDS.items())
        raise UnsupportedVersion(f"coder {coder_id}, this reader knows {known}")
    if coder_id == codecs.CONTEXT:
        raise CorruptArtifact(f"coder {coder_id} takes levels, not symbols")
    return Stream(coder_id, cursor.take(cursor.varint()))


def _parse_block(cursor: Cursor, record: LayerRecord, index: int, n_weights: int) -> BlockRecord:
    if record.kind in RAW_KINDS:
        return raw_block(n_weights, DTYPES[record.kind].itemsize, cursor.u32())
    n_nonzero, positions_size, gap_count = n_weights, 0, 0
    if record.positions:
        n_nonzero = cursor.varint()
        if record.kind in SPARSE_KINDS and n_nonzero > n_weights:
            raise CorruptArtifact(f"block {index}: {n_nonzero:,} non-zero weights of {n_weights:,}")
        if record.kind not in SPARSE_KINDS and n_nonzero > (n_weights if record.n_codes else 0):
            raise CorruptArtifact(f"block {index}: {n_nonzero:,} non-zero weights of {n_weights:,} and {record.n_codes} values")
        if n_nonzero == 0:
            return BlockRecord(n_weights, 0, 0, 0, 0, 0, 0)
        positions_size = cursor.varint()
        if record.position_mode == PositionMode.GAPS:
            gap_count = cursor.varint()
            if not n_nonzero <= gap_count <= n_nonzero + n_weights // 15:
                raise CorruptArtifact(f"block {index}: {gap_count:,} gaps for {n_nonzero:,} of {n_weights:,} weights")
    codes_size = cursor.varint() if record.codes else 0
    raw_size = n_nonzero * DTYPES[record.kind].itemsize if record.kind in SPARSE_KINDS else 0
    block = BlockRecord(n_weights, n_nonzero, positions_size, gap_count, codes_size, raw_size, cursor.u32())
    if not block.within_rate:
        raise LimitExceeded(
            f"block {index}: {n_weights:,} weights in {block.payload_size:,} bytes, "
            f"at most {MAX_WEIGHTS_PER_BYTE} weights a byte are allowed"
        )
    return block
