import json

import numpy as np
import pytest
import safetensors.numpy
import tiny_net
import torch
import user_nets
from image_files import noise, write_folder
from test_cli import SHORT, call, refused

from compress.artifact import writer
from compress.layer import RawTensor
from compress.ledger import ledger
from compress.measure.fidelity import paired_interval
from compress.stage_arrays import sha256


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with net.sqz, the teacher.safetensors that it was made from, and val/cat, val/dog."""
    monkeypatch.chdir(tmp_path)
    teacher = {layer.name: layer.values() for layer in tiny_net.layers()}
    teacher["classifier.1.bias"] = np.float32([100, 0, 0])  # always cat
    safetensors.numpy.save_file(teacher, tmp_path / "teacher.safetensors")
    file = [RawTensor(name, array) for name, array in teacher.items()]
    file[-1] = RawTensor("classifier.1.bias", np.float32([0, 100, 0]))  # always dog
    tiny_net.write(tmp_path / "net.sqz", file, parent_sha256=sha256(teacher))
    write_folder(
        tmp_path / "val", {name: noise(i) for i, name in enumerate(["cat/a.png", "cat/b.png", "cat/c.png", "dog/d.png"])}
    )
    return tmp_path


FILE = ("eval", "net.sqz", "--data", "folder:val")
TEACHER = ("--teacher", "teacher.safetensors")


def test_the_table(here):
    lines = call(*FILE, *TEACHER).stdout.splitlines()
    assert lines[0].split() == ["net", "bytes", "top-1", "top-5", "drop", "of", "top-1,", "95%", "agreement", "KL", "n"]
    size = f"{(here / 'net.sqz').stat().st_size:,}"
    cells = lines[1].split()
    assert cells[:5] == ["net.sqz", size, "25.0", "100.0", "+50.0±68.0"] and cells[5] == "0.000" and cells[-1] == "4"
    assert lines[2].split() == ["uncompressed", "(teacher.safetensors)", "75.0", "100.0", "4"]
    assert lines[3] == "measured on: val: 4 images of 2 classes, with labels"
    assert lines[4].startswith("sha256 of the set: ") and "; of the file: " in lines[4] and len(lines) == 5


def test_json(here):
    def no_constant(name):
        raise AssertionError(f"{name} is not JSON")

    facts = json.loads(call(*FILE, *TEACHER, "--json").stdout, parse_constant=no_constant)
    assert facts["test_set"] == "val: 4 images of 2 classes, with labels" and len(facts["test_set_sha256"]) == 64
    assert facts["teacher"] == "teacher.safetensors" and facts["size_bytes"] == (here / "net.sqz").stat().st_size
    assert facts["fidelity"].keys() == {"n", "top1", "top5", "agreement", "mean_kl", "top1_drop", "drop_interval"}
    assert (facts["fidelity"]["n"], facts["fidelity"]["top1"], facts["fidelity"]["agreement"]) == (4, 0.25, 0)
    assert facts["fidelity"]["drop_interval"] == pytest.approx(paired_interval(0.75, 0.25, 4))

    write_folder(here / "one", {"dog/a.png": noise(9)})
    one = json.loads(call("eval", "net.sqz", "--data", "folder:one", *TEACHER, "--json").stdout, parse_constant=no_constant)
    assert one["fidelity"]["drop_interval"] is None


def test_data_is_repeatable(here):
    write_folder(here / "more", {"dog/a.png": noise(9)})
    facts = json.loads(call(*FILE, "--data", "folder:more", *TEACHER, "--json").stdout)
    assert facts["fidelity"]["n"] == 5 and facts["fidelity"]["top1"] == 0.4


def test_bundled_photographs(here):
    text = call("eval", "net.sqz", "--data", "bundled", *TEACHER, "--device", "cpu").stdout
    assert "not accuracy" in text and text.splitlines()[1].split()[2:5] == ["-", "-", "-"]


def test_a_net_of_the_users_own_from_the_working_directory(here):
    (here / "evaluated_nets.py").write_text("from user_nets import mlp as small\n")
    state = {name: tensor.numpy() for name, tensor in user_nets.mlp().state_dict().items()}
    described = {"name": "factory", "factory": "anything:at_all", "batchnorm": "store"}
    layers = [RawTensor(name, array) for name, array in state.items()]
    metadata = tiny_net.metadata(architecture=described, classes=["cat", "dog", "emu", "owl"], parent_sha256=sha256(state))
    writer.write(here / "own.sqz", layers, metadata)
    facts = json.loads(call("eval", "own.sqz", "--data", "folder:val", "--model", "evaluated_nets:small", "--json").stdout)
    assert facts["teacher"] == "--model" and facts["fidelity"]["agreement"] == 1
    torch.save({name: torch.from_numpy(array) for name, array in state.items()}, here / "own.pt")
    named = ("--model", "evaluated_nets:small", "--teacher", "own.pt", "--json")
    assert json.loads(call("eval", "own.sqz", "--data", "folder:val", *named).stdout)["fidelity"] == facts["fidelity"]
    assert "by --model" in refused("eval", "own.sqz", "--data", "folder:val")
    assert "has no attribute 'large'" in refused("eval", "own.sqz", "--data", "folder:val", "--model", "evaluated_nets:large")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eval"], "Missing argument 'FILE'"),
        (["eval", "net.sqz"], "Missing option '--data'"),
        ([*FILE, "--device", "tpu"], "'tpu' is not one of 'auto', 'cpu', 'cuda', 'mps'"),
        (["eval", "none.sqz", "--data", "folder:val"], "error: none.sqz: cannot be read: No such file"),
        (["eval", "net.sqz", "--data", "folder:u\udcff"], "error: --data 'folder:u\\udcff': a path that is not text in UTF-8"),
        (["eval", "net.sqz", "--data", "val"], "error: --data val: must be bundled, digits, folder:PATH or shards:GLOB"),
        (["eval", "net.sqz", "--data", "folder:none", *TEACHER], "error: --data: none: no such folder"),
        (
            ["eval", "net.sqz", "--data", "digits", *TEACHER],
            "error: --data: digits are L images of 8 x 8 pixels, the net takes RGB",
        ),
        ([*FILE], "name the weights that it was made from by --teacher"),
        ([*FILE, "--teacher", "none.pt"], "error: net.sqz: its uncompressed net: none.pt: cannot be read"),
        ([*FILE, *TEACHER, "--teacher-sha256", "0" * 64], f"expected {'0' * 64}"),
        ([*FILE, "--model", "nowhere"], "nowhere: must be package.module:function"),
        ([*FILE, "--model", "no_such_nets:net"], "no_such_nets:net: No module named 'no_such_nets' in the working directory or"),
        ([*FILE, "--teacher", "https://example.org/x.pt"], "https://example.org/x.pt: weights from a URL need --teacher-sha256"),
    ],
)
def test_what_cannot_be_judged_is_exit_code_2(here, arguments, message):
    assert message in refused(*arguments)


def test_a_folder_of_other_classes(here):
    write_folder(here / "birds", {"owl/a.png": noise(0), "emu/b.png": noise(1)})
    message = refused("eval", "net.sqz", "--data", "folder:birds", *TEACHER)
    assert "1 of 2 sub-folders are not classes of the net: emu; its classes are cat, dog, owl" in message


def test_another_nets_weights(here):
    state = safetensors.numpy.load_file("teacher.safetensors")
    state["features.0.bias"] = state["features.0.bias"] + 1
    safetensors.numpy.save_file(state, "wrong.safetensors")
    message = refused(*FILE, "--teacher", "wrong.safetensors")
    assert "error: net.sqz: was made from a net whose tensors have sha256 " in message
    assert "those of wrong.safetensors have " in message and "name the right weights by --teacher" in message


def test_a_device_that_is_not_here(here):
    if torch.cuda.is_available():
        pytest.skip("CUDA is available")
    assert "error: --device cuda: not available here; have cpu" in refused(*FILE, *TEACHER, "--device", "cuda")


def test_an_interrupt_is_exit_code_130(here, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("compress.evaluate.evaluate", interrupted)
    assert call(*FILE, code=130).stdout == ""


# --- a file of a run ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The folder of a digits run, shortened."""
    runs = tmp_path_factory.mktemp("evaluated") / "runs"
    call("run", "digits", *SHORT, "--runs", runs, "--device", "cpu")
    [training] = runs.glob("digits-train-*")
    [folder] = set(runs.iterdir()) - {training}
    return folder


