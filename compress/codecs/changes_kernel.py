"""The coder of `changes`, one decision at a time: one kernel for both directions. docs/DELTA.md, "Stream".

The interval, its carries and its bytes are those of range_coder.py; three counters are mixed as in context_kernel.py, by its
tables, but slower: what changes is rare, and looks like chance. changes.py says what a stream must be.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from compress.codecs.context_kernel import LARGEST_LOGIT, TABLES
from compress.codecs.jit import jit
from compress.codecs.range_coder import BOTTOM, TOP, add_carry

SQUASH, STRETCH, _, _, _, LOGS = TABLES
COUNT_LIMIT = 1000  # a counter's rate is that of the mean of so many decisions, at the slowest
RATES = (131072 // (2 * np.arange(COUNT_LIMIT + 1) + 3)).astype(np.int32)
EVEN_WEIGHTS = 22000  # 1/65536: of the mixer, at the start
MAX_BITS = 32  # below the highest bit of a change
CHANGED, RISES, BITS, BELOW = 0, 1, 2, 2 + MAX_BITS + 1  # decisions; of the last two, one for each number of bits
N_DECISIONS = BELOW + MAX_BITS + 1
N_CONTEXTS = 48  # of a decision, for each of the three counters
LARGEST_CLASS = 5  # of old levels, in magnitude
COLUMN_MEMORY, ROW_MEMORY = 30, 60  # weights, of the shares that changed; the changes, of those that rose

_I, _U = "int64[::1]", "uint8[::1]"


@jit(f"int64({_I}, {_U}, int64, int64)")
def _code(coder, stream, bound, bit):  # type: ignore[no-untyped-def]
    """As _decide, for a bit whose 1 takes the first `bound` of the span."""
    low, span, at = coder[0], coder[1], coder[2]
    decoding = bit < 0
    if decoding:
        bit = np.int64(low < bound)
    if bit:
        span = bound
    else:
        span -= bound
        low += -bound if decoding else bound
        if not decoding and low > TOP:
            low &= TOP
            add_carry(stream, at)
    while span < BOTTOM:
        if decoding:
            if at >= len(stream):
                return -1
            low = low << 8 | np.int64(stream[at])
        else:
            stream[at] = low >> 24
            low = low << 8 & TOP
        at += 1
        span <<= 8
    coder[0], coder[1], coder[2] = low, span, at
    return bit


@jit(f"int64({_I}, {_U}, uint32[::1], {_I}, int64, int64, int64, int64, int64)")
def _decide(coder, stream, counters, weights, decision, c0, c1, c2, bit):  # type: ignore[no-untyped-def]
    """Code `bit`, or decode one where it is -1. Returns it, or -1 where the stream ends. coder: low, span, place in the stream;
    of a decoder, the stream's value less low."""
    U = np.uint64  # an index that is known not to be negative
    i0 = U(decision * N_CONTEXTS + c0)
    i1 = U((N_DECISIONS + decision) * N_CONTEXTS + c1)
    i2 = U((2 * N_DECISIONS + decision) * N_CONTEXTS + c2)
    s0, s1, s2 = np.int64(counters[i0]), np.int64(counters[i1]), np.int64(counters[i2])
    l0, l1, l2 = np.int64(STRETCH[U(s0 >> 20)]), np.int64(STRETCH[U(s1 >> 20)]), np.int64(STRETCH[U(s2 >> 20)])
    w = U(3 * decision)
    w0, w1, w2 = weights[w], weights[w + U(1)], weights[w + U(2)]
    logit = min(max((w0 * l0 + w1 * l1 + w2 * l2) >> 16, -LARGEST_LOGIT), LARGEST_LOGIT)
    one = np.int64(SQUASH[U(logit + LARGEST_LOGIT + 1)])
    bit = _code(coder, stream, (coder[1] >> 12) * one, bit)
    if bit < 0:
        return bit
    error = (bit << 12) - one
    weights[w] = w0 + ((l0 * error + 8192) >> 14)
    weights[w + U(1)] = w1 + ((l1 * error + 8192) >> 14)
    weights[w + U(2)] = w2 + ((l2 * error + 8192) >> 14)
    target = bit << 22
    for i, state in ((i0, s0), (i1, s1), (i2, s2)):
        n, s = state & 1023, state >> 10
        counters[i] = (s + (((target - s) * RATES[U(n)]) >> 16)) << 10 | (n + (n < COUNT_LIMIT))
    return bit


