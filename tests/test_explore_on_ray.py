"""Sweeps on Ray: a real one of two workers on this machine gives the table that processes give; clusters that are none."""

import csv
import signal
import socket
import sys

import pytest
from explore_points import points_of, write_space
from test_cli import call, refused

from compress.explore import cost, on_ray, sweep

POINTS = """\
name: tiny
recipe: digits
set: {train.epochs: 1, prune: null, quantize.tune: null, target: null}
points: [{quantize.bits: 1}, {quantize.bits: 3}, {weights: none.safetensors, train: null}]
"""


def table(folder):
    with (folder / sweep.TABLE).open(newline="") as file:
        return [{name: cell for name, cell in row.items() if name not in ("seconds", "run")} for row in csv.DictReader(file)]


@pytest.fixture
def ray(monkeypatch):
    """Two workers, whatever this machine has."""
    found = pytest.importorskip("ray", reason="ray is not installed")
    init = found.init
    monkeypatch.setattr(found, "init", lambda **options: init(num_cpus=2, **options))
    return found


def test_the_same_sweep_gives_the_same_table(tmp_path, ray):
    """Two points of one training, and one that fails: a row with its error here and there."""
    points, before = points_of(tmp_path, POINTS), signal.getsignal(signal.SIGTERM)
    nets = [cost.net_facts(point.recipe) for point in points]
    tables = {}
    for name, address in (("processes", None), ("ray", "auto")):
        setting = sweep.Sweep(tmp_path / name, 2, threads=1, device="cpu", ray=address)
        found = sweep.run(points, nets, setting, lambda result, was_there: None)
        assert [bool(result.error) for result in found] == [False, False, True] and found[0].size_bytes < found[1].size_bytes
        assert "none.safetensors" in found[2].error
        tables[name] = table(tmp_path / name)
    assert tables["ray"] == tables["processes"] and len(tables["ray"]) == 3
    assert not ray.is_initialized() and signal.getsignal(signal.SIGTERM) is before


def test_variables_of_a_recipe_are_sent(tmp_path, monkeypatch):
    monkeypatch.setenv("PICTURES", "/pictures")
    monkeypatch.setenv("OTHER", "x")
    source = "{data: {tune: 'folder:$PICTURES/a', test: 'folder:${PICTURES}/b'}, train: null, weights: a.pt, classes: null}"
    [point] = points_of(tmp_path, f"name: tiny\nrecipe: digits\npoints: [{source}]\n")
    place = sweep.Sweep(tmp_path / "x", 1, threads=3).place
    sent = on_ray._sent(place, (point, None))
    assert sent.variables == {"PICTURES": "/pictures"} and sent.folder.is_absolute() and sent.threads == 3


def test_a_machine_that_does_not_see_the_folder(tmp_path):
    [point, *_] = points_of(tmp_path, POINTS)
    found = on_ray._run((point, None), sweep.Sweep(tmp_path / "none", 1, threads=1).place)
    assert found.error == f"{socket.gethostname()}: has no {tmp_path / 'none'}: all machines must see it"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ray://127.0.0.1", "must be ray, or ray://HOST:PORT"),
        ("ray://127.0.0.1:0", "must be ray, or ray://HOST:PORT"),
        ("ray://127.0.0.1:99999", "must be ray, or ray://HOST:PORT"),
        ("ray://:10001", "must be ray, or ray://HOST:PORT"),
        ("ray://127.0.0.1:1", "does not answer: Connection refused"),
    ],
)
def test_an_address_that_is_none_or_does_not_answer(tmp_path, address, message):
    path = write_space(tmp_path, POINTS)
    assert f"--on {address}: {message}" in refused("explore", path, "--on", address, "--runs", tmp_path / "runs")


def test_other_places_are_refused(tmp_path):
    path = write_space(tmp_path, POINTS)
    assert "'slurm' must be ray, or ray://HOST:PORT" in refused("explore", path, "--on", "slurm")


def test_without_ray(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    path = write_space(tmp_path, POINTS)
    assert "squeeze-compress[ray]" in refused("explore", path, "--on", "ray", "--runs", tmp_path / "runs")
    assert call("explore", path, "--dry-run").exit_code == 0
