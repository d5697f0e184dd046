"""Signed levels with contexts: an adaptive binary range coder whose probabilities come from weights already coded.

Prefer it to `range` wherever weights have rows, columns and kernels: nearby signs and magnitudes tell much about a weight, so no
model is stored and the stream is some 3 to 6% shorter. It is slower: three predictions are mixed for each binary decision.

The weights of a layer are rows of `columns` levels (a row makes one output), each row in kernels of `kernel` levels that are
`kernel_width` wide. A level is coded as: is it zero; the number of bits of its magnitude, in unary; the magnitude's bits below
the highest; its sign. For each decision three counters, chosen by three contexts, give a probability; a mixer that is trained as
it goes weighs them in the logistic domain (Mahoney 2005, "Adaptive weighing of context models for lossless data compression").
One of the contexts is a linear prediction of the level, by normalised least mean squares over its neighbours.

Model: `Context_Set` (0: every context is the same; 1: as below) and `Mean`, the mean magnitude in 1/16 levels, a varint.
Everything is an integer and docs/FORMAT.md says it to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from compress.codecs import Buffer
from compress.codecs.bits import read_varint, write_varint
from compress.codecs.jit import jit
from compress.codecs.range_coder import BOTTOM, READ_AHEAD, TOP, add_carry
from compress.errors import CorruptStream

Levels = npt.NDArray[np.int32]

MAX_MAGNITUDE = 4095  # of a level
MAX_MEAN = 16 * MAX_MAGNITUDE  # in 1/16 levels
CONTEXT_SETS = NO_CONTEXT, NEIGHBOURS = 0, 1


@dataclass(frozen=True)
class Geometry:
    """Where a layer's weights are in their tensor: rows of `columns` weights, in kernels of `kernel`, `kernel_width` wide."""

    columns: int
    kernel: int
    kernel_width: int

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Geometry:
        """shape: (out, in / groups, kh, kw), (out, in), or any other."""
        columns = int(np.prod(shape[1:], dtype=np.int64))
        kernel = int(np.prod(shape[2:], dtype=np.int64))
        return cls(columns, kernel, shape[-1] if len(shape) > 2 else 1)


@dataclass(frozen=True)
class ContextModel:
    context_set: int
    mean: int  # magnitude of all levels of the layer, zeros too, in 1/16 levels; at least 1


def build_model(blocks: Sequence[Levels], context_set: int) -> ContextModel:
    """blocks: all of a layer."""
    total = sum(int(np.abs(block.astype(np.int64)).sum()) for block in blocks)
    n_levels = max(1, sum(block.size for block in blocks))
    return ContextModel(context_set, max(1, (32 * total + n_levels) // (2 * n_levels)))


def pack_model(model: ContextModel) -> bytes:
    return bytes([model.context_set]) + write_varint(model.mean)


def unpack_model(data: Buffer, offset: int) -> tuple[ContextModel, int]:
    if offset >= len(data):
        raise CorruptStream("context model: no bytes")
    context_set = int(data[offset])
    if context_set not in CONTEXT_SETS:
        raise CorruptStream(f"context model: Context_Set {context_set}, allowed 0 and 1")
    mean, offset = read_varint(data, offset + 1)
    if not 1 <= mean <= MAX_MEAN:
        raise CorruptStream(f"context model: Mean {mean}, allowed 1 to {MAX_MEAN}")
    return ContextModel(context_set, mean), offset


def encode(levels: Levels, geometry: Geometry, model: ContextModel) -> bytes:
    """levels: shape (n,), the weights of one block, which begins with a row or lies within one."""
    if levels.ndim != 1 or levels.dtype.kind not in "iu":
        raise ValueError(f"levels must be a 1-D array of integers, got {levels.dtype} {levels.shape}")
    if levels.size and max(-int(levels.min()), int(levels.max())) > MAX_MAGNITUDE:
        raise ValueError(f"levels span [{levels.min()}, {levels.max()}], allowed magnitude {MAX_MAGNITUDE}")
    if not levels.size:
        return b""
    data = levels.astype(np.int32, order="C")
    # a decision takes 12 bits at most, a level of b bits 2 b + 1 decisions
    n_decisions = int((2 * np.ceil(np.log2(np.abs(data).astype(np.float64) + 1)) + 1).sum())
    stream = np.zeros(n_decisions * 3 // 2 + 8, np.uint8)
    n_bytes, _, _ = _compiled(False)(data, *_arguments(geometry, model), stream, *TABLES)
    return stream[:n_bytes].tobytes()


def decode(data: Buffer, geometry: Geometry, model: ContextModel, n_levels: int) -> Levels:
    """Inverse of encode. Raises CorruptStream for bytes that encode does not make of n_levels levels."""
    levels = np.zeros(n_levels, np.int32)
    if n_levels == 0 or len(data) == 0:
        if n_levels or len(data):
            raise CorruptStream(f"context: {len(data)} bytes for {n_levels} levels")
        return levels
    if data[:4] == b"\xff\xff\xff\xff":
        raise CorruptStream("context: stream starts with ff ff ff ff, outside the coder's interval")
    stream = np.zeros(len(data) + READ_AHEAD, np.uint8)
    stream[: len(data)] = np.frombuffer(data, np.uint8)
    n_read, n_done, code = _compiled(True)(levels, *_arguments(geometry, model), stream, *TABLES)
    if n_done < n_levels:
        raise CorruptStream(f"context: stream ends, or a level is above {MAX_MAGNITUDE}, at level {n_done} of {n_levels}")
    if n_read < len(stream):
        raise CorruptStream(f"context: {len(data)} bytes, {n_levels} levels end in byte {n_read - READ_AHEAD}")
    if code >= BOTTOM:
        raise CorruptStream(f"context: final state is {code}, must be less than {BOTTOM}")
    return levels


def _arguments(geometry: Geometry, model: ContextModel) -> tuple[int, int, int, int, int]:
    return geometry.columns, geometry.kernel, geometry.kernel_width, model.mean, model.context_set


# --- tables: all integers, made from these constants -----------------------------------------------------------------

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

# --- the kernels -------------------------------------------------------------------------------------------------------

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
def _compiled(decoding: bool) -> Any:
    """When first asked for: a direction takes seconds where numba has no cache, and a reader needs one."""
    return jit(_SIGNATURE)(_kernel(decoding))
