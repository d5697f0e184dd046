import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.codecs import zstd
from compress.errors import CorruptStream


def model_of(alphabet):
    return zstd.unpack_model(b"", 0, alphabet)[0]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 65536).flatmap(lambda a: st.tuples(st.just(a), st.lists(st.integers(0, a - 1), max_size=60))))
def test_round_trip(case):
    alphabet, symbols = case
    data = zstd.encode(np.array(symbols, np.uint16), model_of(alphabet))
    assert zstd.encode(np.array(symbols, np.uint32), model_of(alphabet)) == data
    decoded = zstd.decode(data, model_of(alphabet), len(symbols))
    assert decoded.tolist() == symbols
    assert decoded.dtype == (np.uint8 if alphabet <= 256 else np.uint16)


# RFC 8878: magic; descriptor 20 = single segment, size in one byte; 3 bytes; last raw block of 3 bytes (3 << 3 | 1 = 0x19).
def test_known_bytes():
    assert zstd.encode(np.array([1, 2, 3], np.uint8), model_of(4)) == bytes.fromhex("28b52ffd 20 03 190000 010203")
    assert zstd.encode(np.zeros(0, np.uint8), model_of(4)) == b""


def frame(content, **options):
    return zstandard.ZstdCompressor(**options).compress(content)


GOOD = frame(b"\1\2\3")
STREAMED = zstandard.ZstdCompressor().compressobj()
BIG_WINDOW = bytes.fromhex("28b52ffd 80 80 03000000 190000 010203")  # 64 MiB for three bytes


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"", "starts with nothing"),
        (GOOD[:3], "starts with 28 b5 2f"),
        (GOOD[:5], "zstd: "),
        (GOOD[:-1], "zstd: "),
        (GOOD + b"\0", "zstd: "),
        (GOOD + GOOD, "zstd: "),
        (bytes.fromhex("502a4d18 03000000 010203"), "starts with 50 2a 4d 18"),
        (frame(b"\1" * 1_000_000), "frame declares 1000000 bytes, header says 3"),
        (STREAMED.compress(b"\1\2\3") + STREAMED.flush(), "header says 3"),
        (frame(b"\1\2\3", write_checksum=True), "checksum"),
        (BIG_WINDOW, "window of 67108864 bytes for 3"),
        (GOOD[:5] + b"\4" + GOOD[6:], "frame declares 4 bytes"),
        (GOOD[:6] + b"\x11" + GOOD[7:], "zstd: "),
        (frame(b"\1\2\4"), "symbol 2 of 3 is 4, the alphabet is \\[0, 3\\]"),
    ],
)
def test_corrupt_stream_is_refused(stream, message):
    with pytest.raises(CorruptStream, match=message):
        zstd.decode(stream, model_of(4), 3)


def test_no_symbols_are_no_bytes():
    assert zstd.decode(b"", model_of(4), 0).tolist() == []
    with pytest.raises(CorruptStream, match="declares 3 bytes, header says 0"):
        zstd.decode(GOOD, model_of(4), 0)


def test_model_is_the_alphabet():
    assert zstd.pack_model(zstd.build_model(np.array([1, 2, 3]))) == b""
    assert zstd.build_model(np.array([1, 2, 3])).tolist() == [3]


FRAME = zstd.encode(np.arange(20) % 7, model_of(7))


@given(st.binary(max_size=20), st.integers(0, len(FRAME)), st.integers(0, 40))
def test_any_bytes_are_refused_or_are_as_many_symbols(data, n_right, n_symbols):
    """After as many bytes of a frame."""
    try:
        symbols = zstd.decode(memoryview(FRAME[:n_right] + data), model_of(7), n_symbols)
    except CorruptStream:
        return
    assert len(symbols) == n_symbols and (not n_symbols or symbols.max() < 7)


@given(st.integers(0, len(FRAME) - 1), st.integers(1, 255))
def test_a_damaged_frame_is_refused_or_is_as_many_symbols(place, change):
    damaged = bytearray(FRAME)
    damaged[place] ^= change
    try:
        symbols = zstd.decode(bytes(damaged), model_of(7), 20)
    except CorruptStream:
        return
    assert len(symbols) == 20 and symbols.max() < 7
