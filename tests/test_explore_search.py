"""Searches, by a process that stands in for `run`: points depend on the seed alone, trainings that fall behind are stopped."""

import json
import sys

import pytest
from explore_points import stand_in, started, write_space

from compress.errors import MissingDependency, SpaceError
from compress.explore import means, process, search, space, sweep

TEXT = """\
name: tiny
recipe: digits
search:
  trials: 8
  objective: {objective}
  fields: {{model.squeeze_ratio: {{low: 0.1, high: 1.0, log: true}}{more}}}
"""
MORE = ", quantize.bits: {low: 1, high: 6}, model.bypass: [none, simple]"

# A training that says and logs what `run` does: its top-1 is the squeeze ratio. One that was trained before logs nothing more.
TRAINS = """\
import json, os, sys, time, yaml
fields = yaml.safe_load(open(sys.argv[1]))
share = fields["model"].get("squeeze_ratio", 0.125)
folder = f"{sys.argv[2]}/training-{share}"
if os.path.exists(folder + "/done"):
    print(f"{folder}: trained already", file=sys.stderr, flush=True)
else:
    os.makedirs(folder + "/train", exist_ok=True)
    print(f"training in {folder}", file=sys.stderr, flush=True)
    with open(folder + "/train/log.jsonl", "w", buffering=1) as log:
        for step in range(1, 4):
            log.write(json.dumps({"step": step, "loss": 1.0}) + "\\n" + json.dumps({"step": step, "test_top1": share}) + "\\n")
            time.sleep(float(sys.argv[3]))
    open(folder + "/done", "w").close()
row = {"top1": share, "size_bytes": 1000, "top1_drop": 1.0, "drop_interval": 0.5, "agreement": 0.9, "n": 360, "test_set": ""}
rows = [{"stage": "baseline", **row}, {"stage": "encode", **row}]
print(json.dumps({"artifact": "runs/x/x.sqz", "missed": "", "rows": rows}))
"""


def run(folder, objective="top1", *, processes=2, text=TEXT, more=MORE):
    path = write_space(folder, text.format(objective=objective, more=more))
    told = []
    setting = sweep.Sweep(folder / "sweep", processes, threads=1, device="cpu")
    return search.run(space.load(path), path, setting, lambda result, was_there: told.append(was_there)), told


@pytest.fixture
def folder(tmp_path, monkeypatch):
    stand_in(monkeypatch, tmp_path)
    return tmp_path


@pytest.mark.parametrize("objective", ["top1", "tradeoff"])
def test_the_points_depend_on_the_seed_alone_and_stay_done(folder, objective):
    first, told = run(folder, objective)
    assert [result.index for result in first] == list(range(8)) and not any(told)
    for result in first:
        assert 0.1 <= result.fields["model.squeeze_ratio"] <= 1 and result.fields["quantize.bits"] in range(1, 7)
        assert result.fields["model.bypass"] in ("none", "simple") and result.size_bytes == 1000 * result.fields["quantize.bits"]
    n_started = len(started(folder))
    again, told = run(folder, objective)
    assert [result.fields for result in again] == [result.fields for result in first]
    assert all(told) and len(started(folder)) == n_started
    assert (folder / "sweep" / sweep.TABLE).read_text().count("\n") == 9


def test_it_finds_what_is_better(folder):
    """The stand-in's top-1 rises with the bits: later trials have more of them than the first, random ones."""
    found, _ = run(folder, text=TEXT.replace("trials: 8", "trials: 24"))
    bits = [result.fields["quantize.bits"] for result in found]
    assert sum(bits[12:]) > sum(bits[:12]) and max(bits) == 6


