"""Runs with `rate`: a byte target on nets of the user's own, a largest drop, a target out of reach, the plan."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
import user_nets
from click.testing import CliRunner
from conftest import CLASSES

import compress
from compress import pipeline
from compress.artifact.inspect import inspect
from compress.cli import main
from compress.errors import RecipeError
from compress.pipeline import RunResult, run
from compress.plan import plan
from compress.recipe_file import check

RATE = {"images": 24, "tune": {"steps": 3, "learning_rate": 0.01, "batch_size": 4}}


def fields(folders, factory="small_resnet", **changes):
    plain = {
        "name": "mine",
        "model": {"factory": f"user_nets:{factory}"},
        "input": {"size": 16, "resize": 16},
        "classes": CLASSES,
        "data": {"tune": f"folder:{folders}/train", "test": f"folder:{folders}/val", "crop": 16},
        "rate": RATE,
        "target": {"max_bytes": 6000},
    }
    return plain | changes


@pytest.mark.parametrize(("factory", "max_bytes"), [("small_resnet", 4500), ("small_resnet", 3000), ("mlp", 6000)])
def test_a_net_of_the_users_own_in_so_many_bytes(folders, tmp_path, factory, max_bytes):
    result = run(check(fields(folders, factory, target={"max_bytes": max_bytes})), runs=tmp_path, device="cpu")
    size = result.artifact.stat().st_size
    assert 0.98 * max_bytes < size <= max_bytes and result.margin_bytes == max_bytes - size and not result.missed
    assert [row.stage for row in result.rows] == ["baseline", "quantize", "tune", "encode"]
    assert all(row.size_bytes <= max_bytes for row in result.rows[1:])
    rows = {row.stage: row for row in result.rows}
    assert rows["quantize"].tuned_on == "" and rows["tune"].tuned_on
    net = compress.load(result.artifact, model=getattr(user_nets, factory))
    assert torch.isfinite(net(user_nets.images(2))).all()
    assert any(row.positions == "levels/context" for row in inspect(result.artifact))
    assert sum(row.size_bytes for row in inspect(result.artifact)) == size


def test_a_second_run_takes_every_stage_and_gives_the_same_bytes(folders, tmp_path):
    first = run(check(fields(folders)), runs=tmp_path, device="cpu")
    data = first.artifact.read_bytes()
    second = run(check(fields(folders)), runs=tmp_path, device="cpu")
    assert second.reused == ("baseline", "quantize", "tune") and second.artifact.read_bytes() == data
    fresh = run(check(fields(folders)), runs=tmp_path / "other", device="cpu")
    assert fresh.artifact.read_bytes() == data


def test_channels_are_cut_before(folders, tmp_path):
    recipe = fields(folders, prune={"method": "channels", "macs": 0.7}, target={"max_bytes": 3000})
    result = run(check(recipe), runs=tmp_path, device="cpu")
    rows = {row.stage: row for row in result.rows}
    assert rows["encode"].parameters < rows["baseline"].parameters and rows["encode"].size_bytes <= 3000
    compress.load(result.artifact, model=user_nets.small_resnet)


def test_a_target_out_of_reach_ends_with_the_smallest_file_and_what_bytes_cost(folders, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(fields(folders, target={"max_bytes": 100})))
    done = CliRunner().invoke(main, ["run", str(path), "--runs", str(tmp_path / "runs"), "--device", "cpu"])
    assert done.exit_code == 1, done.output
    (artifact,) = (tmp_path / "runs").glob("*/mine.sqz")
    size = artifact.stat().st_size
    assert f"{size:,} bytes, target.max_bytes is 100; the file is kept" in done.stderr
    costs = [line for line in done.stderr.splitlines() if "bytes: agreement" in line]
    assert len(costs) == 4
    assert all(layer.n_nonzero for layer in compress.read(artifact).layers.values() if layer.kind == "shared")


def test_the_fewest_bytes_for_a_drop_are_found_by_runs_that_are_kept(folders, tmp_path):
    recipe = fields(folders, "mlp", target={"max_top1_drop": 0.0}, rate=RATE | {"tune": None})
    recipe["data"] = recipe["data"] | {"report": f"folder:{folders}/val"}
    result = run(check(recipe), runs=tmp_path, device="cpu", allow_overlap=True)
    assert not result.missed and result.rows[-1].stage.startswith("report ")
    assert result.margin_bytes is None
    assert result.rows[-2].top1_drop <= 0
    tried = list(tmp_path.glob("*/mine.sqz"))
    assert len(tried) >= 5
    sizes = sorted(path.stat().st_size for path in tried)
    assert sizes[0] <= result.artifact.stat().st_size <= sizes[-1]
    again = run(check(recipe), runs=tmp_path, device="cpu", allow_overlap=True)
    assert again.reused and again.artifact == result.artifact


@pytest.fixture
def tried(monkeypatch, tmp_path):
    """Runs that take no time: files of less than `tried.enough` bytes lose 10 points of top-1, the others none.
    tried.runs: (bytes, fresh, report) of each."""
    made = SimpleNamespace(runs=[], enough=0)

    def run_once(recipe, *, fresh, report=True, **options):
        n_bytes = recipe.target.max_bytes
        made.runs.append((n_bytes, fresh, report))
        row = SimpleNamespace(stage="encode", top1_drop=0.1 if n_bytes < made.enough else 0.0)
        return RunResult(tmp_path, tmp_path / "mine.sqz", (row,), (), margin_bytes=7)

    monkeypatch.setattr(pipeline, "_run", run_once)
    return made


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("enough", [0, 5000, 9000])
def test_a_size_is_run_fresh_once_in_a_search(folders, tried, fresh, enough):
    tried.enough = enough
    result = run(check(fields(folders, "mlp", target={"max_top1_drop": 1.0})), fresh=fresh)
    *searched, last = tried.runs
    sizes = [n_bytes for n_bytes, _, _ in searched]
    assert searched == [(n_bytes, fresh, False) for n_bytes in sizes] and len(set(sizes)) == len(sizes) >= 5
    chosen = min(n_bytes for n_bytes in sizes if n_bytes >= enough)
    assert chosen < 1.05 * max(enough, min(sizes)) and last == (chosen, False, True) and not result.missed


@pytest.mark.parametrize("fresh", [False, True])
def test_where_no_size_will_do_the_largest_is_run_last_and_for_the_first_time(folders, tried, fresh):
    tried.enough = 1 << 30
    result = run(check(fields(folders, "mlp", target={"max_top1_drop": 1.0})), fresh=fresh)
    *searched, (largest, *last) = tried.runs
    assert largest > max(n_bytes for n_bytes, _, _ in searched) and last == [fresh, True]
    assert "top-1 drops by 10.0 points on data.test, target.max_top1_drop is 1; the file is kept" in result.missed


@pytest.mark.parametrize("enough", [0, 1 << 30])
def test_a_drop_has_no_margin_of_bytes(folders, tried, enough):
    tried.enough = enough
    assert run(check(fields(folders, "mlp", target={"max_top1_drop": 1.0}))).margin_bytes is None
    assert run(check(fields(folders, "mlp"))).margin_bytes == 7


def test_a_drop_needs_labels(folders, tmp_path, tried):
    recipe = fields(folders, target={"max_top1_drop": 1.0})
    del recipe["classes"]
    recipe["data"] = recipe["data"] | {"test": "bundled"}
    with pytest.raises(RecipeError, match=r"max_top1_drop: data\.test has no labels"):
        run(check(recipe), runs=tmp_path, device="cpu")
    assert not tried.runs


def test_the_plan_says_where_the_bytes_go(folders):
    found = plan(check(fields(folders, target={"max_bytes": 4000})), torch.device("cpu"))
    assert 3900 < found.size_bytes <= 4000 == found.max_bytes
    assert sum(layer.size_bytes for layer in found.layers) + found.other_bytes == found.size_bytes
    for layer in found.layers:
        assert layer.sensitivity > 0 and layer.step > 0 and 0 < layer.density <= 1 and layer.n_levels > 0
    steps = [layer.step * layer.sensitivity**0.5 for layer in found.layers if layer.density > 0.05]
    assert max(steps) < 1.001 * min(steps)


def test_the_plan_as_a_command(folders, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(fields(folders)))
    shown = CliRunner().invoke(main, ["plan", str(path), "--device", "cpu", "--set", "target.max_bytes=4000"])
    assert shown.exit_code == 0 and "under the target" in shown.output and "layer2.conv2.weight" in shown.output
    facts = CliRunner().invoke(main, ["plan", str(path), "--device", "cpu", "--json"])
    assert json.loads(facts.output)["max_bytes"] == 6000
    refused = CliRunner().invoke(main, ["plan", "deep"])
    assert refused.exit_code == 2 and "plan is for a recipe with `rate`" in refused.output
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": None}, r"rate needs target\.max_bytes or target\.max_top1_drop"),
        ({"quantize": {"bits": 4}}, "rate and quantize are two ways to the same"),
        ({"prune": {"density": 0.5}}, "rate decides itself which weights are zero"),
        ({"rate": None, "target": {"max_top1_drop": 1}}, r"target\.max_top1_drop needs rate"),
        ({"target": {}}, "one of max_bytes and max_top1_drop"),
        ({"target": {"max_bytes": 10, "max_top1_drop": 1}}, "one of max_bytes and max_top1_drop"),
        ({"rate": {"bias_bits": 1}}, "bias_bits"),
        ({"rate": {"dead_zone": 0.5}}, "dead_zone"),
    ],
)
def test_recipes_that_contradict_themselves(folders, changes, message):
    with pytest.raises(RecipeError, match=message):
        check({key: value for key, value in fields(folders, **changes).items() if value is not None})


def test_a_teacher_that_guesses_is_told(folders, tmp_path, caplog):
    labels_shifted = tmp_path / "val"
    for k, name in enumerate(CLASSES):  # every picture under the name of the next class
        shutil.copytree(folders / "val" / name, labels_shifted / CLASSES[(k + 1) % 4])
    right = fields(folders, rate=RATE | {"tune": None})
    wrong = right | {"data": right["data"] | {"test": f"folder:{labels_shifted}"}}
    run(check(wrong), runs=tmp_path / "runs", device="cpu")
    told = [record.getMessage() for record in caplog.records]
    assert any("chance level; its preprocessing is probably not what `input` says" in message for message in told)
