from dataclasses import replace
from pathlib import Path

import pytest
import tiny_net

from compress.artifact import reader, writer
from compress.gate.reencode import reencode
from compress.layer import SharedLayer

GOLDEN = Path(__file__).parent / "golden"


def made(**options):
    return writer.to_bytes(tiny_net.layers(), tiny_net.metadata(), **options)


@pytest.mark.parametrize("options", [{"coder": "zstd"}, {"coder": "huffman", "positions": "gaps", "block_size": 64}])
def test_the_settings_that_made_a_file_are_found(options):
    data = made(**options)
    found = reencode(data, reader.read_bytes(data))
    assert found.settings is not None and found.different == ()
    artifact = reader.read_bytes(data)
    assert found.settings.write(artifact.layers, artifact.metadata) == data


def test_best_is_tried_first(monkeypatch):
    data = made()
    monkeypatch.setattr("compress.gate.reencode.settings_of", None)
    found = reencode(data, reader.read_bytes(data)).settings
    assert found is not None and (found.coder, found.positions) == ("best", "best")


@pytest.mark.parametrize("name", ["coder_zstd", "levels_blocks", "sparse_raw_range"])
def test_golden_files(name):
    data = (GOLDEN / f"{name}.sqz").read_bytes()
    assert reencode(data, reader.read_bytes(data)).settings is not None


def test_other_bytes_name_the_layer():
    """As if the file were of another encoder: a weight differs in what is encoded again."""
    data = made()
    artifact = reader.read_bytes(data)
    layer = artifact.layers["features.0.weight"]
    assert isinstance(layer, SharedLayer)
    indices = layer.indices.copy()
    indices[0, 0, 0] = 0
    changed = replace(artifact, layers={**artifact.layers, layer.name: replace(layer, indices=indices)})
    found = reencode(data, changed)
    assert found.settings is None and len(found.different) == 2
    assert found.different[0].startswith("features.0.weight: ") and found.different[1].startswith("header, metadata and table: ")
