import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.codecs.bits import Cursor, read_varint, write_varint
from compress.errors import CorruptArtifact, CorruptStream


@given(st.integers(0, (1 << 35) - 1), st.binary(max_size=3), st.binary(max_size=3))
def test_round_trip_between_other_bytes(value, before, after):
    assert read_varint(before + write_varint(value) + after, len(before)) == (value, len(before) + len(write_varint(value)))


# 300 = 2 * 128 + 44: the low seven bits 44 = 0x2c with the top bit set, then 2.
@pytest.mark.parametrize(
    ("value", "stream"), [(0, "00"), (127, "7f"), (128, "80 01"), (300, "ac 02"), ((1 << 35) - 1, "ff ff ff ff 7f")]
)
def test_known_bytes(value, stream):
    assert write_varint(value) == bytes.fromhex(stream)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ("", "data ends after 0"),
        ("80", "data ends after 1"),
        ("80 00", "2 bytes for 0, which needs fewer"),
        ("ac 82 00", "3 bytes for 300, which needs fewer"),
        ("ff ff ff ff ff 01", "longer than 5 bytes"),
    ],
)
def test_corrupt_varint_is_refused(stream, message):
    with pytest.raises(CorruptStream, match=message):
        read_varint(bytes.fromhex(stream), 0)


@pytest.mark.parametrize("value", [-1, 1 << 35])
def test_value_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match="0 to 2\\^35 - 1"):
        write_varint(value)


def test_fields_one_after_the_other():
    cursor = Cursor(bytes.fromhex("07 0d f0 ad 0b ac 02 03 61 62 63 00 ff ee"), "the table ends")
    assert (cursor.u8(), cursor.u32(), cursor.varint()) == (7, 0x0BADF00D, 300)
    assert (cursor.sized(), cursor.sized(), cursor.take(2), cursor.offset) == (b"abc", b"", b"\xff\xee", 14)
    assert cursor.take(0) == b""


@pytest.mark.parametrize(
    ("data", "read", "n_short"),
    [
        ("", Cursor.u8, 1),
        ("01 02 03", Cursor.u32, 1),
        ("04 61 62 63", Cursor.sized, 1),
        ("ff ff ff ff 7f", Cursor.sized, (1 << 35) - 1),
    ],
)
def test_fields_that_are_cut(data, read, n_short):
    with pytest.raises(CorruptArtifact, match=f"^the table ends, {n_short:,} bytes short$"):
        read(Cursor(bytes.fromhex(data), "the table ends"))


@given(st.binary(max_size=8))
def test_a_value_has_one_form(data):
    try:
        value, end = read_varint(data, 0)
    except CorruptStream:
        return
    assert write_varint(value) == data[:end]
