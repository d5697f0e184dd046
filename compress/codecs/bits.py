"""Unsigned integers of variable length: LEB128, as in DWARF and WebAssembly.

Seven bits a byte, the lowest first; the top bit of a byte says that another follows. At most 5 bytes, so values below 2^35.
A value has one form only: a last byte of zero is refused, save for the value 0 itself.
"""

from __future__ import annotations

from compress.codecs import Buffer
from compress.errors import CorruptArtifact, CorruptStream

MAX_BYTES = 5


def write_varint(value: int) -> bytes:
    if not 0 <= value < 1 << 7 * MAX_BYTES:
        raise ValueError(f"a varint holds 0 to 2^35 - 1, got {value}")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def read_varint(data: Buffer, offset: int, *, origin: int = 0) -> tuple[int, int]:
    """The value at `offset`, and the offset after it. origin: where `data` begins, for messages."""
    value = 0
    for i in range(MAX_BYTES):
        if offset + i >= len(data):
            raise CorruptStream(f"varint at byte {origin + offset}: data ends after {i} of its bytes")
        byte = data[offset + i]
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            if byte == 0 and i > 0:
                raise CorruptStream(f"varint at byte {origin + offset}: {i + 1} bytes for {value}, which needs fewer")
            return value, offset + i + 1
    raise CorruptStream(f"varint at byte {origin + offset}: longer than {MAX_BYTES} bytes")


class Cursor:
    """A place in fields that follow one another. Nothing is read past the end. what: what would be cut, for messages."""

    def __init__(self, data: bytes, what: str) -> None:
        self.data = data
        self.what = what
        self.offset = 0

    def take(self, n_bytes: int) -> bytes:
        if n_bytes > len(self.data) - self.offset:
            raise CorruptArtifact(f"{self.what}, {n_bytes - len(self.data) + self.offset:,} bytes short")
        self.offset += n_bytes
        return self.data[self.offset - n_bytes : self.offset]

    def u8(self) -> int:
        return self.take(1)[0]

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def varint(self) -> int:
        value, self.offset = read_varint(self.data, self.offset)
        return value

    def sized(self) -> bytes:
        """A varint, and as many bytes."""
        return self.take(self.varint())