def test_the_figures_of_a_run_are_those_of_its_ledger(digits):
    row = ledger.read(digits / "ledger.csv")[-1]
    teacher = ("--teacher", digits / "stages" / "baseline.safetensors", "--device", "cpu")
    facts = json.loads(call("eval", digits / "digits.sqz", "--data", "digits", *teacher, "--json").stdout)
    assert facts["fidelity"] == {name: pytest.approx(getattr(row, name), rel=1e-5) for name in facts["fidelity"]}
    assert [facts[name] for name in ("test_set", "test_set_sha256", "size_bytes", "sha256", "teacher_sha256")] == [
        row.test_set,
        row.test_set_sha256,
        row.size_bytes,
        row.artifact_sha256,
        row.teacher_sha256,
    ]
    assert "of 5 photographs" in call("eval", digits / "digits.sqz", "--data", "bundled", *teacher).stdout
    line = call("eval", digits / "digits.sqz", "--data", "digits", *teacher).stdout.splitlines()[1]
    assert f"{100 * row.top1_drop:+.1f}±{100 * row.drop_interval:.1f}" in line.split()


def test_a_trained_net_needs_its_teacher(digits):
    message = refused("eval", digits / "digits.sqz", "--data", "digits")
    assert "digits.sqz: its uncompressed net: " in message and "name the weights that it was made from by --teacher" in message
    pruned = refused("eval", digits / "digits.sqz", "--data", "digits", "--teacher", digits / "stages" / "prune.safetensors")
    assert "prune.safetensors: mask:" in pruned and "weights are dense and floating point" in pruned
