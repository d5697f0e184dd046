"""Makes the files of tests/golden/ (must decode for ever) and tests/golden_bad/ (must be refused). Run once a format version:

    python tests/make_golden.py        # adds what is missing, refuses to change what is there

A golden file has a sidecar with the SHA-256 of every decoded tensor. A bad file has a row in golden_bad/expected.json: the
class of the error and a part of its message. Bad files are wrong in one way only: their checksums are made to fit.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from pathlib import Path

import numpy as np

from compress.artifact import reader, writer
from compress.artifact.checksums import crc32c, sha256
from compress.artifact.layout import MAGIC
from compress.codecs import context, huffman, range_coder, stored, zstd
from compress.codecs.bits import write_varint
from compress.layer import Layer, RawTensor, SharedLayer

HERE = Path(__file__).parent
GOLDEN, GOLDEN_BAD = HERE / "golden", HERE / "golden_bad"
METADATA = {"architecture": "golden", "format_version": 1}


# --- files that must decode ------------------------------------------------------------------------------------------


def book(name: str, shape: tuple[int, ...], codebook: np.ndarray, density: float, seed: int) -> SharedLayer:
    """Random indices of a codebook, `density` of them not zero."""
    rng = np.random.default_rng(seed)
    indices = rng.integers(1, len(codebook) + 1, shape) * (rng.random(shape) < density)
    return SharedLayer(name, shape, indices.astype(np.int32), codebook=codebook)


def steps(name: str, shape: tuple[int, ...], step: float, seed: int) -> SharedLayer:
    rng = np.random.default_rng(seed)
    levels = rng.integers(-3, 4, shape) * rng.integers(0, 3, shape)
    return SharedLayer(name, shape, levels.astype(np.int32), step=np.float32(step))


def spread(n: int, dtype: type = np.float16) -> np.ndarray:
    return np.linspace(-0.5, 0.5, n).astype(dtype)


def small_net() -> list[Layer]:
    """What a conv net holds, in 12 tensors: groups, Linear, a factor pair, BatchNorm; every kind."""
    floats = np.random.default_rng(1).normal(size=64)
    return [
        book("features.0.weight", (4, 3, 3, 3), spread(6), 0.6, 2),
        RawTensor("features.0.bias", floats[:4].astype(np.float16)),
        RawTensor("features.1.weight", floats[4:8].astype(np.float32)),
        RawTensor("features.1.bias", np.zeros(4, np.float32)),
        RawTensor("features.1.running_mean", floats[8:12].astype(np.float32)),
        RawTensor("features.1.running_var", np.array([1e-30, np.inf, np.nan, 3.0], np.float32)),
        RawTensor("features.1.num_batches_tracked", np.array(-(2**40), np.int64)),
        book("features.2.depthwise.weight", (4, 1, 3, 3), np.array([0.5, -0.25, 0.125], np.float16), 0.9, 3),
        book("classifier.u.weight", (5, 2), spread(4, np.float32), 1.0, 4),
        steps("classifier.v.weight", (2, 12), 0.0123, 5),
        RawTensor("classifier.bias", floats[:10].astype(np.float32).reshape(5, 2)),
        RawTensor("log-scale", np.array(2.5, np.float16)),
    ]


def coded_net() -> list[Layer]:
    """Large enough that coders have something to do."""
    return [
        book("conv.weight", (16, 8, 3, 3), spread(16), 0.3, 6),
        steps("fc.weight", (10, 64), 0.05, 7),
        book("dense.weight", (8, 16), spread(5), 1.0, 8),
    ]


def levels_net() -> list[Layer]:
    """Levels in every shape that has other neighbours; all-zero blocks of 64 in `fc.weight`."""
    rng = np.random.default_rng(12)
    made: list[Layer] = []
    for name, shape in (("conv", (8, 4, 3, 3)), ("wide", (4, 3, 1, 5)), ("line", (3, 4, 7)), ("fc", (9, 40)), ("bias", (30,))):
        smooth = rng.normal(size=shape).cumsum(-1) * np.exp(rng.normal(size=(1, *shape[1:])))
        made.append(SharedLayer(f"{name}.levels", shape, np.rint(2 * smooth).astype(np.int32), step=np.float32(0.03)))
    made[3].indices.reshape(-1)[128:256] = 0
    ranks = np.rint(6 * rng.normal(size=(12, 5, 3, 3))).clip(-14, 15).astype(np.int32)
    for name, dtype in (("half", np.float16), ("single", np.float32)):
        book = np.concatenate([np.linspace(-0.9, -0.05, 14), np.linspace(0.04, 1.0, 15)]).astype(dtype)
        indices = np.where(ranks == 0, 0, ranks + 14 + (ranks < 0)).astype(np.int32)
        made.append(SharedLayer(f"{name}.book", ranks.shape, indices, codebook=book))
    return made


def sparse_blocks() -> list[Layer]:
    """Blocks of 64: all-zero ones in the middle, at the end, and a last one that is not full."""
    indices = book("a.weight", (5, 100), spread(8), 0.4, 9).indices.copy()
    indices.reshape(-1)[128:256] = 0
    late = np.zeros((300,), np.int32)
    late[299] = -2
    early = np.zeros((300,), np.int32)
    early[0] = 1
    return [
        SharedLayer("a.weight", (5, 100), indices, codebook=spread(8)),
        SharedLayer("b.weight", (300,), late, step=np.float32(0.5)),
        SharedLayer("c.weight", (300,), early, step=np.float32(0.5)),
        RawTensor("d.weight", np.arange(150, dtype=np.float32).reshape(10, 15)),
    ]


def extremes() -> list[Layer]:
    """One value, none, more than 256, both zeros, and blocks so sparse that the 256-weights rule decides how they are written."""
    lonely = np.zeros((1 << 14,), np.int32)
    lonely[77] = 1
    return [
        SharedLayer("constant.weight", (4096,), np.ones(4096, np.int32), codebook=np.array([0.5], np.float16)),
        SharedLayer("nothing.weight", (3, 4), np.zeros((3, 4), np.int32), codebook=np.zeros(0, np.float16)),
        SharedLayer("unused.weight", (3, 4), np.zeros((3, 4), np.int32), codebook=spread(3)),
        SharedLayer("level-zero.weight", (7,), np.zeros(7, np.int32), step=np.float32(1)),
        SharedLayer("lonely.weight", (1 << 14,), lonely, step=np.float32(2.0**-126)),
        book("wide.weight", (40, 40), spread(300, np.float32), 0.8, 10),
        SharedLayer("far.weight", (3,), np.array([-32767, 0, 32767], np.int32), step=np.float32(1e-3)),
        SharedLayer("zeros.weight", (4,), np.array([1, 2, 1, 2], np.int32), codebook=np.array([-0.0, 0.0], np.float16)),
    ]


def pruned(name: str, shape: tuple[int, ...], density: float, seed: int, dtype: type = np.float32) -> RawTensor:
    """Random floats, `density` of them not +0.0; among those -0.0, a NaN, infinities and a subnormal."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=shape).astype(dtype)
    weights.reshape(-1)[::5] = np.resize(np.array([-0.0, np.nan, 1.0, np.inf, -np.inf, 6e-8, 0.5], dtype), -(-weights.size // 5))
    return RawTensor(name, np.where(rng.random(shape) < density, weights, np.zeros((), dtype)))


def pruned_net() -> list[Layer]:
    """Sparse tensors of both kinds, and raw ones beside them: too few zeros, integers, a scalar."""
    late = np.zeros(300, np.float32)
    late[299] = -2.5
    holes = pruned("holes.weight", (5, 100), 0.4, 13).array.copy()
    holes.reshape(-1)[128:256] = 0
    return [
        pruned("conv.weight", (8, 6, 3, 3), 0.2, 11, np.float16),
        RawTensor("conv.bias", np.zeros(8, np.float32)),
        pruned("fc.weight", (10, 40), 0.3, 12),
        RawTensor("holes.weight", holes),
        RawTensor("late.weight", late),
        RawTensor("few.weight", np.arange(9, dtype=np.float16)),
        RawTensor("count", np.zeros(40, np.int64)),
        RawTensor("scalar", np.array(0, np.float32)),
    ]


def golden_files() -> dict[str, tuple[list[Layer], dict[str, object]]]:
    """Name -> layers, and how they are written."""
    files: dict[str, tuple[list[Layer], dict[str, object]]] = {
        "every_kind": (small_net(), {}),
        "sparse_blocks": (sparse_blocks(), {"block_size": 64}),
        "extremes": (extremes(), {}),
    }
    files["every_kind_sparse"] = ([*small_net(), *pruned_net()], {})
    for coder, mode in (("stored", "bitmap"), ("huffman", "bytes"), ("range", "gaps"), ("zstd", "bytes")):
        files[f"sparse_raw_{coder}"] = (pruned_net(), {"coder": coder, "positions": mode, "block_size": 64})
    files |= {f"coder_{coder}": (coded_net(), {"coder": coder}) for coder in ("stored", "huffman", "range", "zstd")}
    files["levels"] = (levels_net(), {"coder": "context"})
    files["levels_blocks"] = (levels_net(), {"coder": "context", "block_size": 64})
    files |= {f"positions_{mode}": (coded_net(), {"positions": mode, "block_size": 256}) for mode in ("bitmap", "bytes", "gaps")}
    return files


ZSTD_FILES = {"coder_zstd", "sparse_raw_zstd"}  # zstd's bytes are its own
# made before there were sparse tensors (the first) or the coder `context`: they must decode, the writer now makes less of them
EARLIER_WRITER = {"every_kind", "every_kind_sparse", "sparse_blocks", "extremes"}
EARLIER_WRITER |= {"positions_bitmap", "positions_bytes", "positions_gaps"}


def digests(artifact: reader.Artifact) -> dict[str, str]:
    """Per tensor: type, shape and SHA-256 of the decoded little-endian values."""
    out = {}
    for name, layer in artifact.layers.items():
        values = layer.values()
        data = values.astype(values.dtype.newbyteorder("<")).tobytes()
        out[name] = f"{values.dtype} {list(layer.shape)} {hashlib.sha256(data).hexdigest()}"
    return out


# --- files that must be refused --------------------------------------------------------------------------------------

U32 = struct.Struct("<I").pack
BAD_FRAMES = {"zstd_not_a_frame", "zstd_size", "sparse_zstd_size"}  # zstd's bytes are its own
HALF = bytes.fromhex("00 38")  # 0.5 as float16
KIND_RAW_F32, KIND_BOOK, KIND_BOOK_F32, KIND_STEP, KIND_SORTED = 1, 3, 4, 5, 6
KIND_SPARSE_F16, KIND_SPARSE_F32 = 7, 8


def assemble(
    table: bytes,
    payloads: bytes = b"",
    *,
    metadata: bytes = b"{}",
    version: int = 1,
    profile: int = 0,
    block_log: int = 20,
    reserved: int = 0,
    extra_declared: int = 0,
) -> bytes:
    """A file around any table and payloads, with every length and checksum made to fit."""
    size = 24 + len(metadata) + len(table) + 4 + len(payloads) + 32 + extra_declared
    header = struct.pack("<4sBBBBQII", MAGIC, version, profile, block_log, reserved, size, len(metadata), len(table))
    head = header + metadata + table
    content = head + U32(crc32c(head)) + payloads
    return content + sha256(content)


def name_fields(name: bytes, shared: int = 0) -> bytes:
    return bytes([shared, len(name)]) + name


def raw_record(name: bytes = b"a", dims: tuple[int, ...] = (1,), data: bytes = bytes(4), n_shared: int = 0) -> bytes:
    shape = b"".join(write_varint(dim) for dim in dims)
    return name_fields(name, n_shared) + bytes([KIND_RAW_F32 | len(dims) << 4]) + shape + U32(crc32c(data))


def shared_head(kind: int = KIND_BOOK, dims: tuple[int, ...] = (16,), indices: list[int] | None = None) -> bytes:
    """Name, kind, shape and Values_CRC of a layer `w`."""
    shape = b"".join(write_varint(dim) for dim in dims)
    values = np.array(indices if indices is not None else [0], "<i4").tobytes()
    return name_fields(b"w") + bytes([kind | len(dims) << 4]) + shape + U32(crc32c(values))


def centroids(n: int) -> bytes:
    return write_varint(n) + b"".join(np.float16(0.25 * (i + 1)).tobytes() for i in range(n))


def positions(mode: int, coder: int, model: bytes = b"") -> bytes:
    return bytes([mode | coder << 4]) + write_varint(len(model)) + model


def codes(coder: int, model: bytes = b"") -> bytes:
    return bytes([coder]) + write_varint(len(model)) + model


def block(*numbers: int, payload: bytes) -> bytes:
    return b"".join(write_varint(number) for number in numbers) + U32(crc32c(payload))


def one_layer(fields: bytes, block_numbers: tuple[int, ...], payload: bytes, indices: list[int], **header: int) -> bytes:
    """A file of one codebook layer of 16 weights."""
    table = shared_head(indices=indices) + fields + block(*block_numbers, payload=payload)
    return assemble(table, payload, **header)  # type: ignore[arg-type]


def sparse(
    fields: bytes,
    block_numbers: tuple[int, ...],
    payload: bytes,
    weights: list[float],
    *,
    kind: int = KIND_SPARSE_F16,
    dims: tuple[int, ...] = (16,),
    **header: int,
) -> bytes:
    """A file of one sparse tensor `w`. weights: the first of those that Values_CRC is of; the rest are zero."""
    dtype = "<f2" if kind == KIND_SPARSE_F16 else "<f4"
    head = name_fields(b"w") + bytes([kind | len(dims) << 4]) + b"".join(write_varint(dim) for dim in dims)
    dense = np.zeros(min(int(np.prod(dims)), 1 << 10), dtype)
    dense[: len(weights)] = weights
    table = head + U32(crc32c(dense.tobytes())) + fields + block(*block_numbers, payload=payload)
    return assemble(table, payload, **header)  # type: ignore[arg-type]


def bad_files() -> dict[str, tuple[bytes, str, str]]:
    """Name -> bytes, class of the error, a part of its message."""
    return {
        **bad_headers(),
        **bad_metadata(),
        **bad_names_and_shapes(),
        **bad_values(),
        **bad_streams(),
        **bad_payloads(),
        **bad_sparse(),
        **bad_levels(),
    }


def bad_levels() -> dict[str, tuple[bytes, str, str]]:
    """Coder `context` and position mode 4."""
    model = bytes.fromhex("00 10")
    indices = np.array([1, 0, 2, 1] * 4, np.int32)
    levels = np.array([-1, 0, 1, -1] * 4, np.int32)
    book = write_varint(2) + np.array([-0.5, 0.5], "<f2").tobytes()
    stream = context.encode(levels, context.Geometry.of((16,)), context.ContextModel(0, 16))

    def coded(
        book: bytes = book, model: bytes = model, n_nonzero: int = 12, payload: bytes = stream, crc_of: list[int] | None = None
    ) -> bytes:
        fields = book + positions(4, 4, model)
        crc_of = indices.tolist() if crc_of is None else crc_of
        return one_layer(fields, (n_nonzero, len(payload)), payload, crc_of, version=2)

    rising = write_varint(2) + np.array([0.5, -0.5], "<f2").tobytes()
    with_zero = write_varint(2) + np.array([-0.5, 0.0], "<f2").tobytes()
    three = np.where(levels == 1, 2, levels).astype(np.int32)
    beyond = context.encode(three, context.Geometry.of((16,)), context.ContextModel(0, 16))
    many = shared_head(KIND_STEP) + np.float32(1).tobytes() + write_varint(0) + write_varint(4096) + positions(4, 4, model)
    return {
        "levels_in_version_one": (
            one_layer(book + positions(4, 4, model), (12, len(stream)), stream, indices.tolist()),
            "CorruptArtifact",
            "format version 1, but the table is of version 2",
        ),
        "levels_book_falls": (coded(rising), "CorruptArtifact", "w: levels of a codebook that does not rise, or holds zero"),
        "levels_book_zero": (coded(with_zero), "CorruptArtifact", "w: levels of a codebook that does not rise, or holds zero"),
        "levels_book_empty": (coded(write_varint(0)), "CorruptArtifact", "w: levels without a centroid or a step"),
        "levels_above_the_coders": (
            assemble(many, version=2),
            "LimitExceeded",
            "w: levels span [-0, 4096], the coder takes 4,095",
        ),
        "levels_model_empty": (coded(model=b""), "CorruptStream", "w: context model: no bytes"),
        "levels_model_set": (coded(model=b"\x02\x10"), "CorruptStream", "w: context model: Context_Set 2"),
        "levels_model_mean": (coded(model=b"\x00\x00"), "CorruptStream", "w: context model: Mean 0"),
        "levels_model_trailing": (coded(model=model + b"\0"), "CorruptStream", "w: context model ends at byte 2 of 3"),
        "levels_count": (coded(n_nonzero=11), "CorruptStream", "12 levels are not zero, the table says 11"),
        "levels_beyond": (coded(payload=beyond), "CorruptStream", "levels span [-1, 2], the layer has [-1, 1]"),
        "levels_cut": (coded(payload=stream[:1]), "CorruptStream", "w: block 0: context: stream ends"),
        "levels_long": (coded(payload=stream + b"\0"), "CorruptStream", "levels end in byte"),
        "levels_values_crc": (coded(crc_of=levels.tolist()), "CorruptStream", "w: decoded indices have CRC-32C"),
        "context_of_symbols": (
            assemble(shared_head() + centroids(1) + positions(1, 4, model)),
            "CorruptArtifact",
            "w: coder 4 takes levels, not symbols",
        ),
        "context_of_codes": (
            assemble(shared_head() + centroids(2) + positions(1, 0) + codes(4, model)),
            "CorruptArtifact",
            "w: coder 4 takes levels, not symbols",
        ),
    }


def bad_headers() -> dict[str, tuple[bytes, str, str]]:
    good = assemble(raw_record(), bytes(4))
    two_zstd = shared_head() + centroids(1) + positions(1, 3) + block(0, payload=b"")[:1]
    return {
        "empty": (b"", "CorruptArtifact", "an empty file"),
        "not_sqz": (b"PK\x03\x04" + good[4:], "CorruptArtifact", "not a .sqz file: begins with 50 4b 03 04"),
        "short_not_sqz": (b"hi", "CorruptArtifact", "not a .sqz file"),
        "only_magic": (good[:4], "CorruptArtifact", "truncated: 4 bytes, the file header alone takes 24"),
        "truncated_header": (good[:20], "CorruptArtifact", "truncated: 20 bytes, the file header alone takes 24"),
        "truncated": (good[:-1], "CorruptArtifact", f"truncated: {len(good) - 1} bytes, the header declares {len(good)}"),
        "too_long": (good + b"\0", "CorruptArtifact", f"too long: {len(good) + 1} bytes, the header declares {len(good)}"),
        "version_contradicted": (
            assemble(raw_record(), bytes(4), version=2),
            "CorruptArtifact",
            "format version 2, but the table is of version 1",
        ),
        "version_unknown": (
            assemble(raw_record(), bytes(4), version=3),
            "UnsupportedVersion",
            "format version 3, this reader knows 1 and 2",
        ),
        "version_zero": (assemble(raw_record(), bytes(4), version=0), "UnsupportedVersion", "format version 0"),
        "metadata_size": (good[:16] + U32(65537) + good[20:], "LimitExceeded", "metadata is 65,537 bytes, at most 65,536"),
        "table_size": (good[:20] + U32(1000) + good[24:], "CorruptArtifact", "do not fit a file of"),
        "table_size_max": (good[:20] + U32(0xFFFFFFFF) + good[24:], "CorruptArtifact", "do not fit a file of"),
        "header_crc": (good[:24] + b"[" + good[25:], "CorruptArtifact", "header, metadata or table is damaged"),
        "profile_unknown": (assemble(raw_record(), bytes(4), profile=2), "CorruptArtifact", "profile 2, allowed 0"),
        "profile_host_without_zstd": (assemble(raw_record(), bytes(4), profile=1), "CorruptArtifact", "coders are of profile 0"),
        "profile_portable_with_zstd": (assemble(two_zstd), "CorruptArtifact", "coders are of profile 1"),
        "block_log_small": (assemble(raw_record(), bytes(4), block_log=2), "LimitExceeded", "block log 2, allowed 3 to 20"),
        "block_log_large": (assemble(raw_record(), bytes(4), block_log=21), "LimitExceeded", "block log 21, allowed 3 to 20"),
        "reserved": (assemble(raw_record(), bytes(4), reserved=1), "CorruptArtifact", "reserved byte is 1"),
        "payload_missing": (
            assemble(raw_record(), bytes(3)),
            "CorruptArtifact",
            "blocks make a file of 75 bytes, the header declares 74",
        ),
        "payload_extra": (
            assemble(raw_record(), bytes(5)),
            "CorruptArtifact",
            "blocks make a file of 75 bytes, the header declares 76",
        ),
        "sha256": (good[:-1] + bytes([good[-1] ^ 1]), "CorruptArtifact", "SHA-256 of the content is"),
    }


def bad_metadata() -> dict[str, tuple[bytes, str, str]]:
    def with_metadata(metadata: bytes) -> bytes:
        return assemble(raw_record(), bytes(4), metadata=metadata)

    deep = b'{"a":' * 16 + b"1" + b"}" * 16
    return {
        "metadata_not_json": (with_metadata(b"{]"), "CorruptArtifact", "metadata: "),
        "metadata_not_utf8": (with_metadata(b'{"a":"\xff"}'), "CorruptArtifact", "metadata: 'utf-8'"),
        "metadata_not_object": (with_metadata(b"[1]"), "CorruptArtifact", "a JSON list, must be an object"),
        "metadata_spaces": (with_metadata(b'{"a": 1}'), "CorruptArtifact", "not in canonical form"),
        "metadata_key_order": (with_metadata(b'{"b":1,"a":1}'), "CorruptArtifact", "not in canonical form"),
        "metadata_key_twice": (with_metadata(b'{"a":1,"a":1}'), "CorruptArtifact", "not in canonical form"),
        "metadata_nan": (with_metadata(b'{"a":NaN}'), "CorruptArtifact", "metadata: "),
        "metadata_infinite": (with_metadata(b'{"a":1e999}'), "CorruptArtifact", "metadata: "),
        "metadata_escape": (with_metadata(b'{"a":"\\u0041"}'), "CorruptArtifact", "not in canonical form"),
        "metadata_surrogate": (with_metadata(b'{"a":"\\ud800"}'), "CorruptArtifact", "metadata: "),
        "metadata_deep": (with_metadata(deep), "CorruptArtifact", "nested more than 16 levels"),
        "metadata_very_deep": (with_metadata(b"[" * 30000 + b"]" * 30000), "CorruptArtifact", "metadata: "),
        "metadata_none": (with_metadata(b""), "CorruptArtifact", "metadata: "),
    }


def bad_names_and_shapes() -> dict[str, tuple[bytes, str, str]]:
    def named(name: bytes) -> bytes:
        return assemble(raw_record(name), bytes(4))

    big = write_varint((1 << 35) - 1)
    overflow = name_fields(b"a") + bytes([KIND_RAW_F32 | 2 << 4]) + big + big + U32(0)
    many = name_fields(b"a") + bytes([KIND_RAW_F32 | 9 << 4]) + b"\1" * 9 + U32(0)
    long_varint = name_fields(b"a") + bytes([KIND_RAW_F32 | 1 << 4]) + b"\x81\x00" + U32(crc32c(bytes(4)))
    hostile = (
        shared_head(dims=(1 << 14, 1 << 14)) + centroids(1) + positions(1, 2, b"\x90\x4e") + block(1 << 20, 9, payload=bytes(9))
    )
    two = raw_record(b"a") + raw_record(b"", n_shared=1)
    return {
        "no_layer": (assemble(b""), "CorruptArtifact", "the table has no layer"),
        "name_empty": (named(b""), "CorruptArtifact", "layer name ''"),
        "name_path": (named(b"../etc"), "CorruptArtifact", "layer name '../etc'"),
        "name_slash": (named(b"a/b"), "CorruptArtifact", "layer name 'a/b'"),
        "name_dots": (named(b"a..b"), "CorruptArtifact", "layer name 'a..b'"),
        "name_newline": (named(b"a\n"), "CorruptArtifact", "layer name 'a\\n'"),
        "name_not_ascii": (named(b"\xe9"), "CorruptArtifact", "layer name 'é'"),
        "name_shares_too_much": (
            assemble(raw_record(b"b", n_shared=3), bytes(4)),
            "CorruptArtifact",
            "a name shares 3 bytes with ''",
        ),
        "name_too_long": (
            assemble(raw_record(b"a" * 255) + raw_record(b"b", n_shared=255), bytes(8)),
            "CorruptArtifact",
            "at most 255 bytes",
        ),
        "name_twice": (assemble(two, bytes(8)), "CorruptArtifact", "a: named twice"),
        "kind_unknown": (assemble(name_fields(b"a") + b"\x1f\x01" + U32(0)), "CorruptArtifact", "a: kind 15, allowed 0 to 8"),
        "kind_next": (assemble(name_fields(b"a") + b"\x19\x01" + U32(0)), "CorruptArtifact", "a: kind 9, allowed 0 to 8"),
        "dims_too_many": (assemble(many, bytes(4)), "LimitExceeded", "a: 9 dimensions, at most 8"),
        "dim_zero": (assemble(raw_record(dims=(3, 0))), "CorruptArtifact", "a: shape (3, 0) has no weight"),
        "dims_overflow": (assemble(overflow), "LimitExceeded", "268,435,456 are left of the file's limit"),
        "weights_of_two_layers": (
            assemble(raw_record(b"a", (1 << 14, 2)) + raw_record(b"b", (1 << 14, 1 << 14))),
            "LimitExceeded",
            "b: shape (16384, 16384) has 268,435,456 weights, 268,402,688 are left",
        ),
        "varint_long": (assemble(long_varint, bytes(4)), "CorruptStream", "a: varint"),
        "record_cut": (
            assemble(raw_record()[:-1], bytes(4)),
            "CorruptArtifact",
            "a: the table ends inside a record, 1 bytes short",
        ),
        "name_cut": (assemble(b"\0\5ab"), "CorruptArtifact", "the table ends inside a record, 3 bytes short"),
        "record_half": (assemble(raw_record() + b"\0", bytes(4)), "CorruptArtifact", "the table ends inside a record"),
        "hostile_rate": (assemble(hostile, bytes(9)), "LimitExceeded", "w: block 0: 1,048,576 weights in 9 bytes, at most 256"),
    }


def bad_values() -> dict[str, tuple[bytes, str, str]]:
    def book_of(fields: bytes, kind: int = KIND_BOOK) -> bytes:
        return assemble(shared_head(kind) + fields + positions(1, 0) + b"\0")

    def step_of(step: float, n_negative: int = 1, n_positive: int = 1) -> bytes:
        levels = write_varint(n_negative) + write_varint(n_positive)
        return book_of(np.float32(step).tobytes() + levels, KIND_STEP)

    nan = np.float16(np.nan).tobytes()
    return {
        "centroids_too_many": (book_of(write_varint(65537)), "LimitExceeded", "w: 65,537 centroids, at most 65,536"),
        "centroids_cut": (book_of(write_varint(100)), "CorruptArtifact", "w: the table ends inside a record"),
        "centroid_nan": (book_of(b"\2" + HALF + nan), "CorruptArtifact", "w: a centroid is not finite"),
        "centroid_infinite": (book_of(b"\1" + np.float32(np.inf).tobytes(), KIND_BOOK_F32), "CorruptArtifact", "not finite"),
        "sorted_empty": (book_of(b"\0", KIND_SORTED), "CorruptArtifact", "w: a sorted codebook without a centroid"),
        "sorted_order": (book_of(b"\2\0\xb8\x10\xff", KIND_SORTED), "CorruptArtifact", "w: codebook: Golomb order 16"),
        "sorted_range": (
            book_of(b"\2\xff\xff\x00\x40", KIND_SORTED),
            "CorruptArtifact",
            "a centroid after number 1 is out of range",
        ),
        "sorted_zeros": (
            book_of(b"\2\0\xb8\x00\0\0\0\0", KIND_SORTED),
            "CorruptArtifact",
            "a centroid after number 1 is out of range",
        ),
        "sorted_padding": (book_of(b"\2\0\xb8\x00\x81", KIND_SORTED), "CorruptArtifact", "bits after the last centroid"),
        "sorted_infinite": (book_of(b"\1\0\xfc\x00", KIND_SORTED), "CorruptArtifact", "w: a centroid is not finite"),
        "sorted_cut": (assemble(shared_head(KIND_SORTED) + b"\x20\0\xb8\x0f\xff"), "CorruptArtifact", "ends inside a codebook"),
        "step_nan": (step_of(np.nan), "CorruptArtifact", "w: step is nan"),
        "step_infinite": (step_of(np.inf), "CorruptArtifact", "w: step is inf"),
        "step_zero": (step_of(0.0), "CorruptArtifact", "w: step is 0.0"),
        "step_negative": (step_of(-1.0), "CorruptArtifact", "w: step is -1.0"),
        "step_subnormal": (step_of(1e-40), "CorruptArtifact", "must be a normal float32 above zero"),
        "levels_too_many": (step_of(1.0, 1, 32768), "LimitExceeded", "w: levels span [-1, 32768], allowed magnitude 32,767"),
        "level_overflows": (step_of(3e38, 2, 0), "CorruptArtifact", "times level 2 is not a finite float32"),
    }


def bad_streams() -> dict[str, tuple[bytes, str, str]]:
    two = centroids(2)
    bits = bytes([0b10000000, 0])
    return {
        "mode_unknown": (
            assemble(shared_head() + centroids(1) + b"\x05"),
            "CorruptArtifact",
            "w: position mode 5, allowed 0 to 4",
        ),
        "levels_of_stored": (
            assemble(shared_head() + centroids(1) + b"\x04"),
            "CorruptArtifact",
            "w: levels are coded by coder 0, must be 4",
        ),
        "dense_with_coder": (
            assemble(shared_head() + centroids(1) + b"\x10"),
            "CorruptArtifact",
            "w: a dense layer has no positions",
        ),
        "dense_without_values": (assemble(shared_head() + b"\0\0"), "CorruptArtifact", "a dense layer without a centroid"),
        "coder_unknown": (
            assemble(shared_head() + centroids(1) + positions(1, 9)),
            "UnsupportedVersion",
            "w: coder 9, this reader knows",
        ),
        "codes_coder_unknown": (
            assemble(shared_head() + two + positions(1, 0) + codes(200)),
            "UnsupportedVersion",
            "w: coder 200, this reader knows",
        ),
        "model_cut": (assemble(shared_head() + two + b"\x11\x7f"), "CorruptArtifact", "w: the table ends inside a record"),
        "model_trailing": (
            one_layer(centroids(1) + positions(1, 1, b"\x11\x00"), (1, 2), bits, [1] + [0] * 15),
            "CorruptStream",
            "w: huffman model ends at byte 1 of 2",
        ),
        "model_of_stored": (
            one_layer(centroids(1) + positions(1, 0, b"\0"), (1, 2), bits, [1] + [0] * 15),
            "CorruptStream",
            "w: stored model ends at byte 0 of 1",
        ),
        "model_not_a_code": (
            one_layer(centroids(1) + positions(1, 1, b"\x12"), (1, 2), bits, [1] + [0] * 15),
            "CorruptStream",
            "w: huffman model: Kraft sum",
        ),
        "model_range": (
            one_layer(centroids(1) + positions(1, 2, b"\x81\x80\x01"), (1, 2), bits, [1] + [0] * 15),
            "CorruptStream",
            "w: range model",
        ),
        "nonzero_too_many": (
            assemble(shared_head() + centroids(1) + positions(1, 0) + b"\x11"),
            "CorruptArtifact",
            "17 non-zero weights of 16",
        ),
        "nonzero_without_values": (assemble(shared_head() + b"\0" + positions(1, 0) + b"\1"), "CorruptArtifact", "and 0 values"),
        "gaps_too_few": (
            assemble(shared_head() + centroids(1) + positions(3, 0) + block(2, 1, 1, payload=b"\0"), b"\0"),
            "CorruptArtifact",
            "w: block 0: 1 gaps for 2 of 16 weights",
        ),
        "gaps_too_many": (
            assemble(shared_head() + centroids(1) + positions(3, 0) + block(2, 2, 4, payload=bytes(2)), bytes(2)),
            "CorruptArtifact",
            "w: block 0: 4 gaps for 2 of 16 weights",
        ),
    }


def bad_payloads() -> dict[str, tuple[bytes, str, str]]:
    """Every stored checksum fits; what the payload decodes to does not."""
    first = [1] + [0] * 15
    bits = bytes([0b10000000, 0])
    good = one_layer(centroids(1) + positions(1, 0), (1, 2), bits, first)
    damaged = bytearray(good)
    damaged[-33] ^= 1
    huffman_model = huffman.pack_model(huffman.build_model(np.array([3, 1])))
    even = range_coder.build_model(np.array([8, 8]))
    coded = range_coder.encode(np.array([1, 0, 0, 1] * 4, np.uint8), even)
    range_fields = centroids(1) + positions(1, 2, range_coder.pack_model(even))
    frame = zstd.encode(np.zeros(8, np.uint8), zstd.build_model(np.ones(2, np.int64)))
    thirds = stored.encode(np.array([0], np.uint8), stored.build_model(np.ones(3, np.int64)))
    return {
        "block_crc": (bytes(damaged), "CorruptArtifact", "w: block 0 is damaged: CRC-32C"),
        "values_crc": (
            one_layer(centroids(1) + positions(1, 0), (1, 2), bits, [0, 1] + [0] * 14),
            "CorruptStream",
            "w: decoded indices have CRC-32C",
        ),
        "bitmap_count": (
            one_layer(centroids(1) + positions(1, 0), (2, 2), bits, first),
            "CorruptStream",
            "1 positions are set, the table says 2",
        ),
        "bitmap_short": (
            one_layer(centroids(1) + positions(1, 0), (1, 1), bits[:1], first),
            "CorruptStream",
            "w: block 0: stored: 1 bytes",
        ),
        "bytes_padding": (
            assemble(
                shared_head(dims=(12,), indices=[1] + [0] * 11) + centroids(1) + positions(2, 0) + block(1, 2, payload=b"\1\x10"),
                b"\1\x10",
            ),
            "CorruptStream",
            "a bit is set after the last of 12 weights",
        ),
        "gaps_past_end": (
            one_layer(centroids(1) + positions(3, 0), (2, 1, 2), b"\xe7", first),
            "CorruptStream",
            "run ends at 23",
        ),
        "gaps_escape_last": (
            one_layer(centroids(1) + positions(3, 0), (1, 1, 2), b"\x0f", first),
            "CorruptStream",
            "escape after the last",
        ),
        "gaps_count": (
            one_layer(centroids(1) + positions(3, 0), (1, 1, 2), b"\x00", first),
            "CorruptStream",
            "w: block 0: gaps: 2 positions",
        ),
        "code_outside": (
            one_layer(centroids(3) + positions(1, 0) + codes(0), (1, 2, 1), bits + bytes([0b11000000]), first),
            "CorruptStream",
            "w: block 0: stored: symbol 0 of 1 is 3",
        ),
        "codes_size": (
            one_layer(centroids(3) + positions(1, 0) + codes(0), (1, 2, 2), bits + thirds + b"\0", first),
            "CorruptStream",
            "w: block 0: stored: 2 bytes",
        ),
        "positions_without_codes": (
            one_layer(centroids(1) + positions(1, 1, huffman_model), (1, 1), b"\x80", first),
            "CorruptStream",
            "w: block 0: huffman: stream ends at symbol 8 of 16",
        ),
        "huffman_trailing": (
            one_layer(centroids(1) + positions(1, 1, huffman_model), (1, 3), bits + b"\0", first),
            "CorruptStream",
            "w: block 0: huffman: 3 bytes",
        ),
        "range_short": (one_layer(range_fields, (8, len(coded) - 1), coded[:-1], first), "CorruptStream", "w: block 0: range: "),
        "range_trailing": (
            one_layer(range_fields, (8, len(coded) + 1), coded + b"\0", first),
            "CorruptStream",
            "w: block 0: range: ",
        ),
        "range_start": (one_layer(range_fields, (1, 5), b"\xff" * 5, first), "CorruptStream", "starts with ff ff ff ff"),
        "zstd_not_a_frame": (
            one_layer(centroids(1) + positions(1, 3), (1, 2), bits, first, profile=1),
            "CorruptStream",
            "w: block 0: zstd: starts with",
        ),
        "zstd_size": (
            one_layer(centroids(1) + positions(1, 3), (1, len(frame)), frame, first, profile=1),
            "CorruptStream",
            "w: block 0: zstd: frame declares 8 bytes",
        ),
    }


def bad_sparse() -> dict[str, tuple[bytes, str, str]]:
    """Every stored checksum fits, save where the name says another."""
    bitmap, first = positions(1, 0), bytes([0b10000000, 0])
    good = sparse(bitmap, (1, 2), first + HALF, [0.5])
    damaged = bytearray(good)
    damaged[-33] ^= 1
    single = np.float32(0.5).tobytes()
    huffman_model = huffman.pack_model(huffman.build_model(np.array([15, 1])))
    frame = zstd.encode(np.zeros(8, np.uint8), zstd.build_model(np.ones(2, np.int64)))
    hostile = (1 << 14, 1 << 14)
    return {
        "sparse_cut": (
            assemble(name_fields(b"a") + b"\x17\x01" + U32(0)),
            "CorruptArtifact",
            "a: the table ends inside a record, 1 bytes short",
        ),
        "sparse_dense": (sparse(b"\0", (), HALF * 16, [0.5] * 16), "CorruptArtifact", "w: a sparse tensor without positions"),
        "sparse_dense_with_coder": (sparse(b"\x10", (), b"", []), "CorruptArtifact", "w: a dense layer has no positions"),
        "sparse_mode_unknown": (sparse(b"\x05", (), b"", []), "CorruptArtifact", "w: position mode 5, allowed 0 to 4"),
        "sparse_levels": (sparse(positions(4, 4), (), b"", []), "CorruptArtifact", "w: levels without a centroid or a step"),
        "sparse_coder_unknown": (sparse(positions(1, 9), (0,), b"", []), "UnsupportedVersion", "w: coder 9, this reader knows"),
        "sparse_model_trailing": (
            sparse(positions(1, 1, huffman_model + b"\0"), (1, 2), first + HALF, [0.5]),
            "CorruptStream",
            "w: huffman model ends at byte 1 of 2",
        ),
        "sparse_profile_portable": (
            sparse(positions(1, 3), (1, 2), first + HALF, [0.5]),
            "CorruptArtifact",
            "coders are of profile 1",
        ),
        "sparse_zstd_size": (
            sparse(positions(1, 3), (1, len(frame)), frame + HALF, [0.5], profile=1),
            "CorruptStream",
            "w: block 0: zstd: frame declares 8 bytes",
        ),
        "sparse_weights": (
            sparse(bitmap, (0,), b"", [], dims=(*hostile, 2)),
            "LimitExceeded",
            "w: shape (16384, 16384, 2) has 536,870,912 weights",
        ),
        "sparse_rate": (
            sparse(positions(1, 2, b"\x90\x4e"), (1, 9), bytes(9) + HALF, [0.5], dims=hostile),
            "LimitExceeded",
            "w: block 0: 1,048,576 weights in 11 bytes, at most 256",
        ),
        "sparse_nonzero_too_many": (
            sparse(bitmap, (17, 2), b"\xff\xff" + HALF * 17, [0.5] * 16),
            "CorruptArtifact",
            "w: block 0: 17 non-zero weights of 16",
        ),
        "sparse_gaps_too_few": (
            sparse(positions(3, 0), (2, 1, 1), b"\0" + HALF * 2, [0.5]),
            "CorruptArtifact",
            "w: block 0: 1 gaps for 2 of 16 weights",
        ),
        "sparse_gaps_past_end": (
            sparse(positions(3, 0), (2, 1, 2), b"\xe7" + HALF * 2, [0.5]),
            "CorruptStream",
            "w: block 0: gaps: run ends at 23",
        ),
        "sparse_bitmap_count": (
            sparse(bitmap, (2, 2), first + HALF * 2, [0.5]),
            "CorruptStream",
            "w: block 0: 1 positions are set, the table says 2",
        ),
        "sparse_bytes_padding": (
            sparse(positions(2, 0), (1, 2), b"\1\x10" + HALF, [0.5], dims=(12,)),
            "CorruptStream",
            "w: block 0: bitmap: a bit is set after the last of 12 weights",
        ),
        "sparse_positions_long": (
            sparse(bitmap, (1, 3), first + b"\0" + HALF, [0.5]),
            "CorruptStream",
            "w: block 0: stored: 3 bytes",
        ),
        "sparse_value_missing": (
            sparse(bitmap, (2, 2), b"\xc0\0" + HALF, [0.5]),
            "CorruptArtifact",
            f"the table's blocks make a file of {len(good) + 2} bytes, the header declares {len(good)}",
        ),
        "sparse_value_extra": (
            sparse(bitmap, (1, 2), first + HALF * 2, [0.5]),
            "CorruptArtifact",
            f"the table's blocks make a file of {len(good)} bytes, the header declares {len(good) + 2}",
        ),
        "sparse_value_of_the_other_kind": (
            sparse(bitmap, (1, 2), first + single, [0.5]),
            "CorruptArtifact",
            f"the table's blocks make a file of {len(good)} bytes, the header declares {len(good) + 2}",
        ),
        "sparse_value_zero": (
            sparse(bitmap, (2, 2), b"\xc0\0" + HALF + bytes(2), [0.5, 0.0]),
            "CorruptStream",
            "w: block 0: value 1 of 2 is +0.0",
        ),
        "sparse_value_zero_f32": (
            sparse(bitmap, (2, 2), b"\xc0\0" + bytes(4) + single, [0.0, 0.5], kind=KIND_SPARSE_F32),
            "CorruptStream",
            "w: block 0: value 0 of 2 is +0.0",
        ),
        "sparse_block_crc": (bytes(damaged), "CorruptArtifact", "w: block 0 is damaged: CRC-32C"),
        "sparse_values_crc": (
            sparse(bitmap, (1, 2), first + HALF, [0.0, 0.5]),
            "CorruptStream",
            "w: decoded values have CRC-32C",
        ),
        "sparse_values_crc_all_zero": (
            assemble(name_fields(b"w") + b"\x17\x10" + U32(0) + bitmap + b"\0"),
            "CorruptStream",
            "w: decoded values have CRC-32C",
        ),
    }


def main() -> None:
    changed = [path.name for path in (*make_golden(), *make_bad())]
    if changed:
        sys.exit(f"not overwritten, though they would differ: {', '.join(changed)}")


def make_golden() -> list[Path]:
    """Files that exist and would differ."""
    changed = []
    for name, (layers, options) in golden_files().items():
        path = GOLDEN / f"{name}.sqz"
        data = writer.to_bytes(layers, METADATA, **options)  # type: ignore[arg-type]
        if path.exists():
            changed += [path] if path.read_bytes() != data and name not in ZSTD_FILES | EARLIER_WRITER else []
            continue
        path.write_bytes(data)
        sidecar = {"written_with": options, "tensors": digests(reader.read(path))}
        path.with_suffix(".json").write_text(json.dumps(sidecar, indent=1) + "\n")
    return changed


def make_bad() -> list[Path]:
    changed = []
    table = GOLDEN_BAD / "expected.json"
    expected = json.loads(table.read_text()) if table.exists() else {}
    for name, (data, error, message) in bad_files().items():
        path = GOLDEN_BAD / f"{name}.sqz"
        row = expected.setdefault(path.name, {"error": error, "message": message})
        if path.exists():
            same = name in BAD_FRAMES or path.read_bytes() == data
            changed += [] if same and row == {"error": error, "message": message} else [path]
        else:
            path.write_bytes(data)
    table.write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")
    return changed


if __name__ == "__main__":
    main()
