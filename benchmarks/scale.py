"""How encoding and decoding grow with the net: seconds, peak memory, growth.

    python benchmarks/scale.py                        1.2, 12, 61 and 138 million parameters, and the fitted line
    python benchmarks/scale.py --parameters 1e6 1e7   other sizes

Nets have the shapes of VGG-16 (Simonyan & Zisserman 2015), narrower where they are smaller. Of weights that are Laplace's the
largest 7.5% are kept, and shared by 8 bits in convolutions and 5 in fully connected layers, as Han et al. 2016 share VGG-16. Each
measurement is a process of its own; memory is the peak of that process, over the float32 bytes of the net. Layers are made one at
a time while they are encoded; making them is not counted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from compress.artifact import reader, tensors, writer
from compress.cores import n_cores
from compress.layer import SharedLayer
from compress.measure.cost import peak_memory_bytes

DENSITY = 0.075
CONVOLUTIONS = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
FULLY_CONNECTED = [(25088, 4096), (4096, 4096), (4096, 1000)]
N_VGG16 = 138_357_544 - 13_416  # its weights: 13,416 of its parameters are biases
SIZES = [1.2e6, 12e6, 61e6, 138_357_544]
LARGER = [1e9, 1e10]


def shapes(n_parameters: float) -> dict[str, tuple[int, ...]]:
    """VGG-16's, with every width but that of the input and of the classes times the same factor."""
    low, high = 0.01, 4.0
    while high - low > 1e-6:  # a quadratic and its rounding
        middle = (low + high) / 2
        low, high = (middle, high) if _n_weights(_shapes(middle)) < n_parameters else (low, middle)
    return _shapes(1.0 if abs(n_parameters - N_VGG16) < 1e5 else high)


def _shapes(width: float) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    before = 3
    for i, wide in enumerate(CONVOLUTIONS):
        n = max(1, round(wide * width))
        found[f"features.{i}.weight"] = (n, before, 3, 3)
        before = n
    before *= 49
    for i, (_, n_out) in enumerate(FULLY_CONNECTED):
        n = max(1, round(n_out * width)) if i < 2 else n_out
        found[f"classifier.{3 * i}.weight"] = (n, before)
        before = n
    return found


def _n_weights(found: dict[str, tuple[int, ...]]) -> int:
    return sum(int(np.prod(shape)) for shape in found.values())


def layer(name: str, shape: tuple[int, ...], seed: int) -> SharedLayer:
    """Shared by linear quantization of the survivors, which k-means would only move: what a file takes depends on frequencies."""
    rng = np.random.default_rng(seed)
    n_centroids = (1 << (8 if "features" in name else 5)) - 1
    indices = np.zeros(int(np.prod(shape)), np.int32)
    threshold = -np.log(DENSITY)  # of |w| for Laplace's distribution of scale 1
    for start in range(0, indices.size, 1 << 20):
        part = indices[start : start + (1 << 20)]
        kept = rng.random(part.size) < DENSITY
        sizes = threshold + rng.exponential(size=int(kept.sum()))  # the tail is exponential again
        signs = rng.integers(0, 2, sizes.size) * 2 - 1
        places = np.clip(sizes * signs / (threshold + 8.0), -1, 1)
        part[kept] = 1 + np.rint((places + 1) / 2 * (n_centroids - 1)).astype(np.int32)
    codebook = np.linspace(-1, 1.01, n_centroids).astype(np.float16)  # none of them zero: they are levels too
    return SharedLayer(name, shape, indices.reshape(shape), codebook)


def encode(n_parameters: float, path: Path, threads: int) -> dict[str, float]:
    warm_up(threads)
    begun, made = time.monotonic(), 0.0

    def timed() -> Iterator[SharedLayer]:
        nonlocal made
        for number, (name, shape) in enumerate(shapes(n_parameters).items()):
            start = time.monotonic()
            of_name = [layer(name, shape, number)]
            made += time.monotonic() - start
            yield of_name.pop()  # no name keeps it while the next is made

    written = writer.write(path, timed(), {}, threads=threads)
    return {"seconds": time.monotonic() - begun - made, "size_bytes": written.size_bytes}


def decode(path: Path, threads: int) -> dict[str, float]:
    warm_up(threads)
    begun = time.monotonic()
    found = tensors.decode(path, threads=threads)
    seconds = time.monotonic() - begun
    return {"seconds": seconds, "size_bytes": path.stat().st_size, "n": sum(array.size for array in found.values())}


def warm_up(threads: int) -> None:
    """Numba compiles, or reads what it has compiled."""
    rng = np.random.default_rng(0)
    indices = (rng.integers(0, 32, (64, 64)) * (rng.random((64, 64)) < DENSITY)).astype(np.int32)
    data = writer.to_bytes([SharedLayer("w", (64, 64), indices, np.linspace(-1, 1, 31).astype(np.float16))], {}, threads=threads)
    reader.read_bytes(data, threads=threads)


def measured(*arguments: object) -> dict[str, float]:
    """By a process of its own."""
    command = [sys.executable, __file__, "--one", *map(str, arguments)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=float, nargs="+", default=SIZES)
    parser.add_argument("--threads", type=int, default=n_cores())
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        what, n, path = arguments.one
        one = encode(float(n), Path(path), arguments.threads) if what == "encode" else decode(Path(path), arguments.threads)
        print(json.dumps(one | {"memory": peak_memory_bytes()}))
        return
    rows = []
    print(f"{arguments.threads} threads\n\n| parameters | bytes | bits a weight | encode, s | memory | decode, s | memory |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for n_parameters in arguments.parameters:
            n, path = _n_weights(shapes(n_parameters)), Path(folder) / "net.sqz"
            made, read = measured("encode", n_parameters, path), measured("decode", n_parameters, path)
            rows.append((n, made["seconds"], read["seconds"], made["memory"], read["memory"]))
            of_fp32 = [found["memory"] / (4 * n) for found in (made, read)]
            size = made["size_bytes"]
            cells = [f"{n:,}", f"{size:,.0f}", f"{8 * size / n:.2f}"]
            cells += [f"{made['seconds']:.2f}", f"{of_fp32[0]:.2f}x", f"{read['seconds']:.2f}", f"{of_fp32[1]:.2f}x"]
            print(f"| {' | '.join(cells)} |", flush=True)
    first, last = rows[0], rows[-1]
    for i, name in ((1, "encoding"), (2, "decoding")):
        print(f"{name}: {(last[i] / last[0]) / (first[i] / first[0]):.2f} times the seconds a parameter of the smallest")
    if len(rows) > 1:
        for i, name, unit in ((1, "encode", "s"), (2, "decode", "s"), (3, "encode", "bytes"), (4, "decode", "bytes")):
            slope, base = np.polyfit([row[0] for row in rows], [row[i] for row in rows], 1)
            told = ", ".join(f"{n:.0e} parameters: {base + slope * n:,.0f} {unit}" for n in LARGER)
            print(f"{name}, by the fitted line: {told}")


if __name__ == "__main__":
    main()
