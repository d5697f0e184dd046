"""atheris on the reader: any bytes are decoded, or refused by an error of the project's own.

    NUMBA_DISABLE_JIT=1 python torture/fuzz_reader.py --executions 100000      # every branch of the kernels is seen
    NUMBA_BOUNDSCHECK=1 python torture/fuzz_reader.py --executions 100000      # an index beyond an array is an error
    NUMBA_DISABLE_JIT=1 coverage run --branch --source=compress/artifact,compress/codecs torture/fuzz_reader.py --replay

Half of the mutations have sizes, Header_CRC, Payload_CRCs and File_SHA256 made right again, half of those the Values_CRCs too, so
that what is behind the checksums is reached. What is accepted and small must be what tests/plain_decoder.py, which shares no line
with the reader, makes of it.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import fuzzing
import numpy as np

with fuzzing.instrument("compress"):
    from compress.artifact import reader
    from compress.codecs import context, gaps, huffman, range_coder, scatter, stored, symbols, zstd  # noqa: F401
    from compress.errors import CompressError

from dataclasses import replace

import whole

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import plain_decoder

MAX_WEIGHTS = 1 << 9  # of a file: more would only take time
MAX_COMPARED = 300  # weights, with the plain decoder


def target(data: bytes) -> None:
    try:
        artifact = reader.read_bytes(data, max_weights=MAX_WEIGHTS)
        values = {name: layer.values() for name, layer in artifact.layers.items()}
    except CompressError:
        return
    if artifact.profile == "portable" and sum(array.size for array in values.values()) <= MAX_COMPARED:
        _compare(values, plain_decoder.decode(data))


def _compare(values: dict[str, np.ndarray], plain: dict[str, tuple[int, list[int], list[float]]]) -> None:
    if list(values) != list(plain):
        raise AssertionError(f"the reader has tensors {list(values)}, the plain decoder {list(plain)}")
    for name, array in values.items():
        _, shape, weights = plain[name]
        same = np.array_equal(array.reshape(-1), np.array(weights, array.dtype), equal_nan=array.dtype.kind == "f")
        if list(array.shape) != list(shape) or not same:
            raise AssertionError(f"{name}: the reader and the plain decoder differ")


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """A quarter: libFuzzer's own. A quarter: that, in one part of the file. Half: the same, made right again."""
    import atheris

    chance = random.Random(seed)
    parts = whole.Parts.of(data)
    if parts is None or chance.random() < 0.3:
        data = atheris.Mutate(data, max_size)
    else:
        part = chance.choice(["metadata", "table", "table", "payloads"])
        data = replace(parts, **{part: atheris.Mutate(getattr(parts, part), max_size)}).file()
    how = chance.randrange(4)
    if how == 3:
        data = whole.fixed_values(data, MAX_WEIGHTS)
    elif how == 2:
        data = whole.fixed(data, MAX_WEIGHTS)
    return data[:max_size]


def seeds() -> list[bytes]:
    """The golden files that are small enough, all bad ones, and small files of every kind, coder and mode."""
    golden, bad = (sorted(folder.glob("*.sqz")) for folder in whole.SEEDS)
    return [path.read_bytes() for path in golden if _is_small(path)] + [path.read_bytes() for path in bad] + whole.small_files()


def _is_small(path: Path) -> bool:
    return sum(record.n_weights for record in reader.parse(path.read_bytes(), reader.NO_LIMIT).records) <= MAX_WEIGHTS


if __name__ == "__main__":
    fuzzing.main("reader", seeds(), target, mutate)
