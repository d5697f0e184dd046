"""The symbol form of a delta (docs/DELTA.md): the weights of NEW that have another index than in the base, coded against it.

A weight that was tuned a little keeps its index or goes to the next one, which costs a fraction of a bit; its block in the
container changes whole. So the form is several times smaller than the block form, and is for hosts: to apply it the base is
decoded and NEW is encoded again, by the very encoder that wrote it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata as package

from compress.artifact import metadata as metadata_json
from compress.artifact import reader, symbol_layout
from compress.artifact.layer_integers import Values, comparable, identical, old_integers, rebuilt, same_values
from compress.artifact.layout import FILE_HEADER, MAX_WEIGHTS
from compress.artifact.reader import Contents
from compress.artifact.symbol_layout import LayerChange, MetadataChange, Op, SymbolBody
from compress.artifact.writer_settings import settings_of
from compress.codecs import changes
from compress.errors import CorruptArtifact, InputError, LimitExceeded, UnsupportedVersion
from compress.layer import Layer, SharedLayer


def encoder() -> str:
    """Name and version of what writes files here."""
    return f"squeeze-compress {package.version('squeeze-compress')}"


def make(base: bytes, new: bytes) -> bytes:
    """The body of a symbol-form delta between two whole .sqz files.

    Raises InputError where no setting of this writer makes the bytes of `new` again."""
    base_contents, new_contents = reader.parse(base, MAX_WEIGHTS), reader.parse(new, MAX_WEIGHTS)
    base_layers, new_layers = reader.read_bytes(base).layers, reader.read_bytes(new).layers
    settings = settings_of(new_contents, new_layers)
    if settings is None:
        raise InputError(
            f"no setting of this encoder ({encoder()}) writes these bytes again, which the symbol form needs; take the block form"
        )
    places = {name: place for place, name in enumerate(base_layers)}
    coded = _Coded()
    for record in new_contents.records:
        layer, was = new_layers[record.name], base_layers.get(record.name)
        size_bytes = record.record_size + sum(block.payload_size for block in record.blocks)
        coded.add(layer, was, places.get(record.name, 0), size_bytes)
    whole = b""
    if coded.whole:
        whole = settings.write({layer.name: layer for layer in coded.whole}, {})
    change = MetadataChange.between(_metadata_bytes(base_contents), _metadata_bytes(new_contents))
    body = SymbolBody(encoder(), settings, change, whole, tuple(coded.changes))
    return symbol_layout.pack(body)


@dataclass
class _Coded:
    """The layers of NEW as they are added: what is told of each, and the tensors that go whole."""

    changes: list[LayerChange] = field(default_factory=list)
    whole: list[Layer] = field(default_factory=list)

    def add(self, layer: Layer, was: Layer | None, place: int, size_bytes: int) -> None:
        """was: the base's layer of that name, `place` in its table. size_bytes: of the layer in NEW."""
        if was is not None and identical(was, layer):
            self.changes.append(LayerChange(Op.KEPT, place))
            return
        pair = None if was is None else comparable(was, layer)
        if was is None or pair is None:
            self._add_whole(layer)
            return
        values = []
        if isinstance(layer, SharedLayer) and not same_values(was, layer):
            values.append(Values.of(layer).to_tensor(layer.name))
        stream = changes.encode(*pair, _columns(layer))
        if len(stream) + sum(tensor.array.nbytes for tensor in values) >= size_bytes:
            self._add_whole(layer)
            return
        self.changes.append(LayerChange(Op.REVALUED if values else Op.CHANGED, place, stream))
        self.whole += values

    def _add_whole(self, layer: Layer) -> None:
        self.changes.append(LayerChange(Op.WHOLE))
        self.whole.append(layer)


def apply(packed: bytes, base: bytes, *, max_weights: int = MAX_WEIGHTS) -> bytes:
    """NEW. packed: the body of a delta. base: the .sqz file that it was made for. max_weights: of the base, of Whole, of NEW.

    Raises UnsupportedVersion for a delta of another encoder, LimitExceeded, CorruptArtifact."""
    wanted = symbol_layout.parse_encoder(packed)
    if wanted != encoder():
        raise UnsupportedVersion(f"of the symbol form, for the encoder {wanted!r}; this one is {encoder()!r}")
    body = symbol_layout.parse(packed)
    with reader.named("the base"):
        contents = reader.parse(base, max_weights)
    base_layers = list(reader.read_bytes(base, name="the base", max_weights=max_weights).layers.values())
    whole = reader.read_bytes(body.whole, name="Whole", max_weights=max_weights).layers if body.whole else {}
    layers: dict[str, Layer] = {}
    n_weights = 0
    for layer in _rebuilt(body.layers, base_layers, list(whole.values())):
        if layer.name in layers:
            raise CorruptArtifact(f"{layer.name}: named twice")
        n_weights += layer.n_weights
        if n_weights > max_weights:
            raise LimitExceeded(f"the new file has over {max_weights:,} weights, which are allowed")
        layers[layer.name] = layer
    try:
        return body.settings.write(layers, metadata_json.parse(body.metadata.apply(_metadata_bytes(contents))))
    except InputError as error:  # what a writer's caller is told of tensors or metadata that no file can hold
        raise CorruptArtifact(f"the new file cannot be written: {error}") from error


def _rebuilt(changes_of: Sequence[LayerChange], base: Sequence[Layer], whole: Sequence[Layer]) -> Iterator[Layer]:
    """The layers of NEW. base, whole: those of the base and of Whole, in order; each is taken once at most."""
    n_given, taken = 0, set()
    for number, change in enumerate(changes_of):
        given = None
        if change.op in (Op.WHOLE, Op.REVALUED):
            if n_given == len(whole):
                raise CorruptArtifact(f"layer {number} of the new file takes tensor {n_given} of Whole, which has {len(whole)}")
            given, n_given = whole[n_given], n_given + 1
        if given is not None and change.op == Op.WHOLE:
            yield given
            continue
        place = change.base_layer
        if place >= len(base) or place in taken:
            why = "was taken before" if place in taken else f"is one of {len(base)}"
            raise CorruptArtifact(f"layer {number} of the new file comes from layer {place} of the base, which {why}")
        taken.add(place)
        yield _changed(base[place], change, given)
    if n_given < len(whole):
        raise CorruptArtifact(f"{len(whole)} tensors in Whole, the new file takes {n_given}")


def _changed(was: Layer, change: LayerChange, given: Layer | None) -> Layer:
    if change.op == Op.KEPT:
        return was
    with reader.named(was.name):
        values = None if given is None else Values.from_tensor(given)
        integers = changes.decode(change.stream, old_integers(was, values), _columns(was))
        return rebuilt(was, values, integers)


def _columns(layer: Layer) -> int:
    """Weights of a row: of what makes one output."""
    return math.prod(layer.shape[1:])


def _metadata_bytes(contents: Contents) -> bytes:
    return contents.data[FILE_HEADER.size : FILE_HEADER.size + contents.header.metadata_size]
