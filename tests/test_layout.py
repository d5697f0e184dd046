"""The table and the metadata, packed and parsed; the ways they can be wrong are in golden_bad/ (test_golden.py)."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_golden import assemble, centroids, positions, pruned_net, shared_head, small_net, sparse_blocks

from compress.artifact import codebook, layout, metadata, reader, table, writer
from compress.codecs.bits import write_varint
from compress.errors import ArtifactError, CorruptArtifact, InputError, LimitExceeded


def test_header_round_trip():
    header = layout.FileHeader(version=1, profile=0, block_log=20, file_size=1 << 33, metadata_size=65_536, table_size=77)
    packed = layout.pack_file_header(header)
    assert packed.hex(" ") == "53 51 5a 1a 01 00 14 00 00 00 00 00 02 00 00 00 00 00 01 00 4d 00 00 00"
    assert layout.parse_file_header(packed, 1 << 33) == header


def test_a_raw_tensor_has_no_streams():
    assert layout.raw_block(3, 4, 7) == layout.BlockRecord(3, 3, 0, 0, 0, raw_size=12, payload_crc=7)
    record = layout.LayerRecord("w", layout.Kind.RAW_F32, (3, 2))
    assert (record.n_weights, record.n_codes, record.extent, record.streams, record.has_levels) == (6, 0, (0, 0), [], False)
    assert (record.values_crc, record.blocks, record.record_size) == (0, (), 0)


@pytest.mark.parametrize(("layers", "block_size"), [(small_net(), 1 << 20), (sparse_blocks(), 64), (pruned_net(), 64)])
def test_a_parsed_table_packs_to_the_same_bytes(layers, block_size):
    data = writer.to_bytes(layers, {}, block_size=block_size)
    contents = reader.parse(data, layout.MAX_WEIGHTS)
    packed = table.pack_layer_table(contents.records)
    start = layout.FILE_HEADER.size + contents.header.metadata_size
    assert packed == data[start : start + contents.header.table_size]
    assert sum(record.record_size for record in contents.records) == len(packed)


def test_names_share_their_beginnings():
    contents = reader.parse(writer.to_bytes(small_net(), {}), layout.MAX_WEIGHTS)
    assert [record.name for record in contents.records] == [layer.name for layer in small_net()]
    packed = table.pack_layer_table(contents.records)
    assert packed.count(b"features") == 1 and packed.count(b"classifier") == 1


@pytest.mark.parametrize("name", ["a", "features.3.squeeze.weight", "a-b_C.0", "x" * 255])
def test_names_that_are_allowed(name):
    assert layout.NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", ".", "a.", ".a", "a..b", "a/b", "a\\b", "a b", "a\n", "é", "a\0"])
def test_names_that_are_not(name):
    assert not layout.NAME.fullmatch(name)


# --- what a hostile table asks for is refused before memory is taken ---------------------------------------------------


def test_many_weights_in_few_bytes_are_refused_quickly():
    """2^28 weights in about 100 bytes: the table would need 256 block records, and the first breaks the rate."""
    fields = centroids(1) + positions(1, 2, b"\x90\x4e") + write_varint(1) + write_varint(1) + bytes(4)
    with pytest.raises(LimitExceeded, match=r"w: block 0: 1,048,576 weights in 1 bytes"):
        reader.read_bytes(assemble(shared_head(dims=(1 << 28,)) + fields, b"\0"))


def test_many_declared_blocks_need_as_many_records():
    with pytest.raises(CorruptArtifact, match=r"varint at byte|the table ends inside"):
        reader.read_bytes(assemble(shared_head(dims=(1 << 28,)) + centroids(1) + positions(1, 0), block_log=3))


def test_declared_all_zero_blocks_are_allowed_up_to_the_limit():
    declared = shared_head(dims=(64,), indices=[0] * 64) + centroids(1) + positions(1, 0) + b"\0" * 8
    artifact = reader.read_bytes(assemble(declared, block_log=3))
    assert artifact.layers["w"].n_nonzero == 0
    # 64 indices of 0 are the bytes of 64 weights of +0.0
    sparse = shared_head(layout.Kind.SPARSE_F32, dims=(64,), indices=[0] * 64) + positions(1, 0) + b"\0" * 8
    assert reader.read_bytes(assemble(sparse, block_log=3)).layers["w"].n_nonzero == 0
    with pytest.raises(LimitExceeded, match=r"shape \(64,\) has 64 weights, 63 are left"):
        reader.read_bytes(assemble(sparse, block_log=3), max_weights=63)
    with pytest.raises(LimitExceeded, match=r"shape \(64,\) has 64 weights, 63 are left"):
        reader.read_bytes(assemble(declared, block_log=3), max_weights=63)


MAX_WEIGHTS = 1 << 16


def layers_of(file):
    """The layers of a file that is accepted, none of one that is refused by an ArtifactError; any other error is a failure."""
    try:
        return list(reader.read_bytes(file, max_weights=MAX_WEIGHTS).layers.values())
    except ArtifactError:
        return []


def are_sound(layers):
    """Within the limit, and with values of the shape that the table says."""
    within = sum(layer.n_weights for layer in layers) <= MAX_WEIGHTS
    return within and all(layer.values().shape == layer.shape for layer in layers)


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_as_a_table_are_refused_or_read(data):
    file = assemble(data)
    assert are_sound(layers_of(file)) and layers_of(file[:-1]) == []


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(0, max(layout.Kind) + 1))
def test_any_bytes_after_a_shared_head(fields, kind):
    file = assemble(shared_head(kind) + fields, bytes(4))
    assert are_sound(layers_of(file)) and layers_of(file[:-1]) == []


# --- sorted codebooks ---------------------------------------------------------------------------------------------------

halves = st.integers(0, 65_535).filter(lambda bits: bits & 0x7C00 != 0x7C00)  # finite


@settings(deadline=None)
@given(st.lists(halves, min_size=1, max_size=40))
def test_sorted_codebook_round_trip(bits):
    values = np.array(bits, np.uint16).view(np.float16)
    values = values[np.argsort(codebook.keys_of(values), kind="stable")]
    packed = codebook.pack(values)
    unpacked, end = codebook.unpack(b"??" + packed + b"more", 2, len(values))
    assert unpacked.tobytes() == values.tobytes() and end == 2 + len(packed)


def test_keys_rise_with_the_values():
    values = np.array([-65504, -1, -6e-8, -0.0, 0.0, 6e-8, 1, 65504], np.float16)
    assert codebook.is_sorted(values) and not codebook.is_sorted(values[::-1])
    assert codebook.keys_of(values)[3:5].tolist() == [0x7FFF, 0x8000]


def test_a_sorted_codebook_is_shorter():
    assert len(codebook.pack(np.linspace(-0.4, 0.4, 32).astype(np.float16))) <= 48


@settings(deadline=None)
@given(st.binary(max_size=30), st.integers(0, 12))
def test_any_bytes_as_a_sorted_codebook(data, n_centroids):
    try:
        values, _ = codebook.unpack(data, 0, n_centroids)
    except CorruptArtifact:
        return
    assert len(values) == n_centroids and codebook.is_sorted(values)


# --- metadata -----------------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(st.characters(codec="utf-8")), json_values, max_size=4))
def test_metadata_round_trip(facts):
    assert metadata.parse(metadata.pack(facts)) == facts


def test_metadata_is_canonical():
    assert metadata.pack({"b": [1, 0.5], "a": "é\n"}) == '{"a":"é\\n","b":[1,0.5]}'.encode()


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ([1], "not a JSON object"),
        ({1: 2}, "not a JSON object of strings"),
        ({"a": (1, 2)}, "not a JSON object of strings"),
        ({"a": float("nan")}, "Out of range float|not JSON compliant"),
        ({"a": {1, 2}}, "not JSON serializable"),
        ({"a": "x" * 65_536}, "metadata takes 65,544 bytes, at most 65,536"),
        ({"a": [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}, "nested more than 16 levels"),
        ({"a": "\ud800"}, "surrogates not allowed"),
    ],
)
def test_metadata_that_cannot_be_written(facts, message):
    with pytest.raises(InputError, match=message):
        metadata.pack(facts)


def test_a_table_is_inspected_without_numba_or_torch(tmp_path):
    path = tmp_path / "net.sqz"
    writer.write(path, small_net(), {})
    code = (
        "import sys; from compress.artifact.inspect import inspect; rows = inspect(sys.argv[1]); "
        "print(len(rows), sorted({'numba', 'torch', 'zstandard'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == f"{len(small_net()) + 3} []"
