import json

import pytest
from test_cli import call, refused

from compress.cli.comm import comm
from compress.train import communication

PARAMETERS = {"AlexNet": 61_100_840, "SqueezeNet v1.0": 1_248_424, "SqueezeNet v1.1": 1_235_496}

FROZEN = """
from user_nets import mlp

def frozen():
    net = mlp()
    next(net.parameters()).requires_grad_(False)
    return net
"""


@pytest.fixture
def asked(monkeypatch):
    """No processes: a net's bytes are those of its parameters that are trained. Returns the names that were asked for."""
    names = []

    def measure(nets):
        names.extend(net.name for net in nets)
        return [communication._sizes(net.build())[1] for net in nets]

    monkeypatch.setattr(communication, "measure", measure)
    return names


def test_the_tables(asked):
    result = call("comm")
    lines = result.stdout.splitlines()
    assert asked == list(PARAMETERS) and result.stderr == "measuring AlexNet, SqueezeNet v1.0, SqueezeNet v1.1\n"
    assert " ".join(lines[0].split()) == "net parameters bytes/step bytes/epoch x less than AlexNet"
    assert lines[1].split() == ["AlexNet", "61,100,840", "244,403,360", "611,741,610,080", "1.0"]
    assert lines[2].split() == ["SqueezeNet", "v1.0", "1,248,424", "4,993,696", "12,499,221,088", "48.9"]
    assert lines[3].split() == ["SqueezeNet", "v1.1", "1,235,496", "4,941,984", "12,369,785,952", "49.5"]
    assert lines[4] == "epoch: 1,281,167 images in batches of 512, 2,503 steps" and lines[5] == ""
    headings = "all-reduce of a step, ms Gbit/s 2 workers 4 workers 16 workers 64 workers 256 workers 1,024 workers"
    assert " ".join(lines[6].split()) == headings
    assert lines[7].split() == ["AlexNet", "1", "1,955", "2,933", "3,666", "3,849", "3,895", "3,907"]
    assert lines[9].split() == ["AlexNet", "100", "19.6", "29.3", "36.7", "38.5", "39.0", "39.1"]
    assert lines[15].split()[-7:] == ["100", "0.395", "0.593", "0.741", "0.778", "0.788", "0.790"]
    assert lines[16].startswith("bytes: measured on two processes of this machine, by a communication hook")
    assert "ring all-reduce" in lines[16] and len(lines) == 17


def test_a_recipe_has_a_row(asked):
    lines = call("comm", "digits", "--set", "name=wider", "--set", "model.base_e=64").stdout.splitlines()
    assert asked[-1] == "wider" and lines[4].startswith("wider ") and len(lines) == 17 + 4


def test_frozen_parameters_are_told(tmp_path, monkeypatch, asked):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "frozen_nets.py").write_text(FROZEN)
    (tmp_path / "mine.yaml").write_text("name: mine\nmodel:\n  factory: frozen_nets:frozen\n")
    text = call("comm", "mine.yaml").stdout
    [line] = [line for line in text.splitlines() if line.startswith("mine: ")]
    assert line.endswith(" parameters are frozen and not sent")


def test_json(asked):
    facts = json.loads(call("comm", "digits", "--images", "1000", "--batch-size", "300", "--json").stdout)
    assert (facts["images"], facts["batch_size"], facts["steps_per_epoch"]) == (1000, 300, 4)
    assert {net["name"]: net["parameters"] for net in facts["nets"]} == PARAMETERS | {"digits": facts["nets"][3]["parameters"]}
    for net in facts["nets"]:
        assert net["bytes_per_step"] == 4 * net["parameters"] and net["bytes_per_epoch"] == 4 * net["bytes_per_step"]
        assert len(net["seconds"]) == 18
        assert net["seconds"][0] == {
            "workers": 2,
            "gbit_per_second": 1,
            "seconds": pytest.approx(8 * net["bytes_per_step"] / 1e9),
        }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "seed=1"], "--set changes a field of RECIPE"),
        (["--batch-size", "0"], "--batch-size"),
        (["--images", "0"], "--images"),
        (["no-such-recipe"], "no shipped recipe has that name"),
        (["digits", "--set", "model.clases=3"], "clases"),
    ],
)
def test_refused(asked, arguments, message):
    assert message in refused("comm", *arguments)
    assert asked == []


def test_defaults_are_the_modules():
    defaults = {parameter.name: parameter.default for parameter in comm.params}
    assert (defaults["images"], defaults["batch_size"]) == (communication.IMAGES, communication.BATCH_SIZE)
