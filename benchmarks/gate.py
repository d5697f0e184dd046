"""Seconds that the gate takes for the published artifacts: each decoded, looked up, encoded again and judged.

    python benchmarks/gate.py [artifacts/limits.yaml] [--against HEAD]

The first check of a process is apart: it imports numba and loads the kernels, or compiles them where its cache is empty. Then the
median of some, with the least and the most: with one thread and with as many as there are CPUs, alternately. CPU seconds are
those of all threads: what is left of the others on a machine that is shared.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

import compress
from compress.gate.check import check
from compress.gate.findings import exit_code, summary

REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("limits", nargs="?", type=Path, default=Path("artifacts/limits.yaml"))
    parser.add_argument("--against")
    arguments = parser.parse_args()
    n_cpus = os.cpu_count() or 1
    encoder = f"squeeze-compress {compress.__version__}"

    def seconds(threads: int) -> tuple[float, float]:
        """On the clock, and of the CPUs."""
        start, start_cpu = time.perf_counter(), time.process_time()
        findings = check(arguments.limits, encoder=encoder, against=arguments.against, threads=threads)
        taken = time.perf_counter() - start, time.process_time() - start_cpu
        if exit_code(findings) != 0:
            raise SystemExit(f"{arguments.limits}: {summary(findings)}")
        return taken

    first, first_cpu = seconds(n_cpus)
    taken: dict[int, list[tuple[float, float]]] = {threads: [] for threads in dict.fromkeys((1, n_cpus))}
    for _ in range(REPEATS):
        for threads, pairs in taken.items():
            pairs.append(seconds(threads))
    n = len(list(arguments.limits.parent.glob("*.sqz")))
    print(f"{arguments.limits}: {n} artifacts; first check of the process {first:.1f} s, {first_cpu:.1f} of CPU")
    for threads, pairs in taken.items():
        (low, low_cpu), (median, median_cpu), (high, high_cpu) = np.percentile(pairs, [0, 50, 100], axis=0)
        print(
            f"  {threads} thread{'s' if threads > 1 else ''}: {median:.1f} s ({low:.1f} to {high:.1f}), "
            f"{median_cpu:.1f} of CPU ({low_cpu:.1f} to {high_cpu:.1f}); {REPEATS} checks"
        )


if __name__ == "__main__":
    main()
