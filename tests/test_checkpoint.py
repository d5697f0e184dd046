import errno
import json

import numpy as np
import pytest

from compress import checkpoint
from compress.checkpoint import Checkpoint, key_of
from compress.errors import RunFolderError

ARRAYS = {
    "features.0.weight": np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 2, 2),
    "mask:features.0.weight": np.array([[True, False], [False, True]]),
    "indices:a": np.arange(6, dtype=np.int32).reshape(3, 2).T,  # not contiguous
    "codebook:a": np.array([0.5, -2], np.float16),
    "codebook:empty": np.zeros(0, np.float16),
    "counter": np.array(7, np.int64),
}
FACTS = {"stage": "prune", "top1": None, "agreement": 0.98765432109876, "n": 360}


@pytest.fixture
def folder(tmp_path):
    checkpoint.save(tmp_path / "stages", "prune", "key", Checkpoint(ARRAYS, FACTS))
    return tmp_path / "stages"


def test_round_trip(folder):
    loaded = checkpoint.load(folder, "prune", "key")
    assert loaded.facts == FACTS and list(loaded.arrays) == list(ARRAYS)  # the order too: digests depend on it
    for name, array in ARRAYS.items():
        assert loaded.arrays[name].dtype == array.dtype and loaded.arrays[name].shape == array.shape
        np.testing.assert_array_equal(loaded.arrays[name], array)
    assert sorted(entry.name for entry in folder.iterdir()) == ["prune.json", "prune.safetensors"]


def test_another_key_or_stage_is_not_used(folder):
    assert checkpoint.load(folder, "prune", "other") is None
    assert checkpoint.load(folder, "share", "key") is None
    assert checkpoint.load(folder / "none", "prune", "key") is None


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_damage_anywhere_is_not_used(folder, suffix):
    path = folder / f"prune.{suffix}"
    data = path.read_bytes()
    digest = json.loads((folder / "prune.json").read_text())["sha256"]
    for offset in range(0, len(data), 3):
        damaged = bytearray(data)
        damaged[offset] ^= 0x01
        path.write_bytes(damaged)
        loaded = checkpoint.load(folder, "prune", "key")
        same = loaded is not None and loaded.facts == FACTS  # a space of the JSON may have become another blank
        assert loaded is None or (same and digest in path.read_text()), offset
    path.write_bytes(data[:-1])
    assert checkpoint.load(folder, "prune", "key") is None
    path.unlink()
    assert checkpoint.load(folder, "prune", "key") is None


@pytest.mark.parametrize("text", ["[]", "{}", '"x"', '{"key": "key"}', '{"key": "key", "facts": {}, "sha256": ""}', "\xff"])
def test_other_json_is_not_used(folder, text):
    (folder / "prune.json").write_bytes(text.encode("latin-1"))
    assert checkpoint.load(folder, "prune", "key") is None


def test_an_interrupted_save_leaves_no_checkpoint(folder, monkeypatch):
    """Not the old tensors' JSON beside the new tensors, nor the other way round."""
    written = []

    def interrupted(path, data):
        if path.suffix == ".json":
            raise KeyboardInterrupt
        written.append(path.name)
        path.write_bytes(data)

    monkeypatch.setattr(checkpoint, "write_atomically", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(folder, "prune", "new", Checkpoint({"a": np.zeros(3)}, {}))
    assert written == ["prune.safetensors"]
    assert checkpoint.load(folder, "prune", "new") is None and checkpoint.load(folder, "prune", "key") is None


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "stages").touch()
    with pytest.raises(RunFolderError, match=r"stages: the checkpoint prune cannot be written: "):
        checkpoint.save(tmp_path / "stages", "prune", "key", Checkpoint(ARRAYS, FACTS))


def test_without_room_for_the_tensors_what_was_there_stays(folder, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(checkpoint, "write_atomically", full)
    with pytest.raises(RunFolderError, match=r"prune cannot be written: No space left on device; [\d,]+ bytes are needed$"):
        checkpoint.save(folder, "prune", "new", Checkpoint(ARRAYS, FACTS))
    assert checkpoint.load(folder, "prune", "key").facts == FACTS


def test_keys():
    assert key_of("a", {"x": 1, "y": 2}) == key_of("a", {"y": 2, "x": 1})
    assert len({key_of(), key_of("a"), key_of("b"), key_of("a", "b"), key_of(["a", "b"]), key_of("ab"), key_of(None)}) == 7
