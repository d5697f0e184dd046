"""Where every byte of a .sqz file is: a row for each layer and for each part around them. Nothing is decoded, so it is quick and
costs no numba."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from compress import codecs
from compress.artifact.layout import CRC_SIZE, FILE_HEADER, RAW_KINDS, SHA256_SIZE, LayerRecord
from compress.artifact.reader import NO_LIMIT, named, parse, read_file
from compress.artifact.table import pack_codebook


@dataclass(frozen=True)
class Row:
    """The bytes of a layer, or of "(file header)", "(metadata)" or "(sha-256)". Rows sum to the file's size."""

    name: str
    table_bytes: int  # of the layer's record, without codebook and models; all bytes of a row that is no layer
    kind: str = ""  # layout.Kind in lower case
    shape: tuple[int, ...] = ()
    n_weights: int = 0
    n_nonzero: int = 0  # of a raw tensor: n_weights; of a sparse one: all but +0.0
    n_centroids: int = 0  # or non-zero levels
    n_blocks: int = 0
    positions: str = ""  # mode and coder, for instance "bitmap/range"; "dense" has no coder
    codes: str = ""  # coder
    codebook_bytes: int = 0  # or those of the step
    model_bytes: int = 0
    positions_bytes: int = 0
    codes_bytes: int = 0
    raw_bytes: int = 0  # the weights of a raw tensor, the values of a sparse one

    @property
    def size_bytes(self) -> int:
        return self.table_bytes + self.codebook_bytes + self.model_bytes + self.payload_bytes

    @property
    def payload_bytes(self) -> int:
        return self.positions_bytes + self.codes_bytes + self.raw_bytes

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.size_bytes / self.n_weights if self.n_weights else 0.0


@dataclass(frozen=True)
class Parts:
    """The bytes of a whole file, by what they are for."""

    payload_bytes: int
    codebook_bytes: int
    model_bytes: int
    table_bytes: int  # and those of the header, the metadata and the checksums

    @property
    def size_bytes(self) -> int:
        return self.payload_bytes + self.codebook_bytes + self.model_bytes + self.table_bytes

    def named(self) -> dict[str, int]:
        """As commands show them."""
        return {
            "payloads": self.payload_bytes,
            "codebooks": self.codebook_bytes,
            "coder models": self.model_bytes,
            "header, metadata and table": self.table_bytes,
        }


def parts_of(rows: Sequence[Row]) -> Parts:
    """rows: of one file, as inspect gives them."""
    return Parts(
        payload_bytes=sum(row.payload_bytes for row in rows),
        codebook_bytes=sum(row.codebook_bytes for row in rows),
        model_bytes=sum(row.model_bytes for row in rows),
        table_bytes=sum(row.table_bytes for row in rows),
    )


def inspect(path: str | os.PathLike[str]) -> list[Row]:
    """The file header with its checksum, the metadata, the layers in the file's order, and the file's SHA-256.

    The header, the metadata and the table are checked, the payloads are not: see reader.verify."""
    with named(path):
        return inspect_bytes(read_file(path))


def inspect_bytes(data: bytes) -> list[Row]:
    """As inspect, for a file in memory."""
    contents = parse(data, max_weights=NO_LIMIT)
    return [
        Row("(file header)", FILE_HEADER.size + CRC_SIZE),
        Row("(metadata)", contents.header.metadata_size),
        *map(_row, contents.records),
        Row("(sha-256)", SHA256_SIZE),
    ]


def _row(record: LayerRecord) -> Row:
    model_bytes = sum(len(stream.model) for stream in record.streams)
    codebook_bytes = len(pack_codebook(record.kind, record.codebook)) if record.codebook is not None else 0
    codebook_bytes += 4 if record.step is not None else 0
    positions = "" if record.kind in RAW_KINDS else record.position_mode.name.lower()
    if record.positions is not None:
        positions += f"/{codecs.CODER_IDS[record.positions.coder_id]}"
    return Row(
        name=record.name,
        table_bytes=record.record_size - model_bytes - codebook_bytes,
        kind=record.kind.name.lower(),
        shape=record.dims,
        n_weights=record.n_weights,
        n_nonzero=sum(block.n_nonzero for block in record.blocks),
        n_centroids=record.n_codes,
        n_blocks=len(record.blocks),
        positions=positions,
        codes=codecs.CODER_IDS[record.codes.coder_id] if record.codes is not None else "",
        codebook_bytes=codebook_bytes,
        model_bytes=model_bytes,
        positions_bytes=sum(block.positions_size for block in record.blocks),
        codes_bytes=sum(block.codes_size for block in record.blocks),
        raw_bytes=sum(block.raw_size for block in record.blocks),
    )
