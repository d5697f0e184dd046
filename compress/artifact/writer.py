"""Layers in, one .sqz file out (docs/FORMAT.md): deterministic, whatever the machine and the number of threads, and atomic.

`best` tries, for each layer, every way to write its positions with every portable coder, and every portable coder on its
codes, and the layer as levels with contexts, and keeps what makes the file smallest; ties go to the first. A named coder is used
on every stream whose alphabet it takes; the others are stored. A raw float tensor is written as a sparse one (positions and
values) where that is smaller; ties go to the raw one.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compress import codecs
from compress.artifact import codebook as sorted_codebook
from compress.artifact import metadata as metadata_json
from compress.artifact.candidates import (
    BEST,
    CONTEXT,
    POSITION_MODES,
    CodedStream,
    code_candidates,
    levels_candidate,
    position_candidates,
    smallest_legal,
)
from compress.artifact.checksums import crc32c, indices_crc32c, sha256
from compress.artifact.layout import (
    CRC_SIZE,
    DTYPES,
    FILE_HEADER,
    MAX_BLOCK_LOG,
    MAX_DIMS,
    MAX_NAME_SIZE,
    MIN_BLOCK_LOG,
    NAME,
    NAME_RULE,
    SHA256_SIZE,
    SPARSE_KINDS,
    SPARSE_OF,
    BlockRecord,
    FileHeader,
    Kind,
    LayerRecord,
    pack_file_header,
    profile_of,
    raw_block,
    version_of,
)
from compress.artifact.streams import Bits, Mask, bits_dtype
from compress.artifact.table import pack_codebook, pack_layer_table
from compress.atomic import write_atomically
from compress.errors import InputError, WeightsError
from compress.layer import Layer, RawTensor, SharedLayer

BLOCK_SIZE = 1 << MAX_BLOCK_LOG  # weights a block
LARGE_BATCH = 1 << 24  # weights of layers that are encoded at the same time


@dataclass(frozen=True)
class EncodedLayer:
    record: LayerRecord
    payloads: tuple[bytes, ...]  # one a block

    @property
    def size_bytes(self) -> int:
        """In the file, the whole of its name counted."""
        return len(pack_layer_table([self.record])) + sum(map(len, self.payloads))


@dataclass(frozen=True)
class WrittenFile:
    path: Path
    size_bytes: int
    sha256: str  # of the whole file


def write(
    path: str | os.PathLike[str],
    layers: Iterable[Layer],
    metadata: dict[str, Any],
    *,
    coder: str = BEST,
    positions: str = BEST,
    block_size: int = BLOCK_SIZE,
    threads: int = 1,
) -> WrittenFile:
    """Write a .sqz file; `path` holds either the whole file or what it held before, at every moment."""
    path = Path(path)
    try:
        data = to_bytes(layers, metadata, coder=coder, positions=positions, block_size=block_size, threads=threads)
        write_atomically(path, data)
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    return WrittenFile(path, len(data), sha256(data).hex())


def to_bytes(
    layers: Iterable[Layer],
    metadata: dict[str, Any],
    *,
    coder: str = BEST,
    positions: str = BEST,
    block_size: int = BLOCK_SIZE,
    threads: int = 1,
) -> bytes:
    """The whole file in memory; its length is what a stage would take in the container.

    coder: "best", "context" (and what `best` takes for tensors that have no levels), or one of codecs.CODERS. positions: "best",
    "bitmap", "bytes" or "gaps"; a layer with no pruned weight needs none. Both hold for the positions of a sparse tensor too.
    block_size: weights a block, a power of two from 8 to 2^20. The bytes do not depend on threads. layers: taken as they are
    encoded, so an iterator of them need not have the net whole in memory.
    """
    packed_metadata = metadata_json.pack(metadata)
    encode = functools.partial(encode_layer, coder=coder, positions=positions, block_size=block_size)
    checked = _checked_names(layers)
    encoded: list[EncodedLayer] = []
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            for batch in _batches(checked, threads):
                encoded += pool.map(encode, batch) if len(batch) > 1 else map(encode, batch)
                batch.clear()  # before the next layers are made
    else:
        encoded += map(encode, checked)
    if not encoded:
        raise InputError("no layers: a file holds at least one")
    records = [layer.record for layer in encoded]
    table = pack_layer_table(records)
    payloads = b"".join(payload for layer in encoded for payload in layer.payloads)
    file_size = FILE_HEADER.size + len(packed_metadata) + len(table) + CRC_SIZE + len(payloads) + SHA256_SIZE
    header = FileHeader(
        version_of(records), profile_of(records), block_size.bit_length() - 1, file_size, len(packed_metadata), len(table)
    )
    head = pack_file_header(header) + packed_metadata + table
    content = head + crc32c(head).to_bytes(CRC_SIZE, "little") + payloads
    return content + sha256(content)


def encode_layer(layer: Layer, *, coder: str = BEST, positions: str = BEST, block_size: int = BLOCK_SIZE) -> EncodedLayer:
    """The layer's record and its blocks' payloads."""
    if coder not in (BEST, CONTEXT, *codecs.CODERS):
        raise InputError(f"coder is {coder!r}, allowed: best, context, {', '.join(codecs.CODERS)}")
    if positions != BEST and positions not in POSITION_MODES:
        raise InputError(f"positions is {positions!r}, allowed: best, {', '.join(POSITION_MODES)}")
    if block_size not in {1 << log for log in range(MIN_BLOCK_LOG, MAX_BLOCK_LOG + 1)}:
        raise InputError(f"block size is {block_size}, must be a power of two from {1 << MIN_BLOCK_LOG} to {1 << MAX_BLOCK_LOG}")
    if layer.n_weights == 0 or len(layer.shape) > MAX_DIMS:
        raise WeightsError(f"{layer.name}: shape {layer.shape}, must hold a weight and have at most {MAX_DIMS} dimensions")
    if isinstance(layer, RawTensor):
        return _encode_raw(layer, coder, positions, block_size)
    return _encode_shared(layer, coder, positions, block_size)


def _batches(layers: Iterator[Layer], threads: int) -> Iterator[list[Layer]]:
    """Layers for the threads to take: few, or one that is large, so that not all need to be in memory."""
    batch: list[Layer] = []
    for layer in layers:
        batch.append(layer)
        del layer  # before the next is made
        if len(batch) == 4 * threads or sum(each.n_weights for each in batch) >= LARGE_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _checked_names(layers: Iterable[Layer]) -> Iterator[Layer]:
    names: set[str] = set()
    for layer in layers:
        if len(layer.name) > MAX_NAME_SIZE or not NAME.fullmatch(layer.name):
            raise WeightsError(f"layer name {layer.name!r}: {NAME_RULE}")
        if layer.name in names:
            raise WeightsError(f"{layer.name}: named twice")
        names.add(layer.name)
        yield layer
        del layer  # before the next is made


def _encode_raw(layer: RawTensor, coder: str, positions: str, block_size: int) -> EncodedLayer:
    """As it is, or, for floats, where its non-zero values are and the values: the smaller; as it is, of equals."""
    kind = {"f2": Kind.RAW_F16, "f4": Kind.RAW_F32, "i8": Kind.RAW_I64}[layer.array.dtype.str[1:]]
    flat = np.ascontiguousarray(layer.array, DTYPES[kind]).reshape(-1)
    dense = _encode_dense(LayerRecord(layer.name, kind, layer.shape), flat, block_size)
    if kind not in SPARSE_OF:
        return dense
    bits = flat.view(bits_dtype(kind))
    if bits.all():
        return dense
    record = LayerRecord(layer.name, SPARSE_OF[kind], layer.shape, values_crc=crc32c(flat.tobytes()))
    sparse = _encode_sparse(record, bits, coder, positions, block_size)
    return min(dense, sparse, key=lambda encoded: encoded.size_bytes)


def _encode_dense(record: LayerRecord, flat: npt.NDArray[Any], block_size: int) -> EncodedLayer:
    payloads = tuple(block.tobytes() for block in _blocks_of(flat, block_size))
    item_size = flat.itemsize
    blocks = tuple(raw_block(len(payload) // item_size, item_size, crc32c(payload)) for payload in payloads)
    return EncodedLayer(replace(record, blocks=blocks), payloads)


def _encode_sparse(record: LayerRecord, bits: Bits, coder: str, positions: str, block_size: int) -> EncodedLayer:
    """bits: shape (n_weights,), at least one of them 0, which is the only zero: -0.0 is a value."""
    blocks = _blocks_of(bits, block_size)
    masks = [block != 0 for block in blocks]
    values = CodedStream(None, tuple(block[mask].tobytes() for block, mask in zip(blocks, masks, strict=True)))
    where, what = smallest_legal(position_candidates(masks, coder, positions), [values], masks)
    return _with_blocks(record, masks, where, what)


def _encode_shared(layer: SharedLayer, coder: str, positions: str, block_size: int) -> EncodedLayer:
    record = _record_without_streams(layer)
    indices = _blocks_of(np.ascontiguousarray(layer.indices).reshape(-1), block_size)
    masks = [block != 0 for block in indices]
    if coder in (BEST, CONTEXT) and (stream := levels_candidate(record, indices, masks)) is not None:
        levels = _with_blocks(record, masks, stream, CodedStream(None, (b"",) * len(masks)))
        if coder == CONTEXT:
            return levels
        return min(levels, _encode_shared_symbols(record, indices, masks, coder, positions), key=lambda e: e.size_bytes)
    return _encode_shared_symbols(record, indices, masks, coder, positions)


def _encode_shared_symbols(
    record: LayerRecord, indices: list[npt.NDArray[np.int32]], masks: list[Mask], coder: str, positions: str
) -> EncodedLayer:
    """As positions, and codes of the weights that are not zero."""
    codes = code_candidates((block[mask] for block, mask in zip(indices, masks, strict=True)), record, coder)
    where, what = smallest_legal(position_candidates(masks, coder, positions), codes, masks)
    return _with_blocks(record, masks, where, what)


def _blocks_of(flat: npt.NDArray[Any], block_size: int) -> list[npt.NDArray[Any]]:
    return [flat[start : start + block_size] for start in range(0, len(flat), block_size)]


def _with_blocks(record: LayerRecord, masks: list[Mask], where: CodedStream, what: CodedStream) -> EncodedLayer:
    """where: the positions. what: the codes, or the values of a sparse tensor."""
    payloads = tuple(a + b for a, b in zip(where.payloads, what.payloads, strict=True))
    sparse = record.kind in SPARSE_KINDS
    blocks = tuple(
        BlockRecord(
            n_weights=mask.size,
            n_nonzero=int(np.count_nonzero(mask)),
            positions_size=len(where.payloads[i]),
            gap_count=where.gap_counts[i],
            codes_size=0 if sparse else len(what.payloads[i]),
            raw_size=len(what.payloads[i]) if sparse else 0,
            payload_crc=crc32c(payloads[i]),
        )
        for i, mask in enumerate(masks)
    )
    record = replace(record, position_mode=where.mode, positions=where.stream, codes=what.stream, blocks=blocks)
    return EncodedLayer(record, payloads)


def _record_without_streams(layer: SharedLayer) -> LayerRecord:
    values_crc = indices_crc32c(layer.indices)
    if layer.codebook is not None:
        codebook: npt.NDArray[Any] = layer.codebook
        kind = Kind.CODEBOOK_F16 if codebook.dtype == np.float16 else Kind.CODEBOOK_F32
        if kind == Kind.CODEBOOK_F16 and sorted_codebook.is_sorted(codebook):
            kind = min(Kind.SORTED_F16, kind, key=lambda k: len(pack_codebook(k, codebook)))
        return LayerRecord(layer.name, kind, layer.shape, values_crc, codebook=layer.codebook)
    low, high = int(layer.indices.min()), int(layer.indices.max())
    return LayerRecord(
        layer.name, Kind.STEP_F32, layer.shape, values_crc, step=layer.step, n_negative=max(-low, 0), n_positive=max(high, 0)
    )
