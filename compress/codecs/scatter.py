"""Codes back to the places of their weights, in one pass: what indexing by a mask does in three."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from compress.codecs.jit import jit


def scatter(mask: npt.NDArray[np.bool_], codes: npt.NDArray[np.int32], out: npt.NDArray[np.int32]) -> None:
    """out[mask] = codes, zero elsewhere. mask and out: shape (n,). Raises ValueError unless there is a code for each place."""
    if _scatter(mask.view(np.uint8), codes, out) != len(codes):
        raise ValueError(f"{len(codes):,} codes for {int(np.count_nonzero(mask)):,} places")


@jit("int64(uint8[::1], int32[::1], int32[::1])")
def _scatter(mask: Any, codes: Any, out: Any) -> int:
    used, last = np.int64(0), len(codes) - 1
    if last < 0:
        out[:] = 0
        return int(np.count_nonzero(mask))
    for i in range(min(len(mask), len(out))):
        out[i] = codes[min(used, last)] * mask[i]  # no branch: a mask is hard to predict
        used += np.int64(mask[i])
    return int(used)
