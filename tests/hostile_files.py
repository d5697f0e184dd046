"""Files that ask for as much as the format lets them: each fits in its size, and every checksum but the tensors' own is right.

Every builder takes the size of the file in bytes, and comes close to it. tests/test_hostile.py decodes small ones,
torture/bombs.py those of a megabyte.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from make_golden import GOLDEN, HALF, KIND_BOOK, KIND_SORTED, KIND_STEP, U32, assemble, centroids, codes, positions

from compress.artifact import reader
from compress.artifact.checksums import crc32c
from compress.codecs import context, huffman, range_coder, zstd
from compress.codecs.bits import write_varint
from compress.errors import ArtifactError

KIND_RAW_F16 = 0
FIXED = 120  # bytes of a file that are neither records nor payloads
LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
ALPHABET = 65_534  # the largest that a few bytes of a step declare
WIDE_STEP = np.float32(1).tobytes() + write_varint(32_767) + write_varint(32_767)


def name_fields() -> Iterator[bytes]:
    """Of as many names as are asked for, most of them one new byte."""
    previous, number = b"", 0
    while True:
        name = b"%x_" % (number // 64) + LETTERS[number % 64 : number % 64 + 1]
        same = [a == b for a, b in zip(name, previous, strict=False)]
        n_shared = same.index(False) if False in same else len(same)
        yield bytes([n_shared, len(name) - n_shared]) + name[n_shared:]
        previous, number = name, number + 1


def many_layers(size: int, fields: bytes, payload: bytes = b"", **header: int) -> bytes:
    """As many layers as fit, all alike but for their names. fields: of a record, after its name."""
    records: list[bytes] = []
    left = size - FIXED
    for name in name_fields():
        left -= len(name) + len(fields) + len(payload)
        if left < 0:
            break
        records.append(name + fields)
    return assemble(b"".join(records), payload * len(records), **header)  # type: ignore[arg-type]


def many_blocks(
    size: int, values: bytes, block: bytes, payload: bytes, *, kind: int = KIND_STEP, block_log: int = 3, **header: int
) -> bytes:
    """One layer of as many blocks as fit, all alike. values: the record from its codebook or step to its streams."""
    n = (size - FIXED - len(values)) // (len(block) + len(payload))
    record = b"\0\1w" + bytes([kind | 1 << 4]) + write_varint(n << block_log) + U32(0) + values
    return assemble(record + block * n, payload * n, block_log=block_log, **header)  # type: ignore[arg-type]


def crc_of(*indices: int) -> bytes:
    return U32(crc32c(np.array(indices, "<i4").tobytes()))


def scalars(size: int) -> bytes:
    return many_layers(size, bytes([KIND_RAW_F16]) + U32(crc32c(HALF)), HALF)


def empty_codebooks(size: int) -> bytes:
    return many_layers(size, bytes([KIND_BOOK]) + crc_of(0) + b"\0" + positions(1, 0) + b"\0")


def coded_scalars(size: int) -> bytes:
    model, payload = huffman.pack_model(huffman.build_model(np.array([1, 1]))), b"\x80"
    block = b"\1\1" + U32(crc32c(payload))
    return many_layers(size, bytes([KIND_BOOK]) + crc_of(1) + centroids(1) + positions(1, 1, model) + block, payload)


def all_zero_blocks(size: int) -> bytes:
    """A block a byte."""
    return many_blocks(size, centroids(1) + positions(1, 0), b"\0", b"", kind=KIND_BOOK)


def limit_of_weights(size: int) -> bytes:
    """All that a file may hold, in 256 bytes: 2^28 zeros."""
    record = b"\0\1w" + bytes([KIND_BOOK | 1 << 4]) + write_varint(1 << 28) + U32(0) + centroids(1) + positions(1, 0)
    return assemble(record + b"\0" * 256)


def wide_models(coder: str, coder_id: int) -> Callable[[int], bytes]:
    """Models of a few bytes that are 64 or 128 KB once unpacked."""

    def build(size: int) -> bytes:
        module = {"huffman": huffman, "range": range_coder}[coder]
        model = module.pack_model(module.build_model(np.eye(1, ALPHABET, dtype=np.int64)[0]))
        return many_layers(size, bytes([KIND_STEP]) + crc_of(0) + WIDE_STEP + positions(1, 0) + codes(coder_id, model) + b"\0")

    return build


def tables_per_block(coder: str, coder_id: int, n_present: int) -> Callable[[int], bytes]:
    """Blocks of 8 weights under a model of many symbols, whose tables are large."""

    def build(size: int) -> bytes:
        module = {"huffman": huffman, "range": range_coder}[coder]
        model = module.build_model((np.arange(ALPHABET) < n_present).astype(np.int64))
        stream = module.encode(np.zeros(8, np.uint16), model)
        values = WIDE_STEP + b"\0" + codes(coder_id, module.pack_model(model))
        return many_blocks(size, values, write_varint(len(stream)) + U32(crc32c(stream)), stream)

    return build


def full_codebooks(code: str, order: int) -> Callable[[int], bytes]:
    """Sorted codebooks of up to 63,000 centroids, each some bits. code: of the next centroids, over and over, each ended by |."""

    def build(size: int) -> bytes:
        n_codes = min(63_000, 8 * (size - FIXED - 40) * code.count("|") // len(code.replace("|", "")))
        bits = "".join((code.split("|")[:-1] * n_codes)[:n_codes])
        n_bytes = -(-len(bits) // 8)
        lowest = b"\0\x04"  # the key of -65504
        book = write_varint(n_codes + 1) + lowest + bytes([order]) + int(bits.ljust(8 * n_bytes, "0"), 2).to_bytes(n_bytes, "big")
        return many_layers(size, bytes([KIND_SORTED]) + crc_of(0) + book + positions(1, 0) + codes(0) + b"\0")

    return build


def context_blocks(size: int) -> bytes:
    """Blocks of 8 weights, for each of which the coder's counters start anew."""
    levels = np.array([1, 0, 0, 0, 0, 0, 0, 0], np.int32)
    stream = context.encode(levels, context.Geometry.of((8,)), context.ContextModel(0, 16))
    values = np.float32(1).tobytes() + b"\1\1" + positions(4, 4, b"\0\x10")
    return many_blocks(size, values, write_varint(1) + write_varint(len(stream)) + U32(crc32c(stream)), stream, version=2)


