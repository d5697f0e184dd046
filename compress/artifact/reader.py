"""A .sqz file back into layers. Whatever is wrong with it, the error names the file, and the layer and block where it can.

Order of the checks (docs/FORMAT.md): magic, version, exact length, Header_CRC, metadata, table and limits, models; only then
is memory taken for weights. Then each block's Payload_CRC before it is decoded, each shared or sparse layer's Values_CRC, and
File_SHA256.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from compress import codecs
from compress.artifact import metadata as metadata_json
from compress.artifact.checksums import array_crc32c, crc32c, indices_crc32c, sha256
from compress.artifact.layout import (
    CRC_SIZE,
    DTYPES,
    FILE_HEADER,
    HOST,
    HOST_CODERS,
    MAX_WEIGHTS,
    POSITION_ALPHABET,
    RAW_KINDS,
    SHA256_SIZE,
    SPARSE_KINDS,
    BlockRecord,
    FileHeader,
    LayerRecord,
    PositionMode,
    Stream,
    check_header_fields,
    parse_file_header,
)
from compress.artifact.streams import bits_dtype, indices_of, indices_of_levels, mask_of, n_position_symbols, sparse_values
from compress.artifact.table import parse_layer_table
from compress.errors import ArtifactError, CorruptArtifact, CorruptStream, InputError
from compress.layer import Layer, RawTensor, SharedLayer
from compress.regular_file import open_regular

MAX_KEPT_MODELS = 1 << 24  # bytes, of a file's models once unpacked
BATCH = 16  # blocks that are given to each thread at once

_Models = tuple[Any, Any]  # codecs.Model, ContextModel or None: of the positions and of the codes
_DecodeBlock = Callable[[npt.NDArray[Any], BlockRecord, bytes], None]


@dataclass(frozen=True, eq=False)
class Artifact:
    metadata: dict[str, Any]
    layers: dict[str, Layer]  # in the file's order, which is the state dict's
    format_version: int
    profile: str  # "portable" or "host"
    size_bytes: int
    sha256: str  # of the whole file, as sha256sum prints it


def read(
    path: str | os.PathLike[str], *, max_weights: int = MAX_WEIGHTS, portable_only: bool = False, threads: int = 1
) -> Artifact:
    """Every layer of a file, decoded and checked. The result does not depend on threads.

    max_weights: refuse a file that declares more, before memory is taken (4 bytes a weight, or 8).
    portable_only: refuse a file of the host profile (zstd), as a device would.
    """
    with named(path):
        return _decode(parse(read_file(path), max_weights), portable_only, threads)


def read_bytes(
    data: bytes, *, name: str = "<bytes>", max_weights: int = MAX_WEIGHTS, portable_only: bool = False, threads: int = 1
) -> Artifact:
    """As read, for a file already in memory. name: what errors call it."""
    with named(name):
        return _decode(parse(data, max_weights), portable_only, threads)


def verify(path: str | os.PathLike[str]) -> str:
    """Check the header, the table and every checksum of stored bytes, and decode nothing. Returns the file's SHA-256."""
    with named(path):
        contents = parse(read_file(path), max_weights=NO_LIMIT)
        for record, index, block, payload in contents.blocks():
            _check_payload(record, index, block, payload)
        return _check_sha256(contents.data)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The metadata alone; the header and the table are checked, no payload is."""
    with named(path):
        return parse(read_file(path), max_weights=NO_LIMIT).metadata


NO_LIMIT = 1 << 62  # where no weight is decoded


@dataclass(frozen=True, eq=False)
class Contents:
    """A whole file whose header, metadata and table have been checked, and whose payloads have not."""

    data: bytes
    header: FileHeader
    metadata: dict[str, Any]
    records: list[LayerRecord]

    def blocks(self) -> Iterator[tuple[LayerRecord, int, BlockRecord, bytes]]:
        """Layer, block number, block and its payload, in the file's order: they lie back to back."""
        offset = self.header.payload_offset
        for record in self.records:
            for index, block in enumerate(record.blocks):
                yield record, index, block, self.data[offset : offset + block.payload_size]
                offset += block.payload_size


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The whole file, once its first bytes say that it is a .sqz file of that length."""
    with open_regular(path) as file:
        head = file.read(FILE_HEADER.size)
        size_bytes = os.fstat(file.fileno()).st_size
        parse_file_header(head, size_bytes)
        return head + file.read(size_bytes - len(head))


def parse(data: bytes, max_weights: int) -> Contents:
    header = parse_file_header(data[: FILE_HEADER.size], len(data))
    crc_offset = header.payload_offset - CRC_SIZE
    computed, stored = crc32c(data[:crc_offset]), int.from_bytes(data[crc_offset : header.payload_offset], "little")
    if computed != stored:
        raise CorruptArtifact(f"header, metadata or table is damaged: CRC-32C {computed:08x}, stored {stored:08x}")
    check_header_fields(data, header)
    table_offset = FILE_HEADER.size + header.metadata_size
    metadata = metadata_json.parse(data[FILE_HEADER.size : table_offset])
    return Contents(data, header, metadata, parse_layer_table(data[table_offset:crc_offset], header, max_weights=max_weights))


@contextmanager
def named(where: object) -> Iterator[None]:
    """Put a file, or a layer's block, before the message of an error raised inside."""
    try:
        yield
    except ArtifactError as error:
        raise type(error)(f"{where}: {error}") from error
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror or error}") from error


