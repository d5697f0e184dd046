import os
import stat
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from make_golden import book, coded_net, extremes, pruned, pruned_net, small_net, sparse_blocks, spread

from compress import codecs
from compress.artifact import candidates, layout, reader, writer
from compress.artifact.inspect import inspect
from compress.errors import InputError, WeightsError
from compress.layer import RawTensor, SharedLayer


def assert_same(got, want):
    assert list(got) == [layer.name for layer in want]
    for layer in want:
        decoded = got[layer.name]
        assert decoded.kind == layer.kind and decoded.shape == layer.shape
        if isinstance(layer, RawTensor):
            assert decoded.array.dtype == layer.array.dtype and decoded.array.tobytes() == layer.array.tobytes()
            continue
        np.testing.assert_array_equal(decoded.indices, layer.indices)
        assert decoded.values().tobytes() == layer.values().tobytes()
        assert decoded.step == layer.step and (decoded.codebook is None) == (layer.codebook is None)
        if layer.codebook is not None:
            assert decoded.codebook.dtype == layer.codebook.dtype and decoded.codebook.tobytes() == layer.codebook.tobytes()


@pytest.mark.parametrize("coder", ["best", *codecs.CODERS])
@pytest.mark.parametrize("positions", ["best", "bitmap", "bytes", "gaps"])
@pytest.mark.parametrize("block_size", [64, 1 << 20])
def test_round_trip(coder, positions, block_size):
    layers = [
        *(small_net() if block_size > 64 else sparse_blocks()),
        *coded_net(),
        *(replace(layer, name=f"p.{layer.name}") for layer in pruned_net()),
    ]
    data = writer.to_bytes(layers, {"a": 1}, coder=coder, positions=positions, block_size=block_size)
    artifact = reader.read_bytes(data)
    assert_same(artifact.layers, layers)
    assert artifact.metadata == {"a": 1} and artifact.profile == ("host" if coder == "zstd" else "portable")


@pytest.mark.parametrize("coder", ["best", *codecs.CODERS])
def test_extremes_round_trip(coder):
    assert_same(reader.read_bytes(writer.to_bytes(extremes(), {}, coder=coder)).layers, extremes())


def sparse_arrays(dtype, shape):
    """Mostly +0.0, and any bits at all: NaNs of every payload, -0.0, infinities, subnormals."""
    n_bits = 8 * np.dtype(dtype).itemsize
    special = [0, 1 << (n_bits - 1), *np.array([np.inf, -np.inf, np.nan], dtype).view(f"<u{n_bits // 8}").tolist()]
    bits = st.sampled_from(special) | st.integers(0, 2**n_bits - 1)
    return hnp.arrays(f"<u{n_bits // 8}", shape, elements=bits, fill=st.just(0)).map(lambda array: array.view(dtype))


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["<f2", "<f4"]).flatmap(lambda dtype: sparse_arrays(dtype, hnp.array_shapes(min_dims=0, max_side=20))),
    st.sampled_from(["best", *codecs.CODERS]),
    st.sampled_from(["best", "bitmap", "bytes", "gaps"]),
    st.sampled_from([8, 64, 1 << 20]),
)
def test_sparse_tensors_round_trip(array, coder, positions, block_size):
    layer = RawTensor("w", array)
    data = writer.to_bytes([layer], {}, coder=coder, positions=positions, block_size=block_size)
    assert_same(reader.read_bytes(data).layers, [layer])
    flat = np.ascontiguousarray(array).reshape(-1)
    n_blocks = -(-flat.size // block_size)
    raw_bytes = 24 + 2 + (4 + len(layer.shape) + sum(n > 127 for n in layer.shape) + 4 * n_blocks) + 4 + flat.nbytes + 32
    assert len(data) <= raw_bytes
    (record,) = reader.parse(data, flat.size).records
    assert record.kind in layout.RAW_KINDS or len(data) < raw_bytes


@st.composite
def layers(draw):
    out = []
    for i in range(draw(st.integers(1, 4))):
        shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, max_side=9))
        name = draw(st.from_regex(r"[a-z]{1,3}\.[a-z]", fullmatch=True)) + str(i)
        kind = draw(st.sampled_from(["raw", "book", "step"]))
        if kind == "raw":
            dtype = draw(st.sampled_from(["<f2", "<f4", "<i8"]))
            if dtype != "<i8" and draw(st.booleans()):
                out.append(RawTensor(name, draw(sparse_arrays(dtype, shape))))
                continue
            out.append(RawTensor(name, draw(hnp.arrays(dtype, shape))))
            continue
        low, high = (0, draw(st.sampled_from([0, 1, 2, 7, 300]))) if kind == "book" else (-5, draw(st.sampled_from([0, 4, 900])))
        sparse = st.just(0) | st.integers(low, high)
        indices = draw(hnp.arrays(np.int32, shape, elements=sparse, fill=st.just(0)))
        if kind == "step":
            step = draw(st.floats(2.0**-100, 2.0**100, width=32))
            out.append(SharedLayer(name, shape, indices, step=np.float32(step)))
        else:
            dtype = draw(st.sampled_from([np.float16, np.float32]))
            out.append(
                SharedLayer(name, shape, indices, codebook=draw(hnp.arrays(dtype, high, elements=st.floats(-9, 9, width=16))))
            )
    return out


