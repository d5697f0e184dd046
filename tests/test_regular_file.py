import os
from pathlib import Path

import pytest

from compress.regular_file import open_regular


def test_a_regular_file_is_read(tmp_path):
    (tmp_path / "file").write_bytes(b"data\r\n\x1a")
    with open_regular(tmp_path / "file") as file:
        assert file.read() == b"data\r\n\x1a"


def test_a_pipe_without_a_writer_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="must be a regular file") as caught:
        open_regular(tmp_path / "pipe")
    assert caught.value.filename == str(tmp_path / "pipe")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no /dev/zero")
def test_a_device_without_an_end():
    with pytest.raises(OSError, match="must be a regular file"):
        open_regular("/dev/zero")


def test_folders_and_missing_files(tmp_path):
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")
