"""`python -m compress ...` in processes of its own, also several that torchrun would start. What they import is imported once, by
the server that forks them, so that one takes half a second to start and not five."""

from __future__ import annotations

import json
import multiprocessing
import os
import runpy
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START = multiprocessing.get_context("forkserver" if sys.platform != "win32" else "spawn")
PRELOADED = ["compress.pipeline", "compress.recipe_file", "compress.display.progress", "torch.nn.parallel.distributed"]
TINY = {
    "name": "tiny",
    "model": {
        "classes": 10,
        "in_channels": 1,
        "dropout": 0.0,
        "base_e": 8,
        "incr_e": 8,
        "freq": 1,
        "squeeze_ratio": 0.5,
        "n_fires": 2,
        "conv1_channels": 8,
        "conv1_stride": 1,
        "conv10_relu": False,
        "pool_after": [1],
    },
    "weights": "scratch",
    "data": {"tune": "digits", "test": "digits"},
    "train": {"iterations": 20, "batch_size": 97, "optimizer": "sgd", "learning_rate": 0.1, "checkpoint_every": 4},
}


@dataclass
class Started:
    process: Any
    out: Path
    err: Path

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    def wait(self, seconds: float = 60) -> tuple[int, str, str]:
        """(exit code, stdout, stderr). A process that does not end is killed, and fails the test."""
        self.process.join(seconds)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            self.process.join()
        assert code is not None, f"it hangs: {self.err.read_text()}"
        return code, self.out.read_text(), self.err.read_text()


def recipe(folder: Path, **changes: Any) -> Path:
    """The tiny recipe as a file. changes: of sections, whole ones but for `train`, whose fields are changed."""
    fields = TINY | changes | {"train": TINY["train"] | changes.get("train", {})}
    path = folder / f"{fields['name']}.json"
    path.write_text(json.dumps(fields))
    return path


def start(
    folder: Path, *arguments: object, name: str = "", signal_at: tuple[int, int] | None = None, **environment: str
) -> Started:
    """`python -m compress ARGUMENTS` in a folder. name: of its output. signal_at: (step, signal), which it sends itself after a
    step of training."""
    os.environ["OMP_NUM_THREADS"] = "1"  # for the server, which starts with the first process
    START.set_forkserver_preload(PRELOADED)
    out, err = folder / f"out{name}.txt", folder / f"err{name}.txt"
    made = START.Process(target=_main, args=(folder, list(map(str, arguments)), environment, out, err, signal_at))
    made.start()
    return Started(made, out, err)


def start_ranks(
    folder: Path,
    n_ranks: int,
    *arguments: object,
    of_each: dict[int, list[str]] | None = None,
    signal_at: tuple[int, int, int] | None = None,
) -> list[Started]:
    """As torchrun starts them. of_each: more arguments of a rank. signal_at: (rank, step, signal)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"WORLD_SIZE": str(n_ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        start(
            folder,
            *arguments,
            *(of_each or {}).get(rank, []),
            name=str(rank),
            signal_at=signal_at[1:] if signal_at is not None and signal_at[0] == rank else None,
            **common,
            RANK=str(rank),
            LOCAL_RANK=str(rank),
        )
        for rank in range(n_ranks)
    ]


def wait_for(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.01)


def training_folder(runs: Path) -> Path:
    """The only one."""
    [folder] = runs.glob("*-train-*")
    return folder


def losses(runs: Path) -> dict[int, float]:
    """By step; of one that was done twice, the last."""
    lines = (training_folder(runs) / "train" / "log.jsonl").read_text().splitlines()
    return {entry["step"]: entry["loss"] for entry in map(json.loads, lines) if "loss" in entry}


def _main(
    folder: Path, arguments: list[str], environment: dict[str, str], out: Path, err: Path, signal_at: tuple[int, int] | None
) -> None:
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal_at is not None:
        _signal_itself(*signal_at)
    sys.argv = ["compress", *arguments]
    runpy.run_module("compress", run_name="__main__")


def _signal_itself(at: int, number: int) -> None:
    from compress.pipeline import StageReporter

    told = StageReporter.step

    def step(self: StageReporter, step: int, *rest: Any) -> None:
        told(self, step, *rest)
        if step == at:
            os.kill(os.getpid(), number)

    StageReporter.step = step  # type: ignore[method-assign]
