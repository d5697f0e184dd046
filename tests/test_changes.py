"""codecs/changes.py: integers against older ones, to bytes and back; plain_changes.py, made from the page, has the last word."""

import numpy as np
import plain_changes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.codecs import changes
from compress.errors import CorruptStream

SHAPES = [(), (1,), (7,), (3, 5), (4, 2, 3, 3), (2, 3, 1, 1), (2, 1, 5, 5), (3, 2, 2, 3), (2, 3, 4)]


def columns_of(shape):
    return int(np.prod(shape[1:], dtype=np.int64))


def layer(shape, share=0.2, seed=0):
    """Old and new levels; columns differ in how many of theirs change, and by how much."""
    rng = np.random.default_rng(seed)
    old = rng.integers(-7, 8, shape)
    shares = share * 2 * rng.random(shape[1:])
    change = rng.choice([-300, -2, -1, 1, 2, 5], shape, p=[0.02, 0.08, 0.4, 0.4, 0.08, 0.02]) * (rng.random(shape) < shares)
    return old.reshape(-1), (old + change).reshape(-1)


@pytest.mark.parametrize("shape", SHAPES)
def test_round_trip_and_independent_decoder(shape):
    old, new = layer(shape)
    stream = changes.encode(old, new, columns_of(shape))
    np.testing.assert_array_equal(changes.decode(stream, old, columns_of(shape)), new)
    plain, n_bits = plain_changes.decode(stream, old.tolist(), shape)
    assert plain == new.tolist()
    assert n_bits / 8 <= len(stream) <= 1.005 * n_bits / 8 + 2


def test_round_trip_and_independent_decoder_where_little_changes():
    """The shares of rows and columns that changed come down to nothing, and from there up again."""
    old = np.arange(4000) % 5
    new = old.copy()
    new[[0, 2000, 2001, 2040, 3999]] += [1, -1, 2, 7, -300]
    stream = changes.encode(old, new, 20)
    np.testing.assert_array_equal(changes.decode(stream, old, 20), new)
    assert plain_changes.decode(stream, old.tolist(), (200, 20))[0] == new.tolist()


integers = st.one_of(st.integers(-3, 3), st.integers(0, 2**32 - 1))


@settings(max_examples=60)
@given(st.lists(st.tuples(integers, integers), min_size=1, max_size=60), st.integers(1, 9))
def test_any_integers(pairs, columns):
    old, new = np.array(pairs, np.int64).T
    stream = changes.encode(old, new, columns)
    np.testing.assert_array_equal(changes.decode(stream, old, columns), new)
    assert plain_changes.decode(stream, old.tolist(), (len(old), columns))[0] == new.tolist()


def test_within_half_a_percent_of_its_own_model():
    shape = (64, 16, 3, 3)
    old, new = layer(shape)
    stream = changes.encode(old, new, columns_of(shape))
    plain, n_bits = plain_changes.decode(stream, old.tolist(), shape)
    assert plain == new.tolist() and n_bits / 8 <= len(stream) < 1.005 * n_bits / 8


def test_rows_columns_and_levels_are_worth_something():
    """Where a tenth changes: all of it in some rows, in some columns, at some levels, against anywhere."""
    rng = np.random.default_rng(0)
    old = rng.integers(-3, 4, (128, 128))
    chance = rng.random(old.shape)
    rows, columns = np.zeros((128, 1)), np.zeros((1, 128))
    rows[::5], columns[:, ::5] = 0.5, 0.5
    size = {}
    for name, share in (("anywhere", 0.1), ("rows", rows), ("columns", columns), ("levels", 0.7 * (old == 2))):
        new = old + (chance < share)
        assert 0.08 < (new != old).mean() < 0.12
        size[name] = len(changes.encode(old.reshape(-1), new.reshape(-1), 128))
    assert max(size["rows"], size["columns"], size["levels"]) < 0.75 * size["anywhere"]


def test_directions_are_worth_something():
    rng = np.random.default_rng(0)
    old = rng.integers(-3, 4, 128 * 128)
    changed = rng.random(old.shape) < 0.1
    either = len(changes.encode(old, old + changed * rng.choice([-1, 1], old.shape), 128))
    assert len(changes.encode(old, old + changed, 128)) < 0.85 * either
    assert len(changes.encode(old, old + changed * np.where(old < 0, -1, 1), 128)) < 0.85 * either


