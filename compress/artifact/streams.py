"""The two streams of a block, as symbols: where its non-zero weights are, and which value each of them has.

Positions are written in one of three ways (docs/FORMAT.md, Position_Mode): a bitmap as one symbol a bit, a bitmap as bytes,
or the gaps of Han et al. 2016. Codes are written for the non-zero weights only, in C order; a sparse tensor has its values there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from compress.artifact.layout import DTYPES, BlockRecord, Kind, LayerRecord, PositionMode
from compress.codecs import gaps
from compress.errors import CorruptStream

Mask = npt.NDArray[np.bool_]
Symbols = npt.NDArray[Any]  # uint8, or uint16 for an alphabet above 256
Bits = npt.NDArray[Any]  # floats as little-endian uint16 or uint32: only +0.0 is 0, and a copy keeps every NaN


def position_symbols(mask: Mask, mode: PositionMode) -> Symbols:
    """mask: bool, shape (n_weights,), True where a weight is not zero."""
    if mode == PositionMode.BITMAP:
        return mask.view(np.uint8)
    if mode == PositionMode.BYTES:
        return np.packbits(mask, bitorder="little")  # weight i is bit i % 8 of byte i // 8
    return gaps.encode(mask)


def n_position_symbols(block: BlockRecord, mode: PositionMode) -> int:
    if mode == PositionMode.BITMAP:
        return block.n_weights
    if mode == PositionMode.BYTES:
        return -(-block.n_weights // 8)
    return block.gap_count


def mask_of(symbols: Symbols, block: BlockRecord, mode: PositionMode) -> Mask:
    """Inverse of position_symbols; the counts come from the block's record and are checked."""
    if mode == PositionMode.GAPS:
        mask = gaps.decode(symbols, block.n_nonzero, block.n_weights)
    elif mode == PositionMode.BYTES:
        bits = np.unpackbits(symbols, bitorder="little")
        if bits[block.n_weights :].any():
            raise CorruptStream(f"bitmap: a bit is set after the last of {block.n_weights:,} weights")
        mask = bits[: block.n_weights].view(np.bool_)
    else:
        mask = symbols.astype(np.bool_)
    n_nonzero = int(np.count_nonzero(mask))
    if n_nonzero != block.n_nonzero:
        raise CorruptStream(f"{n_nonzero:,} positions are set, the table says {block.n_nonzero:,}")
    return mask


def code_symbols(nonzero: npt.NDArray[np.int32], record: LayerRecord) -> Symbols:
    """nonzero: int32 indices without the zeros. Index i of a codebook is symbol i - 1; levels count up from the lowest as 0,
    with none for level 0."""
    symbols = nonzero - 1 if record.codebook is not None else nonzero + record.n_negative - (nonzero > 0)
    return symbols.astype(np.uint8 if record.n_codes <= 256 else np.uint16)


def indices_of(symbols: Symbols, record: LayerRecord) -> npt.NDArray[np.int32]:
    """Inverse of code_symbols."""
    if len(symbols) and int(symbols.max()) >= record.n_codes:
        raise CorruptStream(f"codes: symbol {int(symbols.max())}, the layer has {record.n_codes} values")
    codes = symbols.astype(np.int32)
    if record.codebook is not None:
        return codes + 1
    return codes - record.n_negative + (codes >= record.n_negative)


def levels_of(indices: npt.NDArray[np.int32], record: LayerRecord) -> npt.NDArray[np.int32]:
    """Indices as signed levels: those of a codebook count its centroids away from zero."""
    if record.codebook is None:
        return indices
    n_below = record.extent[0]
    return np.where(indices == 0, 0, indices - n_below - (indices <= n_below)).astype(np.int32)


def indices_of_levels(levels: npt.NDArray[np.int32], record: LayerRecord) -> npt.NDArray[np.int32]:
    """Inverse of levels_of."""
    n_below, n_above = record.extent
    low, high = int(levels.min()), int(levels.max())
    if low < -n_below or high > n_above:
        raise CorruptStream(f"levels span [{low}, {high}], the layer has [-{n_below}, {n_above}]")
    if record.codebook is None:
        return levels
    return np.where(levels == 0, 0, levels + n_below + (levels < 0)).astype(np.int32)


def bits_dtype(kind: Kind) -> np.dtype[Any]:
    """kind: a float kind."""
    return np.dtype(f"<u{DTYPES[kind].itemsize}")


def sparse_values(data: bytes, kind: Kind) -> Bits:
    """The values that a sparse block's payload ends with. +0.0 is none: where it is, there is no position."""
    values = np.frombuffer(data, bits_dtype(kind))
    if not values.all():
        raise CorruptStream(
            f"value {int(np.argmin(values != 0))} of {len(values):,} is +0.0, which a sparse tensor does not store"
        )
    return values