def sparse_levels(size: int) -> bytes:
    """256 weights a byte, or nearly, by the slowest coder."""
    n = 1 << 20
    levels = np.zeros(n, np.int32)
    levels[:4000] = np.random.default_rng(0).integers(-300, 300, 4000)
    stream = context.encode(levels, context.Geometry.of((n,)), context.ContextModel(1, 1))
    values = np.float32(1).tobytes() + write_varint(300) + write_varint(300) + positions(4, 4, b"\1\1")
    block = write_varint(int(np.count_nonzero(levels))) + write_varint(len(stream)) + U32(crc32c(stream))
    return many_blocks(size, values, block, stream, block_log=20, version=2)


def sparse_bitmap(size: int) -> bytes:
    """The same by the range coder."""
    mask = np.zeros(1 << 20, np.uint8)
    mask[::390] = 1
    model = range_coder.build_model(np.array([16_383, 1]))
    stream = range_coder.encode(mask, model)
    n_nonzero = int(mask.sum())
    block = write_varint(n_nonzero) + write_varint(len(stream)) + U32(crc32c(stream))
    return many_blocks(
        size, centroids(1) + positions(1, 2, range_coder.pack_model(model)), block, stream, kind=KIND_BOOK, block_log=20
    )


def zstd_frames(size: int) -> bytes:
    """Frames of 2^20 symbols each that compress as far as the limit lets them."""
    chance = np.random.default_rng(0)
    symbols = np.tile(chance.integers(0, 3, 1 << 15), 32).astype(np.uint8)
    frame = zstd.encode(symbols, zstd.build_model(np.ones(3, np.int64)))
    block = write_varint(len(frame)) + U32(crc32c(frame))
    return many_blocks(size, centroids(3) + b"\0" + codes(3), block, frame, kind=KIND_BOOK, block_log=20, profile=1)


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "scalars": scalars,
    "empty_codebooks": empty_codebooks,
    "coded_scalars": coded_scalars,
    "all_zero_blocks": all_zero_blocks,
    "limit_of_weights": limit_of_weights,
    "huffman_models": wide_models("huffman", 1),
    "range_models": wide_models("range", 2),
    "huffman_blocks": tables_per_block("huffman", 1, 2),
    "huffman_blocks_full": tables_per_block("huffman", 1, 1 << 15),
    "range_blocks": tables_per_block("range", 2, 4096),
    "codebooks_of_runs": full_codebooks("1|", 0),
    "codebooks_of_steps": full_codebooks("11|", 1),
    "codebooks_mixed": full_codebooks("1|010|", 0),
    "context_blocks": context_blocks,
    "sparse_levels": sparse_levels,
    "sparse_bitmap": sparse_bitmap,
    "zstd_frames": zstd_frames,
}


# --- files that say one thing and hold another ----------------------------------------------------------------------------


