"""Files of a megabyte that ask for as much as the format lets them: what each takes to decode, or to be refused.

    python torture/bombs.py

Each is read in a process that may take the memory of docs/FORMAT.md, "Limits", and no more. Exit code 1: one was not decoded
within it, or took more than 5 seconds of a processor (--seconds, for a busy one) and more than 60 ns a weight.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from whole import ROOT

sys.path.insert(0, str(ROOT / "tests"))
from hostile_files import HOSTILE, LIARS, decoded, weight_bytes

NS_A_WEIGHT = 60


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", type=int, default=1 << 20, help="bytes of each file")
    options.add_argument("--seconds", type=float, default=5, help="of a processor, for each file of few weights")
    args = options.parse_args()
    files = {name: build(args.size) for name, build in HOSTILE.items()}
    files |= {name: build(args.size) for name, (build, _) in LIARS.items()}
    with tempfile.TemporaryDirectory() as folder:
        found = decoded(Path(folder), files)
    bad = []
    print("| file | bytes | weights | seconds | outcome |\n|---|---|---|---|---|")
    for name, (outcome, seconds) in found.items():
        n_weights = weight_bytes(files[name]) // 4
        print(f"| {name} | {len(files[name]):,} | {n_weights:,} | {seconds:.2f} | {outcome.split('.sqz: ')[-1]} |")
        if outcome.startswith("unexpected") or seconds > max(args.seconds, NS_A_WEIGHT * n_weights / 1e9):
            bad.append(name)
    if bad:
        print(f"too much: {', '.join(bad)}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
