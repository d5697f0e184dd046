"""The entropy coders: names, the ids that a file stores, and the functions that every one of them has.

A coder turns a 1-D array of symbols 0 .. alphabet - 1 into bytes under a static model. The model lies once in the layer's
header and serves all blocks of the layer; each block is a stream of its own. Coder and model are apart, so another coder is
one word in a recipe. `gaps` is not a coder: it turns a mask into symbols that any coder takes.

Which one: `range` is the shortest; `huffman` decodes faster and gives up to half a bit a symbol away; `stored` when nothing
is gained; `zstd` only where symbols repeat in patterns, and only on hosts. `context` takes the levels of a layer, zeros and all,
with their places, and is shorter than all of them and slowest; it has functions of its own. Importing this package costs
nothing: numba is imported with the first coder that needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from compress.errors import CorruptArtifact

Model = npt.NDArray[np.integer[Any]]
Symbols = npt.NDArray[np.integer[Any]]
Buffer = bytes | bytearray | memoryview
Decoder = Callable[[Buffer, int], Symbols]  # a stream and its number of symbols

CODERS = {"stored": 0, "huffman": 1, "range": 2, "zstd": 3}  # the Coder_Id that a file stores
CONTEXT = 4  # the Coder_Id of `context`, which is no Coder: it takes levels, and their places in the tensor
MAX_CODED_LEVEL = 4095  # in magnitude, of the levels that `context` takes
CODER_IDS = {coder_id: name for name, coder_id in CODERS.items()} | {CONTEXT: "context"}
MODULES = {
    "stored": "compress.codecs.stored",
    "huffman": "compress.codecs.huffman",
    "range": "compress.codecs.range_coder",
    "zstd": "compress.codecs.zstd",
}
PORTABLE = ("stored", "huffman", "range")  # what every decoder has; zstd is the host profile


class Coder(Protocol):
    """What the module of a coder holds. `stored`, `huffman` and `range` also have `ideal_bits`, for reports."""

    def build_model(self, frequencies: npt.NDArray[np.int64]) -> Model:
        """The model for a layer. frequencies: int64, shape (alphabet,), of all its blocks; all zero counts as symbol 0 alone.
        The same frequencies give the same model on every machine. ValueError if the coder cannot take this alphabet."""
        ...

    def pack_model(self, model: Model) -> bytes:
        """The one form in which a layer's header holds the model."""
        ...

    def unpack_model(self, data: Buffer, offset: int, alphabet: int) -> tuple[Model, int]:
        """Inverse of pack_model, from `data[offset:]`. Returns the model and the offset after it."""
        ...

    def encode(self, symbols: Symbols, model: Model) -> bytes:
        """One stream. No symbols code to no bytes. ValueError for a symbol that the model does not hold."""
        ...

    def decode(self, data: Buffer, model: Model, n_symbols: int) -> Symbols:
        """Inverse of encode: uint8 if the alphabet is at most 256, else uint16. All of `data` is used, or CorruptStream."""
        ...

    def decoder(self, model: Model) -> Decoder:
        """As decode, under one model: its tables are made once, for all blocks of a layer."""
        ...


def coder(name: str) -> Coder:
    """The module of a coder, imported now."""
    if name not in MODULES:
        raise ValueError(f"coder must be one of {', '.join(MODULES)}, got {name!r}")
    return cast(Coder, import_module(MODULES[name]))


def coder_by_id(coder_id: int) -> Coder:
    """The module of the coder that a file names."""
    if coder_id not in CODERS.values():
        raise CorruptArtifact(f"coder id is {coder_id}, must be one of {', '.join(map(str, CODERS.values()))}")
    return coder(CODER_IDS[coder_id])
