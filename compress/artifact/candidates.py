"""The ways to write a layer's blocks: each is a candidate for the file, and the smallest that a reader accepts is kept.

A reader refuses a block with more than 256 weights a payload byte (docs/FORMAT.md); of candidates of one size the first is kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compress import codecs
from compress.artifact.layout import MAX_WEIGHTS_PER_BYTE, POSITION_ALPHABET, LayerRecord, PositionMode, Stream
from compress.artifact.streams import Mask, Symbols, code_symbols, levels_of, position_symbols
from compress.codecs.bits import write_varint

BEST, CONTEXT = "best", "context"
PORTABLE_CODERS = ("huffman", "range", "stored")  # what `best` may pick: what every decoder has
POSITION_MODES = {"bitmap": PositionMode.BITMAP, "bytes": PositionMode.BYTES, "gaps": PositionMode.GAPS}


@dataclass(frozen=True)
class CodedStream:
    """One stream of a layer, coded in one way: a candidate for the file."""

    stream: Stream | None  # None: a single value, no pruned weight, or values that no coder codes
    payloads: tuple[bytes, ...]  # one a block; empty where the block is all-zero
    mode: PositionMode = PositionMode.DENSE
    gap_counts: tuple[int, ...] = ()

    @property
    def cost(self) -> int:
        """Bytes it takes in the file, those of its lengths in the table counted; 0 where there is nothing to choose."""
        if self.stream is None:
            return 0
        lengths = sum(len(write_varint(len(payload))) + len(payload) for payload in self.payloads if payload)
        gap_counts = sum(len(write_varint(count)) for count in self.gap_counts) if self.mode == PositionMode.GAPS else 0
        return len(self.stream.model) + lengths + gap_counts


def code_candidates(nonzero: Iterable[npt.NDArray[np.int32]], record: LayerRecord, coder: str) -> list[CodedStream]:
    """nonzero: per block, its indices without the zeros."""
    symbols = [code_symbols(block, record) for block in nonzero]
    if record.n_codes <= 1:
        return [CodedStream(None, (b"",) * len(symbols))]  # one value: where it is says all
    return _coded(symbols, record.n_codes, coder)


def position_candidates(masks: list[Mask], coder: str, positions: str) -> list[CodedStream]:
    """In order of preference among equals."""
    candidates = []
    if all(mask.all() for mask in masks):
        candidates.append(CodedStream(None, (b"",) * len(masks), gap_counts=(0,) * len(masks)))
    for name, mode in POSITION_MODES.items():
        if positions in (BEST, name):
            candidates += _coded(_position_symbols(masks, mode), POSITION_ALPHABET[mode], coder, mode)
            candidates = _worth_keeping(candidates, masks)
    return candidates


def _worth_keeping(candidates: list[CodedStream], masks: list[Mask]) -> list[CodedStream]:
    """Without those that smallest_legal would not take, whatever the codes are: of a large layer each takes many megabytes."""
    ranked = sorted(candidates, key=lambda each: each.cost)  # of equals the first stays first
    for n, each in enumerate(ranked, 1):
        if _is_legal(masks, [len(payload) for payload in each.payloads]):
            return ranked[:n]
    return candidates


def levels_candidate(record: LayerRecord, indices: list[npt.NDArray[np.int32]], masks: list[Mask]) -> CodedStream | None:
    """Every weight as a level, zeros too, with contexts; None where the layer has no levels or the 256 rule forbids it."""
    if record.n_codes == 0 or not record.has_levels or max(record.extent) > codecs.MAX_CODED_LEVEL:
        return None
    from compress.codecs import context

    def levels() -> Iterator[npt.NDArray[np.int32]]:  # a block at a time: a layer may have a hundred million weights
        return (levels_of(block, record) for block in indices)

    geometry = context.Geometry.of(record.dims)
    candidates = []
    for context_set in context.CONTEXT_SETS:
        model = context.build_model(levels(), context_set)
        payloads = tuple(
            context.encode(block, geometry, model) if mask.any() else b"" for block, mask in zip(levels(), masks, strict=True)
        )
        stream = CodedStream(Stream(codecs.CONTEXT, context.pack_model(model)), payloads, PositionMode.LEVELS, (0,) * len(masks))
        candidates.append(stream)
    smallest = min(candidates, key=lambda each: each.cost)
    return smallest if _is_legal(masks, [len(payload) for payload in smallest.payloads]) else None


def smallest_legal(positions: list[CodedStream], codes: list[CodedStream], masks: list[Mask]) -> tuple[CodedStream, CodedStream]:
    """The cheapest pair whose every block holds at most 256 weights a payload byte."""
    for where, what in sorted(itertools.product(positions, codes), key=lambda pair: pair[0].cost + pair[1].cost):
        sizes = [len(a) + len(b) for a, b in zip(where.payloads, what.payloads, strict=True)]
        if _is_legal(masks, sizes):
            return where, what
    return smallest_legal(_legal_positions(masks), codes, masks)


def _is_legal(masks: list[Mask], sizes: list[int]) -> bool:
    """Whether payloads of so many bytes hold at most 256 weights a byte, but for the all-zero blocks, which have none."""
    return all(mask.size <= MAX_WEIGHTS_PER_BYTE * size or not mask.any() for mask, size in zip(masks, sizes, strict=True))


def _legal_positions(masks: list[Mask]) -> list[CodedStream]:
    """For blocks so sparse that every choice asked for holds more than 256 weights a payload byte. A bitmap as bytes takes, with
    Huffman, a bit or more for 8 weights: always legal. (Gaps are not: the zeros after a block's last weight cost nothing.)"""
    mode = PositionMode.BYTES
    return _coded(_position_symbols(masks, mode), POSITION_ALPHABET[mode], "huffman", mode)


def _position_symbols(masks: list[Mask], mode: PositionMode) -> list[Symbols]:
    return [position_symbols(mask, mode) if mask.any() else np.zeros(0, np.uint8) for mask in masks]  # no payload: no symbols


def _coded(symbols: list[Symbols], alphabet: int, coder: str, mode: PositionMode = PositionMode.DENSE) -> list[CodedStream]:
    """One candidate for each coder that may be tried; stored, where none of them takes so many symbols."""
    frequencies = sum((np.bincount(block, minlength=alphabet) for block in symbols), np.zeros(alphabet, np.int64))
    gap_counts = tuple(len(block) if mode == PositionMode.GAPS else 0 for block in symbols)
    candidates = []
    for name in PORTABLE_CODERS if coder in (BEST, CONTEXT) else (coder, "stored"):
        module = codecs.coder(name)
        try:
            model = module.build_model(frequencies)
        except ValueError:  # what this coder cannot take: huffman more than 2^15 present symbols, range more than 2^12
            continue
        payloads = tuple(module.encode(block, model) for block in symbols)  # no symbols: no bytes
        candidates.append(CodedStream(Stream(codecs.CODERS[name], module.pack_model(model)), payloads, mode, gap_counts))
        if coder not in (BEST, CONTEXT):
            break
    return candidates
