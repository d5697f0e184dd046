"""Order-0 range coder (Martin 1979), 32 bits, byte by byte as in LZMA: within a few bytes of the model's ideal length.

Prefer it for size, above all for a mask, where a Huffman code cannot go below a bit a weight; prefer `huffman` for speed.

Model: integer frequencies, shape (alphabet,), that sum to 2^14; 0 = absent, at most 4096 present. A writer scales the counts so
that the ideal length is about as short as this sum allows; a reader needs only the result.

Packed model: LEB128 varints (bits.py) for the symbols in order. A value > 0 is the frequency of the next symbol. 0 starts a
run of absent symbols, and its length - 1 follows as a varint; no run follows a run. The values end when the sum is 2^14 (what
is left of the alphabet is absent); if the last symbol of the alphabet is reached before, it has what is missing, unwritten.
Example: a mask with 10,000 of 16,384 weights zero is the one value 10,000, bytes `90 4e`.

Stream. Let C(s) be the sum of the frequencies below symbol s, F(s) its frequency, and `last` the last present symbol. The coder
keeps an interval [low, low + span), at first low = 0, span = 2^32 - 1, all integers. For each symbol:
    unit = span >> 14;  low += unit * C(s);  span = span - unit * C(s) if s is `last`, else unit * F(s)
    while span < 2^24:  put out bits 24 to 31 of low;  low = low << 8, kept to 32 bits;  span <<= 8
A carry out of bit 31 of low goes into the bytes put out before. After the last symbol: low += 2^24 - 1 with its carry, and bits
24 to 31 are put out once more: the stream is the top bytes of the first multiple of 2^24 in the interval.
A reader takes the stream with three zero bytes after it, which are not stored. It starts with code = the first four bytes,
big-endian, and keeps code, which is the stream's value less low, in place of low: s is the present symbol with the largest C(s)
such that unit * C(s) <= code; code -= unit * C(s); span as above; and where the writer puts a byte out, code = code << 8 | the
next byte. All fits in 32 bits unsigned. It refuses a stream that starts with ff ff ff ff, that has no byte to take in before the
last symbol is done, that is not used up to the last of the three zeros, or that leaves a code >= 2^24. So some symbols under a
model have exactly one stream, and its length is checked.
No symbols, and any number of symbols under a model with a single one present, are no bytes.
Example: frequencies 8192 8192, symbols 1 0 1. low, span are 0, ffffffff; 7fffe000, 80001fff; 7fffe000, 40000000; 9fffe000,
20000000. No byte is put out before the end; 9fffe000 + 00ffffff is a0ffdfff, so the stream is the byte `a0`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from compress.codecs import Buffer, Decoder, Model, Symbols
from compress.codecs.bits import read_varint, write_varint
from compress.codecs.jit import jit
from compress.codecs.symbols import check_alphabet, counted, symbol_dtype, to_encode
from compress.errors import CorruptStream

TOTAL_BITS = 14
TOTAL = 1 << TOTAL_BITS
MAX_PRESENT = 1 << 12
BOTTOM = 1 << 24  # span never stays below, so unit is at least 2^10
TOP = (1 << 32) - 1  # span at the start; the 32 bits of low
READ_AHEAD = 3  # bytes of the reader's code after the one the writer puts out last


def build_model(frequencies: npt.NDArray[np.int64]) -> Model:
    counts = counted(frequencies)
    n_present, n_symbols = int(np.count_nonzero(counts)), int(counts.sum())
    if n_present > MAX_PRESENT:
        raise ValueError(f"range: {n_present} symbols are present, at most {MAX_PRESENT} can be")
    if n_symbols >= 1 << 31:
        raise ValueError(f"range: {n_symbols} symbols, a model is built from less than 2^31")
    scaled = np.maximum(counts * (TOTAL - n_present) // n_symbols, counts > 0)
    _share_out(TOTAL - int(scaled.sum()), scaled, counts)
    return scaled.astype(np.uint16)


def _share_out(n_units: int, scaled: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> None:
    """Give the missing units, in place, each to the symbol that it saves most: one more than f saves count * log((f + 1) / f)
    bits, close to count / (f + 1/2). These are Webster's divisors, in integers; ties go to the lowest symbol."""
    saved = (counts << 32) // (2 * scaled + 1)
    for _ in range(n_units):
        symbol = int(saved.argmax())
        scaled[symbol] += 1
        saved[symbol] = (counts[symbol] << 32) // (2 * scaled[symbol] + 1)


