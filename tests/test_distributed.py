"""Several processes that train one net: as torchrun starts them, over gloo."""

import re
import signal
import sys
from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch
from processes import losses, recipe, start_ranks, training_folder

from compress import pipeline
from compress.errors import InputError, RankLost
from compress.folder_lock import LOCK
from compress.recipe_file import load
from compress.train import distributed
from compress.train.distributed import ALONE, Process, from_environment, group

CPU = torch.device("cpu")
TWO = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.fixture
def environment(monkeypatch):
    """Sets these variables, and none of the others."""

    def set_to(**variables):
        for name in TWO:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    set_to()
    return set_to


# --- who this process is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variables", [{}, {"WORLD_SIZE": "1"}, {"WORLD_SIZE": ""}, {"RANK": "3", "LOCAL_RANK": "x"}])
def test_one_process_alone(environment, variables):
    environment(**variables)
    assert from_environment() == ALONE == Process(rank=0, world=1, local_rank=0) and ALONE.is_first


def test_a_process_of_two(environment):
    environment(**TWO)
    assert from_environment() == Process(rank=1, world=2, local_rank=1) and not from_environment().is_first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"WORLD_SIZE": "two"},
            "the environment variable WORLD_SIZE must be a whole number from 1, as torchrun sets it, got 'two'",
        ),
        ({"WORLD_SIZE": "0"}, "the environment variable WORLD_SIZE must be a whole number from 1, as torchrun sets it, got '0'"),
        ({"RANK": "-1"}, "the environment variable RANK must be a whole number from 0, as torchrun sets it, got '-1'"),
        ({"RANK": "2"}, "RANK must be from 0 to WORLD_SIZE - 1, which is 1, got 2"),
        ({"RANK": "0"}, "LOCAL_RANK must be from 0 to RANK, which is 0, got 1"),
        ({"MASTER_PORT": "65536"}, "MASTER_PORT must be from 1 to 65535, got 65536"),
        (
            {"RANK": "", "MASTER_ADDR": ""},
            "WORLD_SIZE is 2, and RANK, MASTER_ADDR not set: start the processes with torchrun, or unset WORLD_SIZE",
        ),
    ],
)
def test_an_environment_that_makes_no_sense(environment, changes, message):
    environment(**(TWO | changes))
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        from_environment()


def test_a_run_is_of_one_process(environment, tmp_path):
    """The first may run: a script that has trained a net of its own and compresses it there."""
    made = load(recipe(tmp_path, train={"iterations": 1}))
    environment(**TWO)
    with pytest.raises(InputError, match=r"^rank 1 of 2: a run is of one process; train with torchrun, then run without$"):
        pipeline.run(made, runs=tmp_path / "runs", device="cpu")
    assert not (tmp_path / "runs").exists()
    environment(**(TWO | {"RANK": "0", "LOCAL_RANK": "0"}))
    assert pipeline.run(made, runs=tmp_path / "runs", device="cpu").artifact.exists()


def test_a_process_without_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [str(pipeline.pick_device("auto", rank)) for rank in (0, 1)] == ["cuda", "cuda:1"]
    with pytest.raises(InputError, match="--device cuda: LOCAL_RANK is 2, and this machine has 2 GPUs: one process each"):
        pipeline.pick_device("auto", 2)
    assert pipeline.pick_device("cpu", 2) == CPU


# --- the group ----------------------------------------------------------------------------------------------------------


def test_alone_there_is_no_group():
    with group(ALONE, CPU):
        assert not torch.distributed.is_initialized()
    net, values = torch.nn.Linear(1, 1), torch.ones(2)
    assert ALONE.parallel(net, CPU) is net and ALONE.total(values) is values and ALONE.from_first(net) is net


def test_several_processes_cannot_share_every_device():
    with (
        pytest.raises(InputError, match=r"^--device mps: several processes train on cpu or cuda$"),
        group(Process(0, 2), torch.device("mps")),
    ):
        pass


def test_a_gpu_of_its_own_is_made_the_current_one(environment, monkeypatch):
    """Else objects go through the first GPU, whatever the rank, and nccl refuses two processes on it."""
    environment(**TWO)
    told, store = {}, SimpleNamespace(set_timeout=lambda timeout: told.update(store=timeout))
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: told.update(device=device))
    monkeypatch.setattr(torch.distributed, "rendezvous", lambda *_, timeout: iter([(store, 1, 2)]))
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend, **options: told.update(options, backend=backend))
    with group(Process(1, 2, 1), torch.device("cuda", 1)):
        pass
    patience = distributed.PATIENCE
    expected = {
        "device": torch.device("cuda", 1),
        "backend": "nccl",
        "store": store,
        "rank": 1,
        "world_size": 2,
        "timeout": patience,
    }
    assert told == expected | {"store": told["store"]} and patience > distributed.GATHER


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_never_starts_is_not_waited_for_without_end(environment, monkeypatch, rank):
    environment(**(TWO | {"RANK": str(rank), "LOCAL_RANK": "0", "MASTER_PORT": "1"}))  # a port that nothing listens at
    monkeypatch.setattr(distributed, "GATHER", timedelta(milliseconds=300))
    message = rf"^rank {rank} of 2: the processes did not come together at 127.0.0.1:1 \(MASTER_ADDR, MASTER_PORT\): one never"
    with pytest.raises(RankLost, match=message), group(from_environment(), CPU):
        pytest.fail("nobody came")
    assert not torch.distributed.is_initialized()


