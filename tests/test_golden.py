"""tests/golden/ must decode for ever, tests/golden_bad/ must be refused for ever; make_golden.py makes both."""

import json
from pathlib import Path

import pytest
from make_golden import EARLIER_WRITER, GOLDEN, GOLDEN_BAD, METADATA, ZSTD_FILES, digests

from compress import errors
from compress.artifact import reader, writer
from compress.artifact.inspect import inspect

GOLDEN_FILES = sorted(GOLDEN.glob("*.sqz"))
BAD_FILES = sorted(GOLDEN_BAD.glob("*.sqz"))
EXPECTED = json.loads((GOLDEN_BAD / "expected.json").read_text())


def sidecar(path: Path) -> dict:
    return json.loads(path.with_suffix(".json").read_text())


@pytest.mark.parametrize("path", GOLDEN_FILES, ids=lambda path: path.stem)
def test_golden_file_decodes_to_the_same_tensors(path):
    artifact = reader.read(path)
    assert digests(artifact) == sidecar(path)["tensors"]
    assert list(artifact.layers) == list(sidecar(path)["tensors"])
    assert artifact.metadata == METADATA


REMADE = [path for path in GOLDEN_FILES if path.stem not in ZSTD_FILES | EARLIER_WRITER]


@pytest.mark.parametrize("path", REMADE, ids=lambda path: path.stem)
def test_writer_still_makes_the_same_bytes(path):
    """Not for ever, as decoding is: a better encoder may change them, and then says so in a commit. zstd's bytes are its own."""
    layers = reader.read(path).layers.values()
    assert writer.to_bytes(layers, METADATA, **sidecar(path)["written_with"]) == path.read_bytes()


def test_golden_files_cover_kinds_modes_and_coders():
    rows = [row for path in GOLDEN_FILES for row in inspect(path) if row.kind]
    kinds = {
        "raw_f16",
        "raw_f32",
        "raw_i64",
        "codebook_f16",
        "codebook_f32",
        "step_f32",
        "sorted_f16",
        "sparse_f16",
        "sparse_f32",
    }
    assert {row.kind for row in rows} == kinds
    coders, modes = {"stored", "huffman", "range", "zstd"}, {"bitmap", "bytes", "gaps"}
    assert {row.positions.split("/")[0] for row in rows} == modes | {"dense", "levels", ""}
    assert {row.positions.split("/")[1] for row in rows if "/" in row.positions} == coders | {"context"}
    assert {row.codes for row in rows} == coders | {""}
    assert max(row.n_blocks for row in rows) > 4
    sparse = {row.positions for row in rows if row.kind.startswith("sparse")}
    assert sparse >= {"bitmap/stored", "bytes/huffman", "gaps/range", "bytes/zstd"}


@pytest.mark.parametrize("path", BAD_FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("threads", [1, 2])
def test_bad_file_is_refused_by_name(path, threads):
    with pytest.raises(errors.ArtifactError) as caught:
        reader.read(path, threads=threads)
    assert type(caught.value).__name__ == EXPECTED[path.name]["error"]
    assert str(caught.value).startswith(f"{path}: ")
    assert EXPECTED[path.name]["message"] in str(caught.value)


def test_every_bad_file_is_expected():
    assert {path.name for path in BAD_FILES} == set(EXPECTED)