def test_nothing_changed_is_next_to_nothing():
    old = np.arange(100_000) % 7
    assert len(changes.encode(old, old, 1000)) < 30


def test_known_bytes():
    old, new = np.array([2, 0, -1, 5]), np.array([3, 0, -4, 5])
    assert changes.encode(old, new, 4).hex(" ") == "38 dc"
    assert changes.encode(old, old, 4).hex(" ") == "be"


# After the last of these the end of the interval carries into the byte before it.
@pytest.mark.parametrize(
    ("old", "new", "stream"),
    [
        ([-2, 0, -2, -1, 2, 1], [-4, 0, -1, -1, 2, -1], "5d 82 00"),
        ([0, 2, -3, -2, 1, -3, -3], [0, 3, -3, -2, 1, -4, -3], "8f 00"),
    ],
)
def test_known_bytes_of_a_carry_at_the_end(old, new, stream):
    data = changes.encode(np.array(old), np.array(new), len(old))
    assert data.hex(" ") == stream
    assert changes.decode(data, np.array(old), len(old)).tolist() == new
    assert plain_changes.decode(data, old, (1, len(old)))[0] == new


def test_a_change_of_too_many_bits_is_refused():
    """Every decision is a 1 where the stream is zeros: a change without an end."""
    with pytest.raises(CorruptStream, match="or a level changes by more than 8,589,934,591, at level 0 of 2"):
        changes.decode(bytes(40), np.zeros(2, np.int64), 1)


def test_large_levels_that_hardly_change():
    old = np.array([changes.LARGEST, -changes.LARGEST, changes.LARGEST])
    new = old + np.array([0, 3, -changes.MAX_CHANGE])
    np.testing.assert_array_equal(changes.decode(changes.encode(old, new, 3), old, 3), new)


def test_what_cannot_be_coded_is_refused():
    columns = 1
    with pytest.raises(ValueError, match="of one shape"):
        changes.encode(np.zeros(2, np.int64), np.zeros(3, np.int64), columns)
    with pytest.raises(ValueError, match="of one shape"):
        changes.encode(np.zeros(0, np.int64), np.zeros(0, np.int64), columns)
    with pytest.raises(ValueError, match=r"change by up to 8,589,934,592, allowed 8,589,934,591"):
        changes.encode(np.zeros(1, np.int64), np.array([1 << 33]), columns)
    largest = np.array([changes.MAX_CHANGE, -changes.MAX_CHANGE])
    stream = changes.encode(np.zeros(2, np.int64), largest, columns)
    np.testing.assert_array_equal(changes.decode(stream, np.zeros(2, np.int64), columns), largest)


def test_damaged_streams_are_refused_or_decode_to_something_else():
    shape = (6, 2, 3, 3)
    old, new = layer(shape)
    stream = changes.encode(old, new, columns_of(shape))
    refused = 0
    for cut in range(len(stream)):
        with pytest.raises(CorruptStream):
            changes.decode(stream[:cut], old, columns_of(shape))
    with pytest.raises(CorruptStream, match="levels end in byte"):
        changes.decode(stream + b"\0", old, columns_of(shape))
    for i in range(len(stream)):
        damaged = bytearray(stream)
        damaged[i] ^= 0x40
        try:
            decoded = changes.decode(bytes(damaged), old, columns_of(shape))
        except CorruptStream:
            refused += 1
        else:
            assert (decoded != new).any()
    assert refused > 0


def test_a_row_that_is_longer_than_the_layer_takes_no_memory():
    old, new = np.array([1, -2, 0, 3]), np.array([1, -1, 0, 3])
    assert changes.encode(old, new, 1 << 40) == changes.encode(old, new, 4)


def test_levels_so_large_that_a_change_would_overflow_are_refused():
    for old, new in (([0], [-(1 << 63)]), ([1 << 62 | 1], [0]), ([-(1 << 63)], [-(1 << 63)])):
        with pytest.raises(ValueError, match="levels must be in"):
            changes.encode(np.array(old, np.int64), np.array(new, np.int64), 1)


@settings(max_examples=200)
@given(st.binary(max_size=12), st.lists(integers, min_size=1, max_size=20), st.integers(1, 9))
def test_any_bytes_are_refused_or_are_the_one_stream_of_their_integers(data, old, columns):
    levels = np.array(old, np.int64)
    try:
        new = changes.decode(memoryview(data), levels, columns)
    except CorruptStream:
        return
    assert len(new) == len(old)
    assert changes.encode(levels, new, columns) == data