@jit(f"int64({_I}, {_U}, uint32[::1], {_I}, int64, int64, boolean)")
def _magnitude(coder, stream, counters, weights, level, magnitude, decoding):  # type: ignore[no-untyped-def]
    """Code a magnitude of 1 or more, or decode it. Returns it, or -1 where the stream ends or it has too many bits."""
    n_bits = np.int64(0)
    while True:
        more = -1 if decoding else np.int64(magnitude >> (n_bits + 1) > 0)
        more = _decide(coder, stream, counters, weights, BITS + n_bits, level, 0, 0, more)
        if more < 0:
            return -1
        if more == 0:
            break
        n_bits += 1
        if n_bits > MAX_BITS:
            return -1
    node = np.int64(1)
    for shift in range(n_bits - 1, -1, -1):
        bit = -1 if decoding else (magnitude >> shift) & 1
        if shift == n_bits - 1:
            bit = _decide(coder, stream, counters, weights, BELOW + n_bits, level, 0, 0, bit)
        else:
            bit = _code(coder, stream, coder[1] >> 1, bit)  # as good as chance
        if bit < 0:
            return -1
        node = 2 * node + bit
    return node


def _kernel(decoding):  # type: ignore[no-untyped-def]
    """One source for both directions, so that they cannot differ."""

    def kernel(new, old, columns, stream):  # type: ignore[no-untyped-def]
        coder = np.array([0, TOP, 0], np.int64)
        counters = np.full(3 * N_DECISIONS * N_CONTEXTS, 1 << 31, np.uint32)  # probability of 1 << 10 | decisions seen
        weights = np.full(3 * N_DECISIONS, EVEN_WEIGHTS, np.int64)
        n_columns = min(columns, len(old))  # a row may be longer than the layer is
        column_share = np.zeros(n_columns, np.int64)  # of its weights, those that changed, 1/65536
        column_rise = np.full(n_columns, 1 << 15, np.int64)  # of those, the ones that rose, 1/65536
        row_share, row_rise = np.int64(0), np.int64(1 << 15)
        if decoding:
            for _ in range(4):
                coder[0] = coder[0] << 8 | np.int64(stream[coder[2]])
                coder[2] += 1
        c, row = np.int64(0), np.int64(0)
        for i in range(len(old)):
            change = new[i] - old[i]
            level = min(max(old[i], -LARGEST_CLASS), LARGEST_CLASS) + LARGEST_CLASS
            c1, c2 = np.int64(LOGS[row_share >> 5]), np.int64(LOGS[column_share[c] >> 5])
            bit = -1 if decoding else np.int64(change != 0)
            changed = _decide(coder, stream, counters, weights, CHANGED, level, c1, c2, bit)
            if changed < 0:
                return coder[2], i, coder[0]
            if changed:
                c1, c2 = row_rise >> 12, column_rise[c] >> 12
                bit = -1 if decoding else np.int64(change > 0)
                rises = _decide(coder, stream, counters, weights, RISES, level, c1, c2, bit)
                if rises < 0:
                    return coder[2], i, coder[0]
                magnitude = _magnitude(coder, stream, counters, weights, level, abs(change), decoding)
                if magnitude < 0:
                    return coder[2], i, coder[0]
                change = magnitude if rises else -magnitude
                column_rise[c] += ((rises << 16) - column_rise[c]) >> 3
                row_rise += ((rises << 16) - row_rise) >> 4
            if decoding:
                new[i] = old[i] + change if changed else old[i]
            column_share[c] += (((changed << 16) - column_share[c]) * (65536 // (min(row, COLUMN_MEMORY) + 2))) >> 16
            row_share += (((changed << 16) - row_share) * (65536 // (min(c, ROW_MEMORY) + 6))) >> 16
            c += 1
            if c == columns:
                c = np.int64(0)
                row += 1
        if not decoding:
            coder[0] += BOTTOM - 1
            if coder[0] > TOP:
                coder[0] &= TOP
                add_carry(stream, coder[2])
            stream[coder[2]] = coder[0] >> 24
            coder[2] += 1
        return coder[2], len(old), coder[0]

    return kernel


@cache
def compiled(decoding: bool) -> Any:
    """When first asked for: a direction takes seconds where numba has no cache."""
    return jit(f"UniTuple(int64, 3)({_I}, {_I}, int64, {_U})")(_kernel(decoding))
