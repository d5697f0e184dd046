"""`python -m compress`, which is what torchrun starts."""

import importlib
import os
import subprocess
import sys

import pytest
from processes import TINY, losses, recipe, training_folder

import compress
from compress import pipeline
from compress.recipe_file import check


def test_it_is_the_command_line():
    done = subprocess.run([sys.executable, "-m", "compress", "--version"], capture_output=True, text=True, check=True)
    assert (done.stdout.split()[-1], done.stderr) == (compress.__version__, "")
    failed = subprocess.run([sys.executable, "-m", "compress", "nothing"], capture_output=True, text=True, check=False)
    assert failed.returncode == 2 and "Usage: python -m compress [OPTIONS] COMMAND" in failed.stderr


def test_to_import_it_does_nothing(monkeypatch, capsys):
    """A process that multiprocessing starts may, and so do tools that walk a package."""
    monkeypatch.setattr(sys, "argv", ["x", "--version"])
    monkeypatch.delitem(sys.modules, "compress.__main__", raising=False)
    imported = importlib.import_module("compress.__main__")  # the command would print, and leave with SystemExit
    assert imported.__name__ == "compress.__main__" and capsys.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over torchrun is for Unix")
def test_torchrun(tmp_path):
    """Two processes, the first of which talks, and the same losses as one."""
    path = recipe(tmp_path)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "compress"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *launcher, "train", path, "--set", "train.iterations=6"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"runs/{training_folder(tmp_path / 'runs').name}"
    pipeline.train(check(TINY | {"train": TINY["train"] | {"iterations": 6}}), runs=tmp_path / "alone", device="cpu")
    assert losses(tmp_path / "runs") == pytest.approx(losses(tmp_path / "alone"), abs=1e-5)
