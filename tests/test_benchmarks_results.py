"""The pages of docs/results/, of sweeps that are partly there: every figure is in its own column, what is missing is said."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from compress.explore import cost, inputs, space, sweep
from compress.explore import results as tables
from compress.explore.results import Result

spec = importlib.util.spec_from_file_location("results_pages", Path(__file__).parent.parent / "benchmarks" / "results.py")
pages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pages)


def write_sweep(runs, name, top1_of):
    """A result for each point that top1_of gives a top-1 for, by its label and fields."""
    path = space.find(name)
    folder = runs / f"explore-{name}" / sweep.POINTS
    folder.mkdir(parents=True)
    for point in space.points(space.load(path), path):
        if (top1 := top1_of(point)) is None:
            continue
        [net] = cost.nets_of([point], path)
        about = {"index": point.index, "label": point.label, "fields": point.fields, "recipe_sha256": point.recipe.digest()}
        counts = {"parameters": net.parameters, "fp32_bytes": net.fp32_bytes, "macs": net.macs}
        figures = {"fp32_top1": 0.75, "top1": top1, "size_bytes": 1000 + point.index, "top1_drop": 0.75 - top1, "n": 400}
        found = Result(**about | counts | figures, drop_interval=0.0196, test_set="val", inputs=inputs.digest(point.recipe))
        tables.write(folder, found)


def page(tmp_path, monkeypatch, name):
    """Its text, and its tables as rows of cells."""
    monkeypatch.setattr(sys, "argv", ["results.py", name, "--runs", str(tmp_path / "runs"), "-o", str(tmp_path / "docs")])
    pages.main()
    text = (tmp_path / "docs" / f"{name}.md").read_text()
    return text, [re.split(r" *\| *", line.strip("| ")) for line in text.splitlines() if line.startswith("| ")]


def test_a_missing_start_leaves_its_column_empty(tmp_path, monkeypatch):
    tops = {"linear": 0.5, "density": 0.4, "random": 0.3}

    def top1_of(point):
        init, bits = point.fields["quantize.init"], point.fields["quantize.bits"]
        is_missing = bits == 2 and init == "linear" and point.fields["quantize.tune.steps"] == 78
        return None if is_missing else tops[init] + bits / 100

    write_sweep(tmp_path / "runs", "centroids", top1_of)
    text, rows = page(tmp_path, monkeypatch, "centroids")
    assert "**41 of the 42 points of the sweep are here**" in text
    assert rows[0] == ["linear", "density", "random"] or rows[0][-3:] == ["linear", "density", "random"]
    by_name = {row[0]: [cell.split(" ")[0] for cell in row[1:]] for row in rows[1:]}
    assert by_name["tuned, 2 bits"] == ["", "42.0", "32.0"] and by_name["tuned, 3 bits"] == ["53.0", "43.0", "33.0"]
    assert len(by_name) == 14


def test_without_alexnet_there_is_nothing_to_compare_with(tmp_path, monkeypatch):
    write_sweep(tmp_path / "runs", "deep-compression", lambda point: 0.7 if point.label == "SqueezeNet" else None)
    text, rows = page(tmp_path, monkeypatch, "deep-compression")
    assert "AlexNet itself is not trained yet" in text and rows == []


def test_files_are_compared_with_their_net_and_others_with_another_training(tmp_path, monkeypatch):
    tops = {"AlexNet": 0.75, "AlexNet, SVD": 0.74, "AlexNet, pruned in training": 0.73}
    write_sweep(tmp_path / "runs", "deep-compression", lambda point: tops.get(point.label))
    monkeypatch.setattr(pages, "huffman", lambda *_: None)
    _, rows = page(tmp_path, monkeypatch, "deep-compression")
    by_name = {row[0]: row for row in rows}
    assert by_name["AlexNet"][2] == "228,179,240" and by_name["AlexNet"][3] == "1.0"
    assert by_name["AlexNet, SVD"][5] == "1.0 ± 1.0"  # paired: .0196 / 1.96
    assert by_name["AlexNet, pruned in training"][5].startswith("2.0 ± 3.1")  # of two trainings: sqrt(.0217^2 + .0222^2)
    assert by_name["SqueezeNet"][2] == by_name["AlexNet, Deep Compression"][2] == "not trained yet"


@pytest.mark.parametrize(
    ("seeds", "said"), [((0,), "One seed"), ((0, 1), "Means over 2 seeds"), ((0, 1, 2), "Means over 2 to 3 seeds")]
)
def test_a_page_says_of_how_many_seeds_it_is(tmp_path, monkeypatch, seeds, said):
    def top1_of(point):
        seed, bypass = point.fields["seed"], point.fields["model.bypass"]
        if seed not in seeds or (seed == 2 and bypass == "complex"):
            return None
        return {"none": 0.5, "simple": 0.6, "complex": 0.7}[bypass] + seed / 100

    write_sweep(tmp_path / "runs", "bypass", top1_of)
    text, rows = page(tmp_path, monkeypatch, "bypass")
    assert said in text and [row[0] for row in rows] == ["bypass", "none", "simple", "complex"]
    if seeds == (0, 1):  # two seeds, .01 apart: a standard deviation of .00707 each, pooled .00707, over the root of 2
        assert [row[8] for row in rows[1:]] == ["50.5 ± 0.5", "60.5 ± 0.5", "70.5 ± 0.5"]