def ideal_bits(frequencies: npt.NDArray[np.int64], model: Model) -> float:
    """Bits under exact arithmetic coding; infinite if a symbol is not in the model. A float: for reports only."""
    present = frequencies > 0
    if not model[present].all():
        return float("inf")
    return float((frequencies[present] * (TOTAL_BITS - np.log2(model[present]))).sum())


def pack_model(model: Model) -> bytes:
    present = np.flatnonzero(model)
    packed, at = b"", 0
    for symbol in present.tolist():
        if symbol > at:
            packed += write_varint(0) + write_varint(symbol - at - 1)
        if symbol < len(model) - 1:
            packed += write_varint(int(model[symbol]))
        at = symbol + 1
    return packed


def unpack_model(data: Buffer, offset: int, alphabet: int) -> tuple[Model, int]:
    model = np.zeros(check_alphabet(alphabet), np.uint16)
    symbol, total, after_run = 0, 0, False
    while total < TOTAL and symbol < alphabet - 1:
        value, offset = read_varint(data, offset)
        if value:
            if value > TOTAL - total:
                raise CorruptStream(f"range model: frequencies sum to {total + value} at symbol {symbol}, at most {TOTAL}")
            model[symbol] = value
            total += value
            symbol += 1
        elif after_run:
            raise CorruptStream(f"range model: a run of absent symbols after another, at symbol {symbol}")
        else:
            n_absent, offset = read_varint(data, offset)
            symbol += n_absent + 1
        after_run = value == 0
    if symbol >= alphabet and total < TOTAL:
        raise CorruptStream(f"range model: absent symbols up to {symbol}, frequencies sum to {total}, must be {TOTAL}")
    if total < TOTAL:
        model[alphabet - 1] = TOTAL - total
    if np.count_nonzero(model) > MAX_PRESENT:
        raise CorruptStream(f"range model: {np.count_nonzero(model)} symbols are present, at most {MAX_PRESENT} can be")
    return model, offset


def encode(symbols: Symbols, model: Model) -> bytes:
    symbols = to_encode(symbols, len(model))
    if not model[symbols].all():
        raise ValueError(f"range: symbol {symbols[model[symbols].argmin()]} is not in the model")
    present = np.flatnonzero(model)
    if len(symbols) == 0 or len(present) == 1:
        return b""
    sizes = model.astype(np.int64)
    out = np.zeros(2 * len(symbols) + 1, np.uint8)  # unit >= 2^10, so a symbol puts out two bytes at most
    n_bytes = _encode(symbols, np.cumsum(sizes) - sizes, sizes, int(present[-1]), out)
    return out[:n_bytes].tobytes()


def decode(data: Buffer, model: Model, n_symbols: int) -> Symbols:
    return decoder(model)(data, n_symbols)


def decoder(model: Model) -> Decoder:
    dtype = symbol_dtype(len(model))
    present = np.flatnonzero(model)
    kernel = _kernel(model, present) if len(present) > 1 else None

    def decoded(data: Buffer, n_symbols: int) -> Symbols:
        if n_symbols == 0 or kernel is None:
            if len(data):
                raise CorruptStream(f"range: {len(data)} bytes where {n_symbols} symbols are none")
            return np.full(n_symbols, present[0], dtype)
        stream = padded(data, "range", if_empty=f"stream ends at symbol 0 of {n_symbols}")
        out = np.zeros(n_symbols, np.uint16)
        n_done, n_read, code = kernel(int.from_bytes(stream[:4].tobytes(), "big"), stream, out)
        check_end(stream, "range", "symbol", n_symbols, n_done=n_done, n_read=n_read, code=code)
        return out.astype(dtype)

    return decoded


def padded(data: Buffer, coder: str, *, if_empty: str) -> npt.NDArray[np.uint8]:
    """The stream as a reader takes it, with the zero bytes after it that are not stored. coder: that reads it, for messages.

    Raises CorruptStream for no bytes, in the words of if_empty, and for a start outside the coder's interval."""
    if len(data) == 0:
        raise CorruptStream(f"{coder}: {if_empty}")
    if data[:4] == b"\xff\xff\xff\xff":
        raise CorruptStream(f"{coder}: stream starts with ff ff ff ff, outside the coder's interval")
    stream = np.zeros(len(data) + READ_AHEAD, np.uint8)
    stream[: len(data)] = np.frombuffer(data, np.uint8)
    return stream


