from heapq import heappop, heappush
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.codecs import huffman
from compress.errors import CorruptStream

LENGTHS = np.array([2, 1, 0, 3, 3, 0], np.uint8)  # codes: 1 is 0, 0 is 10, 3 is 110, 4 is 111
counts_lists = st.lists(st.integers(0, 1 << 20) | st.sampled_from([0, 0, 1, 1 << 27]), min_size=1, max_size=300)


def kraft(lengths):
    return sum(2.0 ** -int(length) for length in lengths if length)


@settings(deadline=None, max_examples=60)
@given(counts_lists, st.integers(0, 300), st.randoms())
def test_round_trip(counts, n_symbols, random):
    frequencies = np.array(counts, np.int64)
    model = huffman.build_model(frequencies)
    symbols = np.array(random.choices(np.flatnonzero(model).tolist(), k=n_symbols), np.uint16)
    data = huffman.encode(symbols, model)
    counted = np.bincount(symbols, minlength=len(counts))
    assert len(data) == -(-huffman.ideal_bits(counted, model) // 8)
    decoded = huffman.decode(data, model, n_symbols)
    assert decoded.tolist() == symbols.tolist()
    assert decoded.dtype == (np.uint8 if len(counts) <= 256 else np.uint16)


@settings(deadline=None, max_examples=100)
@given(counts_lists, st.binary(max_size=3), st.binary(max_size=3))
def test_model_round_trip_between_other_bytes(counts, before, after):
    model = huffman.build_model(np.array(counts, np.int64))
    assert kraft(model) == (1 if np.count_nonzero(model) > 1 else 0.5)
    packed = huffman.pack_model(model)
    unpacked, end = huffman.unpack_model(before + packed + after, len(before), len(counts))
    np.testing.assert_array_equal(unpacked, model)
    assert end == len(before) + len(packed)


# 10 0 110 0 111 0, then five zeros: 1001 1001 1100 0000.
def test_known_bytes():
    assert huffman.encode(np.array([0, 1, 3, 1, 4, 1]), LENGTHS) == bytes.fromhex("99 c0")
    assert huffman.encode(np.zeros(0, np.uint8), LENGTHS) == b""
    assert huffman.encode(np.full(9, 5), np.eye(8, dtype=np.uint8)[5]) == b"\0\0"  # one symbol: nine codes of one bit


# 17 symbols: 1, a run of 15 absent (14 = 6 + 8 * 1: nibbles 0, 6 | 8, 1), 1: 1 0 e 1 1 and a filler.
@pytest.mark.parametrize(
    ("lengths", "packed"),
    [([2, 1, 0, 3, 3, 0], "21 03 30"), ([1, 1], "11"), ([0, 1], "01"), ([1], "10"), ([1] + [0] * 15 + [1], "10 e1 10")],
)
def test_known_models(lengths, packed):
    assert huffman.pack_model(np.array(lengths, np.uint8)) == bytes.fromhex(packed)


def test_packed_models_are_small():
    assert len(huffman.pack_model(huffman.build_model(np.arange(1, 17)))) == 8
    assert max(len(huffman.pack_model(huffman.build_model(np.eye(1, 16, i)[0].astype(int)))) for i in range(16)) == 8
    assert len(huffman.pack_model(huffman.build_model(np.ones(256, int)))) == 128
    spread = np.zeros(256, int)
    spread[::25] = 7  # 11 present: a length and three nibbles of run each
    assert len(huffman.pack_model(huffman.build_model(spread))) == 21
    assert len(huffman.pack_model(huffman.build_model(np.eye(1, 65536, 9)[0].astype(int)))) == 6


# Symbols 0 and 9 have a bit each. Up to 16 symbols, each absent one is a nibble of 0; above, 8 of them are 0 and 7 (8 - 1).
@pytest.mark.parametrize(("alphabet", "packed"), [(16, "10 00 00 00 01"), (17, "10 71")])
def test_absent_symbols_of_small_and_large_alphabets(alphabet, packed):
    model = np.zeros(alphabet, np.uint8)
    model[[0, 9]] = 1
    assert huffman.pack_model(model) == bytes.fromhex(packed)
    unpacked, end = huffman.unpack_model(bytes.fromhex(packed) + b"?", 0, alphabet)
    assert unpacked.tolist() == model.tolist() and end == len(bytes.fromhex(packed))


def best_cost(counts, max_bits):
    """By trying every complete set of lengths."""
    tries = product(range(1, max_bits + 1), repeat=len(counts))
    return min(np.dot(counts, lengths) for lengths in tries if kraft(lengths) <= 1)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(1, 1000), min_size=2, max_size=6))
def test_lengths_are_optimal(counts):
    frequencies = np.array(counts, np.int64)
    assert huffman.ideal_bits(frequencies, huffman.build_model(frequencies)) == best_cost(counts, 5)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(1, 1000), min_size=5, max_size=6))
