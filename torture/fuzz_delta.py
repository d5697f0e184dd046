"""atheris on `delta apply`: any base and any update make the file that the update promises, or are refused and leave nothing.

    NUMBA_DISABLE_JIT=1 python torture/fuzz_delta.py --executions 100000
    NUMBA_DISABLE_JIT=1 coverage run --branch --source=compress/artifact,compress/codecs torture/fuzz_delta.py --replay

An input is an update and then its base: the update's own File_Size says where the base begins. Three quarters of the mutations
have sizes, checksums and Base_SHA256 made right again, half of those the size and the SHA-256 of what comes out too.
"""

from __future__ import annotations

import json
import random
import re
import sys
import tempfile
from pathlib import Path

import fuzzing
import numpy as np

with fuzzing.instrument("compress"):
    from compress.artifact import block_delta, delta, delta_apply, reader, symbol_delta, writer  # noqa: F401
    from compress.artifact.checksums import crc32c, sha256
    from compress.artifact.delta_layout import BODY_OFFSET, CRC_SIZE, DELTA_HEADER
    from compress.codecs import changes, huffman, range_coder, scatter, stored  # noqa: F401
    from compress.errors import CompressError

import whole

from compress.layer import Layer, RawTensor, SharedLayer

MAX_WEIGHTS, MAX_NEW_SIZE = 1 << 11, 1 << 15
_OF_NEW = re.compile(r"makes a file of (?:SHA-256 (?P<sha256>[0-9a-f]{64})|(?P<size>[\d,]+) bytes)")

sys.path.insert(0, str(whole.ROOT / "tests"))
WORK = Path(tempfile.mkdtemp(prefix="fuzz-delta-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


def cut(data: bytes) -> tuple[bytes, bytes]:
    """The update and its base."""
    size = int.from_bytes(data[8:16], "little") if len(data) >= 16 else len(data)
    return data[:size], data[size:]


def target(data: bytes) -> None:
    made = apply(*cut(data))
    if isinstance(made, bytes) and sha256(made) != data[64:96]:
        raise AssertionError("accepted, and not what the update promised")


def apply(update: bytes, base: bytes) -> bytes | CompressError:
    """NEW, or why there is none."""
    update_path, base_path, new_path = WORK / "update.sqzd", WORK / "base.sqz", WORK / "new.sqz"
    update_path.write_bytes(update)
    base_path.write_bytes(base)
    try:
        delta_apply.apply(base_path, update_path, new_path, max_new_size=MAX_NEW_SIZE, max_weights=MAX_WEIGHTS)
    except CompressError as error:
        left = [path.name for path in WORK.iterdir() if path not in (update_path, base_path)]
        if left:
            raise AssertionError(f"refused, and left {left}") from error
        return error
    made = new_path.read_bytes()
    new_path.unlink()
    return made


def fixed(update: bytes, base: bytes) -> bytes:
    if len(update) < BODY_OFFSET + CRC_SIZE:
        return update
    sizes = len(update).to_bytes(8, "little") + len(base).to_bytes(8, "little")
    head = update[:8] + sizes + update[24:32] + sha256(base) + update[64 : DELTA_HEADER.size]
    body = update[BODY_OFFSET:-CRC_SIZE]
    return head + crc32c(head).to_bytes(CRC_SIZE, "little") + body + crc32c(body).to_bytes(CRC_SIZE, "little")


def fixed_outcome(update: bytes, base: bytes) -> bytes:
    """As fixed, and New_Size and New_SHA256 are of what comes out."""
    update = fixed(update, base)
    for _ in range(2):
        found = _OF_NEW.search(str(apply(update, base)))
        if not found:
            break
        if found["size"]:
            update = update[:24] + int(found["size"].replace(",", "")).to_bytes(8, "little") + update[32:]
        else:
            update = update[:64] + bytes.fromhex(found["sha256"]) + update[96:]
        update = fixed(update, base)
    return update


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    import atheris

    chance = random.Random(seed)
    update, base = cut(data)
    part = chance.randrange(4)
    if part == 0 or len(update) < BODY_OFFSET + CRC_SIZE:
        data = atheris.Mutate(data, max_size)
        update, base = cut(data)
    elif part == 1:
        base = atheris.Mutate(base, max_size)
        base = whole.fixed(base, MAX_WEIGHTS) if chance.random() < 0.5 else base
    else:
        update = update[:BODY_OFFSET] + atheris.Mutate(update[BODY_OFFSET:-CRC_SIZE], max_size) + update[-CRC_SIZE:]
    how = chance.randrange(8)
    if how >= 5:
        update = fixed_outcome(update, base)
    elif how >= 2:
        update = fixed(update, base)
    return (update + base)[:max_size]


def _tuned(layers: list[Layer], chance: np.random.Generator) -> list[Layer]:
    tuned: list[Layer] = []
    for layer in layers:
        if isinstance(layer, RawTensor):
            tuned.append(RawTensor(layer.name, layer.array + (chance.random(layer.array.shape) < 0.3).astype(layer.array.dtype)))
            continue
        indices = np.where(chance.random(layer.shape) < 0.2, np.minimum(layer.indices + 1, 3), layer.indices).astype(np.int32)
        step = None if layer.step is None else layer.step * np.float32(1.5)
        tuned.append(SharedLayer(layer.name, layer.shape, indices, layer.codebook, step))
    return tuned


def seeds() -> list[bytes]:
    """The golden and the bad updates with their bases, and updates of both forms of small nets."""
    golden, bad = whole.SEEDS
    named = json.loads((golden / "deltas.json").read_text())
    found = [(golden / name).read_bytes() + (golden / row["base"]).read_bytes() for name, row in named.items()]
    expected = json.loads((bad / "expected_deltas.json").read_text())
    found += [(bad / name).read_bytes() + (golden / row["base"]).read_bytes() for name, row in expected.items()]
    chance = np.random.default_rng(1)
    for coder in ("stored", "huffman", "range", "context", "zstd"):
        layers = whole.small_net(chance)
        base_path, new_path = WORK / "seed-base.sqz", WORK / "seed-new.sqz"
        base_path.write_bytes(writer.to_bytes(layers, {"a": "old"}, coder=coder))
        new_path.write_bytes(writer.to_bytes(_tuned(layers, chance), {"a": "newer"}, coder=coder))
        found += [delta.make(base_path, new_path, form=form).data + base_path.read_bytes() for form in ("block", "symbol")]
        base_path.unlink()
        new_path.unlink()
    return found


if __name__ == "__main__":
    fuzzing.main("delta", seeds(), target, mutate)
