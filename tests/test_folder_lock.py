import multiprocessing
import os
import re
import sys

import pytest

from compress.errors import RunFolderError
from compress.folder_lock import LOCK, empty, locked


def test_a_second_one_is_refused_and_told_who(tmp_path):
    folder = tmp_path / "runs" / "x"
    with locked(folder, "run"):
        told = re.escape(f"{folder}: another run is at work there (process {os.getpid()})")
        with pytest.raises(RunFolderError, match=f"^{told}$"), locked(folder, "run"):
            pass
        assert (folder / LOCK).read_text() == str(os.getpid())
    with locked(folder, "run"):
        pass


def hold(folder, ready):
    with locked(folder, "run"):
        (folder / ".half.0123456789abcdef.part").write_bytes(b"half a fi")
        ready.set()
        ready.wait(60)
        os._exit(1) if sys.platform == "win32" else os.kill(os.getpid(), 9)


def test_the_lock_ends_with_its_process_and_what_it_was_writing_is_removed(tmp_path):
    ready = multiprocessing.get_context("spawn").Event()
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(60)
    process.join(60)
    assert process.exitcode not in (None, 0)
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / ".tune.json.fedcba9876543210.part").touch()
    kept = [tmp_path / ".mine.part", tmp_path / "stages" / "tune.part"]
    for path in kept:
        path.touch()
    with locked(tmp_path, "run"):
        assert sorted(tmp_path.rglob("*.part")) == kept


def test_empty_keeps_the_lock(tmp_path):
    with locked(tmp_path, "run"):
        (tmp_path / "file").touch()
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "file").touch()
        (tmp_path / "link").symlink_to(tmp_path / "folder", target_is_directory=True)
        empty(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_a_folder_that_cannot_be_used(tmp_path):
    (tmp_path / "way").touch()
    with pytest.raises(RunFolderError, match="way: cannot be used: "), locked(tmp_path / "way", "run"):
        pass
    (tmp_path / "x" / LOCK).mkdir(parents=True)
    with pytest.raises(RunFolderError, match="x: cannot be used: Is a directory"), locked(tmp_path / "x", "run"):
        pass
