import io
import json
import sys

import pytest
from PIL import Image
from test_cli import call, refused
from test_plots import evaluation, png, run_with, step


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "digits-0123abcd"
    folder.mkdir()
    run_with(folder, step(1), step(2), evaluation(2))
    picture = tmp_path / "one.png"
    picture.write_bytes(png("red"))
    images = [{"name": str(picture), "label": 1, "predicted": 0, "probability": 0.01}, {"name": None, "label": 0, "predicted": 0}]
    facts = {"test_set": "val", "classes": ["0", "1"], "images": [images[0], images[1] | {"probability": 0.9}]}
    (folder / "train" / "predictions.json").write_text(json.dumps(facts))
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_plot(run):
    result = call("plot", run, "--images", 5)
    written = [run / "plots" / name for name in ("curves.png", "confusion.png", "worst.png")]
    assert result.stdout == "".join(f"{path}\n" for path in written) and result.stderr == ""
    assert names(run / "plots") == ["confusion.png", "curves.png", "worst.png"]
    for path in written:
        assert Image.open(io.BytesIO(path.read_bytes())).format == "PNG"
    before = [path.read_bytes() for path in written]
    call("plot", run, "--images", 5)
    assert [path.read_bytes() for path in written] == before


def test_plot_elsewhere_as_svg(run, tmp_path):
    folder = tmp_path / "a" / "b"
    result = call("plot", run, "-o", folder, "--format", "svg")
    assert result.stdout == f"{folder / 'curves.svg'}\n{folder / 'confusion.svg'}\n"
    assert names(folder) == ["confusion.svg", "curves.svg"] and not (run / "plots").exists()


def test_plot_of_a_run_that_is_not_done(run):
    (run / "train" / "predictions.json").unlink()
    assert call("plot", run).stdout == f"{run / 'plots' / 'curves.png'}\n"
    message = f"error: {run}: it has no train/predictions.json, which says what images the net gets wrong\n"
    assert refused("plot", run, "--images", 5) == message


def test_plot_refuses(run, tmp_path):
    assert refused("plot", tmp_path) == f"error: {tmp_path}: the run trained no net: it has no train/log.jsonl\n"
    assert "none: no such folder" in refused("plot", tmp_path / "none")
    assert "0 is not in the range 1<=x<=500" in refused("plot", run, "--images", 0)
    assert "'pdf' is not one of 'png', 'svg'" in refused("plot", run, "--format", "pdf")
    (tmp_path / "way").touch()
    assert refused("plot", run, "-o", tmp_path / "way" / "plots") == f"error: {tmp_path / 'way' / 'plots'}: Not a directory\n"
    (run / "train" / "predictions.json").write_text("{}")
    assert "predictions.json: test_set is missing" in refused("plot", run)
    assert not (run / "plots").exists()


def test_plot_without_matplotlib(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert refused("plot", run) == "error: plots need matplotlib: pip install 'squeeze-compress[plot]'\n"
    assert not (run / "plots").exists()
