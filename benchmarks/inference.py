"""The C runtime (native/): decoding, inference beside onnxruntime, logits beside PyTorch, activations of 8 bits, memory.

    python benchmarks/inference.py [FILE] [--images 100] [--repeats 30]

FILE (artifacts/deep.sqz) is run at 224 pixels, one thread, compiled by the first C compiler that there is with -O3 -march=native
-ffp-contract=fast. Times are medians, with the least and the 90th percentile. onnxruntime runs the same net, dense, as
`squeeze-compress export --to onnx` writes it. Logits are compared on images of val500 (needs SQUEEZE_DATA). Activations of 8
bits are calibrated on the bundled photographs, and measured on val500 and broad250, which nothing was calibrated on.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from native_lib import COMPILERS, NATIVE, RESIDENT, RESIDENT_8, STREAMED, STREAMED_8, WARNINGS, Net  # noqa: E402

from compress.artifact import writer  # noqa: E402
from compress.artifact.reader import read  # noqa: E402
from compress.data.classes import imagenet_wnids  # noqa: E402
from compress.data.pictures import load  # noqa: E402
from compress.data.preprocess import centre_crop, normalise, to_pixels  # noqa: E402
from compress.data.sets import tuning_set  # noqa: E402
from compress.export.c import BATCH_SIZE, BATCHES, MIN_AREA, SEED  # noqa: E402
from compress.export.load import from_artifact  # noqa: E402
from compress.export.onnx import to_onnx  # noqa: E402
from compress.export.ranges import activation_ranges  # noqa: E402
from compress.recipe import Source  # noqa: E402

SIDE, RESIZE = 224, 256
OPTIONS = ("-O3", "-march=native", "-ffp-contract=fast")
SETS = ("imagenet-val500", "imagenet-broad250")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, default=ROOT / "artifacts" / "deep.sqz")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{arguments.file.name}, {COMPILERS[0]} {' '.join(OPTIONS)}, one thread of {cpu()}")
    decoding(arguments.file, arguments.repeats)
    artifact = read(arguments.file)
    artifact.metadata["input"] |= {"size": SIDE, "resize": RESIZE}
    data = writer.to_bytes(artifact.layers.values(), artifact.metadata)
    loaded = from_artifact(artifact, str(arguments.file))
    native = Net(data, *OPTIONS)
    n_classes = loaded.net.spec.classes
    ranges = calibrated(loaded)
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    inference(native, data, n_classes, noise, ranges, loaded, arguments.repeats)
    for mode, name in ((RESIDENT, "weights resident"), (STREAMED, "streamed"), (STREAMED_8, "streamed, 8 bits")):
        print(f"RAM, {name}: {native.memory(mode):,} bytes, the image counted")
    small = Net(data, "-O2", "-DSQZ_SMALL")
    for mode, name in ((STREAMED, "streamed"), (STREAMED_8, "streamed, 8 bits")):
        print(f"RAM, {name}, SQZ_SMALL: {small.memory(mode):,} bytes, the image counted")
    if "SQUEEZE_DATA" in os.environ:
        accuracy(native, n_classes, ranges, loaded, arguments.images)
    else:
        print("SQUEEZE_DATA is not set: no images to compare logits on")


def cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "an unknown processor"


def decoding(file: Path, repeats: int) -> None:
    """sqz-decode --time, of the file as it is, and of the same tensors by the order-0 coders."""
    with tempfile.TemporaryDirectory() as folder:
        tool = Path(folder, "sqz-decode")
        sources = [str(path) for path in sorted(NATIVE.glob("sqz*.c"))]
        command = [COMPILERS[0], *WARNINGS, *OPTIONS, "-o", str(tool), *sources, str(NATIVE / "tools" / "sqz_decode.c"), "-lm"]
        subprocess.run(command, check=True)
        artifact = read(file)
        for coder in ("as it is", "range", "huffman"):
            shown = file
            if coder != "as it is":
                shown = Path(folder, f"{coder}.sqz")
                shown.write_bytes(writer.to_bytes(artifact.layers.values(), artifact.metadata, coder=coder))
            told = subprocess.run([str(tool), "--time", str(repeats), str(shown)], check=True, capture_output=True, text=True)
            last = (told.stdout + told.stderr).strip().splitlines()[-1]
            print(f"decode, {coder}: {shown.stat().st_size:,} bytes: {last}")


def calibrated(loaded) -> np.ndarray:  # type: ignore[no-untyped-def]
    convention = loaded.preprocess.convention
    batches = tuning_set([Source(source="bundled")], SIDE, MIN_AREA, convention).batches(BATCH_SIZE, SEED)
    return np.array(activation_ranges(loaded.net, itertools.islice(batches, BATCHES)), np.float32)


def inference(native, data, n_classes, pixels, ranges, loaded, repeats) -> None:  # type: ignore[no-untyped-def]
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "net.sqz").write_bytes(data)
        to_onnx(Path(folder, "net.sqz"), Path(folder, "net.onnx"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(Path(folder, "net.onnx")), options, providers=["CPUExecutionProvider"])
    image = normalise(torch.from_numpy(pixels)[None], loaded.preprocess.convention).numpy()
    runs: dict[str, Callable[[], object]] = {
        f"onnxruntime {onnxruntime.__version__}": lambda: session.run(None, {"image": image}),
        "C, weights resident": lambda: native.run(n_classes, RESIDENT, pixels=pixels),
        "C, resident, 8 bits": lambda: native.run(n_classes, RESIDENT_8, pixels=pixels, ranges=ranges),
        "C, streamed": lambda: native.run(n_classes, STREAMED, pixels=pixels),
        "C, streamed, 8 bits": lambda: native.run(n_classes, STREAMED_8, pixels=pixels, ranges=ranges),
    }
    for run in runs.values():
        run()
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):  # in turn, so that what else the machine does falls on all
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            taken[name].append(1000 * (time.perf_counter() - start))
    base = next(iter(taken.values()))
    for name, times in taken.items():
        low, high = min(times), float(np.percentile(times, 90))
        ratio = f"{statistics.median(times) / statistics.median(base):.2f} times (of the least {low / min(base):.2f})"
        print(f"{name:<24}{statistics.median(times):8.2f} ms ({low:.2f} to {high:.2f})  {ratio}")


def accuracy(native, n_classes, ranges, loaded, n_compared) -> None:  # type: ignore[no-untyped-def]
    convention = loaded.preprocess.convention
    classes = imagenet_wnids()
    largest, n_same, n = 0.0, 0, 0
    for name in SETS:
        found = load(Source(source=f"folder:$SQUEEZE_DATA/{name}"), "RGB", field=name)
        right: dict[str, list[bool]] = {"float32": [], "8 bits": []}
        same = []
        for i in range(len(found.items)):
            pixels = to_pixels(centre_crop(found.open(i), resize=convention.resize, size=convention.size)).numpy()
            label = classes.index(str(found.items[i].category))
            logits = native.run(n_classes, RESIDENT, pixels=pixels)
            logits_8 = native.run(n_classes, RESIDENT_8, pixels=pixels, ranges=ranges)
            right["float32"].append(int(logits.argmax()) == label)
            right["8 bits"].append(int(logits_8.argmax()) == label)
            same.append(int(logits.argmax()) == int(logits_8.argmax()))
            if n < n_compared:
                with torch.inference_mode():
                    wanted = loaded.net(normalise(torch.from_numpy(pixels)[None], convention))[0].numpy()
                largest = max(largest, float(np.abs(logits - wanted).max()))
                n_same += int(logits.argmax()) == int(wanted.argmax())
                n += 1
        shares = ", ".join(f"{kind} {100 * np.mean(hits):.1f}" for kind, hits in right.items())
        print(f"{name}, n = {len(same)}: top-1 {shares}; the same class {100 * np.mean(same):.1f}%")
    print(f"logits beside PyTorch's, {n} images: largest difference {largest:.2g}, the same class {n_same} of {n}")


if __name__ == "__main__":
    main()
