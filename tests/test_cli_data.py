import json

import pytest
from click.testing import CliRunner
from image_files import noise, write_folder, write_shard

from compress.cli.data import data
from compress.cli.group import Group

main = Group("main", commands=[data])


def call(*arguments, code=0):
    result = CliRunner().invoke(main, ["data", "check", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with train/ and val/ of two classes."""
    monkeypatch.chdir(tmp_path)
    for seed, name in ((0, "train"), (10, "val")):
        write_folder(
            tmp_path / name, {f"{c}/{i}.png": noise(seed + 2 * i + (c == "bee")) for c in ("ant", "bee") for i in range(2)}
        )
    return tmp_path


def test_a_good_set_is_exit_code_0(here):
    result = call("folder:train", "--test", "folder:val", "--size", 32)
    lines = result.stdout.splitlines()
    assert lines[1].split() == ["ant", "2", "2"] and "no problems" in lines and result.stderr == ""
    assert lines[-1].startswith("input: {channels: RGB, size: 32, resize: 32, mean: [0.")
    assert "resize: 40," in call("folder:train", "--size", 32, "--resize", 40).stdout
    assert "size: 160, resize: 160," in call("folder:train").stdout


def test_a_problem_is_exit_code_1(here):
    write_folder(here, {"train/ant/x.png": b"x"})
    (here / "train" / "cat").mkdir()
    result = call("folder:train", code=1)
    assert result.stderr == "error: folder:train: 2 problems\n"
    assert "problem: folder:train: 1 class without images\n  cat\n" in result.stdout


def test_a_problem_of_the_test_set_is_exit_code_1(here):
    (here / "val" / "ant" / "0.png").write_bytes((here / "train" / "bee" / "1.png").read_bytes())
    result = call("folder:train", "--test", "folder:val", code=1)
    assert "  train/bee/1.png = val/ant/0.png\n" in result.stdout and result.stderr == "error: folder:train: 1 problem\n"


def test_json(here):
    facts = json.loads(call("folder:train", "--test", "folder:val", "--size", 32, "--json").stdout)
    assert facts["problems"] == [] and facts["input"]["size"] == 32 and facts["test"]["n_images"] == 4
    write_folder(here, {"train/ant/x.png": b"x"})
    facts = json.loads(call("folder:train", "--json", code=1).stdout)
    assert [each["name"] for each in facts["train"]["damaged"]] == ["train/ant/x.png"] and facts["test"] is None


def test_shards(here):
    write_shard(here / "s" / "0.tar", {"a": (noise(0), 0), "b": (noise(1), 1)})
    assert "2 images, 2 classes" in call("shards:s/*.tar").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'SOURCE'"),
        (["train"], "error: train: train: must be folder:PATH or shards:GLOB"),
        (["folder:none"], "error: train: none: no such folder"),
        (["folder:train/ant"], "error: train: train/ant: no sub-folders; expected train/ant/<class>/<picture>.jpg"),
        (["shards:*.tar"], "error: train: *.tar: no shard matches"),
        (["folder:train", "--test", "folder:none"], "error: test: none: no such folder"),
        (["folder:train", "--size", "0"], "'--size'"),
        (["folder:train", "--size", "64", "--resize", "63"], "63 is less than --size, 64"),
    ],
)
def test_what_cannot_be_used_is_exit_code_2(here, arguments, message):
    result = call(*arguments, code=2)
    assert message in result.stderr and result.stdout == ""


def test_an_interrupt_is_exit_code_130(here, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("compress.data.check.check", interrupted)
    assert call("folder:train", code=130).stdout == ""
