"""docs/FORMAT.md against the code: its worked example, byte for byte, and the numbers that it names."""

import re
from pathlib import Path

import numpy as np
import plain_decoder
import pytest
from make_golden import GOLDEN, KIND_SPARSE_F16, ZSTD_FILES, positions, sparse

from compress import codecs
from compress.artifact import codebook, layout, metadata, reader, writer
from compress.artifact.checksums import crc32c
from compress.codecs.bits import write_varint
from compress.layer import RawTensor, SharedLayer

FORMAT = (Path(__file__).parent.parent / "docs" / "FORMAT.md").read_text(encoding="utf-8")
EXAMPLE = FORMAT[FORMAT.index("## A whole file in bytes") : FORMAT.index("## Versions")]
ROWS = [
    (int(offset), bytes.fromhex(data)) for offset, data in re.findall(r"^\| (\d+) \| `([0-9a-f ]+)` \|", EXAMPLE, re.MULTILINE)
]

PORTABLE_FILES = sorted(path for path in GOLDEN.glob("*.sqz") if path.stem not in ZSTD_FILES)
INDICES = np.array([[0, 1, 0, 3, 0, 0, 0, 1], [0, 0, 2, 0, 0, 0, 0, 1]], np.int32)
LAYERS = [
    SharedLayer("fc.weight", (2, 8), INDICES, codebook=np.array([-0.5, 0.25, 0.75], np.float16)),
    RawTensor("fc.bias", np.array([1.0, -2.0], np.float16)),
]


def test_the_example_is_what_the_writer_writes():
    written = writer.to_bytes(LAYERS, {"architecture": "example"}, coder="huffman", positions="gaps")
    assert b"".join(data for _, data in ROWS).hex(" ") == written.hex(" ")


def test_the_example_s_offsets_add_up():
    ends = np.cumsum([len(data) for _, data in ROWS]).tolist()
    assert [offset for offset, _ in ROWS] == [0, *ends[:-1]]


def test_the_example_decodes():
    artifact = reader.read_bytes(b"".join(data for _, data in ROWS))
    assert artifact.metadata == {"architecture": "example"}
    np.testing.assert_array_equal(artifact.layers["fc.weight"].values()[0], [0, -0.5, 0, 0.75, 0, 0, 0, -0.5])
    np.testing.assert_array_equal(artifact.layers["fc.bias"].values(), [1.0, -2.0])


def test_the_layer_decoded_step_by_step():
    steps = dict(re.findall(r"^\| (\d+) \| .* \| ([^|]*) \|$", EXAMPLE[EXAMPLE.index("### One layer, decoded") :], re.MULTILINE))
    assert len(steps) == 10

    def symbols(step, code):
        """By a table of codes, from the bits of the step before."""
        bits, found = re.sub(r", and 0+ to fill|[ ,]", "", steps[str(step - 1)]), []
        while len(found) < 5:
            length = next(n for n in (1, 2) if bits[:n] in code)
            found.append(code[bits[:length]])
            bits = bits[length:]
        return found

    payload = bytes.fromhex(steps["1"].strip("`"))
    assert payload in b"".join(data for _, data in ROWS) and steps["2"] == "positions `09 c0`, codes `68`"
    for step, data in (("3", payload[:2]), ("6", payload[2:])):
        bits = re.sub(r", and (0+) to fill", r"\1", steps[step]).replace(" ", "")
        assert bits == "".join(f"{byte:08b}" for byte in data)
    runs = symbols(4, {"00": 1, "01": 2, "10": 3, "11": 4})
    assert steps["4"] == " ".join(map(str, runs))
    places = np.cumsum(np.array(runs) + 1) - 1
    assert steps["5"] == "places " + " ".join(map(str, places))
    codes = symbols(7, {"0": 0, "10": 1, "11": 2})
    assert steps["7"] == " ".join(map(str, codes))
    indices = np.zeros(16, "<i4")
    indices[places] = np.array(codes) + 1
    assert steps["8"] == " ".join(map(str, indices)) and steps["9"] == f"{crc32c(indices.tobytes()):08x}"
    np.testing.assert_array_equal(indices, INDICES.ravel())
    values = [[f"{value:g}" for value in row] for row in LAYERS[0].values()]
    assert steps["10"] == " / ".join(" ".join(row) for row in values)