@settings(max_examples=60, deadline=None)
@given(layers(), st.sampled_from([8, 32, 1 << 20]))
def test_random_layers_round_trip_with_any_number_of_threads(layers, block_size):
    data = writer.to_bytes(layers, {}, block_size=block_size)
    assert writer.to_bytes(layers, {}, block_size=block_size, threads=2) == data
    assert_same(reader.read_bytes(data).layers, layers)
    assert_same(reader.read_bytes(data, threads=2).layers, layers)


@pytest.mark.parametrize("large", [1, 1000, 1 << 24])
def test_layers_go_to_threads_in_batches(monkeypatch, large):
    """A batch ends with a layer that makes it large, or with four layers a thread."""
    net = [*small_net(), *small_net()]
    net = [replace(layer, name=f"{i}.{layer.name}") for i, layer in enumerate(net)]
    monkeypatch.setattr(writer, "LARGE_BATCH", large)
    assert writer.to_bytes(net, {}, threads=2) == writer.to_bytes(net, {})
    batches = [len(batch) for batch in writer._batches(iter(net), 2)]
    assert batches == {1: [1] * 24, 1000: [8, 8, 8], 1 << 24: [8, 8, 8]}[large]


def kind_of(layer, **options):
    return writer.encode_layer(layer, **options).record.kind


def test_a_float_tensor_is_sparse_where_that_is_smaller():
    for dtype, kind in (("<f2", layout.Kind.SPARSE_F16), ("<f4", layout.Kind.SPARSE_F32)):
        assert kind_of(pruned("w", (40, 40), 0.3, 1, dtype)) == kind
        assert kind_of(RawTensor("w", np.zeros(4000, dtype))) == kind
    assert kind_of(pruned("w", (40, 40), 1.0, 1)) == layout.Kind.RAW_F32
    assert kind_of(RawTensor("w", np.zeros(4000, np.int64))) == layout.Kind.RAW_I64


@pytest.mark.parametrize(
    ("n_weights", "n_zeros", "kind"),
    [
        (1, 1, "RAW_F16"),  # 4 + 2 bytes; sparse: Values_CRC 4, Streams 2, N_Nonzero 1
        (2, 2, "SPARSE_F16"),
        (10, 5, "RAW_F16"),  # 4 + 20 bytes; sparse: 6, a block's 1 + 1 + 4, a bitmap of 2, 5 values: also 24
        (10, 6, "SPARSE_F16"),
    ],
)
def test_the_smaller_is_written_and_of_equals_the_raw_one(n_weights, n_zeros, kind):
    layer = RawTensor("w", (np.arange(n_weights) >= n_zeros).astype(np.float16))
    assert kind_of(layer, coder="stored", positions="bitmap").name == kind


def test_minus_zero_is_a_value():
    layer = RawTensor("w", np.full(100, -0.0, np.float32))
    assert kind_of(layer) == layout.Kind.RAW_F32
    assert_same(reader.read_bytes(writer.to_bytes([layer], {})).layers, [layer])


