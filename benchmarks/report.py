"""Seconds and bytes of a report's page, in new processes: from the command line to the file on the disk.

    python benchmarks/report.py runs/smallest-9d975ef0 [runs/deep-82013dc8 ...] [artifacts/ledger.csv]

Each is made several times; the first may compile the decoder's kernels. The bar of a SqueezeNet's run: 10 s, 3 MB.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+", type=Path)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    arguments = parser.parse_args()
    print("page of                             bytes   seconds: first, then median (fastest to slowest)")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        for target in arguments.targets:
            taken = [seconds(target, page) for _ in range(arguments.repeats + 1)]
            first, *others = taken
            spread = f"{statistics.median(others):.1f} ({min(others):.1f} to {max(others):.1f})" if others else ""
            print(f"{target!s:<32}{page.stat().st_size:>9,}   {first:.1f}, {spread}")


def seconds(target: Path, page: Path) -> float:
    command = [sys.executable, "-m", "compress", "report", str(target), "-o", str(page)]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