def test_trainings_that_fall_behind_are_stopped(tmp_path, monkeypatch):
    script = tmp_path / "trains.py"
    script.write_text(TRAINS)
    monkeypatch.setattr(process, "POLL_S", 0.05)
    pause = "0.2"

    def command(recipe, _):
        return [sys.executable, str(script), str(recipe), str(tmp_path), pause]

    monkeypatch.setattr(process, "command", command)
    text = TEXT.replace("trials: 8", "trials: 12")
    found, _ = run(tmp_path, text=text, more="", processes=1)
    stopped = [result for result in found if result.stopped]
    assert stopped and len(stopped) < len(found) and not any(result.error for result in found)
    assert not any(result.stopped for result in found[: search.N_FIRST])
    for result in stopped:
        assert "below the median of the others" in result.stopped and result.top1 is None and result.size_bytes is None
        assert 1 <= len(result.measured_top1) <= 3
    complete = [result for result in found if not result.stopped]
    assert all(len(result.measured_top1) == 3 for result in complete)
    worst = max(result.measured_top1[0] for result in stopped)
    assert worst < max(result.top1 for result in complete)
    best = {result.index for mean in means.front(means.over_seeds(found)) for result in mean.results}
    assert best and best <= {result.index for result in complete}
    again, told = run(tmp_path, text=text, more="", processes=1)  # goes on as it was, with what was stopped
    assert all(told) and [result.stopped for result in again] == [result.stopped for result in found]
    pause = "0"  # trainings quicker than anyone looks, and some that are there already
    for path in (tmp_path / "sweep" / sweep.POINTS).iterdir():
        path.unlink()
    quick, _ = run(tmp_path, text=text, more="", processes=1)
    assert [(result.fields, result.stopped) for result in quick] == [(result.fields, result.stopped) for result in found]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("search: {fields: {seed: [1, 2]}}", "search.trials is missing"),
        ("search: {trials: 0, fields: {seed: [1, 2]}}", "search.trials: must be greater"),
        ("search: {trials: 3}", "search.fields is missing"),
        ("search: {trials: 3, fields: {}}", "search.fields: "),
        ("search: {trials: 3, fields: {seed: [1]}}", "fields.seed: must be a range, or a list of at least two values"),
        ("search: {trials: 3, fields: {seed: {low: 2, high: 2}}}", r"search.fields.seed: low \(2\) must be less than high \(2\)"),
        ("search: {trials: 3, fields: {seed: {low: 1}}}", "search.fields.seed.high is missing"),
        ("search: {trials: 3, fields: {seed: 3}}", "search.fields.seed: must be a valid dictionary"),
        ("search: {trials: 3, fields: {seed: {low: 0, high: 2, log: true}}}", r"low \(0\) must be above 0 for log"),
        ("search: {trials: 3, fields: {seed: [1, 2]}, objective: best}", "search.objective: "),
        ("search: {trials: 3, fields: {seed: [1, 2]}}\ngrid: {seed: [1]}", "a search has neither of the others"),
    ],
)
def test_refusals(tmp_path, text, message):
    path = write_space(tmp_path, f"name: a\nrecipe: digits\n{text}\n")
    with pytest.raises(SpaceError, match=message):
        space.load(path)


def test_values_that_are_no_recipe_are_refused_before_anything_runs(folder):
    with pytest.raises(SpaceError, match=r"point 0 \(model.squeze_ratio=.*did you mean squeeze_ratio"):
        run(folder, text=TEXT.replace("squeeze_ratio", "squeze_ratio"))
    with pytest.raises(SpaceError, match=r"point 0 \(model.squeeze_ratio=0.001, .*Fire module 1 has \(0, 32, 32\) filters"):
        run(folder, text=TEXT.replace("low: 0.1, high: 1.0, log: true", "low: 0.001, high: 1.0"))
    with pytest.raises(SpaceError, match=r"space.yaml: point 2 \(model.squeeze_ratio=0.1, input=.*needs sides of 4"):
        run(folder, more=", input: [{size: 8, resize: 8}, {size: 2, resize: 2}]")
    assert not started(folder) and not (folder / "sweep").exists()


def test_a_trial_that_is_no_recipe_is_a_row_and_stops_nothing(folder):
    """Each value is fine by itself; 5 filters, 95% of them 3x3, are a module without 1x1 filters."""
    text = TEXT.replace("squeeze_ratio: {{low: 0.1, high: 1.0, log: true}}", "base_e: [64, 5]")
    more = ", model.pct3x3: [0.5, 0.95], quantize.bits: [2, 3, 4]"
    found, _ = run(folder, text=text, more=more)
    refused = [result for result in found if result.error]
    assert len(found) == 8 and 0 < len(refused) < 8
    for result in refused:
        assert result.error.startswith("model") and "each must be at least 1" in result.error and result.size_bytes is None
    assert len(started(folder)) == len({json.dumps(result.fields) for result in found if not result.error})
    again, _ = run(folder, text=text, more=more)
    assert [(result.fields, result.error) for result in again] == [(result.fields, result.error) for result in found]


def test_a_search_goes_on_with_the_same_points_by_other_processes(folder):
    whole, _ = run(folder)
    first = TEXT.replace("trials: 8", "trials: 5")
    for path in (folder / "sweep").rglob("*.json"):
        path.unlink()
    run(folder, text=first, processes=2)
    found, told = run(folder, processes=3)
    assert [result.fields for result in found] == [result.fields for result in whole] and sum(told) == 5


def test_what_another_search_has_stopped_is_trained_to_its_end(folder):
    found, _ = run(folder)
    path = folder / "sweep" / sweep.POINTS / f"{found[3].recipe_sha256[:16]}.json"
    stopped = json.loads(path.read_bytes()) | {"stopped": "it fell behind", "size_bytes": None, "top1": None}
    path.write_text(json.dumps(stopped))
    again, told = run(folder)
    assert again[3].stopped == "it fell behind" and all(told)
    other, told = run(folder, text=TEXT.replace("log: true", "log: false"))
    path.write_text(json.dumps(stopped))
    assert not any(result.stopped for result in other)
    both, told = run(folder, "tradeoff")  # which stops none
    assert not any(result.stopped for result in both)


def test_samples(tmp_path):
    path = write_space(tmp_path, TEXT.format(objective="top1", more=", quantize.bits: [2, 3, 4]"))
    found = space.samples(space.load(path), path)
    assert [point.label for point in found] == [
        "squeeze_ratio 0.1, bits 2",
        "squeeze_ratio 1, bits 2",
        "squeeze_ratio 0.1, bits 3",
        "squeeze_ratio 0.1, bits 4",
    ]


def test_without_optuna(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingDependency, match=r"squeeze-compress\[explore\]"):
        run(folder)