def _decode(contents: Contents, portable_only: bool, threads: int) -> Artifact:
    if portable_only and contents.header.profile == HOST:
        coded = [r.name for r in contents.records if any(stream.coder_id in HOST_CODERS for stream in r.streams)]
        raise ArtifactError(f"{coded[0]}: coded by zstd, which the portable profile does not have")
    models = _checked_models(contents.records)
    values = {record.name: _zeros(record) for record in contents.records}

    def decode(work: tuple[_DecodeBlock, LayerRecord, int, BlockRecord, bytes]) -> None:
        decode_block, record, index, block, payload = work
        _check_payload(record, index, block, payload)
        start = index << contents.header.block_log
        with named(f"{record.name}: block {index}"):
            decode_block(values[record.name][start : start + block.n_weights], block, payload)

    stored = _stored_blocks(contents, models)
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            while batch := list(islice(stored, BATCH * threads)):
                for _ in pool.map(decode, batch):  # of several errors, the first in the file's order is raised
                    pass
    else:
        for work in stored:
            decode(work)
    layers = {record.name: _layer(record, values[record.name]) for record in contents.records}
    profile = "host" if contents.header.profile == HOST else "portable"
    data = contents.data
    return Artifact(contents.metadata, layers, contents.header.version, profile, len(data), _check_sha256(data))


def _checked_models(records: list[LayerRecord]) -> dict[str, _Models]:
    """Every layer's models are looked at before memory is taken for weights. The first of them are kept; of the others, which
    take a few bytes of a file each and 128 KB once unpacked, one at a time is unpacked again."""
    kept, size_bytes = {}, 0
    for record in records:
        models = _models(record)
        size_bytes += sum(getattr(model, "nbytes", 0) for model in models)
        if size_bytes <= MAX_KEPT_MODELS:
            kept[record.name] = models
    return kept


def _stored_blocks(
    contents: Contents, models: dict[str, _Models]
) -> Iterator[tuple[_DecodeBlock, LayerRecord, int, BlockRecord, bytes]]:
    """The blocks that have a payload, each with what decodes those of its layer."""
    of = decode_block = None
    for record, index, block, payload in contents.blocks():
        if not block.stored:
            continue
        if record is not of or decode_block is None:
            of, decode_block = record, _block_decoder(record, models.get(record.name) or _models(record))
        yield decode_block, record, index, block, payload


def _models(record: LayerRecord) -> _Models:
    """Of the positions (or levels) and of the codes; they must take the bytes that the table gives them, all of them."""
    with named(record.name):
        alphabet = POSITION_ALPHABET.get(record.position_mode, record.n_codes)
        return (
            _unpack_model(record.positions, alphabet) if record.positions else None,
            _unpack_model(record.codes, record.n_codes) if record.codes else None,
        )


def _unpack_model(stream: Stream, alphabet: int) -> Any:
    """A codecs.Model, or a ContextModel."""
    model: Any
    if stream.coder_id == codecs.CONTEXT:
        from compress.codecs import context

        model, end = context.unpack_model(stream.model, 0)
    else:
        model, end = codecs.coder_by_id(stream.coder_id).unpack_model(stream.model, 0, alphabet)
    if end != len(stream.model):
        raise CorruptStream(f"{codecs.CODER_IDS[stream.coder_id]} model ends at byte {end} of {len(stream.model)}")
    return model


