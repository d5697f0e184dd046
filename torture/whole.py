"""What the long tests share of a .sqz file: its parts, and its sizes and checksums made right again after a change.

Without that every change ends at the first checksum, and nothing behind it is tried (native/tests/whole.c does the same in C).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from compress.artifact import layout, reader, table, writer
from compress.artifact.checksums import crc32c, sha256
from compress.artifact.layout import CRC_SIZE, FILE_HEADER, MAX_METADATA_SIZE, RAW_KINDS, SHA256_SIZE
from compress.codecs.bits import Cursor
from compress.errors import ArtifactError
from compress.layer import Layer, RawTensor, SharedLayer

ROOT = Path(__file__).parent.parent
SEEDS = (ROOT / "tests/golden", ROOT / "tests/golden_bad")
MAX_PAYLOADS = 1 << 16  # bytes, to which payloads are filled up: what a table declares may be gigabytes

_OF_SIZE = re.compile(r"blocks make a file of ([\d,]+) bytes")
_OF_HEADER = re.compile(r"coders are of profile (?P<profile>\d)|table is of version (?P<version>\d)")
_OF_VALUES = re.compile(r"(?P<name>\S+): decoded \w+ have CRC-32C (?P<computed>[0-9a-f]{8}), stored")


@dataclass(frozen=True)
class Parts:
    """A file in parts, each of which may be changed and have another length; what is computed from them is left out."""

    head: bytes  # 8 bytes: Magic to Reserved
    metadata: bytes
    table: bytes
    payloads: bytes

    @classmethod
    def of(cls, data: bytes) -> Parts | None:
        """None where the header's sizes do not cut the file."""
        if len(data) < FILE_HEADER.size:
            return None
        *_, metadata_size, table_size = FILE_HEADER.unpack_from(data)
        table_at = FILE_HEADER.size + metadata_size
        end = table_at + table_size
        if end + CRC_SIZE + SHA256_SIZE > len(data):
            return None
        return cls(data[:8], data[FILE_HEADER.size : table_at], data[table_at:end], data[end + CRC_SIZE : -SHA256_SIZE])

    def file(self) -> bytes:
        """With every size of the header, Header_CRC and File_SHA256 right; Payload_CRCs are part of the table."""
        size = FILE_HEADER.size + len(self.metadata) + len(self.table) + CRC_SIZE + len(self.payloads) + SHA256_SIZE
        sizes = size.to_bytes(8, "little") + len(self.metadata).to_bytes(4, "little") + len(self.table).to_bytes(4, "little")
        head = self.head + sizes + self.metadata + self.table
        content = head + crc32c(head).to_bytes(4, "little") + self.payloads
        return content + sha256(content)


def small_net(chance: np.random.Generator) -> list[Layer]:
    """Every kind of tensor, in 200 weights: a fuzzer is as fast as its corpus is small."""
    book = np.array([-0.5, -0.25, 0.5, 0.75], np.float16)
    wide = np.linspace(-1, 1, 300).astype(np.float32)
    levels = chance.integers(-9, 10, (2, 2, 3, 2), np.int32) * chance.integers(0, 2, (2, 2, 3, 2), np.int32)
    return [
        SharedLayer("a.weight", (4, 3, 2, 1), chance.integers(0, 5, (4, 3, 2, 1), np.int32), codebook=book),
        SharedLayer("a.levels", (2, 2, 3, 2), levels, step=np.float32(0.25)),
        RawTensor("bias", chance.normal(size=4).astype(np.float32)),
        RawTensor("pruned", np.where(chance.random(40) < 0.2, chance.normal(size=40), 0).astype(np.float16)),
        RawTensor("count", np.array(7, np.int64)),
        SharedLayer("wide", (3, 8), chance.integers(0, 301, (3, 8), np.int32), codebook=wide),
        SharedLayer("lonely", (40,), (np.arange(40) == 33).astype(np.int32), codebook=book[:1]),
    ]