@pytest.mark.parametrize(("name", "number"), codecs.CODERS.items())
def test_every_coder_has_its_section_and_its_id(name, number):
    profile = "portable" if name in codecs.PORTABLE else "host"
    assert f"\n### {name}\n" in FORMAT
    assert f"| {number} | [{name}](#{name}) | {profile} |" in FORMAT


@pytest.mark.parametrize("mode", layout.PositionMode)
def test_every_position_mode_has_a_row(mode):
    assert f"| {mode.value} | {mode.name.lower()} | " in FORMAT


KIND_NAMES = {
    layout.Kind.RAW_F16: "raw float16",
    layout.Kind.RAW_F32: "raw float32",
    layout.Kind.RAW_I64: "raw int64",
    layout.Kind.CODEBOOK_F16: "codebook, float16",
    layout.Kind.CODEBOOK_F32: "codebook, float32",
    layout.Kind.STEP_F32: "step, float32",
    layout.Kind.SORTED_F16: "codebook, float16, sorted",
    layout.Kind.SPARSE_F16: "sparse float16",
    layout.Kind.SPARSE_F32: "sparse float32",
}


@pytest.mark.parametrize("kind", layout.Kind)
def test_every_kind_has_a_row_with_its_item_bytes(kind):
    (row,) = re.findall(rf"^\| {kind.value} \| {KIND_NAMES[kind]} \|.*\| (\d?) ?\|$", FORMAT, re.MULTILINE)
    has_items = kind in layout.RAW_KINDS | layout.SPARSE_KINDS
    assert row == (str(layout.DTYPES[kind].itemsize) if has_items else "")


def test_the_sparse_example():
    payload = bytes.fromhex("30 00 80 00 3e")
    assert f"`{payload.hex(' ')}`" in FORMAT
    weights = [0, 0, -0.0, 1.5, 0, 0, 0, 0]
    data = sparse(positions(1, 0), (2, 1), payload, weights, kind=KIND_SPARSE_F16, dims=(8,))
    layer = reader.read_bytes(data).layers["w"]
    assert isinstance(layer, RawTensor) and layer.array.tobytes() == np.array(weights, np.float16).tobytes()


def test_small_examples():
    assert [write_varint(n).hex(" ") for n in (0, 127, 128, 10_000)] == ["00", "7f", "80 01", "90 4e"]
    assert codebook.pack(np.array([0.5, 0.5625, 0.625], np.float16)) == bytes.fromhex("00 b8 06 60 30 00")
    assert crc32c(b"123456789") == 0xE3069283
    coder = codecs.coder("range")
    assert coder.encode(np.array([1, 0, 1], np.uint8), coder.build_model(np.array([5, 5]))) == bytes.fromhex("a0")
    coder = codecs.coder("stored")
    assert coder.encode(np.array([1, 2, 3], np.uint8), coder.build_model(np.ones(5, np.int64))) == bytes.fromhex("29 80")
    assert codecs.coder("huffman").pack_model(np.array([2, 1, 0, 3, 3, 0], np.uint8)) == bytes.fromhex("21 03 30")


def test_the_limits_are_the_code_s():
    assert layout.MAX_METADATA_SIZE == 65_536 and metadata.MAX_DEPTH == 16
    assert (layout.MAX_WEIGHTS, 1 << layout.MAX_BLOCK_LOG, layout.MAX_WEIGHTS_PER_BYTE) == (1 << 28, 1 << 20, 256)
    assert layout.FILE_HEADER.size == 24 and f"format version {layout.FORMAT_VERSION}" in FORMAT.splitlines()[0]


@pytest.mark.parametrize("path", PORTABLE_FILES, ids=lambda path: path.stem)
def test_a_decoder_written_from_the_page_gives_the_same_tensors(path):
    layers = reader.read(path).layers
    decoded = plain_decoder.decode(path.read_bytes())
    assert list(decoded) == list(layers)
    for name, (_, dims, weights) in decoded.items():
        values = layers[name].values()
        assert tuple(dims) == values.shape
        assert np.array(weights, values.dtype).tobytes() == values.tobytes()
