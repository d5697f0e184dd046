"""The command `train`: what it prints, what it refuses, and what a signal makes of it."""

import json
import os
import signal
import sys

import pytest
import torch
from click.testing import CliRunner
from processes import recipe, start, training_folder, wait_for

from compress.cli import main
from compress.ledger import ledger
from compress.pipeline import StageReporter
from compress.train import interrupts

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="sends signals")


def call(*arguments, code=0):
    """Run a command in this process; a result that is no plain exit is a traceback, and fails."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output and "internal error" not in result.output
    return result


def refused(*arguments):
    result = call(*arguments, code=2)
    assert result.stdout == ""
    return result.stderr


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The path of the tiny recipe, in the working directory."""
    monkeypatch.chdir(tmp_path)
    return recipe(tmp_path)


# --- what it prints ---------------------------------------------------------------------------------------------------------


def test_it_ends_with_the_row_and_the_folder_of_the_training(tiny, tmp_path):
    result = call("train", tiny)
    folder = training_folder(tmp_path / "runs").relative_to(tmp_path)
    assert result.stdout.splitlines()[-1] == str(folder) and "baseline" in result.stdout and "with labels" in result.stdout
    first, second, *lines = result.stderr.splitlines()
    assert (first, second) == (f"running {tiny}", f"training in {folder}")
    assert lines[0].startswith("epoch 1: loss ") and "data.test: loss " in lines[0]
    again = call("train", tiny, "--json")
    facts = json.loads(again.stdout)
    [path] = (tmp_path / "runs").glob("*/ledger.csv")
    assert (facts["folder"], facts["reused"]) == (str(folder), True)
    assert ledger.Row(**facts["row"]).to_csv() == ledger.read(path)[0].to_csv()
    assert f"{folder}: trained already" in again.stderr and "taken as finished" in again.stderr


def test_stop_resume_fresh(tiny, tmp_path):
    stopped = call("train", tiny, "--stop-after", 7, code=130)
    folder = training_folder(tmp_path / "runs").relative_to(tmp_path)
    assert stopped.stdout == ""
    assert stopped.stderr.splitlines()[-1] == (
        f"stopped after step 7 of 20; {folder / 'train'} has the checkpoint, and the same command goes on from it"
    )
    assert "goes on after step 7 of 20" in call("train", tiny, "--resume", folder).stderr
    assert "trained already" in call("train", tiny).stderr
    assert f"training in {folder}" in call("train", tiny, "--fresh").stderr


def test_help_says_how_to_go_on():
    text = call("train", "--help").stdout
    assert all(word in text for word in ("--resume", "--fresh", "--stop-after", "torchrun", "130"))


# --- what it refuses --------------------------------------------------------------------------------------------------------


def test_resume_is_refused_with_every_difference(tiny, tmp_path):
    call("train", tiny, "--stop-after", 1, code=130)
    folder = training_folder(tmp_path / "runs").relative_to(tmp_path)
    message = refused("train", tiny, "--resume", folder, "--set", "train.learning_rate=0.25", "--set", "model.dropout=0.5")
    assert message.splitlines()[1:] == [
        f"error: {folder}: trains with other settings; there, in the recipe:",
        "  model.dropout: 0.0, the default",
        "  train.learning_rate: 0.1, 0.25",
        "without --resume this recipe has a folder of its own",
    ]
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    for flags in ([], ["--fresh"]):
        message = refused("train", tiny, "--resume", "precious", *flags)
        assert "precious: no training run is there" in message or "--resume goes on in a folder, --fresh starts over" in message
    assert (tmp_path / "precious" / "file").exists()
    assert "Directory 'tiny.json' is a file" in refused("train", tiny, "--resume", "tiny.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "error: none: no such file, and no shipped recipe has that name"),
        (["deep"], "error: train: the recipe has no `train` section, so there is nothing to train"),
        (["tiny.json", "--set", "train=null"], "`weights: scratch` needs a `train` section"),
        (["tiny.json", "--set", "train.epochs=3"], "one of epochs and iterations is needed"),
        (["tiny.json", "--set", "train.learning_rate=fast"], "--set train.learning_rate=fast: train.learning_rate: "),
        (["tiny.json", "--set", "train.lr=1"], "unknown field train.lr"),
        (["tiny.json", "--set", "train.batch_size=5000"], "error: train.batch_size is 5000, data.train has 1437 images; at most"),
        (["tiny.json", "--set", "train.distill={teacher: none.sqz}"], "error: none.sqz: "),
        (["tiny.json", "--set", "weights=none.safetensors"], "error: none.safetensors: cannot be read: No such file"),
        (["tiny.json", "--set", "model.in_channels=3"], "error: model.in_channels is 3, the images have 1 (L)"),
        (["tiny.json", "--runs", "tiny.json"], "Directory 'tiny.json' is a file"),
        (["tiny.json", "--runs", "tiny.json/x"], "error: tiny.json/x/tiny-"),
        (["tiny.json", "--resume", "none"], "error: none: no training run is there: training.json is missing"),
        (["tiny.json", "--stop-after", "-1"], "'--stop-after': -1 is not in the range"),
        (["tiny.json", "--stop-after", "many"], "'many' is not a valid integer"),
    ],
)  # fmt: skip
def test_nonsense(tiny, tmp_path, arguments, message):
    """Told before a folder is made."""
    assert message in refused("train", *arguments)
    if "--resume" not in arguments:
        assert list(tmp_path.iterdir()) == [tiny]


def test_a_folder_of_pictures_that_is_missing(tiny):
    data = "data={train: 'folder:none', tune: bundled, test: 'folder:none'}"
    assert "data.train: none: " in refused("train", tiny, "--set", data, "--set", "model.in_channels=3")


def test_a_device_that_is_missing(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "error: --device cuda: not available here; have cpu" in refused("train", tiny, "--device", "cuda")
    assert not (tmp_path / "runs").exists()


# --- signals ----------------------------------------------------------------------------------------------------------------

LONG = ["--set", "train.iterations=1000000", "--set", "train.evaluate_every=1000000"]


@needs_signals
def test_ctrl_c_ends_after_the_step_with_a_checkpoint(tiny, tmp_path):
    runs = tmp_path / "runs"
    started = start(tmp_path, "train", tiny, *LONG)
    wait_for(lambda: list(runs.glob("*/train/step-*.json")))
    os.kill(started.pid, signal.SIGINT)
    code, out, err = started.wait(20)
    assert (code, out) == (130, "") and "stopped after step " in err and "Traceback" not in err
    step = int(err.partition("stopped after step ")[2].split()[0])
    assert (training_folder(runs) / "train" / f"step-{step:09}.json").exists()


@needs_signals
def test_ctrl_c_twice_ends_at_once(tiny, tmp_path, monkeypatch):
    """Without a checkpoint of the step at work; those before it are kept."""
    told = StageReporter.step

    def twice(self, step, *rest):
        told(self, step, *rest)
        if step == 6:
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(StageReporter, "step", twice)
    monkeypatch.setattr(interrupts, "ONE_REQUEST", -1.0)  # seconds, in which two are one
    result = call("train", tiny, code=130)
    assert result.stderr.endswith("interrupted; finished stages are kept\n")
    checkpoints = [path.stem for path in training_folder(tmp_path / "runs").glob("train/step-*.json")]
    assert checkpoints == ["step-000000004"]
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert "goes on after step 4 of 20" in call("train", tiny).stderr
