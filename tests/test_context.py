"""codecs/context.py: levels and their places to bytes and back; the independent decoder of plain_context.py has the last word."""

import numpy as np
import plain_context
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.codecs import context, context_kernel
from compress.errors import CorruptStream

SHAPES = [(1,), (7,), (3, 5), (4, 2, 3, 3), (2, 3, 1, 1), (2, 1, 5, 5), (3, 2, 2, 3), (2, 3, 4)]


def correlated(shape, seed=0, scale=2.0):
    """Levels like a layer's: rows and columns of different size, signs that depend on neighbours."""
    rng = np.random.default_rng(seed)
    n_rows, n_columns = shape[0], int(np.prod(shape[1:]))
    smooth = rng.normal(size=(n_rows, n_columns)).cumsum(1) * 0.3 + rng.normal(size=(n_rows, n_columns))
    sizes = np.exp(rng.normal(size=(n_rows, 1)) * 0.3 + rng.normal(size=(1, n_columns)) * 0.3)
    return np.rint(smooth * sizes * scale).astype(np.int32).reshape(-1)


@pytest.mark.parametrize("context_set", context.CONTEXT_SETS)
@pytest.mark.parametrize("shape", SHAPES)
def test_round_trip_and_independent_decoder(shape, context_set):
    levels, geometry = correlated(shape), context.Geometry.of(shape)
    model = context.build_model([levels], context_set)
    stream = context.encode(levels, geometry, model)
    np.testing.assert_array_equal(context.decode(stream, geometry, model, len(levels)), levels)
    plain, n_bits = plain_context.decode(stream, context.pack_model(model), shape, len(levels))
    assert plain == levels.tolist()
    assert n_bits / 8 <= len(stream) <= 1.005 * n_bits / 8 + 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.integers(-3, 3), st.integers(-4095, 4095)), min_size=1, max_size=80),
    st.integers(1, 9),
    st.integers(1, context.MAX_MEAN),
    st.sampled_from(context.CONTEXT_SETS),
)
def test_any_levels_and_any_mean(values, columns, mean, context_set):
    levels = np.array(values, np.int32)
    geometry, model = context.Geometry(columns, 1, 1), context.ContextModel(context_set, mean)
    stream = context.encode(levels, geometry, model)
    np.testing.assert_array_equal(context.decode(stream, geometry, model, len(levels)), levels)
    assert plain_context.decode(stream, context.pack_model(model), (len(values), columns), len(values))[0] == values


def test_within_half_a_percent_of_its_own_model():
    shape = (64, 16, 3, 3)
    levels, geometry = correlated(shape), context.Geometry.of(shape)
    model = context.build_model([levels], context.NEIGHBOURS)
    stream = context.encode(levels, geometry, model)
    plain, n_bits = plain_context.decode(stream, context.pack_model(model), shape, len(levels))
    assert plain == levels.tolist() and n_bits / 8 <= len(stream) < 1.005 * n_bits / 8


@pytest.mark.parametrize("mean", [1, 2, 3, 4, 5])
def test_levels_far_above_their_mean(mean):
    """The prediction is in steps of a mean, which a rounding of one moves."""
    shape, model = (24, 4, 3, 3), context.ContextModel(context.NEIGHBOURS, mean)
    levels, geometry = correlated(shape, seed=mean, scale=0.4), context.Geometry.of(shape)
    stream = context.encode(levels, geometry, model)
    assert plain_context.decode(stream, context.pack_model(model), shape, len(levels))[0] == levels.tolist()


def test_neighbours_are_worth_something():
    shape = (64, 16, 3, 3)
    levels, geometry = correlated(shape), context.Geometry.of(shape)
    sizes = [len(context.encode(levels, geometry, context.build_model([levels], each))) for each in context.CONTEXT_SETS]
    assert sizes[1] < 0.95 * sizes[0]


def test_known_bytes():
    levels, model = np.array([1, 0, -2], np.int32), context.ContextModel(context.NO_CONTEXT, 16)
    assert context.pack_model(model) == bytes.fromhex("00 10")
    assert context.encode(levels, context.Geometry.of((1, 3)), model) == bytes.fromhex("7b 94")


# After the last of these the end of the interval carries into the bytes before it.
@pytest.mark.parametrize(
    ("values", "context_set", "mean", "stream"),
    [([0, 0, -3, -3, 1], 0, 22, "94 ed 00"), ([1, 0, 3, -1], 1, 20, "79 00"), ([2, 0, 1, 0], 1, 12, "3f 00")],
)
def test_known_bytes_of_a_carry_at_the_end(values, context_set, mean, stream):
    shape, model = (1, len(values)), context.ContextModel(context_set, mean)
    data = context.encode(np.array(values, np.int32), context.Geometry.of(shape), model)
    assert data.hex(" ") == stream
    assert context.decode(data, context.Geometry.of(shape), model, len(values)).tolist() == values
    assert plain_context.decode(data, context.pack_model(model), shape, len(values))[0] == values


@pytest.mark.parametrize("model", [context.ContextModel(0, 16), context.ContextModel(1, context.MAX_MEAN)])
def test_a_level_of_too_many_bits_is_refused(model):
    """Every decision is a 1 where the stream is zeros: a level without an end."""
    with pytest.raises(CorruptStream, match="or a level is above 4095, at level 0 of 2"):
        context.decode(bytes(40), context.Geometry(1, 1, 1), model, 2)


