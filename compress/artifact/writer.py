"""Layers in, one .sqz file out (docs/FORMAT.md): deterministic, whatever the machine and the number of threads, and atomic.

`best` tries, for each layer, every way to write its positions with every portable coder, and every portable coder on its
codes, and the layer as levels with contexts, and keeps what makes the file smallest; ties go to the first. A named coder is used
on every stream whose alphabet it takes; the others are stored. A raw float tensor is written as a sparse one (positions and
values) where that is smaller; ties go to the raw one.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compress import codecs
from compress.artifact import codebook as sorted_codebook
from compress.artifact import metadata as metadata_json
from compress.artifact.checksums import crc32c, indices_crc32c, sha256
from compress.artifact.layout import (
    CRC_SIZE,
    DTYPES,
    FILE_HEADER,
    MAX_BLOCK_LOG,
    MAX_CODED_LEVEL,
    MAX_DIMS,
    MAX_NAME_SIZE,
    MAX_WEIGHTS_PER_BYTE,
    MIN_BLOCK_LOG,
    NAME,
    NAME_RULE,
    POSITION_ALPHABET,
    SHA256_SIZE,
    SPARSE_KINDS,
    SPARSE_OF,
    BlockRecord,
    FileHeader,
    Kind,
    LayerRecord,
    PositionMode,
    Stream,
    pack_file_header,
    profile_of,
    raw_block,
    version_of,
)
from compress.artifact.streams import Bits, Mask, Symbols, bits_dtype, code_symbols, levels_of, position_symbols
from compress.artifact.table import pack_codebook, pack_layer_table
from compress.atomic import write_atomically
from compress.codecs.bits import write_varint
from compress.errors import InputError, WeightsError
from compress.layer import Layer, RawTensor, SharedLayer

BEST, CONTEXT = "best", "context"
PORTABLE_CODERS = ("huffman", "range", "stored")  # what `best` may pick: what every decoder has
POSITION_MODES = {"bitmap": PositionMode.BITMAP, "bytes": PositionMode.BYTES, "gaps": PositionMode.GAPS}
BLOCK_SIZE = 1 << MAX_BLOCK_LOG  # weights a block


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


@dataclass(frozen=True)
class _CodedStream:
    """One stream of a layer, coded in one way: a candidate for the file."""

    stream: Stream | None  # None: a single value, no pruned weight, or values that no coder codes
    payloads: tuple[bytes, ...]  # one a block; empty where the block is all-zero
    mode: PositionMode = PositionMode.DENSE
    gap_counts: tuple[int, ...] = ()

    @property
    def cost(self) -> int:
        """Bytes it takes in the file, those of its lengths in the table counted; 0 where there is nothing to choose."""
        if self.stream is None:
            return 0
        lengths = sum(len(write_varint(len(payload))) + len(payload) for payload in self.payloads if payload)
        gap_counts = sum(len(write_varint(count)) for count in self.gap_counts) if self.mode == PositionMode.GAPS else 0
        return len(self.stream.model) + lengths + gap_counts


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
    block_size: weights a block, a power of two from 8 to 2^20. The bytes do not depend on threads.
    """
    layers = list(layers)
    _check_names(layers)
    packed_metadata = metadata_json.pack(metadata)
    encode = functools.partial(encode_layer, coder=coder, positions=positions, block_size=block_size)
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            encoded = list(pool.map(encode, layers))
    else:
        encoded = [encode(layer) for layer in layers]
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


def _check_names(layers: list[Layer]) -> None:
    if not layers:
        raise InputError("no layers: a file holds at least one")
    names: set[str] = set()
    for layer in layers:
        if len(layer.name) > MAX_NAME_SIZE or not NAME.fullmatch(layer.name):
            raise WeightsError(f"layer name {layer.name!r}: {NAME_RULE}")
        if layer.name in names:
            raise WeightsError(f"{layer.name}: named twice")
        names.add(layer.name)


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
    values = _CodedStream(None, tuple(block[mask].tobytes() for block, mask in zip(blocks, masks, strict=True)))
    where, what = _smallest_legal(_position_candidates(masks, coder, positions), [values], masks)
    return _with_blocks(record, masks, where, what)


def _encode_shared(layer: SharedLayer, coder: str, positions: str, block_size: int) -> EncodedLayer:
    record = _record_without_streams(layer)
    indices = _blocks_of(np.ascontiguousarray(layer.indices).reshape(-1), block_size)
    masks = [block != 0 for block in indices]
    if coder in (BEST, CONTEXT) and (levels := _encode_levels(record, indices, masks)) is not None:
        if coder == CONTEXT:
            return levels
        return min(levels, _encode_shared_symbols(record, indices, masks, coder, positions), key=lambda e: e.size_bytes)
    return _encode_shared_symbols(record, indices, masks, coder, positions)


def _encode_shared_symbols(
    record: LayerRecord, indices: list[npt.NDArray[np.int32]], masks: list[Mask], coder: str, positions: str
) -> EncodedLayer:
    """As positions, and codes of the weights that are not zero."""
    codes = _code_candidates([block[mask] for block, mask in zip(indices, masks, strict=True)], record, coder)
    where, what = _smallest_legal(_position_candidates(masks, coder, positions), codes, masks)
    return _with_blocks(record, masks, where, what)


