"""Bytes of every coder on the streams of a real file, against its own model's ideal length, the entropy, zstd-22 and lzma.

    python benchmarks/coders.py [artifacts/deep.sqz]

The streams are the masks (one bit a weight), the gaps (4 bits each) and the codes of the file's shared layers. `overhead` is
the coded bytes over the ideal length of the coder's own model (Huffman: its code lengths; range: its frequencies; stored: its
width), without the model; `over entropy` counts the model too. zstd has no ideal length.
"""

from __future__ import annotations

import argparse
import lzma
from pathlib import Path

import numpy as np
import zstandard

from compress import codecs
from compress.artifact.reader import read
from compress.codecs import gaps
from compress.layer import SharedLayer

ZSTD_LEVEL = 22


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, default=Path("artifacts/deep.sqz"))
    artifact = read(parser.parse_args().file)
    layers = [layer for layer in artifact.layers.values() if isinstance(layer, SharedLayer) and layer.codebook is not None]
    masks = [(layer.indices.ravel() != 0).astype(np.uint8) for layer in layers]
    streams = {
        "masks": (masks, 2),
        "gaps": ([gaps.encode(mask.astype(bool)) for mask in masks], 16),
        "codes": ([(layer.indices[layer.indices != 0] - 1).astype(np.uint16) for layer in layers], None),
    }
    print(f"{'stream':<8}{'coder':<10}{'symbols':>10}{'bytes':>10}{'model':>8}{'overhead':>11}{'over entropy':>14}")
    for name, (parts, alphabet) in streams.items():
        alphabets = [alphabet or int(part.max()) + 1 for part in parts]
        entropy = sum(entropy_bits(part) for part in parts)
        n_symbols = sum(map(len, parts))
        for coder in codecs.CODERS:
            row(name, coder, parts, alphabets, entropy, n_symbols)
        raw = [part.astype(np.uint8 if size <= 256 else "<u2").tobytes() for part, size in zip(parts, alphabets, strict=True)]
        for peer, data in (
            ("zstd-22*", zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(b"".join(raw))),
            ("lzma*", lzma.compress(b"".join(raw), preset=9 | lzma.PRESET_EXTREME)),
        ):
            print(f"{name:<8}{peer:<10}{n_symbols:>10,}{len(data):>10,}{'':>8}{'':>11}{8 * len(data) / entropy - 1:>13.2%}")
    print("* one stream for all layers together, a byte a symbol")


def row(name: str, coder_name: str, parts: list[np.ndarray], alphabets: list[int], entropy: float, n_symbols: int) -> None:
    coder = codecs.coder(coder_name)
    size = model_size = 0
    ideal = 0.0
    for part, alphabet in zip(parts, alphabets, strict=True):
        frequencies = np.bincount(part, minlength=alphabet).astype(np.int64)
        model = coder.build_model(frequencies)
        size += len(coder.encode(part, model))
        model_size += len(coder.pack_model(model))
        ideal += coder.ideal_bits(frequencies, model) if hasattr(coder, "ideal_bits") else float("nan")
    over_entropy = 8 * (size + model_size) / entropy - 1
    overhead = "-" if np.isnan(ideal) else f"{8 * size / ideal - 1:.3%}"
    print(f"{name:<8}{coder_name:<10}{n_symbols:>10,}{size:>10,}{model_size:>8,}{overhead:>11}{over_entropy:>13.2%}")


def entropy_bits(symbols: np.ndarray) -> float:
    counts = np.bincount(symbols)
    counts = counts[counts > 0]
    return float(-(counts * np.log2(counts / counts.sum())).sum())


if __name__ == "__main__":
    main()
