"""Sweeps on Ray: a real one of two workers on this machine gives the table that processes give; clusters that are none."""

import csv
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from explore_points import points_of, write_space
from test_cli import call, refused

from compress.errors import InputError
from compress.explore import cost, on_ray, process, sweep

NO_TOKEN = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
POINTS = """\
name: tiny
recipe: digits
set: {train.epochs: 1, prune: null, quantize.tune: null, target: null}
points: [{quantize.bits: 1}, {quantize.bits: 3}, {weights: none.safetensors, train: null}]
"""


# A training that is longer than it takes to look at it.
LONG = """\
name: long
recipe: digits
set: {train.epochs: 40, prune: null, quantize.tune: null, target: null}
points: [{quantize.bits: 1}]
"""


def table(folder):
    with (folder / sweep.TABLE).open(newline="") as file:
        return [{name: cell for name, cell in row.items() if name not in ("seconds", "run")} for row in csv.DictReader(file)]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture(scope="module")
def cluster():
    """A cluster of this machine, of two cores: where it is."""
    pytest.importorskip("ray", reason="ray is not installed")
    port = free_port()
    options = [
        "--num-cpus",
        "2",
        "--port",
        str(free_port()),
        "--ray-client-server-port",
        str(port),
        "--node-ip-address",
        "127.0.0.1",
    ]
    command = [
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--head",
        "--block",
        "--include-dashboard",
        "false",
        *options,
    ]
    head = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | NO_TOKEN)
    try:
        deadline = time.monotonic() + 60
        while not answers(port):
            assert head.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        yield f"ray://127.0.0.1:{port}"
    finally:
        head.terminate()
        head.wait(60)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_the_same_sweep_gives_the_same_table(tmp_path, cluster, monkeypatch):
    """Two points of one training, and one that fails: a row with its error here and there."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    points, before = points_of(tmp_path, POINTS), signal.getsignal(signal.SIGTERM)
    nets = cost.nets_of(points, tmp_path)
    tables = {}
    for name, address in (("processes", None), ("ray", cluster)):
        setting = sweep.Sweep(tmp_path / name, 2, threads=1, device="cpu", ray=address)
        found = sweep.run(points, nets, setting, lambda result, was_there: None)
        assert [bool(result.error) for result in found] == [False, False, True] and found[0].size_bytes < found[1].size_bytes
        assert "none.safetensors" in found[2].error
        tables[name] = table(tmp_path / name)
    assert tables["ray"] == tables["processes"] and len(tables["ray"]) == 3
    import ray

    assert not ray.is_initialized() and signal.getsignal(signal.SIGTERM) is before


def test_the_cores_are_of_the_cluster_and_a_hopeless_training_is_stopped_there(tmp_path, cluster, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setattr(sweep, "n_cores", lambda: 64)
    points = points_of(tmp_path, LONG)
    with sweep.opened(sweep.Sweep(tmp_path / "x", device="cpu", ray=cluster), 9) as batch:
        assert (batch.processes, batch.place.threads) == (2, 1)
        [found] = batch.run(
            points, [None], lambda *_: None, is_hopeless=lambda point, top1: "it falls behind" if top1[1:] else ""
        )
    assert found.stopped == "it falls behind" and found.size_bytes is None and len(found.measured_top1) == 2
    with (
        pytest.raises(InputError, match="3 cores for a point, and no machine there has more than 2"),
        sweep.opened(sweep.Sweep(tmp_path / "y", threads=3, ray=cluster), 9),
    ):
        pass
    assert not (tmp_path / "y" / sweep.POINTS).exists()
    with sweep.opened(sweep.Sweep(tmp_path / "z", 1, ray="auto"), 9) as batch:  # that of this machine
        assert batch.ray.is_initialized() and (batch.processes, batch.place.threads) == (1, 2)


def test_variables_of_a_recipe_are_sent(tmp_path, monkeypatch):
    monkeypatch.setenv("PICTURES", "/pictures")
    monkeypatch.setenv("OTHER", "x")
    source = "{data: {tune: 'folder:$PICTURES/a', test: 'folder:${PICTURES}/b'}, train: null, weights: a.pt, classes: null}"
    [point] = points_of(tmp_path, f"name: tiny\nrecipe: digits\npoints: [{source}]\n")
    place = process.Place(tmp_path / "x", 3, "cpu")
    sent = on_ray._sent(place, (point, None))
    assert sent.variables == {"PICTURES": "/pictures"} and sent.folder.is_absolute() and sent.threads == 3


def test_a_machine_that_does_not_see_the_folder(tmp_path):
    [point, *_] = points_of(tmp_path, POINTS)
    found = on_ray._run((point, None), process.Place(tmp_path / "none", 1, "cpu"))
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


def test_a_host_that_takes_connections_and_says_nothing(tmp_path, monkeypatch):
    worker = pytest.importorskip("ray.util.client.worker", reason="ray is not installed")
    tries = worker.INITIAL_TIMEOUT_SEC, worker.MAX_TIMEOUT_SEC
    assert 3 * max(tries) + on_ray.CONNECT_S < 20
    monkeypatch.setattr(worker, "INITIAL_TIMEOUT_SEC", 0.2)
    monkeypatch.setattr(worker, "MAX_TIMEOUT_SEC", 0.2)
    path = write_space(tmp_path, POINTS)
    old = tmp_path / "runs" / "explore-tiny" / "points" / "old.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"ray://127.0.0.1:{server.getsockname()[1]}"
        text = refused("explore", path, "--on", address, "--fresh", "--runs", tmp_path / "runs")
    assert (
        f"--on {address}: ray client connection timeout; a cluster that wants Ray's token needs RAY_AUTH_MODE=token here" in text
    )
    assert old.exists()  # a sweep is forgotten when there is where to run it again


def test_other_places_are_refused(tmp_path):
    path = write_space(tmp_path, POINTS)
    assert "'slurm' must be ray, or ray://HOST:PORT" in refused("explore", path, "--on", "slurm")


def test_without_ray(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    path = write_space(tmp_path, POINTS)
    assert "squeeze-compress[ray]" in refused("explore", path, "--on", "ray", "--runs", tmp_path / "runs")
    assert call("explore", path, "--dry-run").exit_code == 0
