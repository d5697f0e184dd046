"""Seconds of a sweep of 12 points on digits, by two processes and by one, and of the plan of 1,000 points.

    python benchmarks/explore.py [--rounds 3]

The two sweeps run alternately, each in a folder of its own, by the command; a point is a process with imports, a training and the
stages after it. The machine's cores are divided among the processes: with one, it has all of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

POINTS = """\
name: twelve
recipe: digits
set: {train.epochs: 6, prune.tune.steps: 60, quantize.tune.steps: 30, target: null}
grid: {model.squeeze_ratio: [0.125, 0.25, 0.5], seed: [0, 1], quantize.bits: [3, 4]}
"""
RATIOS, SHARES = [round(0.05 * i, 2) for i in range(1, 21)], [round(0.02 * i - 0.01, 2) for i in range(1, 51)]
THOUSAND = f"""\
name: thousand
recipe: imagenette
set: {{train.sparse: null}}
grid: {{model.squeeze_ratio: {RATIOS}, model.pct3x3: {SHARES}}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        taken: dict[int, list[float]] = {1: [], 2: []}
        (folder / "twelve.yaml").write_text(POINTS)
        for number in range(rounds):
            for processes, seconds in taken.items():
                runs = folder / f"runs-{number}-{processes}"
                command = ["explore", str(folder / "twelve.yaml"), "--runs", str(runs), "--processes", str(processes)]
                seconds.append(run(*command))
        print(f"12 points on digits, {os.cpu_count()} cores; seconds, median of {rounds}")
        for processes, seconds in taken.items():
            spread = f"({min(seconds):.1f} to {max(seconds):.1f})"
            print(f"  processes {processes}: {np.median(seconds):.1f} {spread}")
        ratios = [one / two for one, two in zip(taken[1], taken[2], strict=True)]
        print(f"  ratio {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        (folder / "thousand.yaml").write_text(THOUSAND)
        plans = [run("explore", str(folder / "thousand.yaml"), "--dry-run") for _ in range(rounds)]
        print(f"plan of 1,000 points: {np.median(plans):.1f} s ({min(plans):.1f} to {max(plans):.1f})")


def run(*arguments: str) -> float:
    """Seconds of a command, from the start of its process to its end."""
    start = time.perf_counter()
    environment = os.environ | {"SQUEEZE_DATA": os.environ.get("SQUEEZE_DATA", "/nowhere")}
    subprocess.run([sys.executable, "-m", "compress", *arguments], check=True, capture_output=True, env=environment)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
