"""Points run on a Ray cluster (Moritz et al. 2018, arXiv 1712.05889): a task a point, each by a process of its own, as here.

The cluster's machines must see the sweep's folder, the working folder and the pictures under the same paths, and have this
package; environment variables that a recipe names are sent along.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from compress.errors import InputError, MissingDependency
from compress.explore import results as tables
from compress.explore.process import LOGS, POLL_S, IsHopeless, Place, Watch, Work, run_point
from compress.explore.results import Result

CONNECT_S = 4.0  # that a cluster's address has to answer, to us and to each of Ray's three tries
STOP_S = 40.0  # that tasks have to end what they started
SCHEME = "ray://"
SETTINGS = {  # of Ray, where the user has no others
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CLIENT_INITIAL_CONNECTION_TIMEOUT_S": f"{CONNECT_S:.0f}",
    "RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S": f"{CONNECT_S:.0f}",
}
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)", re.ASCII)


@dataclass(eq=False)
class _Task:
    """A point at work. group: with those that follow it. watch: judges its training, by the log in the folder that all see."""

    group: list[Work]
    watch: Watch
    begun: float = field(default_factory=time.monotonic)


def results(ray: Any, groups: list[list[Work]], place: Place, n_tasks: int, is_hopeless: IsHopeless | None) -> Iterator[Result]:
    """As they come. ray: connected. groups: of points that follow one another. n_tasks: at a time."""
    run = ray.remote(num_cpus=place.threads, max_retries=0)(_run)
    waiting = [list(group) for group in groups]
    running: dict[Any, _Task] = {}
    try:
        while waiting or running:
            while waiting and len(running) < n_tasks:
                group = waiting.pop(0)
                running[run.remote(group[0], _sent(place, group[0]))] = _Task(group, Watch(group[0][0], place, is_hopeless))
            for done in _wait(ray, running):
                task = running.pop(done)
                yield _result(ray, done, task)
                if task.group[1:]:
                    waiting.insert(0, task.group[1:])
    finally:
        for reference in running:
            ray.cancel(reference)
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=STOP_S)


def _wait(ray: Any, running: Mapping[Any, _Task]) -> list[Any]:
    """The tasks that have ended, after some time at most. Those whose training is to be stopped are."""
    done, at_work = ray.wait(list(running), num_returns=1, timeout=POLL_S)
    for reference in at_work:
        task = running[reference]
        if not task.watch.why and task.watch.look():
            ray.cancel(reference)
    return list(done)


def _run(work: Work, place: Place) -> Result:
    """On a machine of the cluster."""
    if not (place.folder / LOGS).is_dir():
        return tables.of_failure(*work, f"{socket.gethostname()}: has no {place.folder}: all machines must see it", 0.0)
    return run_point(work, place)


def _result(ray: Any, reference: Any, task: _Task) -> Result:
    work = task.group[0]
    try:
        found = ray.get(reference)
    except (ray.exceptions.RayError, OSError) as error:  # a machine that died, a task that was killed, or stopped by us
        if task.watch.why:
            return task.watch.stopped(work[1], time.monotonic() - task.begun)
        return tables.of_failure(*work, f"on Ray: {str(error).strip().splitlines()[-1]}", 0.0)
    assert isinstance(found, Result)
    return task.watch.stopped(work[1], found.seconds) if task.watch.look() else found


def _sent(place: Place, work: Work) -> Place:
    """The place with whole paths, and the variables that the recipe's paths need."""
    names = _VARIABLE.findall(json.dumps(work[0].recipe.model_dump(mode="json", exclude_defaults=True)))
    variables = {name: os.environ[name] for name in names if name in os.environ}
    return replace(place, folder=place.folder.absolute(), working=Path.cwd(), variables=variables)


def cores(ray: Any) -> tuple[int, int]:
    """Of the whole cluster, and of the machine that has most."""
    found = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    return sum(found), max(found, default=0)


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """The module. address: "auto", or ray://HOST:PORT. Raises MissingDependency without ray, InputError for a cluster that does
    not answer."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingDependency("--on ray needs ray: pip install 'squeeze-compress[ray]'") from error
    if address != "auto":
        _check_answers(address)
    where = {"include_dashboard": False} if address == "auto" else {"address": address}
    with _own_sigterm(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Ray Client connection timed out")  # we say so
        try:
            ray.init(log_to_driver=False, configure_logging=False, **where)
        except (ConnectionError, ImportError, RuntimeError, ValueError) as error:
            token = "" if address == "auto" else "; a cluster that wants Ray's token needs RAY_AUTH_MODE=token here"
            raise InputError(f"--on {address}: {str(error).splitlines()[0]}{token}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Ray puts a handler of its own in place of ours, which ends the sweep as Ctrl-C does, and leaves it there."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _check_answers(address: str) -> None:
    """Before Ray tries, which it does for minutes."""
    host, colon, port = address.removeprefix(SCHEME).rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise InputError(f"--on {address}: must be ray, or ray://HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except OSError as error:
        raise InputError(f"--on {address}: does not answer: {error.strerror or error}") from error
