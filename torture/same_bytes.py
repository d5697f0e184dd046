"""The same bytes everywhere: every published file is decoded and encoded again, by one thread and by two.

    python torture/same_bytes.py                  a line a file: SHA-256 of its tensors and of the file that they make
    python torture/same_bytes.py --expect FILE    and they must be those lines, of another Python, machine or installation

Needs no torch, so it runs where training cannot (tox.ini). Exit code 1: one thread and two differ, or FILE does.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

from compress.artifact import reader, writer

ARTIFACTS = Path(__file__).parent.parent / "artifacts"
GOLDEN = Path(__file__).parent.parent / "tests" / "golden"


def tensors_of(artifact: reader.Artifact) -> str:
    sha = hashlib.sha256()
    for name, layer in artifact.layers.items():
        values = layer.values()
        sha.update(f"{name} {values.dtype.str} {values.shape} ".encode() + values.tobytes())
    return sha.hexdigest()


def line_of(path: Path) -> str:
    found = set()
    for threads in (1, 2):
        artifact = reader.read(path, threads=threads)
        data = writer.to_bytes(artifact.layers.values(), artifact.metadata, threads=threads)
        found.add(f"{path.name} {tensors_of(artifact)} {hashlib.sha256(data).hexdigest()}")
    if len(found) != 1:
        raise AssertionError(f"one thread and two differ: {found}")
    return found.pop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--expect", type=Path)
    expect = parser.parse_args().expect
    lines = [line_of(path) for path in sorted([*ARTIFACTS.glob("*.sqz"), *GOLDEN.glob("*.sqz")])]
    print("\n".join(lines))
    if expect is not None and expect.read_text().splitlines() != lines:
        print(f"{expect} has other lines", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