def test_a_named_coder_and_mode_are_used_on_the_positions_of_sparse_tensors():
    layer = pruned("w", (40, 40), 0.1, 1)
    for coder in codecs.CODERS:
        for name, mode in candidates.POSITION_MODES.items():
            record = writer.encode_layer(layer, coder=coder, positions=name).record
            assert record.kind == layout.Kind.SPARSE_F32 and record.position_mode == mode
            assert codecs.CODER_IDS[record.positions.coder_id] == coder


def test_best_sparse_is_the_smallest():
    sizes = {
        (coder, mode): len(writer.to_bytes(pruned_net(), {}, coder=coder, positions=mode))
        for coder in ("best", "stored", "huffman", "range", "zstd")
        for mode in ("best", "bitmap", "bytes", "gaps")
    }
    assert sizes["best", "best"] == min(sizes.values())


def test_a_sparse_block_within_the_256_rule():
    lonely = np.zeros(1 << 20, np.float32)
    lonely[5] = 1
    for coder in ("best", "range", "huffman", "zstd"):
        encoded = writer.encode_layer(RawTensor("w", lonely), coder=coder)
        assert encoded.record.kind == layout.Kind.SPARSE_F32
        assert all(block.within_rate for block in encoded.record.blocks)
        assert sum(map(len, encoded.payloads)) < 1 << 18
    assert_same(reader.read_bytes(writer.to_bytes([RawTensor("w", lonely)], {})).layers, [RawTensor("w", lonely)])


def test_non_contiguous_arrays_are_stored_in_c_order():
    layer = book("w", (6, 5), spread(4), 0.5, 1)
    transposed = SharedLayer("w", (5, 6), layer.indices.T, codebook=layer.codebook)
    raw = RawTensor("b", np.arange(12, dtype=np.float32).reshape(3, 4).T)
    sparse = RawTensor("s", pruned("s", (9, 20), 0.2, 2).array.T)
    decoded = reader.read_bytes(writer.to_bytes([transposed, raw, sparse], {})).layers
    assert kind_of(sparse) == layout.Kind.SPARSE_F32 and decoded["s"].array.tobytes() == sparse.array.tobytes()
    np.testing.assert_array_equal(decoded["w"].indices, layer.indices.T)
    np.testing.assert_array_equal(decoded["b"].array, raw.array)


def test_best_is_the_smallest_of_the_portable_coders():
    sizes = {
        coder: len(writer.to_bytes(coded_net(), {}, coder=coder)) for coder in ("best", "stored", "huffman", "range", "zstd")
    }
    assert sizes["best"] <= min(sizes.values())
    modes = {mode: len(writer.to_bytes(coded_net(), {}, positions=mode)) for mode in ("best", "bitmap", "bytes", "gaps")}
    assert modes["best"] <= min(modes.values())


def test_a_named_coder_is_used_on_every_stream():
    for coder in codecs.CODERS:
        records = [writer.encode_layer(layer, coder=coder).record for layer in coded_net()]
        assert {codecs.CODER_IDS[stream.coder_id] for record in records for stream in record.streams} == {coder}


def test_an_alphabet_that_a_named_coder_cannot_take_is_stored():
    indices = np.arange(1, 5001, dtype=np.int32)
    layer = SharedLayer("w", (5000,), indices, codebook=np.linspace(-1, 1, 5000).astype(np.float32))
    record = writer.encode_layer(layer, coder="range").record
    assert record.codes is not None and codecs.CODER_IDS[record.codes.coder_id] == "stored"
    assert_same(reader.read_bytes(writer.to_bytes([layer], {}, coder="range")).layers, [layer])


def test_a_block_too_sparse_for_its_coder_is_written_within_the_256_rule():
    indices = np.zeros(1 << 20, np.int32)
    indices[5] = 1
    layer = SharedLayer("w", (1 << 20,), indices, codebook=np.array([0.5], np.float16))
    for coder in ("best", "range", "huffman", "zstd"):
        encoded = writer.encode_layer(layer, coder=coder)
        assert all(block.within_rate for block in encoded.record.blocks)
        assert sum(map(len, encoded.payloads)) < 1 << 18
    assert_same(reader.read_bytes(writer.to_bytes([layer], {})).layers, [layer])


