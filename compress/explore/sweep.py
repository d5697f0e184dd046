"""All points of a space, each run by a process of its own, some at a time: a point that fails, or whose process dies, is a row
with its error and stops nothing.

FOLDER/points/DIGEST.json has what came of each, by its recipe. A sweep that is stopped, or whose space was changed, goes on after
those that are done; failed ones are run again. FOLDER/runs has the runs, FOLDER/logs what each printed. One sweep at a time works
in a folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from compress.atomic import write_atomically
from compress.checkpoint import key_of
from compress.errors import RunFolderError
from compress.explore import results as tables
from compress.explore.results import Result
from compress.explore.space import Point
from compress.file_lock import try_lock
from compress.models.describe import NetFacts

LOCK, POINTS, RUNS, LOGS, TABLE = "lock", "points", "runs", "logs", "results.csv"
NOT_TRAINED = ("prune", "quantize", "rate", "encode", "target")  # sections that change nothing of what is trained
POLL_S = 0.5  # between two looks at what a process has printed
STOP_S = 30.0  # that a process has to write its checkpoint after SIGTERM

_MEASURED = re.compile(r"^epoch \d+: .*data\.test: .*top-1 (\d+(?:\.\d+)?)%", re.MULTILINE)

OnResult = Callable[[Result, bool], None]  # a point's result, and whether it was there before
# Asked after each measurement of a training, with the top-1 of all so far: words where the training is to be stopped.
IsHopeless = Callable[[Point, list[float]], str]


@dataclass(frozen=True)
class Sweep:
    """folder: made if missing. processes: at a time. threads: of each. device: as of `run`. fresh: forget what is done."""

    folder: Path
    processes: int
    threads: int
    device: str = "auto"
    fresh: bool = False


def run(points: Sequence[Point], nets: Sequence[NetFacts | None], sweep: Sweep, on_result: OnResult) -> list[Result]:
    """The results of all points, in order. nets: the description of each point's net, where it has one.

    Raises as `opened` does; KeyboardInterrupt, after every process has ended.
    """
    with opened(sweep) as batch:
        found = batch.run(points, nets, on_result)
        batch.write_table(found)
    return found


@dataclass(frozen=True, eq=False)
class Batch:
    """A sweep's folder while it is ours, for points that come in several batches."""

    sweep: Sweep
    lock: IO[bytes]

    def run(
        self,
        points: Sequence[Point],
        nets: Sequence[NetFacts | None],
        on_result: OnResult,
        *,
        is_hopeless: IsHopeless = lambda point, top1: "",
    ) -> list[Result]:
        """The results of these points, in order."""
        folder = self.sweep.folder / POINTS
        found: dict[int, Result] = {}
        waiting = []
        for point, net in zip(points, nets, strict=True):
            before = tables.read(folder, point) if not self.sweep.fresh else None
            if before is not None and not before.error:
                found[point.index] = before
                on_result(before, True)
            else:
                waiting.append((point, net))
        for result in _Workers(self.sweep, self.lock, is_hopeless).results(_groups(waiting)):
            found[result.index] = result
            tables.write(folder, result)
            on_result(result, False)
        return [found[point.index] for point in points]

    def write_table(self, results: Sequence[Result]) -> None:
        write_atomically(self.sweep.folder / TABLE, tables.table(results).encode())


@contextlib.contextmanager
def opened(sweep: Sweep) -> Iterator[Batch]:
    """Raises RunFolderError for a folder that cannot be used, or that another sweep is at work in."""
    with _locked(sweep.folder) as lock:
        _make_folders(sweep.folder)
        yield Batch(sweep, lock)


Work = tuple[Point, NetFacts | None]


def _groups(waiting: Sequence[Work]) -> list[list[Work]]:
    """Points that train the same net follow one another in one process after another: the first trains it, the others take it."""
    groups: dict[str, list[Work]] = {}
    for work in waiting:
        recipe = work[0].recipe
        trained = recipe.model_dump(mode="json", exclude=set(NOT_TRAINED)) if recipe.train is not None else work[0].index
        groups.setdefault(key_of(trained), []).append(work)
    return list(groups.values())


