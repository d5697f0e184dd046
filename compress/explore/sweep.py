"""All points of a space, each run by a process of its own, some at a time: a point that fails, or whose process dies, is a row
with its error and stops nothing.

FOLDER/points/DIGEST.json has what came of each, by its recipe and the files that it names. A sweep that is stopped, or whose
space was changed, goes on after those that are done, whatever device they ran on; failed ones are run again. FOLDER/runs has the
runs, FOLDER/logs what each printed. One sweep at a time works in a folder.
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from compress.atomic import write_atomically
from compress.checkpoint import key_of
from compress.cores import n_cores
from compress.errors import InputError, RunFolderError
from compress.explore import inputs
from compress.explore import results as tables
from compress.explore.process import LOGS, RUNS, IsHopeless, Place, Work, run_point, stop
from compress.explore.results import Result
from compress.explore.space import Point
from compress.folder_lock import empty, locked
from compress.models.describe import NetFacts

POINTS, TABLE = "points", "results.csv"
NOT_TRAINED = ("svd", "prune", "quantize", "rate", "encode", "target")  # sections that change nothing of what is trained

OnResult = Callable[[Result, bool], None]  # a point's result, and whether it was there before


@dataclass(frozen=True)
class Sweep:
    """folder: made if missing. processes: at a time; None: as many as there are cores. threads: of each; None: the cores,
    divided. device: as of `run`. fresh: forget what is done, and what was trained. ray: the address of a Ray cluster, where
    points are to be run there; "auto" for one of this machine. None: by processes of this one."""

    folder: Path
    processes: int | None = None
    threads: int | None = None
    device: str = "auto"
    fresh: bool = False
    ray: str | None = None


def run(points: Sequence[Point], nets: Sequence[NetFacts | None], sweep: Sweep, on_result: OnResult) -> list[Result]:
    """The results of all points, in order. nets: the description of each point's net, where it has one.

    Raises as `opened` does; KeyboardInterrupt, after every process has ended.
    """
    with opened(sweep, len(points)) as batch:
        found = batch.run(points, nets, on_result)
        batch.write_table(found)
    return found


@dataclass(frozen=True, eq=False)
class Batch:
    """A sweep's folder while it is ours, for points that come in several batches. processes: at a time. lock: kept open by every
    process, so that one that outlives the sweep still holds the folder. ray: the module, connected."""

    folder: Path
    place: Place
    processes: int
    lock: IO[bytes]
    ray: Any = None

    def run(
        self,
        points: Sequence[Point],
        nets: Sequence[NetFacts | None],
        on_result: OnResult,
        *,
        is_hopeless: IsHopeless | None = None,
    ) -> list[Result]:
        """The results of these points, in order. is_hopeless: without one, no training is stopped, and one that was is gone on
        with."""
        folder = self.folder / POINTS
        found: dict[int, Result] = {}
        waiting = []
        for point, net in zip(points, nets, strict=True):
            before = tables.read(folder, point)
            if before is not None and not before.error and (is_hopeless is not None or not before.stopped):
                found[point.index] = before
                on_result(before, True)
            else:
                waiting.append((point, net))
        inputs_of = {point.index: inputs.digest(point.recipe) for point, _ in waiting}
        for came in self._results(_groups(waiting), is_hopeless):
            result = found[came.index] = replace(came, inputs=inputs_of[came.index])
            tables.write(folder, result)
            on_result(result, False)
        return [found[point.index] for point in points]

    def _results(self, groups: list[list[Work]], is_hopeless: IsHopeless | None) -> Iterator[Result]:
        """As they come."""
        if self.ray is None:
            return _Workers(self.place, self.processes, self.lock, is_hopeless).results(groups)
        from compress.explore import on_ray

        return on_ray.results(self.ray, groups, self.place, self.processes, is_hopeless)

    def write_table(self, results: Sequence[Result]) -> None:
        write_atomically(self.folder / TABLE, tables.table(results).encode())


@contextlib.contextmanager
def opened(sweep: Sweep, n_points: int) -> Iterator[Batch]:
    """n_points: how many can be at work at a time, at most.

    Raises RunFolderError for a folder that cannot be used, or that another sweep is at work in; of a Ray cluster,
    MissingDependency and InputError.
    """
    with locked(sweep.folder, "sweep") as lock, contextlib.ExitStack() as held:
        ray, total, most = None, n_cores(), n_cores()
        if sweep.ray is not None:
            from compress.explore import on_ray  # costs a ray

            ray = held.enter_context(on_ray.connected(sweep.ray))
            total, most = on_ray.cores(ray)
        processes = sweep.processes or max(1, min(total, n_points))
        threads = sweep.threads or max(1, min(total // processes, most))
        if ray is not None and threads > most:
            raise InputError(f"--on {sweep.ray}: {threads} cores for a point, and no machine there has more than {most}")
        _make_folders(sweep.folder, fresh=sweep.fresh)
        yield Batch(sweep.folder, Place(sweep.folder, threads, sweep.device), processes, lock, ray)


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
    """Threads that start a process a point and wait for it."""

    place: Place
    processes: int
    lock: IO[bytes]
    is_hopeless: IsHopeless | None
    stopped: threading.Event = field(default_factory=threading.Event)
    running: set[subprocess.Popen[bytes]] = field(default_factory=set)

    def results(self, groups: Sequence[list[Work]]) -> Iterator[Result]:
        """As they come."""
        tasks: queue.SimpleQueue[list[Work]] = queue.SimpleQueue()
        for group in groups:
            tasks.put(group)
        done: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()
        threads = [threading.Thread(target=self._work, args=(tasks, done), daemon=True) for _ in range(self.processes)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(sum(map(len, groups))):
                found = done.get()
                if isinstance(found, BaseException):
                    raise found
                yield found
        finally:
            self.stopped.set()
            stop(list(self.running))
            for thread in threads:
                thread.join()

    def _work(self, tasks: queue.SimpleQueue[list[Work]], done: queue.SimpleQueue[Result | BaseException]) -> None:
        try:
            while not self.stopped.is_set():
                for work in tasks.get_nowait():
                    if self.stopped.is_set():
                        return
                    done.put(self._run(work))
        except queue.Empty:
            return
        except BaseException as error:  # raised again where the results are waited for
            done.put(error)

    def _run(self, work: Work) -> Result:
        def started(process: subprocess.Popen[bytes]) -> None:
            self.running.add(process)
            if self.stopped.is_set():
                process.terminate()

        return run_point(work, self.place, keep_open=(self.lock.fileno(),), started=started, is_hopeless=self.is_hopeless)


def _make_folders(folder: Path, *, fresh: bool) -> None:
    """fresh: forget all at once, so that a sweep which is then stopped does not go on with old results, and no point is taken as
    finished."""
    try:
        if fresh:
            empty(folder)
        for name in (POINTS, RUNS, LOGS):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be used: {error.strerror or error}") from error
