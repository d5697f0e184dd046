"""The body of a delta's symbol form, packed and parsed (docs/DELTA.md, "Symbol form"): the fields under the same names.

Body = Encoder | Writer | Metadata | Whole | Layer_Change ...
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from compress.artifact.layout import MAX_BLOCK_LOG, MIN_BLOCK_LOG
from compress.artifact.writer_settings import CODERS, POSITIONS, Settings
from compress.codecs.bits import Cursor, write_varint
from compress.errors import CorruptArtifact

CUT = "the body ends inside a field"


class Op(IntEnum):
    KEPT = 0  # the base's layer as it is
    CHANGED = 1  # the base's layer, other levels
    REVALUED = 2  # other levels, and another codebook or step, which is the next tensor of Whole
    WHOLE = 3  # the next tensor of Whole


@dataclass(frozen=True)
class MetadataChange:
    """NEW's metadata: the first `prefix` bytes of the base's, `middle`, the last `suffix` bytes of the base's."""

    prefix: int
    suffix: int
    middle: bytes

    @classmethod
    def between(cls, base: bytes, new: bytes) -> MetadataChange:
        shorter = min(len(base), len(new))
        prefix = next((i for i in range(shorter) if base[i] != new[i]), shorter)
        suffix = next((i for i in range(shorter - prefix) if base[-1 - i] != new[-1 - i]), shorter - prefix)
        return cls(prefix, suffix, new[prefix : len(new) - suffix])

    def apply(self, base: bytes) -> bytes:
        if self.prefix + self.suffix > len(base):
            raise CorruptArtifact(f"metadata takes {self.prefix} + {self.suffix} bytes of the base's, which has {len(base)}")
        return base[: self.prefix] + self.middle + base[len(base) - self.suffix :]


@dataclass(frozen=True)
class LayerChange:
    op: Op
    base_layer: int = 0  # its place in the base's table; not of WHOLE
    stream: bytes = b""  # of CHANGED and REVALUED


@dataclass(frozen=True)
class SymbolBody:
    encoder: str  # name and version
    settings: Settings
    metadata: MetadataChange
    whole: bytes  # a .sqz file, or nothing
    layers: tuple[LayerChange, ...]  # NEW's, in order


def pack(body: SymbolBody) -> bytes:
    settings = body.settings
    head = bytes([CODERS.index(settings.coder), POSITIONS.index(settings.positions), settings.block_size.bit_length() - 1])
    metadata = write_varint(body.metadata.prefix) + write_varint(body.metadata.suffix) + _sized(body.metadata.middle)
    return _sized(body.encoder.encode("ascii")) + head + metadata + _sized(body.whole) + _pack_layers(body.layers)


def _sized(data: bytes) -> bytes:
    return write_varint(len(data)) + data


def _pack_layers(layers: Sequence[LayerChange]) -> bytes:
    packed = []
    for layer in layers:
        packed.append(bytes([layer.op]))
        if layer.op != Op.WHOLE:
            packed.append(write_varint(layer.base_layer))
        if layer.op in (Op.CHANGED, Op.REVALUED):
            packed.append(_sized(layer.stream))
    return b"".join(packed)


def parse_encoder(data: bytes) -> str:
    """The first field alone: what comes after it may be another version's."""
    return _encoder(Cursor(data, CUT))


def parse(data: bytes) -> SymbolBody:
    """Every length is held against the bytes there are. Raises CorruptArtifact."""
    cursor = Cursor(data, CUT)
    encoder = _encoder(cursor)
    coder, positions, block_log = cursor.take(3)
    for what, value, allowed in (("coder", coder, CODERS), ("positions", positions, POSITIONS)):
        if value >= len(allowed):
            raise CorruptArtifact(f"{what} {value}, allowed 0 to {len(allowed) - 1}")
    if not MIN_BLOCK_LOG <= block_log <= MAX_BLOCK_LOG:
        raise CorruptArtifact(f"block log {block_log}, allowed {MIN_BLOCK_LOG} to {MAX_BLOCK_LOG}")
    metadata = MetadataChange(cursor.varint(), cursor.varint(), cursor.sized())
    whole = cursor.sized()
    layers = []
    while cursor.offset < len(data):
        layers.append(_parse_layer(cursor))
    if not layers:
        raise CorruptArtifact("the new file has no layer")
    return SymbolBody(encoder, Settings(CODERS[coder], POSITIONS[positions], 1 << block_log), metadata, whole, tuple(layers))


def _encoder(cursor: Cursor) -> str:
    name = cursor.sized()
    if not name or not name.isascii() or not name.decode("ascii").isprintable():
        raise CorruptArtifact(f"the encoder's name is {name[:40]!r}, must be printable ASCII")
    return name.decode("ascii")


def _parse_layer(cursor: Cursor) -> LayerChange:
    op = cursor.take(1)[0]
    if op not in list(Op):
        raise CorruptArtifact(f"layer change {op}, allowed 0 to {max(Op)}")
    base_layer = cursor.varint() if op != Op.WHOLE else 0
    return LayerChange(Op(op), base_layer, cursor.sized() if op in (Op.CHANGED, Op.REVALUED) else b"")
