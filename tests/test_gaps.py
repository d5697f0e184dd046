import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.codecs import gaps
from compress.errors import CorruptStream


def mask_of(positions, n_weights):
    mask = np.zeros(n_weights, np.bool_)
    mask[list(positions)] = True
    return mask


@given(st.sets(st.integers(0, 400)), st.integers(0, 40))
def test_round_trip(nonzero, n_trailing):
    mask = mask_of(nonzero, 401 + n_trailing)
    symbols = gaps.encode(mask)
    assert symbols.dtype == np.uint8
    np.testing.assert_array_equal(gaps.decode(symbols, len(nonzero), len(mask)), mask)


# 20 comes after 15 zeros from 5 to 19: an escape, then no zeros more. 31 is two escapes (30 zeros) and one zero.
@pytest.mark.parametrize(
    ("positions", "symbols"),
    [([], []), ([0, 1, 4], [0, 0, 2]), ([14], [14]), ([15], [15, 0]), ([0, 1, 4, 20], [0, 0, 2, 15, 0]), ([31], [15, 15, 1])],
)
def test_known_symbols(positions, symbols):
    assert gaps.encode(mask_of(positions, 40)).tolist() == symbols


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        ([0, 0], "2 positions, header says 3"),
        ([0, 0, 1, 0], "4 positions, header says 3"),
        ([0, 0, 9], "run ends at 12, layer has 8 weights"),
        ([0, 0, 1, 15], "escape after the last weight"),
        ([0, 16, 1], "symbol 1 of 3 is 16, the largest is 15"),
    ],
)
def test_corrupt_symbols_are_refused(symbols, message):
    with pytest.raises(CorruptStream, match=message):
        gaps.decode(np.array(symbols, np.uint8), 3, 8)


def test_no_weights():
    assert gaps.decode(np.zeros(0, np.uint8), 0, 5).tolist() == [False] * 5
    assert gaps.encode(np.zeros(0, np.bool_)).tolist() == []


@given(st.lists(st.integers(0, 16), max_size=12), st.integers(0, 12), st.integers(0, 60))
def test_any_symbols_are_refused_or_are_the_ones_of_their_mask(symbols, n_nonzero, n_weights):
    try:
        mask = gaps.decode(np.array(symbols, np.uint8), n_nonzero, n_weights)
    except CorruptStream:
        return
    assert (len(mask), int(mask.sum())) == (n_weights, n_nonzero)
    assert gaps.encode(mask).tolist() == symbols
