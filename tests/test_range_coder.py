import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.codecs import range_coder
from compress.errors import CorruptStream

HALVES = np.array([8192, 8192], np.uint16)
counts_lists = st.lists(st.integers(0, 1 << 20) | st.sampled_from([0, 0, 1, 1 << 27]), min_size=1, max_size=300)


@settings(deadline=None, max_examples=60)
@given(counts_lists, st.integers(0, 300), st.randoms())
def test_round_trip(counts, n_symbols, random):
    model = range_coder.build_model(np.array(counts, np.int64))
    symbols = np.array(random.choices(np.flatnonzero(model).tolist(), k=n_symbols), np.uint16)
    data = range_coder.encode(symbols, model)
    ideal_bits = range_coder.ideal_bits(np.bincount(symbols, minlength=len(counts)), model)
    assert len(data) <= 1.002 * ideal_bits / 8 + 1
    decoded = range_coder.decode(data, model, n_symbols)
    assert decoded.tolist() == symbols.tolist()
    assert decoded.dtype == (np.uint8 if len(counts) <= 256 else np.uint16)


def reference_encode(symbols, model):
    """The stream as the docstring defines it, with one long integer in place of carries."""
    low, span, n_shifts = 0, (1 << 32) - 1, 0
    last = max(np.flatnonzero(model).tolist())
    for symbol in symbols:
        unit = span >> 14
        below = unit * int(model[:symbol].sum())
        low += below
        span = span - below if symbol == last else unit * int(model[symbol])
        while span < 1 << 24:
            low, span, n_shifts = low << 8, span << 8, n_shifts + 1
    return (low + (1 << 24) - 1 >> 24).to_bytes(n_shifts + 1, "big")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 1000), min_size=2, max_size=20), st.integers(1, 300), st.randoms())
def test_stream_is_the_one_that_the_docstring_defines(counts, n_symbols, random):
    model = range_coder.build_model(np.array([0, *counts, 0], np.int64))
    symbols = [random.randint(1, len(counts)) for _ in range(n_symbols)]
    assert range_coder.encode(np.array(symbols), model) == reference_encode(symbols, model)


def test_carry_runs_through_many_bytes():
    model = np.array([1, 16382, 1], np.uint16)
    rng = np.random.default_rng(0)
    symbols = np.where(rng.random(20_000) < 0.002, 2, 1)
    symbols[::5000] = 0
    assert range_coder.encode(symbols, model) == reference_encode(symbols.tolist(), model)


# 1 0 1 halves: low 9fffe000 after three symbols (docstring), up to the next multiple of 2^24: a0.
# 0 of 8192 8192: low is 0, so is the byte. 1: low is 3ffff * 2000 = 7fffe000, the byte is 80.
# 1 and then zeros keep that low, and a reader's code is the first 7fffe000 itself: 7f ff e0.
@pytest.mark.parametrize(
    ("symbols", "stream"), [([], ""), ([0], "00"), ([1], "80"), ([1, 0, 1], "a0"), ([1] + 16 * [0], "7f ff e0")]
)
def test_known_bytes(symbols, stream):
    assert range_coder.encode(np.array(symbols, np.uint8), HALVES) == bytes.fromhex(stream)
    assert range_coder.decode(bytes.fromhex(stream), HALVES, len(symbols)).tolist() == symbols


# 10,000 = 78 * 128 + 16: 90 4e. 3 and 5 of 8: 6144 = 48 * 128 is 80 30; the last of the alphabet is not written.
@pytest.mark.parametrize(
    ("frequencies", "packed"),
    [
        ([10_000, 6_384], "90 4e"),
        ([3, 5], "80 30"),
        ([1, 16_383], "01"),
        ([4, 0], "80 80 01"),
        ([0, 4], "00 00"),
        ([0, 0, 1, 1, 0], "00 01 80 40 80 40"),
        ([0, 0, 0], "80 80 01"),
        ([7], ""),
    ],
)
def test_known_models(frequencies, packed):
    assert range_coder.pack_model(range_coder.build_model(np.array(frequencies))) == bytes.fromhex(packed)


@settings(deadline=None, max_examples=100)
@given(counts_lists, st.binary(max_size=3), st.binary(max_size=3))
def test_model_round_trip_between_other_bytes(counts, before, after):
    frequencies = np.array(counts, np.int64)
    model = range_coder.build_model(frequencies)
    assert model.sum() == 1 << 14
    if frequencies.any():
        np.testing.assert_array_equal(model > 0, frequencies > 0)
    packed = range_coder.pack_model(model)
    unpacked, end = range_coder.unpack_model(before + packed + after, len(before), len(counts))
    np.testing.assert_array_equal(unpacked, model)
    assert end == len(before) + len(packed)