@dataclass(eq=False)
class _Workers:
    """Threads that start a process a point and wait for it. lock: kept open by every process, so that one that outlives the
    sweep still holds the folder."""

    sweep: Sweep
    lock: IO[bytes]
    is_hopeless: IsHopeless
    stopped: threading.Event = field(default_factory=threading.Event)
    running: set[subprocess.Popen[bytes]] = field(default_factory=set)

    def results(self, groups: Sequence[list[Work]]) -> Iterator[Result]:
        """As they come."""
        tasks: queue.SimpleQueue[list[Work]] = queue.SimpleQueue()
        for group in groups:
            tasks.put(group)
        done: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()
        threads = [threading.Thread(target=self._work, args=(tasks, done), daemon=True) for _ in range(self.sweep.processes)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(sum(map(len, groups))):
                found = done.get()
                if isinstance(found, BaseException):
                    raise found
                yield found
        finally:
            self._stop()
            for thread in threads:
                thread.join()

    def _work(self, tasks: queue.SimpleQueue[list[Work]], done: queue.SimpleQueue[Result | BaseException]) -> None:
        try:
            while not self.stopped.is_set():
                for point, net in tasks.get_nowait():
                    if self.stopped.is_set():
                        return
                    done.put(self._run(point, net))
        except queue.Empty:
            return
        except BaseException as error:  # raised again where the results are waited for
            done.put(error)

    def _run(self, point: Point, net: NetFacts | None) -> Result:
        folder, started = self.sweep.folder, time.monotonic()
        recipe, printed = folder / LOGS / f"{point.index:05d}.json", folder / LOGS / f"{point.index:05d}.out"
        fields = point.recipe.model_dump(mode="json", exclude_defaults=True)
        write_atomically(recipe, json.dumps(fields, indent=1).encode())
        with self._log(point).open("wb") as log, printed.open("wb") as out:
            process = subprocess.Popen(
                _command(recipe, self.sweep),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env=os.environ | {name: str(self.sweep.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")},
                pass_fds=(self.lock.fileno(),) if os.name == "posix" else (),
            )
            self.running.add(process)
            if self.stopped.is_set():
                process.terminate()
            hopeless = self._watch(process, point)
            self.running.discard(process)
        seconds = time.monotonic() - started
        if hopeless:
            return tables.of_stopped(point, net, hopeless, seconds, measured(self._log(point)))
        if process.returncode in (0, 1):
            with contextlib.suppress(ValueError, LookupError, TypeError):
                told = json.loads(printed.read_bytes())
                return tables.of_run(point, net, told, seconds, measured(self._log(point)))
        return tables.of_failure(point, net, _why(self._log(point), process.returncode), seconds)

    def _log(self, point: Point) -> Path:
        return self.sweep.folder / LOGS / f"{point.index:05d}.txt"

    def _watch(self, process: subprocess.Popen[bytes], point: Point) -> str:
        """Until a process has ended. Returns why it was told to, empty where it ended by itself."""
        log, n_seen, why = self._log(point), 0, ""
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(POLL_S)
                return why
            top1 = measured(log)
            if len(top1) > n_seen and not why:
                n_seen = len(top1)
                if why := self.is_hopeless(point, top1):
                    process.terminate()

    def _stop(self) -> None:
        """Every process writes its checkpoint and ends, or is killed."""
        self.stopped.set()
        for process in list(self.running):
            process.terminate()
        deadline = time.monotonic() + STOP_S
        for process in list(self.running):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            process.kill()


def _command(recipe: Path, sweep: Sweep) -> list[str]:
    run_one = [sys.executable, "-m", "compress", "run", str(recipe), "--runs", str(sweep.folder / RUNS), "--json"]
    return [*run_one, "--device", sweep.device]


def measured(log: Path) -> list[float]:
    """The top-1 (shares) of each measurement that a training has printed so far, on data.test."""
    text = log.read_text(encoding="utf-8", errors="replace")
    return [float(percent) / 100 for percent in _MEASURED.findall(text)]


def _why(log: Path, returncode: int) -> str:
    """The last error that a process told, or how it ended."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    told = next((i for i in range(len(lines) - 1, -1, -1) if lines[i].startswith("error: ")), None)
    if told is not None:
        return " ".join(line.strip() for line in lines[told:]).removeprefix("error: ")
    ended = f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
    return f"its process ended with {ended}; {log} has what it printed"


def _make_folders(folder: Path) -> None:
    try:
        for name in (POINTS, RUNS, LOGS):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be used: {error.strerror or error}") from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[IO[bytes]]:
    """Raises RunFolderError while another sweep, or a process that it started, is at work there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("a+b")
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be used: {error.strerror or error}") from error
    with lock:
        if not try_lock(lock):
            lock.seek(0)
            raise RunFolderError(f"{folder}: another sweep is at work there (process {lock.read(20).decode(errors='replace')})")
        lock.truncate(0)
        lock.write(str(os.getpid()).encode())
        lock.flush()
        yield lock
