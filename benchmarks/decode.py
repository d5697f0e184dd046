"""Seconds from a .sqz file to arrays and to a loaded net, beside torch.load of the same net in fp32.

    python benchmarks/decode.py [artifacts/deep.sqz]

Warm: the median of many, ours and the peer's alternately, with the 10th and 90th percentile. First calls are measured in new
processes: with the compiled kernels in numba's cache, with an empty cache, and where no cache can be written.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import compress

REPEATS = 41
NO_CACHE = "no cache can be written"
FIRST_CALL = (
    "import sys, time; start = time.perf_counter(); import compress; imported = time.perf_counter(); "
    "compress.decode(sys.argv[1]); print(imported - start, time.perf_counter() - imported)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, default=Path("artifacts/deep.sqz"))
    file = parser.parse_args().file
    with tempfile.TemporaryDirectory() as folder:
        fp32 = Path(folder) / "fp32.pt"
        torch.save(compress.load(file).state_dict(), fp32)
        calls: dict[str, Callable[[], object]] = {
            "compress.decode (arrays)": lambda: compress.decode(file),
            "compress.load (module)": lambda: compress.load(file),
            "torch.load (fp32 arrays)": lambda: torch.load(fp32, weights_only=True),
        }
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(REPEATS):
            for name, call in calls.items():
                start = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - start)
        print(f"{file}: warm, one thread, median of {REPEATS} (10th to 90th percentile), ms")
        for name, taken in seconds.items():
            low, median, high = np.percentile(taken, [10, 50, 90]) * 1000
            print(f"  {name:<28}{median:8.1f}  ({low:.1f} to {high:.1f})")
        medians = [float(np.median(taken)) for taken in seconds.values()]
        print(f"  compress.load takes {medians[1] / medians[2]:.1f} times as long as torch.load of the fp32 file")
        first_calls(file, Path(folder))


def first_calls(file: Path, folder: Path) -> None:
    blocked = folder / "blocked"
    blocked.write_text("a file where a folder is needed, so that no cache can be written")
    cold = folder / "cache"
    print("first call of a process, seconds (import, decode)")
    for name, cache in (
        ("empty cache", {"NUMBA_CACHE_DIR": str(cold)}),
        ("kernels cached", {"NUMBA_CACHE_DIR": str(cold)}),
        (NO_CACHE, {"NUMBA_CACHE_DIR": str(blocked / "x"), "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}),
    ):
        command = [sys.executable, "-c", FIRST_CALL, str(file)]
        out = subprocess.run(command, env={**os.environ, **cache}, capture_output=True, text=True, check=True).stdout
        imported, decoded = map(float, out.split())
        print(f"  {name:<28}{imported:8.2f} {decoded:8.2f}")


if __name__ == "__main__":
    main()
