"""Damage of every kind to small files; see also test_golden.py for files that are wrong under right checksums."""

import json
import tracemalloc

import numpy as np
import pytest
from make_golden import GOLDEN, assemble, block, centroids, digests, positions, shared_head, small_net, sparse_blocks

from compress.artifact import reader, writer
from compress.artifact.inspect import inspect
from compress.artifact.layout import SHA256_SIZE, SPARSE_KINDS, Kind
from compress.errors import ArtifactError, CorruptArtifact, InputError, LimitExceeded, UnsupportedVersion
from compress.layer import RawTensor

SMALL = writer.to_bytes(sparse_blocks()[:2], {"a": 1}, block_size=64)


def sparse_file() -> bytes:
    """Sparse tensors of both kinds, in three blocks each, the middle one all-zero, the last one not full."""
    at = np.arange(40)
    weights = np.where((at % 9 == 0) & (at // 16 != 1), at - 20.5, 0)
    weights[[1, 38]] = -0.0, np.nan
    layers = [RawTensor("a", weights.astype(np.float16)), RawTensor("b", weights.astype(np.float32))]
    data = writer.to_bytes(layers, {}, block_size=16)
    assert [record.kind for record in reader.parse(data, 300).records] == [Kind.SPARSE_F16, Kind.SPARSE_F32]
    return data


SPARSE = sparse_file()


def test_every_other_byte_in_every_place_of_a_sparse_file_is_refused():
    for offset, right in enumerate(SPARSE):
        in_sha256 = offset >= len(SPARSE) - SHA256_SIZE  # compared as a whole
        for wrong in (right ^ 0x01, right ^ 0x80, right ^ 0xFF) if in_sha256 else range(256):
            if wrong != right:
                with pytest.raises(ArtifactError, match=r"^small: "):
                    reader.read_bytes(SPARSE[:offset] + bytes([wrong]) + SPARSE[offset + 1 :], name="small")


def test_every_flipped_byte_is_refused():
    for offset in range(len(SMALL)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(SMALL)
            damaged[offset] ^= flip
            with pytest.raises(ArtifactError, match=r"^small: "):
                reader.read_bytes(bytes(damaged), name="small")


@pytest.mark.parametrize("data", [SMALL, SPARSE], ids=["shared", "sparse"])
def test_every_truncation_is_refused(data):
    for size in range(len(data)):
        with pytest.raises(CorruptArtifact, match=r"^small: (truncated|an empty file)"):
            reader.read_bytes(data[:size], name="small")


def test_truncation_says_how_much_is_missing(tmp_path):
    path = tmp_path / "net.sqz"
    path.write_bytes(SMALL[:-7])
    with pytest.raises(CorruptArtifact, match=f"net.sqz: truncated: {len(SMALL) - 7} bytes, the header declares {len(SMALL)}$"):
        reader.read(path)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_damaged_block_is_named(threads):
    data = bytearray(SMALL)
    contents = reader.parse(SMALL, 1 << 20)
    at = contents.header.payload_offset + contents.records[0].blocks[0].payload_size
    data[at] ^= 1
    with pytest.raises(
        CorruptArtifact, match=r"^x\.sqz: a\.weight: block 1 is damaged: CRC-32C [0-9a-f]{8}, stored [0-9a-f]{8}$"
    ):
        reader.read_bytes(bytes(data), name="x.sqz", threads=threads)


def test_the_version_comes_before_everything_else():
    with pytest.raises(UnsupportedVersion, match=r"^f: format version 3, this reader knows 1 and 2$"):
        reader.read_bytes(SMALL[:4] + b"\3" + b"anything", name="f")


@pytest.mark.parametrize("function", [reader.read, reader.verify, reader.read_metadata, inspect])
def test_a_file_that_is_not_there(tmp_path, function):
    with pytest.raises(InputError, match=r"no\.sqz: cannot be read: No such file"):
        function(tmp_path / "no.sqz")
    with pytest.raises(InputError, match="cannot be read: "):
        function(tmp_path)


def test_a_large_file_that_is_not_sqz_is_not_read(tmp_path):
    path = tmp_path / "huge.bin"
    with path.open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(CorruptArtifact, match=r"not a \.sqz file: begins with 00 00 00 00"):
        reader.read(path)


def test_hostile_counts_take_no_memory():
    wanted = block(1 << 20, 1 << 17, payload=b"")  # 2 MiB of values that are not there
    hostile = [
        (assemble(shared_head(dims=(1 << 14, 1 << 14)) + centroids(1) + positions(1, 0)), ArtifactError),
        (assemble(shared_head(dims=(1 << 20, 1 << 20)) + centroids(1) + positions(1, 0)), LimitExceeded),
        (assemble(shared_head(Kind.SPARSE_F32, dims=(1 << 14, 1 << 14)) + positions(1, 0)), ArtifactError),
        (assemble(shared_head(Kind.SPARSE_F32, dims=(1 << 20, 1 << 20)) + positions(1, 0)), LimitExceeded),
        (assemble(shared_head(Kind.SPARSE_F16, dims=(1 << 20,)) + positions(1, 0) + wanted), CorruptArtifact),
    ]
    tracemalloc.start()
    for data, error in hostile:
        with pytest.raises(error):
            reader.read_bytes(data)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1 << 20


def test_the_caller_may_allow_fewer_weights():
    n_weights = sum(layer.n_weights for layer in sparse_blocks()[:2])
    reader.read_bytes(SMALL, max_weights=n_weights)
    with pytest.raises(LimitExceeded, match=r"b\.weight: shape \(300,\) has 300 weights, 299 are left"):
        reader.read_bytes(SMALL, max_weights=n_weights - 1)


def test_portable_only_refuses_zstd_by_name():
    path = GOLDEN / "coder_zstd.sqz"
    assert reader.read(path).profile == "host"
    with pytest.raises(ArtifactError, match=r"coder_zstd\.sqz: conv\.weight: coded by zstd"):
        reader.read(path, portable_only=True)
    with pytest.raises(ArtifactError, match=r"sparse_raw_zstd\.sqz: conv\.weight: coded by zstd"):
        reader.read(GOLDEN / "sparse_raw_zstd.sqz", portable_only=True)
    assert reader.read(GOLDEN / "coder_range.sqz", portable_only=True).profile == "portable"


def test_the_tables_of_a_layer_are_made_once(monkeypatch):
    made, block_decoder = [], reader._block_decoder
    monkeypatch.setattr(
        reader, "_block_decoder", lambda record, models: made.append(record.name) or block_decoder(record, models)
    )
    layers = reader.read_bytes(SPARSE).layers
    assert made == list(layers)
    made.clear()
    reader.read_bytes(writer.to_bytes(sparse_blocks(), {}, block_size=64))
    assert made == ["a.weight", "b.weight", "c.weight", "d.weight"]


@pytest.mark.parametrize("kept", [0, 300, 1 << 24])
def test_models_that_are_not_kept_are_unpacked_again(monkeypatch, kept):
    monkeypatch.setattr(reader, "MAX_KEPT_MODELS", kept)
    for name in ("coder_huffman", "coder_range", "levels", "sparse_raw_range"):
        path = GOLDEN / f"{name}.sqz"
        assert digests(reader.read(path, threads=2)) == json.loads(path.with_suffix(".json").read_text())["tensors"]


def test_raw_tensors_keep_every_bit():
    bits = np.array([0x7FC00001, 0xFF800000, 0x80000000, 1], np.uint32).view(np.float32)
    layer = reader.read_bytes(writer.to_bytes([RawTensor("b", bits)], {})).layers["b"]
    assert isinstance(layer, RawTensor) and layer.array.tobytes() == bits.tobytes()


@pytest.mark.parametrize(
    ("bits", "dtype"),
    [
        ([0x7FC00001, 0xFF800001, 0xFF800000, 0x80000000, 1], "f4"),
        ([0x7E01, 0xFC01, 0xFC00, 0x8000, 1], "f2"),  # a quiet and a signalling NaN, -infinity, -0.0, a subnormal
    ],
)
def test_sparse_tensors_keep_every_bit(bits, dtype):
    array = np.zeros((10, 20), f"<u{dtype[1]}")
    array[3, 4:9] = bits
    artifact = reader.read_bytes(writer.to_bytes([RawTensor("w", array.view(f"<{dtype}"))], {}))
    layer = artifact.layers["w"]
    assert isinstance(layer, RawTensor) and layer.array.dtype == f"<{dtype}" and layer.array.tobytes() == array.tobytes()
    assert artifact.size_bytes < array.nbytes


def test_scalars_come_back_as_scalars():
    layer = reader.read_bytes(writer.to_bytes(small_net(), {})).layers["features.1.num_batches_tracked"]
    assert layer.shape == () and layer.values() == -(2**40)


def test_metadata_alone(tmp_path):
    path = tmp_path / "net.sqz"
    writer.write(path, small_net(), {"architecture": "squeezenet1_1"})
    assert reader.read_metadata(path) == {"architecture": "squeezenet1_1"}


def test_verify_finds_damage_without_decoding(tmp_path):
    path = tmp_path / "net.sqz"
    writer.write(path, small_net(), {})
    data = bytearray(path.read_bytes())
    data[-40] ^= 4
    path.write_bytes(data)
    with pytest.raises(CorruptArtifact, match=r"net\.sqz: [a-z.-]+: block 0 is damaged"):
        reader.verify(path)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.sqz")), ids=lambda path: path.stem)
def test_inspect_accounts_for_every_byte(path):
    rows = inspect(path)
    assert sum(row.size_bytes for row in rows) == path.stat().st_size
    artifact = reader.read(path)
    layer_rows = [row for row in rows if row.kind]
    assert [row.name for row in layer_rows] == list(artifact.layers)
    for row in layer_rows:
        layer = artifact.layers[row.name]
        assert (row.shape, row.n_weights) == (layer.shape, layer.n_weights)
        if row.kind in {kind.name.lower() for kind in SPARSE_KINDS}:
            item_size = layer.array.itemsize
            n_values = np.count_nonzero(layer.array.view(f"<u{item_size}"))  # -0.0 is one
            assert (row.n_nonzero, row.raw_bytes, row.codes) == (n_values, item_size * n_values, "")
            assert row.positions and (row.positions_bytes > 0) == (n_values > 0)
        else:
            assert row.n_nonzero == (layer.n_nonzero if layer.kind == "shared" else layer.n_weights)
