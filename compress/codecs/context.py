"""Signed levels with contexts: an adaptive binary range coder whose probabilities come from weights already coded.

Prefer it to `range` wherever weights have rows, columns and kernels: nearby signs and magnitudes tell much about a weight, so no
model is stored and the stream is some 3 to 6% shorter. It is slower: three predictions are mixed for each binary decision.

The weights of a layer are rows of `columns` levels (a row makes one output), each row in kernels of `kernel` levels that are
`kernel_width` wide. A level is coded as: is it zero; the number of bits of its magnitude, in unary; the magnitude's bits below
the highest; its sign. For each decision three counters, chosen by three contexts, give a probability; a mixer that is trained as
it goes weighs them in the logistic domain (Mahoney 2005, "Adaptive weighing of context models for lossless data compression").
One of the contexts is a linear prediction of the level, by normalised least mean squares over its neighbours.

Model: `Context_Set` (0: every context is the same; 1: as context_kernel.py makes them) and `Mean`, the mean magnitude in 1/16
levels, a varint. Everything is an integer and docs/FORMAT.md says it to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compress.codecs import MAX_CODED_LEVEL, Buffer
from compress.codecs.bits import read_varint, write_varint
from compress.codecs.context_kernel import TABLES, compiled
from compress.codecs.range_coder import check_end, padded
from compress.errors import CorruptStream

Levels = npt.NDArray[np.int32]

MAX_MEAN = 16 * MAX_CODED_LEVEL  # in 1/16 levels
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


def build_model(blocks: Iterable[Levels], context_set: int) -> ContextModel:
    """blocks: all of a layer."""
    total = n_levels = 0
    for block in blocks:
        total += int(np.abs(block.astype(np.int64)).sum())
        n_levels += block.size
    n_levels = max(1, n_levels)
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
    if levels.size and max(-int(levels.min()), int(levels.max())) > MAX_CODED_LEVEL:
        raise ValueError(f"levels span [{levels.min()}, {levels.max()}], allowed magnitude {MAX_CODED_LEVEL}")
    if not levels.size:
        return b""
    data = levels.astype(np.int32, order="C")
    # a decision takes 12 bits at most, a level of b bits 2 b + 1 decisions
    n_decisions = int((2 * np.ceil(np.log2(np.abs(data).astype(np.float64) + 1)) + 1).sum())
    stream = np.zeros(n_decisions * 3 // 2 + 8, np.uint8)
    n_bytes, _, _ = compiled(False)(data, *_arguments(geometry, model), stream, *TABLES)
    return stream[:n_bytes].tobytes()


def decode(data: Buffer, geometry: Geometry, model: ContextModel, n_levels: int) -> Levels:
    """Inverse of encode. Raises CorruptStream for bytes that encode does not make of n_levels levels."""
    levels = np.zeros(n_levels, np.int32)
    if n_levels == 0:
        if len(data):
            raise CorruptStream(f"context: {len(data)} bytes for 0 levels")
        return levels
    stream = padded(data, "context", if_empty=f"0 bytes for {n_levels} levels")
    n_read, n_done, code = compiled(True)(levels, *_arguments(geometry, model), stream, *TABLES)
    ends = f"stream ends, or a level is above {MAX_CODED_LEVEL},"
    check_end(stream, "context", "level", n_levels, n_done=n_done, n_read=n_read, code=code, if_short=ends)
    return levels


def _arguments(geometry: Geometry, model: ContextModel) -> tuple[int, int, int, int, int]:
    return geometry.columns, geometry.kernel, geometry.kernel_width, model.mean, model.context_set
