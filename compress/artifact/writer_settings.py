"""With which settings a .sqz file was written: a file does not say so, and its bytes depend on them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from compress.artifact import writer
from compress.artifact.reader import Contents
from compress.artifact.table import pack_layer_table
from compress.layer import Layer

CODERS = ("best", "context", "stored", "huffman", "range", "zstd")  # in the order of docs/DELTA.md's numbers
POSITIONS = ("best", "bitmap", "bytes", "gaps")


@dataclass(frozen=True)
class Settings:
    """What writer.to_bytes takes."""

    coder: str
    positions: str
    block_size: int

    def write(self, layers: Mapping[str, Layer], metadata: dict[str, object]) -> bytes:
        return writer.to_bytes(layers.values(), metadata, coder=self.coder, positions=self.positions, block_size=self.block_size)


def settings_of(contents: Contents, layers: Mapping[str, Layer]) -> Settings | None:
    """Settings that make the whole file again from its layers; None where there are none. contents, layers: of one file."""
    for coder, positions in itertools.product(CODERS, POSITIONS):
        settings = Settings(coder, positions, 1 << contents.header.block_log)
        if _writes_each(settings, contents, layers) and settings.write(layers, contents.metadata) == contents.data:
            return settings
    return None


def _writes_each(settings: Settings, contents: Contents, layers: Mapping[str, Layer]) -> bool:
    """Layer by layer: most settings are found wrong at the first."""
    payloads: dict[str, list[bytes]] = {record.name: [] for record in contents.records}
    for record, _, _, payload in contents.blocks():
        payloads[record.name].append(payload)
    for record in contents.records:
        encoded = writer.encode_layer(
            layers[record.name], coder=settings.coder, positions=settings.positions, block_size=settings.block_size
        )
        if [*encoded.payloads] != payloads[record.name] or pack_layer_table([encoded.record]) != pack_layer_table([record]):
            return False
    return True
