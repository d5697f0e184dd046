"""Integers against older ones in the same places of a tensor: what a delta's symbol form stores of a layer that was tuned.

Each is coded as: is it another than before; if so, is it above or below; by how many, less one: the number of bits of that in
unary, then its bits below the highest. Which weights change looks like chance, save that the share of them differs from level to
level, row to row and column to column: those three are the contexts, and each decision's probability is mixed from three adaptive
counters, as in `context`, and coded by the same binary range coder. (Whether its neighbours changed tells nothing more of a
weight: that was measured.) No model is stored. Everything is an integer; docs/DELTA.md says it to the bit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from compress.codecs import Buffer
from compress.codecs.changes_kernel import MAX_BITS, compiled
from compress.codecs.range_coder import check_end, padded

Levels = npt.NDArray[np.int64]

MAX_CHANGE = (2 << MAX_BITS) - 1  # in magnitude; float32 values as integers are up to 2^32 - 1 apart
LARGEST = 1 << 62  # of a level, in magnitude: so that a change does not overflow
BITS_A_DECISION = 12  # at most


def encode(old: Levels, new: Levels, columns: int) -> bytes:
    """old, new: shape (n,), a whole layer in C order and what it was, n > 0. columns: weights of a row (of an output)."""
    if old.ndim != 1 or old.shape != new.shape or not old.size:
        raise ValueError(f"old and new levels are of one shape (n,) with n > 0, got {old.shape} and {new.shape}")
    old, new = old.astype(np.int64), new.astype(np.int64)
    if max(int(old.max()), int(new.max())) > LARGEST or min(int(old.min()), int(new.min())) < -LARGEST:
        raise ValueError(f"levels must be in [-{LARGEST:,}, {LARGEST:,}]")
    magnitude = np.abs(new - old)
    if int(magnitude.max()) > MAX_CHANGE:
        raise ValueError(f"levels change by up to {magnitude.max():,}, allowed {MAX_CHANGE:,}")
    # a decision each; of one that changed the direction, its number of bits in unary, and those bits
    n_decisions = old.size + int((3 + 2 * np.log2(magnitude[magnitude > 0].astype(np.float64))).sum())
    stream = np.zeros(n_decisions * BITS_A_DECISION // 8 + 8, np.uint8)
    n_bytes, _, _ = compiled(False)(new, old, columns, stream)
    return stream[:n_bytes].tobytes()


def decode(data: Buffer, old: Levels, columns: int) -> Levels:
    """Inverse of encode. Raises CorruptStream for bytes that encode does not make of so many levels."""
    stream = padded(data, "changes", if_empty=f"0 bytes for {old.size} levels")
    new = np.zeros(old.size, np.int64)
    n_read, n_done, code = compiled(True)(new, old.astype(np.int64), columns, stream)
    ends = f"stream ends, or a level changes by more than {MAX_CHANGE:,},"
    check_end(stream, "changes", "level", old.size, n_done=n_done, n_read=n_read, code=code, if_short=ends)
    return new