def test_model_is_the_mean_of_all_blocks():
    model = context.build_model([np.array([3, -3], np.int32), np.array([0, 0], np.int32)], 1)
    assert model == context.ContextModel(1, 24)
    assert context.unpack_model(b"??" + context.pack_model(model), 2) == (model, 4)
    assert context.build_model([np.zeros(4, np.int32)], 1).mean == 1
    assert context.build_model([np.array([3], np.int32)], 1).mean == 48


@pytest.mark.parametrize(("model", "mean"), [("00 01", 1), ("01 f0 ff 03", context.MAX_MEAN)])
def test_the_smallest_and_the_largest_mean(model, mean):
    data = bytes.fromhex(model)
    assert context.unpack_model(data, 0) == (context.ContextModel(data[0], mean), len(data))


def test_tables_are_those_of_the_page():
    """Where no net of a test reaches, too."""
    squash, stretch, counter_rates, column_rates, row_rates, logs = context_kernel.TABLES
    assert squash[1:].tolist() == plain_context.SQUASHED
    assert stretch.tolist() == plain_context.STRETCH
    assert counter_rates.tolist() == [131072 // (2 * k + 3) for k in range(251)]
    assert column_rates.tolist() == [65536 // (r + 2) for r in range(15)]
    assert row_rates.tolist() == [65536 // (c + 6) for c in range(41)]
    assert logs.tolist() == [plain_context.log(v) for v in range(2048)]


@pytest.mark.parametrize(
    ("model", "message"),
    [("", "no bytes"), ("02 10", "Context_Set 2"), ("01 00", "Mean 0"), ("01 f1 ff 03", "Mean 65521")],
)
def test_bad_model_is_refused(model, message):
    with pytest.raises(CorruptStream, match=message):
        context.unpack_model(bytes.fromhex(model), 0)


@pytest.mark.parametrize("levels", [np.array([4096]), np.array([-5000]), np.zeros((2, 2), np.int32), np.array([1.0])])
def test_levels_that_cannot_be_coded_are_refused(levels):
    with pytest.raises(ValueError, match="level"):
        context.encode(levels, context.Geometry(1, 1, 1), context.ContextModel(1, 16))


def test_no_levels_are_no_bytes():
    geometry, model = context.Geometry(3, 1, 1), context.ContextModel(1, 16)
    assert context.encode(np.zeros(0, np.int32), geometry, model) == b""
    assert context.decode(b"", geometry, model, 0).size == 0
    with pytest.raises(CorruptStream, match="1 bytes for 0 levels"):
        context.decode(b"\0", geometry, model, 0)
    with pytest.raises(CorruptStream, match="0 bytes for 3 levels"):
        context.decode(b"", geometry, model, 3)


def test_damaged_streams_are_refused_or_decode_to_something_else():
    shape = (6, 2, 3, 3)
    levels, geometry = correlated(shape), context.Geometry.of(shape)
    model = context.build_model([levels], 1)
    stream = context.encode(levels, geometry, model)
    refused = 0
    for cut in range(len(stream)):
        with pytest.raises(CorruptStream):
            context.decode(stream[:cut], geometry, model, len(levels))
    with pytest.raises(CorruptStream, match="levels end in byte"):
        context.decode(stream + b"\0", geometry, model, len(levels))
    with pytest.raises(CorruptStream, match="ff ff ff ff"):
        context.decode(b"\xff" * 8, geometry, model, len(levels))
    for i in range(len(stream)):
        damaged = bytearray(stream)
        damaged[i] ^= 0x40
        try:
            decoded = context.decode(bytes(damaged), geometry, model, len(levels))
        except CorruptStream:
            refused += 1
        else:
            assert (decoded != levels).any()
    assert refused > 0


def test_a_row_that_is_longer_than_its_block_takes_no_memory():
    levels, model = np.array([1, -2, 0, 3], np.int32), context.ContextModel(context.NEIGHBOURS, 24)
    long, short = context.Geometry.of((1, 1 << 40)), context.Geometry.of((1, 4))
    assert context.encode(levels, long, model) == context.encode(levels, short, model)
    np.testing.assert_array_equal(context.decode(context.encode(levels, long, model), long, model, 4), levels)


@settings(max_examples=200)
@given(st.binary(max_size=12), st.integers(0, 30), st.integers(1, 9), st.sampled_from([1, 16, 300, context.MAX_MEAN]))
def test_any_bytes_are_refused_or_are_the_one_stream_of_their_levels(data, n_levels, columns, mean):
    geometry, model = context.Geometry(columns, 1, 1), context.ContextModel(1, mean)
    try:
        levels = context.decode(memoryview(data), geometry, model, n_levels)
    except CorruptStream:
        return
    assert len(levels) == n_levels
    assert context.encode(levels, geometry, model) == data


@given(st.binary(max_size=6))
def test_a_model_has_one_packed_form(data):
    try:
        model, end = context.unpack_model(data, 0)
    except CorruptStream:
        return
    assert context.pack_model(model) == data[:end]
