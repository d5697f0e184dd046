"""Sweeps, by a process that stands in for `run`: failures are rows, what is done stays done, one sweep at a time in a folder."""

import json
import os
import signal
import threading
import time
from dataclasses import replace

import pytest
from explore_points import BABBLES, FAILS, FINE, KILLED, MISSES, WAITS, points_of, run, stand_in, started

from compress.errors import RunFolderError
from compress.explore import process, results, sweep
from compress.explore.results import Result


@pytest.fixture
def folder(tmp_path, monkeypatch):
    stand_in(monkeypatch, tmp_path)
    return tmp_path


def seeds(*values):
    return f"name: tiny\nrecipe: digits\nset: {{model.squeeze_ratio: 0.5}}\ngrid: {{seed: {list(values)}}}\n"


@pytest.mark.parametrize("processes", [1, 2])
def test_results_are_in_order_and_in_the_table(folder, processes):
    points = points_of(folder)
    found, told = run(folder, points, processes=processes)
    assert [result.index for result in found] == [0, 1, 2, 3] and sorted(told) == [(i, False) for i in range(4)]
    assert [(result.size_bytes, result.top1, result.fp32_top1) for result in found[:2]] == [(2000, 0.52, 0.6), (3000, 0.53, 0.6)]
    assert found[0].n == 360 and found[0].test_set == "digits" and found[0].run == "runs/x"
    table = (folder / "sweep" / sweep.TABLE).read_text().splitlines()
    assert len(table) == 5 and table[0].startswith("index,label,model.squeeze_ratio,quantize.bits,recipe_sha256,parameters,")


def test_points_of_one_training_follow_one_another(folder):
    """Two processes that train the same net at once would write over each other: both bits of a squeeze ratio are one group."""
    groups = sweep._groups([(point, None) for point in points_of(folder)])
    assert [[work[0].index for work in group] for group in groups] == [[0, 1], [2, 3]]


def test_a_point_that_fails_is_a_row_and_stops_nothing(folder):
    found, _ = run(folder, points_of(folder, seeds(FINE, FAILS, KILLED, MISSES, BABBLES)))
    fine, failed, killed, missed, babbled = found
    assert not fine.error and fine.size_bytes == 4000
    assert failed.error == "weights: nothing is there" and failed.size_bytes is None
    assert killed.error.startswith("its process ended with signal 9; ") and "00002.txt" in killed.error
    assert not missed.error and missed.missed == "too large" and missed.size_bytes == 4000
    assert babbled.error.startswith("its process ended with exit code 0")


def test_what_is_done_stays_done_and_what_failed_is_run_again(folder):
    points = points_of(folder, seeds(FINE, FAILS, MISSES))
    first, _ = run(folder, points)
    n_started = len(started(folder))
    second, told = run(folder, points)
    assert [result.error for result in second] == [result.error for result in first]
    assert sorted(told) == [(0, True), (1, False), (2, True)] and len(started(folder)) == n_started + 1
    more, told = run(folder, points_of(folder, seeds(7, FINE)))  # a space that was changed
    assert sorted(told) == [(0, False), (1, True)] and more[1].size_bytes == first[0].size_bytes
    _, told = run(folder, points, fresh=True)
    assert not any(was_there for _, was_there in told)


def test_a_fresh_sweep_that_is_stopped_does_not_go_on_with_old_results(folder):
    points = points_of(folder, seeds(FINE, 7, 8))
    run(folder, points)
    with sweep.opened(sweep.Sweep(folder / "sweep", 1, 1, fresh=True), len(points)):
        pass
    _, told = run(folder, points)
    assert not any(was_there for _, was_there in told)


def test_a_point_that_a_search_has_stopped_is_run_in_a_grid(folder):
    points = points_of(folder, seeds(FINE))
    [found], _ = run(folder, points)
    results.write(folder / "sweep" / sweep.POINTS, replace(found, stopped="it fell behind", size_bytes=None, top1=None))
    [again], told = run(folder, points)
    assert told == [(0, False)] and not again.stopped and again.size_bytes == found.size_bytes


def test_what_was_measured_while_it_trained_is_told_once(folder):
    """A training that was killed takes steps again, and its log has them twice: the last ones count."""
    [point] = points_of(folder, seeds(FINE))
    place = process.Place(folder, 1, "cpu")
    training = folder / "training"
    (training / "train").mkdir(parents=True)
    (folder / process.LOGS).mkdir()
    assert process.measured(place, point) == []
    for told in (f"training in {training}", f"{training}: trained already"):
        place.log(point).write_text(f"running\n{told}\n")
        lines = [(1, None), (2, 0.2), (3, None), (4, 0.4), (5, None), (3, None), (4, 0.41), (5, None), (6, 0.6)]
        text = "".join(json.dumps({"step": step} | ({"test_top1": top1} if top1 else {})) + "\n" for step, top1 in lines)
        (training / process.TRAINING_LOG).write_text(text + '{"step": 8, "test_t')
        assert process.measured(place, point) == [0.2, 0.41, 0.6]


@pytest.mark.parametrize(
    ("processes", "n_points", "expected"), [(None, 3, (3, 2)), (None, 99, (7, 1)), (2, 3, (2, 3)), (9, 9, (9, 1))]
)
def test_the_cores_are_divided(folder, monkeypatch, processes, n_points, expected):
    monkeypatch.setattr(sweep, "n_cores", lambda: 7)
    with sweep.opened(sweep.Sweep(folder / "sweep", processes), n_points) as batch:
        assert (batch.processes, batch.place.threads) == expected


def test_a_process_has_its_threads(folder):
    run(folder, points_of(folder))
    assert {line.split()[2] for line in started(folder)} == {"1"}


def test_a_sweep_that_is_interrupted_ends_its_processes_and_goes_on(folder):
    points = points_of(folder, seeds(FINE, WAITS, 8, 9))
    threading.Thread(target=interrupt_when_started, args=(folder,), daemon=True).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(folder, points, processes=1)
    assert time.monotonic() - begun < 30
    assert not (folder / "sweep" / sweep.TABLE).exists()
    _, told = run(folder, [point for point in points if point.recipe.seed != WAITS], processes=1)
    assert told[0] == (0, True) and not any(was_there for _, was_there in told[1:])


def interrupt_when_started(folder):
    """Ctrl-C as the second point's process is at work."""
    while len(started(folder)) < 2:
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)


def test_two_sweeps_in_a_folder(folder):
    inner = {}

    def second(result: Result, was_there: bool) -> None:
        with pytest.raises(RunFolderError) as caught:
            run(folder, points_of(folder))
        inner["message"] = str(caught.value)

    points = points_of(folder, seeds(FINE))
    sweep.run(points, [None], sweep.Sweep(folder / "sweep", 1, 1), second)
    assert inner["message"] == f"{folder / 'sweep'}: another sweep is at work there (process {os.getpid()})"
    run(folder, points)  # the lock is gone with the sweep


def test_a_folder_that_cannot_be_made(folder):
    (folder / "sweep").write_text("a file")
    with pytest.raises(RunFolderError, match="sweep: cannot be used: "):
        run(folder, points_of(folder))
