import os
import stat
from pathlib import Path

import pytest

from compress.atomic import replacing, write_atomically


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "file"
    for data in (b"first", b"", b"second, longer"):
        write_atomically(path, data)
        assert path.read_bytes() == data
        assert names_in(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_no_sibling(tmp_path, monkeypatch, error, step):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_):
        raise type(error)(*error.args)

    monkeypatch.setattr(*((os, "fsync", fail) if step == "fsync" else (Path, "replace", fail)))
    with pytest.raises(type(error)) as caught:
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and names_in(tmp_path) == ["file"]
    if isinstance(error, OSError):
        assert caught.value.filename == str(path)


def test_the_error_names_the_file_that_was_asked_for(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "none" / "x", tmp_path / "file" / "x"):  # no folder; a file in the way
        with pytest.raises(OSError, match=r"directory") as caught:
            write_atomically(path, b"data")
        assert caught.value.filename == str(path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "folder", b"data")
    assert names_in(tmp_path) == ["file", "folder"]


def test_a_file_keeps_its_mode(tmp_path):
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new" and stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_is_replaced(tmp_path):
    (tmp_path / "v1").write_bytes(b"old")
    (tmp_path / "current").symlink_to("v1")
    write_atomically(tmp_path / "current", b"new")
    assert (tmp_path / "v1").read_bytes() == b"old" and not (tmp_path / "current").is_symlink()


def test_what_is_no_regular_file_stays(tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to("pipe")  # as /dev/stdout is
    for path in (pipe, link):
        with pytest.raises(OSError, match="must be a regular file") as caught:
            write_atomically(path, b"data")
        assert caught.value.filename == str(path)
    assert pipe.is_fifo() and link.is_symlink() and names_in(tmp_path) == ["link", "pipe"]


@pytest.mark.parametrize("path", ["", ".", "/", ".."])
def test_a_path_without_a_name(path):
    with pytest.raises(IsADirectoryError):
        write_atomically(Path(path), b"data")


def test_the_longest_name_there_is(tmp_path):
    path = tmp_path / ("n" * 255)
    write_atomically(path, b"data")
    assert names_in(tmp_path) == [path.name]


def test_an_error_of_the_block_keeps_its_file(tmp_path):
    """Only what goes wrong in writing names the file that is written."""
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "file"):
        (tmp_path / "other").read_bytes()
    assert caught.value.filename == str(tmp_path / "other") and names_in(tmp_path) == []
