"""Positions of non-zero weights as 4-bit relative indices (Han et al. 2016, fig. 2).

Prefer the mask as bits under the `range` coder, which takes about 8% fewer bytes; gaps are the paper's way, and need no
decoder but a table. A symbol g <= 14 is g zeros, then a weight. 15 is the escape: 15 zeros, no weight. (The paper's filler is
16 places with a zero weight in the last, which costs a code; this one costs none.) The symbols end with the last weight:
n_weights of the layer's header says how many zeros follow it.
Example: weights at 0, 1, 4 and 20 of 30 are the symbols 0 0 2 15 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from compress.codecs import Symbols
from compress.errors import CorruptStream

ALPHABET = 16
ESCAPE = 15


def encode(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """mask: bool, shape (n_weights,), True = kept."""
    zeros = np.diff(np.flatnonzero(mask), prepend=-1) - 1  # before each weight
    ends = np.cumsum(zeros // ESCAPE + 1)  # a weight's symbol comes after its escapes
    symbols = np.full(ends[-1] if len(ends) else 0, ESCAPE, np.uint8)
    symbols[ends - 1] = zeros % ESCAPE
    return symbols


def decode(symbols: Symbols, n_nonzero: int, n_weights: int) -> npt.NDArray[np.bool_]:
    """Inverse of encode; both counts come from the header and are checked."""
    runs = symbols.astype(np.int64)
    if len(runs) and runs.max() > ESCAPE:
        raise CorruptStream(f"gaps: symbol {int(runs.argmax())} of {len(runs)} is {runs.max()}, the largest is {ESCAPE}")
    if len(runs) and runs[-1] == ESCAPE:
        raise CorruptStream("gaps: escape after the last weight")
    ends = np.cumsum(np.where(runs == ESCAPE, ESCAPE, runs + 1))  # a weight fills one place itself
    positions = ends[runs != ESCAPE] - 1
    if len(positions) != n_nonzero:
        raise CorruptStream(f"gaps: {len(positions)} positions, header says {n_nonzero}")
    if len(ends) and ends[-1] > n_weights:
        raise CorruptStream(f"gaps: run ends at {ends[-1]}, layer has {n_weights} weights")
    mask = np.zeros(n_weights, np.bool_)
    mask[positions] = True
    return mask
