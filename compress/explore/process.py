"""One point, by a process of its own: `squeeze-compress run`, with its log and what came of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from compress.atomic import write_atomically
from compress.explore import results
from compress.explore.results import Result
from compress.explore.space import Point
from compress.models.describe import NetFacts

RUNS, LOGS = "runs", "logs"  # in a sweep's folder
TRAINING_LOG = Path("train", "log.jsonl")  # in a training's
POLL_S = 0.5  # between two looks at what a process has printed
STOP_S = 30.0  # that a process has to write its checkpoint after SIGTERM
_TRAINING = re.compile(r"^(?:training in (.+)|(.+): trained already)$", re.MULTILINE)  # what `run` says of its training's folder

# Asked after each measurement of a training, with the top-1 of all so far: words where the training is to be stopped.
IsHopeless = Callable[[Point, list[float]], str]
Started = Callable[[subprocess.Popen[bytes]], None]
Work = tuple[Point, NetFacts | None]


@dataclass(frozen=True)
class Place:
    """Where and how points are run. folder: of the sweep. threads: of a process. device: as of `run`. working: what relative
    paths of a recipe are from. variables: of the environment, beside those that are there."""

    folder: Path
    threads: int
    device: str
    working: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    def log(self, point: Point) -> Path:
        return self._file(point, "txt")

    def recipe(self, point: Point) -> Path:
        return self._file(point, "yaml")

    def printed(self, point: Point) -> Path:
        return self._file(point, "out")

    def _file(self, point: Point, suffix: str) -> Path:
        return self.folder / LOGS / f"{point.index:05d}.{suffix}"


def run_point(
    work: Work,
    place: Place,
    *,
    keep_open: tuple[int, ...] = (),
    started: Started = lambda process: None,
    is_hopeless: IsHopeless = lambda point, top1: "",
) -> Result:
    """What came of a point, whatever that is. keep_open: descriptors that the process gets. started: called with it. Raises
    OSError where the sweep's folder cannot be written."""
    point, net = work
    begun = time.monotonic()
    fields = point.recipe.model_dump(mode="json", exclude_defaults=True)
    write_atomically(place.recipe(point), yaml.safe_dump(fields, sort_keys=False, allow_unicode=True).encode())
    with place.log(point).open("wb") as log, place.printed(point).open("wb") as out:
        process = subprocess.Popen(
            command(place.recipe(point), place),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=log,
            cwd=place.working,
            env=_environment(place),
            pass_fds=keep_open if os.name == "posix" else (),
        )
        try:
            started(process)
            hopeless = _watch(process, point, place, is_hopeless)
        except BaseException:
            stop([process])
            raise
    seconds, top1 = time.monotonic() - begun, measured(place, point)
    if hopeless is not None:
        return results.of_stopped(point, net, hopeless.why, seconds, top1[: hopeless.n_measured])
    if process.returncode in (0, 1):
        with contextlib.suppress(ValueError, LookupError, TypeError):
            return results.of_run(point, net, json.loads(place.printed(point).read_bytes()), seconds, top1)
    return results.of_failure(point, net, _why(place.log(point), process.returncode), seconds)


def command(recipe: Path, place: Place) -> list[str]:
    run_one = [sys.executable, "-m", "compress", "run", str(recipe), "--runs", str(place.folder / RUNS), "--json"]
    return [*run_one, "--device", place.device]


def _environment(place: Place) -> dict[str, str]:
    threads = {name: str(place.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return {**os.environ, **place.variables, **threads}


@dataclass(frozen=True)
class Hopeless:
    """Of a training that was to be stopped: why, after how many measurements."""

    why: str
    n_measured: int


def _watch(process: subprocess.Popen[bytes], point: Point, place: Place, is_hopeless: IsHopeless) -> Hopeless | None:
    """Until a process has ended. Every measurement is judged, in order, also of a training that was quicker than we look, or
    that was there before: what comes of a search does not depend on that."""
    n_judged, hopeless, ended = 0, None, False
    while not ended:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S)
            ended = True
        top1 = measured(place, point)
        while hopeless is None and n_judged < len(top1):
            n_judged += 1
            if why := is_hopeless(point, top1[:n_judged]):
                hopeless = Hopeless(why, n_judged)
                process.terminate()
    return hopeless


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """Every process writes its checkpoint and ends, or is killed."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_S
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        process.kill()


def measured(place: Place, point: Point) -> list[float]:
    """The top-1 (shares) of each measurement of a point's training so far, on data.test, from the training's own log."""
    told = _TRAINING.findall(place.log(point).read_text(encoding="utf-8", errors="replace"))
    if not told:
        return []
    log = (place.working or Path()) / "".join(told[-1]) / TRAINING_LOG
    found = []
    with contextlib.suppress(FileNotFoundError):
        for line in log.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):  # the last line may be half written
                if (share := json.loads(line).get("test_top1")) is not None:
                    found.append(float(share))
    return found


def _why(log: Path, returncode: int) -> str:
    """The last error that a process told, or how it ended."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    told = next((i for i in range(len(lines) - 1, -1, -1) if lines[i].startswith("error: ")), None)
    if told is not None:
        return " ".join(line.strip() for line in lines[told:]).removeprefix("error: ")
    ended = f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
    return f"its process ended with {ended}; {log} has what it printed"
