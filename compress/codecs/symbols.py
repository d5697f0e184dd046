"""What a coder is given and gives back: symbols 0 .. alphabet - 1, in the smallest unsigned type that holds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from compress.codecs import Symbols
from compress.errors import CorruptStream

MAX_ALPHABET = 1 << 16


def symbol_dtype(alphabet: int) -> np.dtype[Any]:
    """uint8 up to 256 symbols, else uint16, little-endian where it is stored."""
    return np.dtype(np.uint8 if alphabet <= 256 else "<u2")


def check_alphabet(alphabet: int) -> int:
    if not 1 <= alphabet <= MAX_ALPHABET:
        raise ValueError(f"an alphabet has 1 to {MAX_ALPHABET} symbols, got {alphabet}")
    return alphabet


def counted(frequencies: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The frequencies to build a model from: a layer without symbols still has a model, that of symbol 0 alone."""
    check_alphabet(len(frequencies))
    if frequencies.any():
        return frequencies.astype(np.int64)
    return np.eye(1, len(frequencies), dtype=np.int64)[0]


def to_encode(symbols: Symbols, alphabet: int) -> npt.NDArray[np.uint16]:
    """A contiguous uint16 copy for the kernels, which trust that every symbol is in the alphabet."""
    if symbols.ndim != 1 or symbols.dtype.kind not in "iu":
        raise ValueError(f"symbols must be a 1-D array of integers, got {symbols.dtype} {symbols.shape}")
    if symbols.size and (symbols.min() < 0 or symbols.max() >= alphabet):
        raise ValueError(f"symbols span [{symbols.min()}, {symbols.max()}], the alphabet is [0, {alphabet - 1}]")
    return symbols.astype(np.uint16, order="C")


def check_decoded(name: str, symbols: Symbols, alphabet: int) -> Symbols:
    outside = symbols >= alphabet
    if outside.any():
        i = int(outside.argmax())
        raise CorruptStream(f"{name}: symbol {i} of {len(symbols)} is {symbols[i]}, the alphabet is [0, {alphabet - 1}]")
    return symbols
