import builtins
import errno
import json
import math
import sys
from types import ModuleType

import pytest

from compress.errors import MissingDependency, RunFolderError
from compress.train.log import LOG, Log


class FullDisk:
    """A file on a disk that is full: what was written stays in its buffer, and closing tries again."""

    def __init__(self, file):
        self.file = file

    def write(self, text):
        return len(text)

    def flush(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self):
        self.file.close()
        self.flush()


def test_a_line_a_step(tmp_path):
    with Log(tmp_path / "train") as log:
        log.write(step=1, epoch=0.25, loss=2.5, accuracy=None)
        assert (tmp_path / "train" / LOG).read_text() == '{"step": 1, "epoch": 0.25, "loss": 2.5, "accuracy": null}\n'
    with Log(tmp_path / "train") as log:  # goes on
        log.write(step=2)
    assert [json.loads(line)["step"] for line in (tmp_path / "train" / LOG).read_text().splitlines()] == [1, 2]


def test_json_has_no_nan(tmp_path):
    with Log(tmp_path) as log:
        log.write(step=1, grad_norm=math.inf, loss=math.nan)
    assert (tmp_path / LOG).read_text() == '{"step": 1, "grad_norm": null, "loss": null}\n'


@pytest.mark.parametrize(
    ("before", "kept"), [('{"a": 1}\n{"b"', '{"a": 1}\n'), ('{"a"', ""), ('{"a": 1}\n', '{"a": 1}\n'), ("", "")]
)
def test_a_cut_line_is_dropped(tmp_path, before, kept):
    (tmp_path / LOG).write_text(before)
    with Log(tmp_path) as log:
        log.write(step=5)
    assert (tmp_path / LOG).read_text() == kept + '{"step": 5}\n'


def test_another_rank_writes_nothing(tmp_path):
    with Log(None, tensorboard=True) as log:
        log.write(step=1)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "train").touch()
    with pytest.raises(RunFolderError, match=r"train/log.jsonl: cannot be written: "):
        Log(tmp_path / "train")


def test_a_full_disk(tmp_path):
    log = Log(tmp_path)
    log._file = FullDisk(log._file)
    with pytest.raises(RunFolderError, match=r"log.jsonl: cannot be written: No space left on device$"), log:
        log.write(step=1)


def test_tensorboard_that_is_missing(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("torch.utils.tensorboard"):
            raise ModuleNotFoundError("No module named 'tensorboard'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependency, match=r"^--tensorboard needs tensorboard: pip install 'squeeze-compress"):
        Log(tmp_path / "train", tensorboard=True)
    assert not (tmp_path / "train").exists()


def test_tensorboard_gets_the_same_numbers(tmp_path, monkeypatch):
    calls = []

    class Writer:
        def __init__(self, folder, purge_step):
            calls.append(("open", folder, purge_step))

        def add_scalar(self, *args):
            calls.append(args)

        def close(self):
            calls.append(("close",))

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    with Log(tmp_path, tensorboard=True, done=6) as log:
        log.write(step=7, epoch=1.0, loss=0.5, accuracy=None)
        log.write(step=7, epoch=1.0, test_top1=0.25)
    assert calls == [("open", str(tmp_path / "tensorboard"), 7), ("loss", 0.5, 7), ("test/top1", 0.25, 7), ("close",)]
