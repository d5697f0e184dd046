"""A block's positions and codes, by themselves; the ways a file's can be wrong are in golden_bad/ (test_golden.py)."""

import numpy as np
import pytest
from make_golden import spread

from compress.artifact import streams
from compress.artifact.layout import Kind, LayerRecord
from compress.errors import CorruptStream

BOOK = LayerRecord("w", Kind.CODEBOOK_F16, (8,), codebook=spread(3))
LEVELS = LayerRecord("w", Kind.STEP_F32, (8,), step=np.float32(1), n_negative=2, n_positive=3)


@pytest.mark.parametrize(
    ("record", "nonzero", "symbols"),
    [(BOOK, [1, 2, 3], [0, 1, 2]), (LEVELS, [-2, -1, 1, 2, 3], [0, 1, 2, 3, 4])],
)
def test_known_symbols(record, nonzero, symbols):
    nonzero = np.array(nonzero, np.int32)
    assert streams.code_symbols(nonzero, record).tolist() == symbols
    np.testing.assert_array_equal(streams.indices_of(np.array(symbols, np.uint8), record), nonzero)


@pytest.mark.parametrize(("record", "symbol"), [(BOOK, 3), (LEVELS, 5)])
def test_a_symbol_that_the_layer_does_not_have(record, symbol):
    """No coder gives one: each refuses it, or has none in its model."""
    with pytest.raises(CorruptStream, match=f"codes: symbol {symbol}, the layer has {symbol} values"):
        streams.indices_of(np.array([0, symbol], np.uint8), record)
    assert len(streams.indices_of(np.zeros(0, np.uint8), record)) == 0