def test_squeezenet_sized_tables_stay_under_4000_bytes(tmp_path):
    """26 convolutions of 32 centroids each, their biases, and 450 bytes of metadata."""
    names = [f"features.{i}.{part}" for i in (3, 4, 6, 7, 9, 10, 11, 12) for part in ("squeeze", "expand1x1", "expand3x3")]
    layers = []
    for seed, name in enumerate(["features.0", *names, "classifier.1"]):
        layers.append(book(f"{name}.weight", (64, 16, 3, 3), spread(32), 0.4, seed))
        layers.append(RawTensor(f"{name}.bias", np.zeros(64, np.float16)))
    path = tmp_path / "net.sqz"
    size_bytes = writer.write(path, layers, {"filler": "x" * 437}).size_bytes
    rows = inspect(path)
    payload_bytes = sum(row.positions_bytes + row.codes_bytes + row.raw_bytes for row in rows)
    assert size_bytes - payload_bytes < 4000


# --- writing a file -----------------------------------------------------------------------------------------------------


def test_write_says_what_stat_says(tmp_path):
    path = tmp_path / "net.sqz"
    written = writer.write(path, small_net(), {})
    artifact = reader.read(path)
    assert written.size_bytes == path.stat().st_size == artifact.size_bytes
    assert written.sha256 == artifact.sha256 == reader.verify(path)


@pytest.fixture
def old_file(tmp_path):
    path = tmp_path / "net.sqz"
    path.write_bytes(b"old")
    return path


def test_a_failing_write_leaves_the_old_file_and_nothing_else(old_file, monkeypatch):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(InputError, match=f"^{old_file}: cannot be written: No space left"):
        writer.write(old_file, small_net(), {})
    assert [p.name for p in old_file.parent.iterdir()] == ["net.sqz"] and old_file.read_bytes() == b"old"


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(old_file, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        writer.write(old_file, small_net(), {})
    assert [p.name for p in old_file.parent.iterdir()] == ["net.sqz"] and old_file.read_bytes() == b"old"


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"net\.sqz: cannot be written: No such file"):
        writer.write(tmp_path / "no" / "net.sqz", small_net(), {})


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    writer.write(tmp_path / "net.sqz", small_net(), {})
    assert stat.S_IMODE((tmp_path / "net.sqz").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize(
    ("layers", "options", "error", "message"),
    [
        ([], {}, InputError, "no layers"),
        ([*small_net(), small_net()[0]], {}, WeightsError, r"features\.0\.weight: named twice"),
        ([RawTensor("a/b", np.zeros(1, np.float32))], {}, WeightsError, "layer name 'a/b': must be parts"),
        ([RawTensor("a" * 256, np.zeros(1, np.float32))], {}, WeightsError, "at most 255 bytes"),
        ([RawTensor("a", np.zeros((2, 0), np.float32))], {}, WeightsError, r"a: shape \(2, 0\), must hold a weight"),
        ([RawTensor("a", np.zeros((1,) * 9, np.float32))], {}, WeightsError, "at most 8 dimensions"),
        (small_net(), {"coder": "lzma"}, InputError, "coder is 'lzma', allowed: best, context, stored, huffman, range, zstd"),
        (small_net(), {"positions": "dense"}, InputError, "positions is 'dense', allowed: best, bitmap, bytes, gaps"),
        (small_net(), {"block_size": 100}, InputError, "block size is 100, must be a power of two from 8 to 1048576"),
        (small_net(), {"block_size": 1 << 21}, InputError, "block size is 2097152"),
    ],
)
def test_what_cannot_be_written(tmp_path, layers, options, error, message):
    path = tmp_path / "net.sqz"
    with pytest.raises(error, match=message) as caught:
        writer.write(path, layers, {}, **options)
    assert str(caught.value).startswith(f"{path}: ") and not path.exists()


def test_the_writer_and_the_reader_have_the_same_limits():
    assert writer.BLOCK_SIZE == 1 << layout.MAX_BLOCK_LOG
    assert set(candidates.PORTABLE_CODERS) == set(codecs.PORTABLE)