def check_end(
    stream: npt.NDArray[np.uint8],
    coder: str,
    what: str,
    n_asked: int,
    *,
    n_done: int,
    n_read: int,
    code: int,
    if_short: str = "stream ends",
) -> None:
    """Raises CorruptStream unless a reader of a padded stream ends with n_asked symbols done, every byte read and a code that
    the writer leaves. what: a symbol is called, if_short: what it is that stopped the reader, for messages."""
    if n_done < n_asked:
        raise CorruptStream(f"{coder}: {if_short} at {what} {n_done} of {n_asked}")
    if n_read < len(stream):
        n_bytes = len(stream) - READ_AHEAD
        raise CorruptStream(f"{coder}: {n_bytes} bytes, {n_asked} {what}s end in byte {n_read - READ_AHEAD}")
    if code >= BOTTOM:
        raise CorruptStream(f"{coder}: final state is {code}, must be less than {BOTTOM}")


def _kernel(model: Model, present: npt.NDArray[np.int64]) -> Callable[..., tuple[int, int, int]]:
    """Takes the code, a padded stream and the array for the symbols; gives the symbols decoded, the bytes read, and the code
    that is left. Two present symbols need no division."""
    sizes = model[present].astype(np.int64)
    if len(present) == 2:
        zero, one = present.tolist()
        return lambda code, stream, out: _decode_binary(code, stream, zero, one, int(sizes[0]), out)
    symbol_at = np.repeat(present.astype(np.uint16), sizes)  # (2^14,)
    all_sizes, starts = np.zeros(len(model), np.int64), np.zeros(len(model), np.int64)
    all_sizes[present], starts[present] = sizes, np.cumsum(sizes) - sizes
    last = int(present[-1])
    return lambda code, stream, out: _decode(code, stream, symbol_at, starts, all_sizes, last, out)


@jit("void(uint8[::1], int64)")
def add_carry(out, n_bytes):  # type: ignore[no-untyped-def]
    """Add one to the number that out[:n_bytes] is; it never overflows, for the first interval has no carry."""
    at = n_bytes - 1
    while out[at] == 255:
        out[at] = 0
        at -= 1
    out[at] += 1


@jit("int64(uint16[::1], int64[::1], int64[::1], int64, uint8[::1])")
def _encode(symbols, starts, sizes, last, out):  # type: ignore[no-untyped-def]
    low, span, n_bytes = 0, TOP, 0
    for symbol in symbols:
        unit = span >> TOTAL_BITS
        below = unit * starts[symbol]
        low += below
        span = span - below if symbol == last else unit * sizes[symbol]
        if low > TOP:
            low &= TOP
            add_carry(out, n_bytes)
        while span < BOTTOM:
            out[n_bytes] = low >> 24
            n_bytes += 1
            low = low << 8 & TOP
            span <<= 8
    low += BOTTOM - 1
    if low > TOP:
        low &= TOP
        add_carry(out, n_bytes)
    out[n_bytes] = low >> 24
    return n_bytes + 1


@jit("UniTuple(int64, 3)(int64, uint8[::1], uint16[::1], int64[::1], int64[::1], int64, uint16[::1])")
def _decode(code, stream, symbol_at, starts, sizes, last, out):  # type: ignore[no-untyped-def]
    span, n_read = TOP, 4  # code < span throughout
    for i in range(len(out)):
        unit = span >> TOTAL_BITS
        at = np.int64(np.uint32(code) // np.uint32(unit))  # 32 bits: the fast division
        symbol = symbol_at[min(at, TOTAL - 1)]  # what unit * 2^14 leaves of span belongs to `last`
        below = unit * starts[symbol]
        code -= below
        span = span - below if symbol == last else unit * sizes[symbol]
        while span < BOTTOM:
            if n_read >= len(stream):
                return i, n_read, code
            code = code << 8 | np.int64(stream[n_read])
            n_read += 1
            span <<= 8
        out[i] = symbol
    return len(out), n_read, code


@jit("UniTuple(int64, 3)(int64, uint8[::1], int64, int64, int64, uint16[::1])")
def _decode_binary(code, stream, zero, one, size, out):  # type: ignore[no-untyped-def]
    span, n_read = TOP, 4
    for i in range(len(out)):
        below = (span >> TOTAL_BITS) * size
        if code < below:
            span = below
            out[i] = zero
        else:
            span -= below
            code -= below
            out[i] = one
        while span < BOTTOM:
            if n_read >= len(stream):
                return i, n_read, code
            code = code << 8 | np.int64(stream[n_read])
            n_read += 1
            span <<= 8
    return len(out), n_read, code