def test_limited_lengths_are_optimal(counts):
    weights = np.sort(np.array(counts, np.int64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huffman, "MAX_BITS", 3)
        lengths = huffman._package_merge(weights)
    assert lengths.max() <= 3
    assert np.dot(weights, lengths) == best_cost(weights, 3)


def test_fibonacci_counts_are_limited_to_15_bits():
    fibonacci = [1, 1]
    while len(fibonacci) < 40:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    frequencies = np.array(fibonacci, np.int64)
    model = huffman.build_model(frequencies)
    assert model.max() == 15
    assert kraft(model) == 1
    heap, unlimited_bits = fibonacci.copy(), 0
    while len(heap) > 1:
        both = heappop(heap) + heappop(heap)
        heappush(heap, both)
        unlimited_bits += both
    assert unlimited_bits <= huffman.ideal_bits(frequencies, model) < 1.001 * unlimited_bits
    symbols = np.tile(np.arange(40), 50)  # codes shorter and longer than the look-up table
    np.testing.assert_array_equal(huffman.decode(huffman.encode(symbols, model), model, 2000), symbols)


def test_largest_alphabet():
    model = huffman.build_model(np.ones(1 << 15, np.int64))
    symbols = np.array([0, 1, 32767, 12345], np.uint32)
    np.testing.assert_array_equal(huffman.decode(huffman.encode(symbols, model), model, 4), symbols)
    with pytest.raises(ValueError, match="32769 symbols are present, codes of 15 bits hold at most 32768"):
        huffman.build_model(np.ones((1 << 15) + 1, np.int64))


def test_symbol_outside_the_model_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="symbol 2 is not in the model"):
        huffman.encode(np.array([1, 2]), LENGTHS)
    with pytest.raises(ValueError, match="span \\[1, 6\\], the alphabet is \\[0, 5\\]"):
        huffman.encode(np.array([1, 6]), LENGTHS)


@pytest.mark.parametrize(
    ("stream", "n_symbols", "message"),
    [
        ("99", 6, "stream ends at symbol 4 of 6"),
        ("", 1, "stream ends at symbol 0 of 1"),
        ("99 c0", 100, "stream ends at symbol 11 of 100"),
        ("99 c0 00", 6, "3 bytes, 6 symbols end in byte 2"),
        ("99 c0", 3, "2 bytes, 3 symbols end in byte 1"),
        ("99 c1", 6, "bits after the last symbol are not zero"),
        ("00", 0, "1 bytes, 0 symbols end in byte 0"),
    ],
)
def test_corrupt_stream_is_refused(stream, n_symbols, message):
    with pytest.raises(CorruptStream, match=message):
        huffman.decode(bytes.fromhex(stream), LENGTHS, n_symbols)


def test_single_symbol_has_one_code_only():
    model = np.eye(8, dtype=np.uint8)[5]
    assert huffman.decode(b"\0", model, 3).tolist() == [5, 5, 5]
    with pytest.raises(CorruptStream, match="no code at symbol 1 of 3"):
        huffman.decode(b"\x40", model, 3)


@pytest.mark.parametrize(
    ("packed", "alphabet", "message"),
    [
        ("", 6, "data ends at byte 0"),
        ("21 03", 6, "data ends at byte 2"),
        ("21 03 31", 6, "last nibble is not zero"),
        ("22 21", 6, "Kraft sum is 40960/32768, must be 1"),
        ("22 20 00", 6, "Kraft sum is 24576/32768, must be 1"),
        ("20 00 00", 6, "Kraft sum is 8192/32768, must be 1"),
        ("00 00 00", 6, "Kraft sum is 0/32768, must be 1"),
        ("10 00 01", 40, "a run of absent symbols after another, at symbol 2"),
        ("10 ff ff ff f0", 40, "run length has more than 6 nibbles"),
        ("10 80 10", 40, "run length is not in its shortest form"),
        ("10 f7 10", 40, "absent symbols up to 65, the alphabet has 40"),
    ],
)
def test_corrupt_model_is_refused(packed, alphabet, message):
    with pytest.raises(CorruptStream, match=message):
        huffman.unpack_model(bytes.fromhex(packed), 0, alphabet)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=12), st.sampled_from([1, 2, 6, 16, 17, 300]))
def test_a_model_has_one_packed_form(data, alphabet):
    try:
        model, end = huffman.unpack_model(data, 0, alphabet)
    except CorruptStream:
        return
    assert huffman.pack_model(model) == data[:end]


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=8), st.integers(0, 40))
def test_any_bytes_are_refused_or_are_the_one_stream_of_their_symbols(data, n_symbols):
    try:
        symbols = huffman.decode(memoryview(data), LENGTHS, n_symbols)
    except CorruptStream:
        return
    assert huffman.encode(symbols, LENGTHS) == data