@pytest.fixture
def in_a_group(monkeypatch):
    """The body of a group of two, without the other one."""
    monkeypatch.setattr(distributed, "_gather", lambda process, device: None)
    return group(Process(1, 2), CPU)


def test_an_error_of_a_peer_is_told_in_a_sentence(in_a_group):
    gloo = "[/pytorch/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:51394. This is typically caused by"
    expected = (
        "rank 1 of 2: another process of this run is gone, so this one ends; the same command goes on from the last checkpoint "
        "(Connection closed by peer [127.0.0.1]:51394)"
    )
    with pytest.raises(RankLost, match=f"^{re.escape(expected)}$"), in_a_group:
        raise RuntimeError(gloo)


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("gloo"), InputError("no such folder")])
def test_other_errors_stay_what_they_are(in_a_group, error):
    with pytest.raises(type(error)) as raised, in_a_group:
        raise error
    assert raised.value is error


# --- two processes ------------------------------------------------------------------------------------------------------

needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="forks, and sends signals")
# 49 and 48 images a rank, in two micro-batches and one; in the last step of the epoch 40 and 39; 15 steps an epoch
UNEVEN = {"batch_size": 97, "micro_batch": 48}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """(recipe, folder of runs) of 20 steps in one process."""
    folder = tmp_path_factory.mktemp("alone")
    path = recipe(folder, train=UNEVEN)
    pipeline.train(load(path), runs=folder / "runs", device="cpu")
    return path, folder / "runs"


def files(runs):
    return sorted(str(path.relative_to(runs)) for path in runs.rglob("*"))


def times(folder):
    """When each file was written. Not the lock, which has the number of who came last."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != LOCK}


@needs_fork
def test_two_processes_train_as_one_does(alone, tmp_path):
    path, expected = alone
    ranks = start_ranks(tmp_path, 2, "train", path)
    (code, out, err), others = ranks[0].wait(), ranks[1].wait()
    assert (code, others) == (0, (0, "", "")), err + others[2]
    runs = tmp_path / "runs"
    assert len(losses(runs)) == 20 and losses(runs) == pytest.approx(losses(expected), abs=1e-5)
    assert files(runs) == files(expected) and out.splitlines()[-1] == f"runs/{training_folder(runs).name}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["err0.txt", "err1.txt", "out0.txt", "out1.txt", "runs"]

    before = times(training_folder(runs))
    again = [rank.wait() for rank in start_ranks(tmp_path, 2, "train", path)]
    assert [code for code, _, _ in again] == [0, 0] and "trained already" in again[0][2] and again[1][1:] == ("", "")
    assert times(training_folder(runs)) == before


@needs_fork
@pytest.mark.parametrize("lost", [0, 1])
def test_a_process_that_is_killed_ends_the_other(alone, tmp_path, lost):
    path, expected = alone
    ranks = start_ranks(tmp_path, 2, "train", path, signal_at=(lost, 10, signal.SIGKILL))
    assert ranks[lost].wait()[0] == -signal.SIGKILL
    code, out, err = ranks[1 - lost].wait(30)
    assert (code, out) == (2, "") and "internal error" not in err
    assert f"error: rank {1 - lost} of 2: another process of this run is gone" in err.splitlines()[-1]
    assert not list(tmp_path.glob("runs/*/train/finished.json"))
    if lost == 1:  # again, and on from the last checkpoint
        ends = [rank.wait() for rank in start_ranks(tmp_path, 2, "train", path)]
        assert [code for code, _, _ in ends] == [0, 0] and "goes on after step 8 of 20" in ends[0][2], ends
    else:  # and on another number of processes
        assert not pipeline.train(load(path), runs=tmp_path / "runs", device="cpu").reused
    assert losses(tmp_path / "runs") == pytest.approx(losses(expected), abs=1e-5)


@needs_fork
def test_a_signal_to_one_stops_all_with_a_checkpoint(alone, tmp_path):
    path, _ = alone
    ends = [rank.wait() for rank in start_ranks(tmp_path, 2, "train", path, signal_at=(1, 10, signal.SIGTERM))]
    assert [code for code, _, _ in ends] == [130, 130], ends
    assert all("stopped after step 11 of 20" in err and "Traceback" not in err for _, _, err in ends)
    assert (training_folder(tmp_path / "runs") / "train" / "step-000000011.json").exists()


@needs_fork
def test_processes_that_train_different_things(alone, tmp_path):
    """Another recipe, or other pictures on another machine."""
    path, _ = alone
    (code, _, first), (code_of_other, _, other) = (
        rank.wait() for rank in start_ranks(tmp_path, 2, "train", path, of_each={1: ["--set", "seed=3"]})
    )
    assert (code, code_of_other) == (2, 2)
    assert "error: rank 1: trains something else than rank 0: all need the same recipe, images, weights and teacher" in other
    assert "error: rank 0 of 2: another process of this run is gone" in first


@needs_fork
def test_what_the_first_is_refused_ends_the_others(alone, tmp_path):
    path, _ = alone
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / training_folder(alone[1]).name).touch()
    (code, _, first), (code_of_other, _, other) = (rank.wait() for rank in start_ranks(tmp_path, 2, "train", path))
    assert (code, code_of_other) == (2, 2)
    assert "cannot be used: File exists" in first and "error: rank 1 of 2: another process of this run is gone" in other
