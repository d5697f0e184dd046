"""explore and describe, as commands: a real sweep of tiny nets on digits, the plan, the drawing, exit codes."""

import json

import pytest
from explore_points import FAILS, SPACE, stand_in, write_space
from test_cli import call, refused

DIGITS = """\
name: tiny
recipe: digits
set: {train.epochs: 1, prune: null, quantize.tune: null, target: null}
grid: {quantize.bits: [1, 4]}
"""


def test_a_real_sweep(tmp_path):
    """Two files of one training: it is trained once."""
    path = write_space(tmp_path, DIGITS)
    facts = json.loads(call("explore", path, "--runs", tmp_path / "runs", "--processes", "2", "--json").stdout)
    small, large = facts["points"]
    assert not small["error"] and not large["error"] and small["fp32_top1"] == large["fp32_top1"]
    assert 0 < small["size_bytes"] < large["size_bytes"] and small["parameters"] == 30_010
    folder = tmp_path / "runs" / "explore-tiny"
    assert facts["folder"] == str(folder) and len(list((folder / "runs").glob("tiny-train-*"))) == 1
    for name, begins in (("tradeoff.png", b"\x89PNG"), ("tradeoff.svg", b"<?xml")):
        assert (folder / name).read_bytes().startswith(begins)
    measured = [point["measured_top1"] for point in facts["points"]]
    assert measured[0] == measured[1] and measured[0][-1] == pytest.approx(small["fp32_top1"])
    assert facts["front"] == [0, 1] or facts["front"] == [0]
    again = call("explore", path, "--runs", tmp_path / "runs")
    assert again.stderr.count("was done before") == 2
    for point in (folder / "points").iterdir():  # the point again, of a run whose training is finished: it is told all the same
        point.unlink()
    again_run = json.loads(call("explore", path, "--runs", tmp_path / "runs", "--json").stdout)
    assert [point["measured_top1"] for point in again_run["points"]] == measured
    assert "squeeze" not in again.stdout and "bits 4" in again.stdout and "360 digits, held out, with labels" in again.stdout


def test_the_plan_runs_nothing(tmp_path):
    path = write_space(tmp_path)
    text = call("explore", path, "--runs", tmp_path / "runs", "--dry-run").stdout
    assert "4 points; nothing was run" in text and "15,906" in text and "squeeze_ratio 0.25, bits 3" in text
    rows = json.loads(call("explore", path, "--runs", tmp_path / "runs", "--dry-run", "--json").stdout)
    assert rows[0]["parameters"] == 15_906 and rows[0]["macs"] == 224_640 and rows[0]["side"] == 8
    assert not (tmp_path / "runs").exists()


def test_the_plan_of_a_search_is_its_values_and_ends(tmp_path):
    search = "name: a\nrecipe: digits\nsearch: {{trials: {}, fields: {{model.squeeze_ratio: {{low: 0.1, high: 1.0}}}}}}\n"
    path = write_space(tmp_path, search.format(300))
    text = call("explore", path, "--runs", tmp_path / "runs", "--dry-run").stdout
    assert "squeeze_ratio 0.1" in text and "squeeze_ratio 1" in text and "the 300 points of the search" in text
    path = write_space(tmp_path, search.format(10_001))
    assert "10,001 points, more than 10,000 need --yes" in refused("explore", path, "--dry-run")
    assert not (tmp_path / "runs").exists()


def test_a_point_that_fails_is_exit_code_1(tmp_path, monkeypatch):
    stand_in(monkeypatch, tmp_path)
    path = write_space(tmp_path, f"name: a\nrecipe: digits\nset: {{model.squeeze_ratio: 0.5}}\ngrid: {{seed: [0, {FAILS}]}}\n")
    result = call("explore", path, "--runs", tmp_path / "runs", code=1)
    assert "1/2" in result.stderr and "FAILED: weights: nothing is there" in result.stderr
    assert "of 2 points 1 failed and 0 missed their target" in result.stderr
    assert "point 1 (seed 1): weights: nothing is there" in result.stdout


def test_refusals(tmp_path):
    path = write_space(tmp_path, SPACE.replace("quantize.bits", "quantize.bit"))
    assert "unknown field quantize.bit; did you mean bits?" in refused("explore", path, "--runs", tmp_path)
    assert "none.yaml: no such file, and no shipped space has that name; shipped: 3x3-share, bypass, centroids, " in refused(
        "explore", tmp_path / "none.yaml"
    )
    assert "'--processes'" in refused("explore", path, "--processes", "0")
    assert not (tmp_path / "explore-tiny").exists()


def test_describe():
    text = call("describe", "imagenet").stdout
    assert "fire9" in text and "1,248,424" in text and "832,667,936" in text and "5,892,864 bytes in float32" in text
    facts = json.loads(call("describe", "imagenet", "--set", "model.bypass=complex", "--json").stdout)
    assert facts["parameters"] == 1_589_672 and facts["layers"][2]["bypass"] == "conv" and facts["side"] == 227
    assert "input 8 x 8" in call("describe", "digits").stdout


@pytest.mark.parametrize(("suffix", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_describe_draws(tmp_path, suffix, begins):
    path = tmp_path / f"net.{suffix}"
    call("describe", "imagenet", "--set", "model.bypass=complex", "-o", path)
    data = path.read_bytes()
    assert data.startswith(begins)
    call("describe", "imagenet", "--set", "model.bypass=complex", "-o", path)
    assert path.read_bytes() == data  # the same bytes each time
    if suffix == "svg":
        text = data.decode()
        assert all(word in text for word in ("fire9", "27 to 13 pixels", "bypass by 1x1", "1,589,672 parameters"))


def test_describe_refuses(tmp_path):
    assert "must end in .svg or .png" in refused("describe", "digits", "-o", tmp_path / "x.pdf")
    recipe = tmp_path / "own.yaml"
    recipe.write_text("name: own\nmodel: {factory: 'a:b'}\n")
    assert "only SqueezeNet and AlexNet are described" in refused("describe", recipe)
    assert "needs sides of" in refused("describe", "imagenet", "--set", "input={size: 20, resize: 20}")
