"""Symbols at a fixed width, with no model: for streams that no coder shortens. Prefer `huffman` or `range` otherwise.

Model: the alphabet, which the layer's header knows; it packs to no bytes.
Stream: each symbol takes W = ceil(log2(alphabet)) bits, its highest bit first, in order; bytes fill from their highest bit.
The last byte is filled up with zero bits, and a reader refuses others. So n symbols are ceil(n * W / 8) bytes. An alphabet of
one symbol has W = 0 and codes to no bytes.
Example: alphabet 5, symbols 1 2 3 are 001 010 011, bytes `29 80`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from compress.codecs import Buffer, Decoder, Model, Symbols
from compress.codecs.symbols import check_alphabet, check_decoded, symbol_dtype, to_encode
from compress.errors import CorruptStream


def build_model(frequencies: npt.NDArray[np.int64]) -> Model:
    return np.array([check_alphabet(len(frequencies))], np.uint32)


def pack_model(model: Model) -> bytes:
    return b""


def unpack_model(data: Buffer, offset: int, alphabet: int) -> tuple[Model, int]:
    return np.array([check_alphabet(alphabet)], np.uint32), offset


def ideal_bits(frequencies: npt.NDArray[np.int64], model: Model) -> float:
    return float(frequencies.sum() * width_bits(int(model[0])))


def width_bits(alphabet: int) -> int:
    return (alphabet - 1).bit_length()


def encode(symbols: Symbols, model: Model) -> bytes:
    alphabet = int(model[0])
    width, dtype = width_bits(alphabet), symbol_dtype(alphabet).newbyteorder(">")
    bits = np.unpackbits(to_encode(symbols, alphabet).astype(dtype).view(np.uint8)).reshape(
        -1, 8 * dtype.itemsize
    )  # (n, 8 or 16)
    return np.packbits(bits[:, bits.shape[1] - width :]).tobytes()


def decoder(model: Model) -> Decoder:
    return lambda data, n_symbols: decode(data, model, n_symbols)


def decode(data: Buffer, model: Model, n_symbols: int) -> Symbols:
    alphabet = int(model[0])
    width, dtype = width_bits(alphabet), symbol_dtype(alphabet).newbyteorder(">")
    n_bits = n_symbols * width
    if len(data) != (n_bits + 7) // 8:
        raise CorruptStream(f"stored: {len(data)} bytes, {n_symbols} symbols of {width} bits are {(n_bits + 7) // 8}")
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    if bits[n_bits:].any():
        raise CorruptStream("stored: the bits after the last symbol are not zero")
    columns = np.zeros((n_symbols, 8 * dtype.itemsize), np.uint8)
    columns[:, columns.shape[1] - width :] = bits[:n_bits].reshape(n_symbols, width)
    symbols = np.packbits(columns).view(dtype).astype(symbol_dtype(alphabet))
    return check_decoded("stored", symbols, alphabet)