def _encode_levels(record: LayerRecord, indices: list[npt.NDArray[np.int32]], masks: list[Mask]) -> EncodedLayer | None:
    """Every weight as a level, zeros too, with contexts; None where the layer has no levels or the 256 rule forbids it."""
    if record.n_codes == 0 or not record.has_levels or max(record.extent) > MAX_CODED_LEVEL:
        return None
    from compress.codecs import context

    levels = [levels_of(block, record) for block in indices]
    geometry = context.Geometry.of(record.dims)
    candidates = []
    for context_set in context.CONTEXT_SETS:
        model = context.build_model(levels, context_set)
        payloads = tuple(
            context.encode(block, geometry, model) if mask.any() else b"" for block, mask in zip(levels, masks, strict=True)
        )
        stream = _CodedStream(Stream(codecs.CONTEXT, context.pack_model(model)), payloads, PositionMode.LEVELS, (0,) * len(masks))
        candidates.append(stream)
    smallest = min(candidates, key=lambda each: each.cost)
    sizes = [len(payload) for payload in smallest.payloads]
    if any(mask.size > MAX_WEIGHTS_PER_BYTE * size and mask.any() for mask, size in zip(masks, sizes, strict=True)):
        return None
    return _with_blocks(record, masks, smallest, _CodedStream(None, (b"",) * len(masks)))


def _blocks_of(flat: npt.NDArray[Any], block_size: int) -> list[npt.NDArray[Any]]:
    return [flat[start : start + block_size] for start in range(0, len(flat), block_size)]


def _with_blocks(record: LayerRecord, masks: list[Mask], where: _CodedStream, what: _CodedStream) -> EncodedLayer:
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


def _code_candidates(nonzero: list[npt.NDArray[np.int32]], record: LayerRecord, coder: str) -> list[_CodedStream]:
    """nonzero: per block, its indices without the zeros."""
    if record.n_codes <= 1:
        return [_CodedStream(None, (b"",) * len(nonzero))]  # one value: where it is says all
    symbols = [code_symbols(block, record) for block in nonzero]
    return _coded(symbols, record.n_codes, coder)


def _position_candidates(masks: list[Mask], coder: str, positions: str) -> list[_CodedStream]:
    """In order of preference among equals."""
    candidates = []
    if all(mask.all() for mask in masks):
        candidates.append(_CodedStream(None, (b"",) * len(masks), gap_counts=(0,) * len(masks)))
    for name, mode in POSITION_MODES.items():
        if positions in (BEST, name):
            candidates += _coded(_position_symbols(masks, mode), POSITION_ALPHABET[mode], coder, mode)
    return candidates


def _legal_positions(masks: list[Mask]) -> list[_CodedStream]:
    """For blocks so sparse that every choice asked for holds more than 256 weights a payload byte. A bitmap as bytes takes, with
    Huffman, a bit or more for 8 weights: always legal. (Gaps are not: the zeros after a block's last weight cost nothing.)"""
    mode = PositionMode.BYTES
    return _coded(_position_symbols(masks, mode), POSITION_ALPHABET[mode], "huffman", mode)


def _position_symbols(masks: list[Mask], mode: PositionMode) -> list[Symbols]:
    return [position_symbols(mask, mode) if mask.any() else np.zeros(0, np.uint8) for mask in masks]  # no payload: no symbols


def _smallest_legal(
    positions: list[_CodedStream], codes: list[_CodedStream], masks: list[Mask]
) -> tuple[_CodedStream, _CodedStream]:
    """The cheapest pair whose every block holds at most 256 weights a payload byte."""
    for where, what in sorted(itertools.product(positions, codes), key=lambda pair: pair[0].cost + pair[1].cost):
        sizes = [len(a) + len(b) for a, b in zip(where.payloads, what.payloads, strict=True)]
        if all(mask.size <= MAX_WEIGHTS_PER_BYTE * size or not mask.any() for mask, size in zip(masks, sizes, strict=True)):
            return where, what
    return _smallest_legal(_legal_positions(masks), codes, masks)


def _coded(symbols: list[Symbols], alphabet: int, coder: str, mode: PositionMode = PositionMode.DENSE) -> list[_CodedStream]:
    """One candidate for each coder that may be tried; stored, where none of them takes so many symbols."""
    frequencies = sum((np.bincount(block, minlength=alphabet) for block in symbols), np.zeros(alphabet, np.int64))
    gap_counts = tuple(len(block) if mode == PositionMode.GAPS else 0 for block in symbols)
    candidates = []
    for name in PORTABLE_CODERS if coder in (BEST, CONTEXT) else (coder, "stored"):
        module = codecs.coder(name)
        try:
            model = module.build_model(frequencies)
        except ValueError:  # what this coder cannot take: huffman more than 2^15 present symbols, range more than 2^12
            continue
        payloads = tuple(module.encode(block, model) for block in symbols)  # no symbols: no bytes
        candidates.append(_CodedStream(Stream(codecs.CODERS[name], module.pack_model(model)), payloads, mode, gap_counts))
        if coder not in (BEST, CONTEXT):
            break
    return candidates