def small_files() -> list[bytes]:
    """In every coder and mode of positions, in one block a layer and in blocks of 8."""
    chance = np.random.default_rng(1)
    return [
        writer.to_bytes(small_net(chance), {"a": "b"}, coder=coder, positions=positions, block_size=block_size)
        for coder in ("stored", "huffman", "range", "zstd", "context")
        for positions in ("bitmap", "bytes", "gaps")
        for block_size in (8, 1 << 20)
    ]


def fixed(data: bytes, max_weights: int) -> bytes:
    """`data` with sizes and every checksum made right, as far as it can be parsed; Values_CRCs are left (see fixed_values)."""
    parts = Parts.of(data)
    if parts is None or len(parts.metadata) > MAX_METADATA_SIZE:
        return data
    for _ in range(3):  # the payloads' size, the profile, the version
        try:
            contents, crc_places = _parse(parts.file(), max_weights)
        except ArtifactError as error:
            adapted = _adapted(parts, str(error))
            if adapted is None:
                break
            parts = adapted
        else:
            return _with_payload_crcs(parts, contents, crc_places).file()
    return parts.file()


def fixed_values(data: bytes, max_weights: int) -> bytes:
    """As fixed, and the Values_CRC of up to three layers."""
    data = fixed(data, max_weights)
    for _ in range(3):
        try:
            reader.read_bytes(data, name="", max_weights=max_weights)
        except ArtifactError as error:
            found = _OF_VALUES.search(str(error))
        else:
            return data
        parts = Parts.of(data)
        if found is None or parts is None:
            return data
        contents, crc_places = _parse(data, max_weights)
        place = next(p for record, p in zip(contents.records, crc_places, strict=True) if record.name == found["name"])[0]
        parts = replace(parts, table=_patched(parts.table, place, int(found["computed"], 16)))
        data = parts.file()
    return data


def _parse(data: bytes, max_weights: int) -> tuple[reader.Contents, list[list[int]]]:
    """The contents, and for each record the places in the table of its Values_CRC (where it has one) and Payload_CRCs."""
    places: list[int] = []
    with _noting(places):
        contents = reader.parse(data, max_weights)
    of_records, left = [], iter(places)
    for record in contents.records:
        n = (record.kind not in RAW_KINDS) + sum(block.stored for block in record.blocks)
        of_records.append([next(left) for _ in range(n)])
    return contents, of_records


@contextmanager
def _noting(places: list[int]) -> Iterator[None]:
    """Every place at which the table's parser reads 4 bytes as a number: they are the checksums, and nothing else is."""

    class Noting(Cursor):
        def u32(self) -> int:
            places.append(self.offset)
            return super().u32()

    table.Cursor = Noting  # type: ignore[misc]
    try:
        yield
    finally:
        table.Cursor = Cursor  # type: ignore[misc]


def _adapted(parts: Parts, message: str) -> Parts | None:
    """With what the parser says is missing; None where it says something else."""
    if found := _OF_SIZE.search(message):
        rest = FILE_HEADER.size + len(parts.metadata) + len(parts.table) + CRC_SIZE + SHA256_SIZE
        size = int(found[1].replace(",", "")) - rest
        return replace(parts, payloads=parts.payloads[:size].ljust(size, b"\x5a")) if size <= MAX_PAYLOADS else None
    if found := _OF_HEADER.search(message):
        at, value = (5, found["profile"]) if found["profile"] else (4, found["version"])
        return replace(parts, head=_patched_byte(parts.head, at, int(value)))
    if "format version" in message:
        return replace(parts, head=_patched_byte(parts.head, 4, layout.FORMAT_VERSION))
    return None


def _with_payload_crcs(parts: Parts, contents: reader.Contents, crc_places: list[list[int]]) -> Parts:
    fields = parts.table
    places = iter(
        [p for record, of_record in zip(contents.records, crc_places, strict=True) for p in _payload(record, of_record)]
    )
    for _, _, block, payload in contents.blocks():
        if block.stored:
            fields = _patched(fields, next(places), crc32c(payload))
    return replace(parts, table=fields)


def _payload(record: layout.LayerRecord, places: list[int]) -> list[int]:
    return places if record.kind in RAW_KINDS else places[1:]


def _patched(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + value.to_bytes(4, "little") + data[at + 4 :]


def _patched_byte(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]