def best_bits(counts):
    """For three symbols: every first frequency, and the others as close to their share of the rest as integers are."""
    first = np.arange(1, (1 << 14) - 3)
    rest = (1 << 14) - first
    share = np.clip(rest * counts[1] // (counts[1] + counts[2]), 1, rest - 2)
    seconds = (share, share + 1)
    return min((np.dot(counts, 14 - np.log2([first, second, rest - second]))).min() for second in seconds)


@pytest.mark.parametrize("counts", [(1, 1, 1), (100_000, 1, 1), (70_001, 1, 7), (5, 3, 2), (40_000, 3, 5)])
def test_frequencies_are_scaled_as_well_as_can_be(counts):
    frequencies = np.array(counts)
    assert range_coder.ideal_bits(frequencies, range_coder.build_model(frequencies)) <= best_bits(counts) * (1 + 1e-6)


def laplacian(n_symbols, alphabet, scale):
    drawn = np.random.default_rng(1).laplace(alphabet / 2, scale, n_symbols)
    return np.clip(np.round(drawn), 0, alphabet - 1).astype(np.uint16)


@pytest.mark.parametrize(
    ("symbols", "alphabet"),
    [
        ((np.random.default_rng(0).random(200_000) < 0.34).astype(np.uint8), 2),
        ((np.random.default_rng(0).random(200_000) < 0.001).astype(np.uint8), 2),
        (np.minimum(np.random.default_rng(0).geometric(0.3, 200_000) - 1, 15), 16),
        (laplacian(200_000, 64, 6), 64),
        (laplacian(200_000, 256, 20), 256),
        (laplacian(200_000, 4096, 200), 4096),
    ],
)
def test_length_is_within_half_a_percent_of_the_ideal(symbols, alphabet):
    frequencies = np.bincount(symbols, minlength=alphabet)
    model = range_coder.build_model(frequencies)
    data = range_coder.encode(symbols, model)
    ideal_bits = range_coder.ideal_bits(frequencies, model)
    assert ideal_bits / 8 - 1 <= len(data) <= 1.0005 * ideal_bits / 8 + 2  # a tenth of what is asked
    counts = frequencies[frequencies > 0]
    assert ideal_bits <= 1.01 * -(counts * np.log2(counts / counts.sum())).sum()  # the model itself costs little
    np.testing.assert_array_equal(range_coder.decode(data, model, len(symbols)), symbols)


def test_one_symbol_is_no_bytes():
    model = range_coder.build_model(np.array([0, 9, 0]))
    assert range_coder.encode(np.ones(1000, np.uint8), model) == b""
    assert range_coder.decode(b"", model, 1000).tolist() == [1] * 1000
    with pytest.raises(CorruptStream, match="1 bytes where 1000 symbols are none"):
        range_coder.decode(b"\0", model, 1000)


def test_present_symbols_are_limited():
    frequencies = np.ones(4097, np.int64)
    with pytest.raises(ValueError, match="4097 symbols are present, at most 4096"):
        range_coder.build_model(frequencies)
    frequencies[7] = 0
    assert range_coder.build_model(frequencies).sum() == 1 << 14


def test_so_many_symbols_that_scaling_would_overflow_are_refused():
    assert range_coder.build_model(np.array([(1 << 31) - 2, 1])).tolist() == [16383, 1]
    with pytest.raises(ValueError, match=r"2147483648 symbols, a model is built from less than 2\^31"):
        range_coder.build_model(np.array([(1 << 31) - 1, 1]))


def test_symbol_outside_the_model_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="symbol 1 is not in the model"):
        range_coder.encode(np.array([0, 1]), np.array([8192, 0, 8192], np.uint16))
    assert range_coder.ideal_bits(np.array([1, 1, 0]), np.array([8192, 0, 8192], np.uint16)) == np.inf


@pytest.mark.parametrize("model", [HALVES, np.array([4096, 8192, 4096], np.uint16)])
def test_damage_is_refused(model):
    symbols = np.random.default_rng(3).integers(0, len(model), 4000)
    data = range_coder.encode(symbols, model)
    for n_bytes in (0, 1, 3, len(data) // 2, len(data) - 1):
        with pytest.raises(CorruptStream, match=f"stream ends at symbol \\d+ of {len(symbols)}"):
            range_coder.decode(data[:n_bytes], model, len(symbols))
    with pytest.raises(CorruptStream, match=f"{len(data) + 1} bytes, 4000 symbols end in byte {len(data)}"):
        range_coder.decode(data + b"\0", model, len(symbols))
    with pytest.raises(CorruptStream, match="starts with ff ff ff ff"):
        range_coder.decode(b"\xff" * 4 + data[4:], model, len(symbols))


def test_final_state_is_checked():
    with pytest.raises(CorruptStream, match="final state is 1610620928, must be less than 16777216"):
        range_coder.decode(b"\xe0", HALVES, 1)  # e0000000 - 7fffe000 = 60002000


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        ("", "varint at byte 0: data ends"),
        ("90", "varint at byte 0: data ends"),
        ("01 00", "varint at byte 2: data ends"),
        ("81 80 01", "frequencies sum to 16385 at symbol 0, at most 16384"),
        ("01 80 80 01", "frequencies sum to 16385 at symbol 1, at most 16384"),
        ("01 00 00 00 00", "a run of absent symbols after another, at symbol 2"),
        ("01 00 03", "absent symbols up to 5, frequencies sum to 1, must be 16384"),
        ("81 00", "2 bytes for 1, which needs fewer"),
    ],
)
def test_corrupt_model_is_refused(packed, message):
    with pytest.raises(CorruptStream, match=message):
        range_coder.unpack_model(bytes.fromhex(packed), 0, 5)


def test_model_with_too_many_symbols_is_refused():
    with pytest.raises(CorruptStream, match="4097 symbols are present"):
        range_coder.unpack_model(b"\1" * 4096, 0, 4097)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=12), st.sampled_from([1, 2, 5, 300]))
def test_a_model_has_one_packed_form(data, alphabet):
    try:
        model, end = range_coder.unpack_model(data, 0, alphabet)
    except CorruptStream:
        return
    assert range_coder.pack_model(model) == data[:end]


@settings(deadline=None, max_examples=200)
@given(
    st.binary(max_size=6), st.integers(0, 60), st.sampled_from([[8192, 8192], [16000, 384], [1, 16382, 1], [4000, 0, 8000, 4384]])
)
def test_any_bytes_are_refused_or_are_the_one_stream_of_their_symbols(data, n_symbols, frequencies):
    model = np.array(frequencies, np.uint16)
    try:
        symbols = range_coder.decode(memoryview(data), model, n_symbols)
    except CorruptStream:
        return
    assert range_coder.encode(symbols, model) == data
