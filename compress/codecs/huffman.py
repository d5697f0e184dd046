"""Canonical Huffman code, at most 15 bits a symbol (Huffman 1952; lengths by package-merge, Larmore and Hirschberg 1990).

Prefer it for speed and for the smallest decoder; prefer `range` for size: a code word is a whole number of bits, so a mask, or
any symbol of probability far above a half, costs up to a bit too much.

Model: uint8 code lengths, shape (alphabet,), 0 = absent. Lengths form a complete code (sum of 2^-length is 1), save that a
single present symbol has length 1. At most 2^15 symbols are present.

Packed model: nibbles, the high one of a byte first, for the symbols in order. 1 to 15 is the code length of the next symbol.
0 is an absent symbol; in an alphabet of more than 16 symbols, 0 starts a run of absent symbols, and its length - 1 follows,
three bits a nibble, lowest first, the nibble's top bit (8) set if another follows; the shortest form, and no run right after a
run. The nibbles end when the code is complete (what is left of the alphabet is absent), or with the last symbol of the
alphabet. If their number is odd, a zero nibble fills the byte.
Example: alphabet 6, lengths 2 1 0 3 3 0 are the nibbles 2 1 0 3 3 and a filler, bytes `21 03 30`.

Codes: symbols sorted by (length, symbol); the first code is all zeros; each next is (code + 1), shifted left by as many bits as
the length grows (RFC 1951, section 3.2.2). In the example: symbol 1 is 0, symbol 0 is 10, symbol 3 is 110, symbol 4 is 111.
Stream: the codes in order, highest bit first; bytes fill from their highest bit; the last byte is filled up with zero bits, and
a reader refuses others, and a byte that it does not need.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from compress.codecs import Buffer, Decoder, Model, Symbols
from compress.codecs.jit import jit
from compress.codecs.symbols import check_alphabet, counted, symbol_dtype, to_encode
from compress.errors import CorruptStream

MAX_BITS = 15
WHOLE = 1 << MAX_BITS  # the Kraft sum of a complete code, in units of 2^-15
TABLE_BITS = 11  # codes up to here take one look-up; 8 KB stay in the first-level cache
MAX_PLAIN_ALPHABET = 16  # up to here absent symbols are not packed as runs


def build_model(frequencies: npt.NDArray[np.int64]) -> Model:
    counts = counted(frequencies)
    present = np.flatnonzero(counts)
    if len(present) > WHOLE:
        raise ValueError(f"huffman: {len(present)} symbols are present, codes of {MAX_BITS} bits hold at most {WHOLE}")
    rarest_first = present[np.argsort(counts[present], kind="stable")]  # ties by symbol
    lengths = np.zeros(len(counts), np.uint8)
    lengths[rarest_first] = _package_merge(counts[rarest_first])
    return lengths


def _package_merge(weights: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Optimal code lengths of at most MAX_BITS. weights: ascending, shape (n,)."""
    n = len(weights)
    if n == 1:
        return np.ones(1, np.uint8)
    merged, levels = weights, [np.ones(n, np.bool_)]  # levels: which items of the merged list are symbols, not packages
    for _ in range(MAX_BITS - 1):
        packages = merged[: len(merged) // 2 * 2].reshape(-1, 2).sum(axis=1)
        items = np.concatenate([weights, packages])
        order = np.argsort(items, kind="stable")
        merged = items[order]
        levels.append(order < n)
    lengths, n_taken = np.zeros(n, np.uint8), 2 * n - 2
    for is_symbol in reversed(levels):
        n_symbols = int(np.count_nonzero(is_symbol[:n_taken]))  # the rarest come first, so they are weights[:n_symbols]
        lengths[:n_symbols] += 1
        n_taken = 2 * (n_taken - n_symbols)
    return lengths


def ideal_bits(frequencies: npt.NDArray[np.int64], model: Model) -> float:
    return float((frequencies * model).sum())


def pack_model(model: Model) -> bytes:
    present = np.flatnonzero(model)
    end = len(model) if len(present) == 1 else int(present[-1]) + 1
    nibbles: list[int] = []
    at = 0
    for symbol in [*present.tolist(), end]:
        if symbol > at:
            nibbles += _run(symbol - at) if len(model) > MAX_PLAIN_ALPHABET else [0] * (symbol - at)
        if symbol < end:
            nibbles.append(int(model[symbol]))
        at = symbol + 1
    return bytes.fromhex("".join(f"{nibble:x}" for nibble in nibbles) + "0" * (len(nibbles) % 2))


def _run(n_absent: int) -> list[int]:
    nibbles, rest = [0], n_absent - 1
    while rest > 7:
        nibbles.append(rest & 7 | 8)
        rest >>= 3
    return [*nibbles, rest]


def unpack_model(data: Buffer, offset: int, alphabet: int) -> tuple[Model, int]:
    lengths = np.zeros(check_alphabet(alphabet), np.uint8)
    symbol, kraft, at = 0, 0, 2 * offset  # at: in nibbles
    after_run = False
    while symbol < alphabet and kraft < WHOLE:
        length, at = _nibble(data, at), at + 1
        if length:
            lengths[symbol] = length
            kraft += WHOLE >> length
            symbol += 1
        elif alphabet <= MAX_PLAIN_ALPHABET:
            symbol += 1
        elif after_run:
            raise CorruptStream(f"huffman model: a run of absent symbols after another, at symbol {symbol}")
        else:
            n_absent, at = _read_run(data, at)
            symbol += n_absent
        after_run = not length
    if symbol > alphabet:
        raise CorruptStream(f"huffman model: absent symbols up to {symbol}, the alphabet has {alphabet}")
    if kraft != WHOLE and lengths.sum() != 1:
        raise CorruptStream(f"huffman model: Kraft sum is {kraft}/{WHOLE}, must be 1")
    if at % 2 and _nibble(data, at):
        raise CorruptStream("huffman model: the last nibble is not zero")
    return lengths, (at + 1) // 2


def _nibble(data: Buffer, at: int) -> int:
    if at // 2 >= len(data):
        raise CorruptStream(f"huffman model: data ends at byte {len(data)}")
    return data[at // 2] & 15 if at % 2 else data[at // 2] >> 4


def _read_run(data: Buffer, at: int) -> tuple[int, int]:
    """A run's number of absent symbols, and where it ends, in nibbles."""
    rest = 0
    for i in range(6):  # 18 bits: more than any alphabet
        group, at = _nibble(data, at), at + 1
        rest |= (group & 7) << 3 * i
        if group < 8:
            if group == 0 and i > 0:
                raise CorruptStream("huffman model: run length is not in its shortest form")
            return rest + 1, at
    raise CorruptStream("huffman model: run length has more than 6 nibbles")


def _canonical(lengths: Model) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Present symbols in the order of their codes, their lengths, and their codes followed by zeros up to MAX_BITS."""
    present = np.flatnonzero(lengths)
    order = present[np.argsort(lengths[present], kind="stable")]
    sizes = WHOLE >> lengths[order].astype(np.int64)  # how many 15-bit windows start with the code
    return order, lengths[order].astype(np.int64), np.cumsum(sizes) - sizes


def encode(symbols: Symbols, model: Model) -> bytes:
    symbols = to_encode(symbols, len(model))
    n_bits = model[symbols]
    if not n_bits.all():
        raise ValueError(f"huffman: symbol {symbols[n_bits.argmin()]} is not in the model")
    order, lengths, windows = _canonical(model)
    codes = np.zeros(len(model), np.int64)
    codes[order] = windows >> (MAX_BITS - lengths)
    out = np.zeros((int(n_bits.sum(dtype=np.int64)) + 7) // 8, np.uint8)
    _encode(symbols, codes, model.astype(np.int64), out)
    return out.tobytes()


def decode(data: Buffer, model: Model, n_symbols: int) -> Symbols:
    return decoder(model)(data, n_symbols)


def decoder(model: Model) -> Decoder:
    order, lengths, windows = _canonical(model)
    short = lengths <= TABLE_BITS
    table = np.zeros(1 << TABLE_BITS, np.int32)  # symbol << 4 | length; 0: a longer code, or none
    entries = np.repeat(order[short] << 4 | lengths[short], 1 << (TABLE_BITS - lengths[short]))
    table[: len(entries)] = entries
    n_shorter = np.cumsum(np.bincount(lengths, minlength=MAX_BITS + 1))  # codes up to each length
    ends = np.append(windows, windows[-1] + (WHOLE >> lengths[-1]))[n_shorter]  # first window of longer codes
    tables = (table, ends, n_shorter, order)
    return lambda data, n_symbols: _decoded(data, tables, n_symbols).astype(symbol_dtype(len(model)))


def _decoded(data: Buffer, tables: tuple[npt.NDArray[Any], ...], n_symbols: int) -> npt.NDArray[np.uint16]:
    table, ends, n_shorter, order = tables
    words = np.zeros(len(data) // 4 + 3, ">u4")  # zeros after the end: the kernel reads at most 47 bits ahead
    words.view(np.uint8)[: len(data)] = np.frombuffer(data, np.uint8)
    out = np.zeros(n_symbols, np.uint16)
    n_done, n_bits = _decode(words.astype(np.uint32), 8 * len(data), table, ends, n_shorter, order, out)
    if n_done < n_symbols:
        reason = "stream ends" if n_bits > 8 * len(data) else "no code"
        raise CorruptStream(f"huffman: {reason} at symbol {n_done} of {n_symbols}")
    if len(data) > (n_bits + 7) // 8:
        raise CorruptStream(f"huffman: {len(data)} bytes, {n_symbols} symbols end in byte {(n_bits + 7) // 8}")
    if n_bits % 8 and data[-1] & (0xFF >> n_bits % 8):
        raise CorruptStream("huffman: the bits after the last symbol are not zero")
    return out


@jit("void(uint16[::1], int64[::1], int64[::1], uint8[::1])")
def _encode(symbols, codes, lengths, out):  # type: ignore[no-untyped-def]
    bits, n_bits, n_bytes = 0, 0, 0  # n_bits < 8 between symbols
    for symbol in symbols:
        bits = bits << lengths[symbol] | codes[symbol]
        n_bits += lengths[symbol]
        while n_bits >= 8:
            n_bits -= 8
            out[n_bytes] = bits >> n_bits & 0xFF
            n_bytes += 1
        bits &= 0xFF
    if n_bits:
        out[n_bytes] = bits << (8 - n_bits) & 0xFF


@jit("UniTuple(int64, 2)(uint32[::1], int64, int32[::1], int64[::1], int64[::1], int64[::1], uint16[::1])")
def _decode(words, n_stored, table, ends, n_shorter, order, out):  # type: ignore[no-untyped-def]
    """Symbols decoded, and bits that they took: more than n_stored, the bits of the stream, if it ends too early."""
    bits, n_bits, at, n_used = 0, 0, 0, 0  # the lowest n_bits of `bits` are still to decode
    for i in range(len(out)):
        if n_bits < MAX_BITS:  # then n_used <= n_stored, so words[at] is at most the second after the stream
            bits = bits << 32 | np.int64(words[at])
            at += 1
            n_bits += 32
        window = bits >> (n_bits - MAX_BITS) & (WHOLE - 1)
        entry = table[window >> (MAX_BITS - TABLE_BITS)]
        length, symbol = entry & 15, entry >> 4
        if entry == 0:
            length = TABLE_BITS + 1
            while length <= MAX_BITS and window >= ends[length]:
                length += 1
            if length > MAX_BITS:
                return i, n_used
            symbol = order[n_shorter[length] - 1 - ((ends[length] - 1 - window) >> (MAX_BITS - length))]
        n_used += length
        if n_used > n_stored:
            return i, n_used
        n_bits -= length
        out[i] = symbol
    return len(out), n_used