def zstd_bomb(size: int) -> bytes:
    """A frame of 2^28 zeros that declares 2^20, as the table does."""
    import zstandard

    frame = bytearray(zstandard.ZstdCompressor(level=1).compress(bytes(1 << 28)))
    assert frame[4] == 0x80 and frame[6:10] == U32(1 << 28)  # after a byte of its window, the content size in 4
    frame[6:10] = U32(1 << 20)
    return _of_frame(bytes(frame))


def zstd_frames_in_a_row(size: int) -> bytes:
    """A right frame, and more of them after it."""
    frame = zstd.encode(np.zeros(1 << 20, np.uint8), zstd.build_model(np.ones(3, np.int64)))
    return _of_frame(frame * (5000 // len(frame) + 2))


def zstd_window(size: int) -> bytes:
    """A frame of no single segment, with a window of 2 GB."""
    window = bytes([(31 - 10) << 3])
    return _of_frame(bytes.fromhex("28b52ffd 80") + window + U32(1 << 20) + bytes.fromhex("030000") + bytes(5000))


def _of_frame(frame: bytes) -> bytes:
    """One block of 2^20 codes."""
    record = b"\0\1w" + bytes([KIND_BOOK | 1 << 4]) + write_varint(1 << 20) + U32(0) + centroids(3) + b"\0" + codes(3)
    return assemble(record + write_varint(len(frame)) + U32(crc32c(frame)), frame, profile=1)


LIARS: dict[str, tuple[Callable[[int], bytes], str]] = {
    "zstd_bomb": (zstd_bomb, "w: block 0: zstd: "),
    "zstd_frames_in_a_row": (zstd_frames_in_a_row, "w: block 0: zstd: "),
    "zstd_window": (zstd_window, "frame declares a window of 2147483648 bytes for 1048576"),
}


# --- one file of few bytes, with extremes in every place of its table ------------------------------------------------------

EXTREMES = [bytes.fromhex(text) for text in ("00", "01", "7f", "80", "ff", "ffffffff7f", "8080808001", "ffffffffffff")]


def extreme_tables(data: bytes) -> Iterator[bytes]:
    """`data` with each byte of its table, or each few, replaced; sizes, Header_CRC and File_SHA256 fit."""
    metadata_size, table_size = (int.from_bytes(data[at : at + 4], "little") for at in (16, 20))
    start, end = 24 + metadata_size, 24 + metadata_size + table_size
    table, payloads = data[start:end], data[end + 4 : -32]
    for at in range(len(table)):
        for extreme in EXTREMES:
            fields = table[:at] + extreme + table[at + 1 :]
            yield assemble(fields, payloads, version=data[4], profile=data[5], block_log=data[6])


# --- decoded where memory is counted ---------------------------------------------------------------------------------------

BYTES_A_BYTE = 128  # of a file: what a reader keeps of it
ONE_BLOCK = 64 << 20  # bytes, while a block is decoded, and what Python takes ahead

# Reads the names of files from stdin, each with the bytes of address space that its decoding may add; prints a line each.
CHILD = """
import json, resource, sys, time
from compress.artifact import reader
from compress.errors import CompressError

for golden in sys.argv[1:]:
    reader.read(golden)  # numba and the kernels are loaded now

for line in sys.stdin:
    path, allowed = json.loads(line)
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + allowed, resource.RLIM_INFINITY))
    start = time.process_time()
    try:
        outcome = f"decoded {len(reader.read(path).layers)} layers"
    except CompressError as error:
        outcome = f"{type(error).__name__}: {error}"
    except Exception as error:
        outcome = f"unexpected {type(error).__name__}: {error}"
    seconds = time.process_time() - start
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(json.dumps([outcome, seconds]), flush=True)
"""


def weight_bytes(data: bytes) -> int:
    """Of what a file declares, by its table alone; none where the table is refused."""
    try:
        records = reader.parse(data, 1 << 28).records
    except ArtifactError:
        return 0
    return sum(record.n_weights * (8 if record.kind == 2 else 4) for record in records)


def decoded(folder: Path, files: dict[str, bytes]) -> dict[str, tuple[str, float]]:
    """What a process says of each that may take the memory of "Limits" and no more: the outcome, and seconds of a processor."""
    lines = []
    for name, data in files.items():
        path = folder / f"{name}.sqz"
        path.write_bytes(data)
        lines.append(json.dumps([str(path), BYTES_A_BYTE * len(data) + weight_bytes(data) + ONE_BLOCK]))
    every_coder = ("coder_huffman", "coder_range", "coder_zstd", "levels", "sparse_raw_range")
    golden = [str(GOLDEN / f"{name}.sqz") for name in every_coder]
    child = subprocess.run(
        [sys.executable, "-c", CHILD, *golden], input="\n".join(lines), capture_output=True, text=True, check=True
    )
    return dict(zip(files, map(json.loads, child.stdout.splitlines()), strict=True))
