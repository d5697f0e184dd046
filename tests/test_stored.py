import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.codecs import stored
from compress.errors import CorruptStream


def model_of(alphabet):
    return stored.unpack_model(b"", 0, alphabet)[0]


@settings(deadline=None)
@given(st.integers(1, 65536).flatmap(lambda a: st.tuples(st.just(a), st.lists(st.integers(0, a - 1), max_size=60))))
def test_round_trip(case):
    alphabet, symbols = case
    data = stored.encode(np.array(symbols, np.uint16), model_of(alphabet))
    assert len(data) == (len(symbols) * stored.width_bits(alphabet) + 7) // 8
    assert stored.decode(data, model_of(alphabet), len(symbols)).tolist() == symbols


# Alphabet 5: three bits a symbol, 001 010 011 and seven zeros. Alphabet 257: nine bits, 1 0000 0000 and 0 0000 0001.
@pytest.mark.parametrize(
    ("alphabet", "symbols", "stream"),
    [
        (5, [1, 2, 3], "29 80"),
        (2, [1, 0, 1], "a0"),
        (256, [7, 255], "07 ff"),
        (257, [256, 1], "80 00 40"),
        (1, [0, 0], ""),
        (9, [], ""),
    ],
)
def test_known_bytes(alphabet, symbols, stream):
    assert stored.encode(np.array(symbols, np.uint16), model_of(alphabet)) == bytes.fromhex(stream)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ("29", "1 bytes, 3 symbols of 3 bits are 2"),
        ("29 80 00", "3 bytes, 3 symbols"),
        ("29 81", "bits after the last symbol are not zero"),
        ("2a 80", "symbol 2 of 3 is 5, the alphabet is \\[0, 4\\]"),
    ],
)
def test_corrupt_stream_is_refused(stream, message):
    with pytest.raises(CorruptStream, match=message):
        stored.decode(bytes.fromhex(stream), model_of(5), 3)


def test_model_packs_to_nothing_and_the_ideal_is_the_width():
    model = stored.build_model(np.array([3, 0, 4, 5, 6]))
    assert stored.pack_model(model) == b""
    assert stored.ideal_bits(np.array([3, 0, 4, 5, 6]), model) == 18 * 3
    assert stored.decode(b"\x29\x80", model, 3).dtype == np.uint8
    assert stored.decode(b"\x80\x00\x40", model_of(257), 2).dtype == np.uint16


def test_alphabet_out_of_range_is_refused():
    with pytest.raises(ValueError, match="1 to 65536 symbols, got 65537"):
        stored.unpack_model(b"", 0, 65537)


@given(st.binary(max_size=12), st.integers(0, 40), st.sampled_from([1, 2, 3, 5, 256, 257, 65536]))
def test_any_bytes_are_refused_or_are_the_one_stream_of_their_symbols(data, n_symbols, alphabet):
    try:
        symbols = stored.decode(memoryview(data), model_of(alphabet), n_symbols)
    except CorruptStream:
        return
    assert len(symbols) == n_symbols
    assert stored.encode(symbols, model_of(alphabet)) == data