def _zeros(record: LayerRecord) -> npt.NDArray[Any]:
    """What the blocks are decoded into: raw weights, the bits of a sparse tensor's, or indices."""
    if record.kind in SPARSE_KINDS:
        return np.zeros(record.n_weights, bits_dtype(record.kind))
    return np.zeros(record.n_weights, DTYPES[record.kind] if record.kind in RAW_KINDS else np.int32)


def _check_payload(record: LayerRecord, index: int, block: BlockRecord, payload: bytes) -> None:
    computed = crc32c(payload)
    if block.stored and computed != block.payload_crc:
        raise CorruptArtifact(f"{record.name}: block {index} is damaged: CRC-32C {computed:08x}, stored {block.payload_crc:08x}")


def _check_sha256(data: bytes) -> str:
    """The SHA-256 that the file ends with is that of the bytes before it. Returns the one of the whole file."""
    computed, stored = sha256(data[:-SHA256_SIZE]), data[-SHA256_SIZE:]
    if computed != stored:
        raise CorruptArtifact(f"SHA-256 of the content is {computed.hex()}, the file ends with {stored.hex()}")
    return sha256(data).hex()


def _block_decoder(record: LayerRecord, models: _Models) -> _DecodeBlock:
    """What decodes a layer's blocks: takes the block's part of the layer, shape (n_weights,), all zero, and puts its indices, raw
    values or bits there. The coders' tables are made here, once."""
    if record.kind in RAW_KINDS:
        return lambda values, _, payload: np.copyto(values, np.frombuffer(payload, DTYPES[record.kind]))
    if record.position_mode == PositionMode.LEVELS:
        return lambda values, block, payload: np.copyto(values, _decode_levels(payload, record, models[0], block))
    positions, codes = _decoder(record.positions, models[0]), _decoder(record.codes, models[1])

    def decode_block(values: npt.NDArray[Any], block: BlockRecord, payload: bytes) -> None:
        if record.kind in SPARSE_KINDS:
            nonzero = sparse_values(payload[block.positions_size :], record.kind)
        elif codes is None:  # a single value needs no codes
            nonzero = indices_of(np.zeros(block.n_nonzero, np.uint8), record)
        else:
            nonzero = indices_of(codes(payload[block.positions_size :], block.n_nonzero), record)
        if positions is None:
            values[:] = nonzero
            return
        n_symbols = n_position_symbols(block, record.position_mode)
        mask = mask_of(positions(payload[: block.positions_size], n_symbols), block, record.position_mode)
        if record.kind in SPARSE_KINDS:
            values[mask] = nonzero
        else:
            from compress.codecs.scatter import scatter  # with numba: the coders have imported it by now

            scatter(mask, nonzero, values)

    return decode_block


def _decoder(stream: Stream | None, model: Any) -> codecs.Decoder | None:
    return codecs.coder_by_id(stream.coder_id).decoder(model) if stream else None


def _decode_levels(payload: bytes, record: LayerRecord, model: Any, block: BlockRecord) -> npt.NDArray[np.int32]:
    from compress.codecs import context

    levels = context.decode(payload, context.Geometry.of(record.dims), model, block.n_weights)
    n_nonzero = int(np.count_nonzero(levels))
    if n_nonzero != block.n_nonzero:
        raise CorruptStream(f"{n_nonzero:,} levels are not zero, the table says {block.n_nonzero:,}")
    return indices_of_levels(levels, record)


def _layer(record: LayerRecord, values: npt.NDArray[Any]) -> Layer:
    values = values.reshape(record.dims)
    if record.kind in SPARSE_KINDS:
        computed = array_crc32c(values)
        if computed != record.values_crc:
            raise CorruptStream(f"{record.name}: decoded values have CRC-32C {computed:08x}, stored {record.values_crc:08x}")
        values = values.view(DTYPES[record.kind])
    if record.kind in RAW_KINDS | SPARSE_KINDS:
        return RawTensor(record.name, values.astype(values.dtype.newbyteorder("="), copy=False))
    computed = indices_crc32c(values)
    if computed != record.values_crc:
        raise CorruptStream(f"{record.name}: decoded indices have CRC-32C {computed:08x}, stored {record.values_crc:08x}")
    return SharedLayer(record.name, record.dims, values, record.codebook, record.step)
