"""Points run on a Ray cluster (Moritz et al. 2018, arXiv 1712.05889): a task a point, each by a process of its own, as here.

The cluster's machines must see the sweep's folder, the working folder and the pictures under the same paths, and have this
package; environment variables that a recipe names are sent along. Trainings are not stopped early there.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from compress.errors import InputError, MissingDependency
from compress.explore import results as tables
from compress.explore.process import LOGS, Place, Work, run_point
from compress.explore.results import Result

CONNECT_S = 10.0  # that a cluster's address has to answer
STOP_S = 40.0  # that tasks have to end what they started
SCHEME = "ray://"
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)", re.ASCII)


def results(groups: list[list[Work]], place: Place, address: str, *, n_tasks: int) -> Iterator[Result]:
    """As they come. groups: of points that follow one another. address: "auto", or ray://HOST:PORT. n_tasks: at a time.

    Raises MissingDependency without ray, InputError for a cluster that does not answer.
    """
    with _connected(address) as ray:
        task = ray.remote(num_cpus=place.threads, max_retries=0)(_run)
        waiting = [list(group) for group in groups]
        running: dict[Any, list[Work]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < n_tasks:
                    group = waiting.pop(0)
                    running[task.remote(group[0], _sent(place, group[0]))] = group
                [done], _ = ray.wait(list(running), num_returns=1)
                group = running.pop(done)
                yield _result(ray, done, group[0])
                if group[1:]:
                    waiting.insert(0, group[1:])
        finally:
            for reference in running:
                ray.cancel(reference)
            if running:
                ray.wait(list(running), num_returns=len(running), timeout=STOP_S)


def _run(work: Work, place: Place) -> Result:
    """On a machine of the cluster."""
    if not (place.folder / LOGS).is_dir():
        return tables.of_failure(*work, f"{socket.gethostname()}: has no {place.folder}: all machines must see it", 0.0)
    return run_point(work, place)


def _result(ray: Any, reference: Any, work: Work) -> Result:
    try:
        found = ray.get(reference)
    except (ray.exceptions.RayError, OSError) as error:  # a machine that died, a task that was killed
        return tables.of_failure(*work, f"on Ray: {str(error).strip().splitlines()[-1]}", 0.0)
    assert isinstance(found, Result)
    return found


def _sent(place: Place, work: Work) -> Place:
    """The place with whole paths, and the variables that the recipe's paths need."""
    names = _VARIABLE.findall(json.dumps(work[0].recipe.model_dump(mode="json", exclude_defaults=True)))
    variables = {name: os.environ[name] for name in names if name in os.environ}
    return replace(place, folder=place.folder.absolute(), working=Path.cwd(), variables=variables)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingDependency("--on ray needs ray: pip install 'squeeze-compress[ray]'") from error
    if address != "auto":
        _check_answers(address)
    where = {"include_dashboard": False} if address == "auto" else {"address": address}
    with _own_sigterm():
        try:
            ray.init(log_to_driver=False, configure_logging=False, **where)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(f"--on {address}: {str(error).splitlines()[0]}") from error
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
