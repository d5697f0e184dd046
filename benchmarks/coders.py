"""Bytes of every coder on the streams of a real file, against its own model's ideal length, the entropy, zstd-22 and lzma.

    python benchmarks/coders.py [artifacts/deep.sqz]

The streams are the masks (one bit a weight), the gaps (4 bits each) and the codes of the file's shared layers. `overhead` is
the coded bytes over the ideal length of the coder's own model (Huffman: its code lengths; range: its frequencies; stored: its
width), without the model; `over entropy` counts the model too. zstd has no ideal length.

Then the layers whole, models counted: with contexts, beside masks (or gaps) and codes at their order-0 best, zstd and lzma. And
seconds to encode and to decode the whole file with contexts, one thread, warm, beside the same with the order-0 coders.
"""

from __future__ import annotations

import argparse
import lzma
import time
from pathlib import Path

import numpy as np
import zstandard

from compress import codecs
from compress.artifact import writer
from compress.artifact.reader import Artifact, read, read_bytes
from compress.codecs import gaps
from compress.layer import SharedLayer

ZSTD_LEVEL = 22
REPEATS = 11


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
    whole_layers(layers)
    seconds(artifact)


def whole_layers(layers: list[SharedLayer]) -> None:
    sizes = {coder: sum(coded_bytes(layer, coder) for layer in layers) for coder in ("range", "huffman", "context")}
    raw = b"".join(layer.indices.astype(np.uint8 if layer.indices.max() < 256 else "<u2").tobytes() for layer in layers)
    sizes["zstd-22"] = len(zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(raw))
    sizes["lzma"] = len(lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME))
    print(f"{'layers':<18}{'bytes':>10}{'context is under it by':>25}")
    for name, size in sizes.items():
        under = "" if name == "context" else f"{1 - sizes['context'] / size:.2%}"
        print(f"{name:<18}{size:>10,}{under:>25}")


def coded_bytes(layer: SharedLayer, coder: str) -> int:
    """Streams and models."""
    encoded = writer.encode_layer(layer, coder=coder)
    return sum(map(len, encoded.payloads)) + sum(len(stream.model) for stream in encoded.record.streams)


def seconds(artifact: Artifact) -> None:
    print(f"{'whole file':<18}{'bytes':>10}{'encode, ms':>25}{'decode, ms':>25}   median (10th to 90th percentile) of {REPEATS}")
    for coder in ("range", "context"):
        taken: dict[str, list[float]] = {"encode": [], "decode": []}
        for _ in range(REPEATS):
            start = time.perf_counter()
            data = writer.to_bytes(artifact.layers.values(), artifact.metadata, coder=coder)
            encoded = time.perf_counter()
            read_bytes(data)
            taken["encode"].append(1000 * (encoded - start))
            taken["decode"].append(1000 * (time.perf_counter() - encoded))
        shown = [np.percentile(each, [50, 10, 90]) for each in taken.values()]
        cells = [f"{median:.0f} ({low:.0f} to {high:.0f})" for median, low, high in shown]
        print(f"{coder:<18}{len(data):>10,}" + "".join(f"{cell:>25}" for cell in cells))


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
