"""Random damage to the published artifacts: each damaged file is refused, or decodes to exactly the tensors that it had.

    python torture/mutations.py --executions 20000

Two thirds are damaged and left so: File_SHA256 covers every byte, and there is no excuse. One third is sealed again, as an
attacker would: sizes, Header_CRC and File_SHA256 are made right. Of those, damage in a payload is still covered by the block's
Payload_CRC, and no excuse either. Damage to sealed metadata or to a sealed table is covered by no checksum (a signature would
do that): all that is asked is an answer, other tensors or an error of the project's own. Prints a table of counts; exit code 1
for a wrong answer.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from whole import ROOT, Parts

from compress.artifact import reader
from compress.errors import CompressError

OUTCOMES = ("refused", "same", "other", "wrong")
PLACES = ("as it is", "sealed: payload", "sealed: table", "sealed: metadata")


@dataclass(frozen=True)
class Original:
    name: str
    data: bytes
    parts: Parts
    digest: str


def digest_of(data: bytes) -> str:
    """Of all tensors: names, types, shapes and values."""
    sha = hashlib.sha256()
    for name, layer in reader.read_bytes(data).layers.items():
        values = layer.values()
        sha.update(f"{name} {values.dtype} {values.shape};".encode())
        sha.update(values.tobytes())
    return sha.hexdigest()


def flip(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """1 to 3 bytes have other bits."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        changed[chance.randrange(len(data))] ^= chance.randint(1, 255)
    return bytes(changed)


def insert(data: bytes, other: bytes, chance: random.Random) -> bytes:
    at = chance.randint(0, len(data))
    return data[:at] + chance.randbytes(chance.randint(1, 40)) + data[at:]


def delete(data: bytes, other: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + data[at + chance.randint(1, 40) :]


def splice(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Up to 4096 bytes of another artifact, in the same place or in another one, over what was there."""
    size = chance.randint(1, min(4096, len(data), len(other)))
    at = chance.randint(0, len(data) - size)
    source = min(at, len(other) - size) if chance.random() < 0.5 else chance.randint(0, len(other) - size)
    return data[:at] + other[source : source + size] + data[at + size :]


def truncate(data: bytes, other: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


KINDS: tuple[Callable[[bytes, bytes, random.Random], bytes], ...] = (flip, insert, delete, splice, truncate)


def damaged(original: Original, other: Original, kind: Callable[..., bytes], chance: random.Random) -> tuple[str, bytes]:
    """Where, and the file."""
    if chance.random() < 2 / 3:
        return PLACES[0], kind(original.data, other.data, chance)
    place, part = chance.choice([(PLACES[1], "payloads"), (PLACES[2], "table"), (PLACES[3], "metadata")])
    fields = kind(getattr(original.parts, part), getattr(other.parts, part), chance)
    return place, replace(original.parts, **{part: fields}).file()


def outcome(original: Original, place: str, data: bytes) -> str:
    try:
        same = digest_of(data) == original.digest
    except CompressError:
        return "refused"
    if same:
        return "same"
    return "other" if place in PLACES[2:] else "wrong"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--executions", type=int, default=20_000)
    options.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--keep", type=Path, default=Path("build/torture"), help="where a file that is wrong is left")
    args = options.parse_args()
    originals = []
    for path in sorted((ROOT / "artifacts").glob("*.sqz")):
        data = path.read_bytes()
        parts = Parts.of(data)
        assert parts is not None and parts.file() == data
        originals.append(Original(path.name, data, parts, digest_of(data)))
    chance, counts, start = random.Random(args.seed), Counter[tuple[str, str, str]](), time.monotonic()
    for number in range(args.executions):
        if time.monotonic() - start > args.seconds:
            break
        original, other = chance.sample(originals, 2)
        kind = KINDS[number % len(KINDS)]
        place, data = damaged(original, other, kind, chance)
        try:
            found = outcome(original, place, data)
        except Exception as error:  # what a user would see as a traceback
            print(f"{original.name}, {kind.__name__}, {place}: {type(error).__name__}: {error}", file=sys.stderr)
            found = "wrong"
        if found == "wrong":
            args.keep.mkdir(parents=True, exist_ok=True)
            (args.keep / f"mutation-{args.seed}-{number}.sqz").write_bytes(data)
        counts[kind.__name__, place, found] += 1
    print(f"{counts.total():,} mutations of {len(originals)} artifacts, seed {args.seed}, {time.monotonic() - start:.0f} s\n")
    print("| kind | place | " + " | ".join(OUTCOMES) + " |\n|---|---|---|---|---|---|")
    for kind in KINDS:
        for place in PLACES:
            print(f"| {kind.__name__} | {place} | " + " | ".join(f"{counts[kind.__name__, place, o]:,}" for o in OUTCOMES) + " |")
    return 1 if any(found == "wrong" for _, _, found in counts) else 0


if __name__ == "__main__":
    sys.exit(main())
