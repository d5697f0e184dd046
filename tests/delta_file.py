"""A .sqzd file put together by hand, for tests of the block form."""

from __future__ import annotations

from typing import Any

from compress.artifact.checksums import crc32c, sha256
from compress.artifact.delta_layout import BODY_OFFSET, CRC_SIZE, DeltaHeader, Form, pack_header


def file_of(body: bytes, base: bytes, new: bytes, **changes: Any) -> bytes:
    """A delta in which every length and checksum fits, but for `changes` to its header."""
    fields: dict[str, Any] = {
        "form": Form.BLOCK,
        "file_size": BODY_OFFSET + len(body) + CRC_SIZE,
        "base_size": len(base),
        "new_size": len(new),
        "base_sha256": sha256(base),
        "new_sha256": sha256(new),
    }
    return pack_header(DeltaHeader(**fields | changes)) + body + crc32c(body).to_bytes(CRC_SIZE, "little")


def with_header(data: bytes, at: int, value: bytes) -> bytes:
    """`data` with other bytes in its header, and a checksum that fits."""
    head = data[:at] + value + data[at + len(value) : BODY_OFFSET - CRC_SIZE]
    return head + crc32c(head).to_bytes(CRC_SIZE, "little") + data[BODY_OFFSET:]
