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
    is_hopeless: IsHopeless | None = None,
) -> Result:
    """What came of a point, whatever that is. keep_open: descriptors that the process gets. started: called with it. is_hopeless:
    None for a training that is never stopped. Raises OSError where the sweep's folder cannot be written."""
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
            watch = Watch(point, place, is_hopeless)
            while not _has_ended(process):
                if watch.look():
                    process.terminate()
                    process.wait()
        except BaseException:
            stop([process])
            raise
    seconds = time.monotonic() - begun
    if watch.look():
        return watch.stopped(net, seconds)
    if process.returncode in (0, 1):
        top1 = measured(place, point)
        with contextlib.suppress(ValueError, LookupError, TypeError):
            return results.of_run(point, net, json.loads(place.printed(point).read_bytes()), seconds, top1)
    return results.of_failure(point, net, _why(place.log(point), process.returncode), seconds)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """After some time, or at once when it ends."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(POLL_S)
    return process.poll() is not None


def command(recipe: Path, place: Place) -> list[str]:
    run_one = [sys.executable, "-m", "compress", "run", str(recipe), "--runs", str(place.folder / RUNS), "--json"]
    return [*run_one, "--device", place.device]


def _environment(place: Place) -> dict[str, str]:
    threads = {name: str(place.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return {**os.environ, **place.variables, **threads}


@dataclass(eq=False)
class Watch:
    """Judges every measurement of a training, in order, also of one that was quicker than we look, or that was there before: what
    comes of a search does not depend on that."""

    point: Point
    place: Place
    is_hopeless: IsHopeless | None
    top1: list[float] = field(default_factory=list)  # judged so far
    why: str = ""

    def look(self) -> bool:
        """Whether the training is to be stopped, or was to be."""
        if self.is_hopeless is not None and not self.why:
            for share in measured(self.place, self.point)[len(self.top1) :]:
                self.top1.append(share)
                if why := self.is_hopeless(self.point, list(self.top1)):
                    self.why = why
                    break
        return bool(self.why)

    def stopped(self, net: NetFacts | None, seconds: float) -> Result:
        return results.of_stopped(self.point, net, self.why, seconds, self.top1)


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
    """The top-1 (shares) of each measurement of a point's training so far, on data.test, from the training's own log. What stands
    there of steps that a resumed training took again does not count."""
    try:
        told = _TRAINING.findall(place.log(point).read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return []
    if not told:
        return []
    log = (place.working or Path()) / "".join(told[-1]) / TRAINING_LOG
    found: list[tuple[int, float]] = []
    with contextlib.suppress(FileNotFoundError):
        for line in log.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, LookupError, TypeError):  # the last line may be half written
                facts = json.loads(line)
                while found and found[-1][0] >= facts["step"]:
                    found.pop()
                if facts.get("test_top1") is not None:
                    found.append((facts["step"], float(facts["test_top1"])))
    return [share for _, share in found]


def _why(log: Path, returncode: int) -> str:
    """The last error that a process told, or how it ended."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    told = next((i for i in range(len(lines) - 1, -1, -1) if lines[i].startswith("error: ")), None)
    if told is not None:
        return " ".join(line.strip() for line in lines[told:]).removeprefix("error: ")
    ended = f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
    return f"its process ended with {ended}; {log} has what it printed"
