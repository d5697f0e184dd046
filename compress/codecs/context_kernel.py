"""The coder of `context`, one decision at a time: its tables, and one kernel for both directions. docs/FORMAT.md, "context".

The tables are integers, made from the constants here; context.py has the model, and what a stream must be.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from compress.codecs.jit import jit
from compress.codecs.range_coder import BOTTOM, TOP, add_carry

LOGISTIC = np.array(  # 4096 / (1 + exp(-x / 2)) for x = -16 .. 16
    [1, 2, 4, 6, 10, 17, 28, 45, 74, 120, 194, 311, 488, 747, 1102, 1546, 2048,
     2550, 2994, 3349, 3608, 3785, 3902, 3976, 4022, 4051, 4068, 4079, 4086, 4090, 4092, 4094, 4095], np.int64
)  # fmt: skip
LARGEST_LOGIT = 2047  # 1/256 nats
COUNT_LIMIT = 250  # a counter's rate is that of the mean of so many decisions, at the slowest
N_DECISIONS = 80  # 0 zero, 1 sign, 2..13 number of bits, 16.. bits below the highest
N_CONTEXTS = 576  # of a decision, for each of the three counters
COLUMN_MEMORY, ROW_MEMORY = 14, 40


def _tables() -> tuple[npt.NDArray[np.int32], ...]:
    """squash, stretch, counter rates, column rates, row rates, logarithms: see docs/FORMAT.md, "context"."""
    x = np.arange(-LARGEST_LOGIT - 1, LARGEST_LOGIT + 1)
    low, rest = (x >> 7) + 16, x & 127
    squash = (LOGISTIC[low] * (128 - rest) + LOGISTIC[low + 1] * rest + 64) >> 7
    stretch = np.minimum(np.searchsorted(squash, np.arange(4096)), 2 * LARGEST_LOGIT + 1) - LARGEST_LOGIT - 1
    stretch = np.maximum(stretch, -LARGEST_LOGIT)
    counter_rates = 131072 // (2 * np.arange(COUNT_LIMIT + 1) + 3)
    column_rates = 65536 // (np.arange(COLUMN_MEMORY + 1) + 2)
    row_rates = 65536 // (np.arange(ROW_MEMORY + 1) + 6)
    i = np.maximum(np.arange(2048), 1)
    octave = np.frexp(i)[1] - 1
    logs = np.minimum(4 * octave + ((i << 2 >> octave) & 3), 47)
    return tuple(table.astype(np.int32) for table in (squash, stretch, counter_rates, column_rates, row_rates, logs))


TABLES = _tables()

_I = "int32[::1]"
_SIGNATURE = f"UniTuple(int64, 3)({_I}, int64, int64, int64, int64, int64, uint8[::1], {_I}, {_I}, {_I}, {_I}, {_I}, {_I})"


@jit("int64(int64)")
def _three(level):  # type: ignore[no-untyped-def]
    """0 for zero, 1 for a positive level, 2 for a negative one."""
    return 1 if level > 0 else (2 if level < 0 else 0)


def _kernel(decoding):  # type: ignore[no-untyped-def]
    """One source for both directions, so that they cannot differ. numba leaves the other direction's code out."""

    def kernel(  # type: ignore[no-untyped-def]
        levels, columns, kernel, width, mean, context_set, stream, squash, stretch, counter_rates, column_rates, row_rates, logs
    ):
        U = np.uint64  # an index that is known not to be negative: half the instructions
        counters = np.full(3 * N_DECISIONS * N_CONTEXTS, 1 << 31, np.uint32)  # probability of 1 << 10 | decisions seen
        weights = np.full(4 * N_DECISIONS, 24000, np.int64)  # of the mixer, 1/65536
        n_columns = min(columns, len(levels))  # a row may be longer than the block
        column_mean = np.full(n_columns, mean << 8, np.int32)  # of magnitudes, 1/4096 levels
        column_sum = np.zeros(n_columns, np.int32)  # mean of levels, 1/4096
        taps = np.zeros(8, np.int64)  # of the predictor, 1/65536
        log_mean = np.int64(logs[min(mean << 1, 2047)])
        per_mean = (4 << 16) // mean
        power_floor = 14 * mean * mean
        low, span, at = np.int64(0), np.int64(TOP), np.int64(0)
        if decoding:
            for _ in range(4):
                low = low << 8 | np.int64(stream[at])
                at += 1
        c, row, p, px = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        row_mean, kernel_sum = np.int64(0), np.int64(0)
        for i in range(len(levels)):
            if c == 0:
                row_mean = mean << 8
            if p == 0:
                kernel_sum = np.int64(0)
            above = np.int64(levels[U(i - columns)]) if row > 0 else np.int64(0)
            above2 = np.int64(levels[U(i - 2 * columns)]) if row > 1 else np.int64(0)
            left = left2 = up = corner = np.int64(0)
            if kernel > 1:
                if px > 0:
                    left = np.int64(levels[U(i - 1)])
                if px > 1:
                    left2 = np.int64(levels[U(i - 2)])
                if p >= width:
                    up = np.int64(levels[U(i - width)])
                    if px > 0:
                        corner = np.int64(levels[U(i - width - 1)])
            else:
                if c > 0:
                    left = np.int64(levels[U(i - 1)])
                if c > 1:
                    left2 = np.int64(levels[U(i - 2)])
            x0, x1, x2, x3 = above << 4, above2 << 4, left << 4, left2 << 4
            x4, x5, x6, x7 = up << 4, corner << 4, kernel_sum << 4, np.int64(column_sum[U(c)]) >> 8
            prediction = (
                taps[0] * x0 + taps[1] * x1 + taps[2] * x2 + taps[3] * x3
                + taps[4] * x4 + taps[5] * x5 + taps[6] * x6 + taps[7] * x7
            ) >> 16  # fmt: skip
            power = power_floor + x0 * x0 + x1 * x1 + x2 * x2 + x3 * x3 + x4 * x4 + x5 * x5 + x6 * x6 + x7 * x7
            expected = min((abs(prediction) * per_mean) >> 16, 15)
            log_column = np.int64(logs[U(min(np.int64(column_mean[U(c)]) >> 7, 2047))])
            log_row = np.int64(logs[U(min(row_mean >> 7, 2047))])
            c0 = c1 = c2 = np.int64(0)
            if context_set:
                c0 = (log_column >> 1) * 24 + (log_row >> 1)
                c1 = min(abs(left), 3) * 16 + min(abs(left2), 3) * 4 + min(abs(up), 3)
                c2 = expected * 24 + (min(max(log_column + log_row - log_mean, 0), 47) >> 1)
            level = np.int64(levels[U(i)])
            magnitude = abs(level)
            decision, n_bits, node, shift = np.int64(0), np.int64(0), np.int64(1), np.int64(0)
            while True:
                i0 = U(decision * N_CONTEXTS + c0)
                i1 = U((N_DECISIONS + decision) * N_CONTEXTS + c1)
                i2 = U((2 * N_DECISIONS + decision) * N_CONTEXTS + c2)
                s0, s1, s2 = np.int64(counters[i0]), np.int64(counters[i1]), np.int64(counters[i2])
                l0, l1, l2 = np.int64(stretch[U(s0 >> 20)]), np.int64(stretch[U(s1 >> 20)]), np.int64(stretch[U(s2 >> 20)])
                w = U(4 * decision)
                w0, w1, w2 = np.int64(weights[w]), np.int64(weights[w + U(1)]), np.int64(weights[w + U(2)])
                logit = min(max((w0 * l0 + w1 * l1 + w2 * l2) >> 16, -LARGEST_LOGIT), LARGEST_LOGIT)
                one = np.int64(squash[U(logit + LARGEST_LOGIT + 1)])
                bound = (span >> 12) * one
                if decoding:
                    bit = np.int64(low < bound)
                elif decision == 0:
                    bit = np.int64(magnitude > 0)
                elif decision == 1:
                    bit = np.int64(level < 0)
                elif decision < 16:
                    bit = np.int64(magnitude >> (n_bits + 1) > 0)
                else:
                    bit = (magnitude >> shift) & 1
                if bit:
                    span = bound
                else:
                    span -= bound
                    if decoding:
                        low -= bound
                    else:
                        low += bound
                        if low > TOP:
                            low &= TOP
                            add_carry(stream, at)
                while span < BOTTOM:
                    if decoding:
                        if at >= len(stream):
                            return at, i, low
                        low = low << 8 | np.int64(stream[U(at)])
                    else:
                        stream[U(at)] = low >> 24
                        low = low << 8 & TOP
                    at += 1
                    span <<= 8
                error = ((bit << 12) - one) * 4
                weights[w] = w0 + ((l0 * error + 8192) >> 14)
                weights[w + U(1)] = w1 + ((l1 * error + 8192) >> 14)
                weights[w + U(2)] = w2 + ((l2 * error + 8192) >> 14)
                target = bit << 22
                n, s = s0 & 1023, s0 >> 10
                counters[i0] = (s + (((target - s) * counter_rates[U(n)]) >> 16)) << 10 | (n + (n < COUNT_LIMIT))
                n, s = s1 & 1023, s1 >> 10
                counters[i1] = (s + (((target - s) * counter_rates[U(n)]) >> 16)) << 10 | (n + (n < COUNT_LIMIT))
                n, s = s2 & 1023, s2 >> 10
                counters[i2] = (s + (((target - s) * counter_rates[U(n)]) >> 16)) << 10 | (n + (n < COUNT_LIMIT))
                if decision == 0:
                    if not bit:
                        break
                    decision = np.int64(2)
                    continue
                if decision == 1:
                    level = -node if bit else node
                    break
                if decision < 16:
                    if bit:
                        n_bits += 1
                        decision += 1
                        if n_bits == 12:
                            return at, i, low
                        continue
                    shift = n_bits - 1
                else:
                    node = 2 * node + bit
                    shift -= 1
                if shift >= 0:
                    decision = min(13 + (1 << n_bits) + node, N_DECISIONS - 1)
                    continue
                decision = np.int64(1)
                if context_set:
                    c0 = (_three(above) * 3 + _three(above2)) * 3 + _three(left)
                    c1 = ((_three(left) * 3 + _three(left2)) * 3 + _three(up)) * 9 + min(p, 8)
                    c2 = (16 + expected if prediction >= 0 else 16 - expected) * 4 + min(node, 4) - 1
            if decoding:
                levels[U(i)] = level
            error = (level << 4) - prediction
            gain = (abs(error) << 16) // power
            gain = gain if error >= 0 else -gain
            taps[0] += (gain * x0) >> 5
            taps[1] += (gain * x1) >> 5
            taps[2] += (gain * x2) >> 5
            taps[3] += (gain * x3) >> 5
            taps[4] += (gain * x4) >> 5
            taps[5] += (gain * x5) >> 5
            taps[6] += (gain * x6) >> 5
            taps[7] += (gain * x7) >> 5
            rate = np.int64(column_rates[U(min(row, COLUMN_MEMORY))])
            old = np.int64(column_mean[U(c)])
            column_mean[U(c)] = old + ((((abs(level) << 12) - old) * rate) >> 16)
            old = np.int64(column_sum[U(c)])
            column_sum[U(c)] = old + ((((level << 12) - old) * rate) >> 16)
            row_mean += (((abs(level) << 12) - row_mean) * row_rates[U(min(c, ROW_MEMORY))]) >> 16
            kernel_sum += level
            p, px, c = p + 1, px + 1, c + 1
            if px == width:
                px = np.int64(0)
            if p == kernel:
                p = np.int64(0)
                px = np.int64(0)
            if c == columns:
                c = np.int64(0)
                row += 1
        if not decoding:
            low += BOTTOM - 1
            if low > TOP:
                low &= TOP
                add_carry(stream, at)
            stream[at] = low >> 24
            at += 1
        return at, len(levels), low

    return kernel


@cache
def compiled(decoding: bool) -> Any:
    """When first asked for: a direction takes seconds where numba has no cache, and a reader needs one."""
    return jit(_SIGNATURE)(_kernel(decoding))
