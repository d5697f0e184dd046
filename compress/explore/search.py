"""Points chosen as results come, by Optuna (Akiba et al. 2019, arXiv 1907.10902): for the highest top-1, or for few bytes and a
high top-1 both.

As many points as there are processes are chosen at a time, and told when all of them are done: so the points depend on the
seed and on that number, not on which process was faster. FOLDER/search.json keeps the number: a search that is stopped goes on
with the same points, by however many processes, and what another search has stopped is not taken for this one's.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.atomic import write_atomically
from compress.errors import MissingDependency, SpaceError
from compress.explore import sweep as sweeps
from compress.explore.cost import nets_of
from compress.explore.results import Result, forget_stopped
from compress.explore.space import Fields, Point, Points, Range, Search, Space, label_of, samples, where
from compress.models.describe import NetFacts

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

FILE = "search.json"  # in a sweep's folder
N_FIRST = 4  # trials that are drawn at random, and that no training is stopped before


def run(space: Space, path: Path, sweep: sweeps.Sweep, on_result: sweeps.OnResult) -> list[Result]:
    """The results of all trials, in order. path: of the space's file.

    Raises MissingDependency without optuna, SpaceError where one of the space's samples is no recipe; see sweep.run for others.
    A later trial that is none is a row with its error.
    """
    assert space.search is not None
    search, make = space.search, Points(space, path)
    nets_of(samples(space, path), path)
    found: list[Result] = []
    with _quiet() as optuna, sweeps.opened(sweep, search.trials) as batch:
        study = _study(optuna, search)
        n_together = _together(batch, search)
        while len(found) < search.trials:
            asked = [study.ask() for _ in range(min(n_together, search.trials - len(found)))]
            tried = [_tried(trial, make, len(found) + i, _fields(trial, search), path) for i, trial in enumerate(asked)]
            judge = _Judge({each.point.recipe.digest(): each.trial for each in tried if each.point is not None})
            for each, result in zip(tried, _results(batch, tried, search, judge, on_result), strict=True):
                found.append(result)
                judge.report(each.trial, result.measured_top1)
                _tell(optuna, study, each.trial, result, search)
        batch.write_table(found)
    return found


@dataclass(frozen=True)
class _Tried:
    """What a trial asks for. refused: why it is no recipe, where there is no point."""

    trial: Trial
    index: int
    fields: Fields
    point: Point | None = None
    net: NetFacts | None = None
    refused: str = ""


def _tried(trial: Trial, make: Points, index: int, fields: Fields, path: Path) -> _Tried:
    try:
        point = make.point(index, fields)
        [net] = nets_of([point], path)
    except SpaceError as error:
        return _Tried(trial, index, fields, refused=str(error).removeprefix(f"{path}: {where(index, fields)}: "))
    return _Tried(trial, index, fields, point, net)


def _results(
    batch: sweeps.Batch, tried: Sequence[_Tried], search: Search, judge: _Judge, on_result: sweeps.OnResult
) -> Iterator[Result]:
    """Of each trial. Two that are the same point are run once."""
    works = {each.point.recipe.digest(): (each.point, each.net) for each in tried if each.point is not None}
    points, nets = [point for point, _ in works.values()], [net for _, net in works.values()]
    is_hopeless = judge if search.objective == "top1" else None  # two objectives have no median
    done = {result.recipe_sha256: result for result in batch.run(points, nets, on_result, is_hopeless=is_hopeless)}
    for each in tried:
        if each.point is not None:
            result = done[each.point.recipe.digest()]
            if result.index != each.index:
                on_result(result, True)
            yield replace(result, index=each.index)
        else:
            refused = Result(each.index, label_of(each.fields), each.fields, "", None, None, None, error=each.refused)
            on_result(refused, False)
            yield refused


def _together(batch: sweeps.Batch, search: Search) -> int:
    """How many points are chosen at a time: as many as before, if it is the same search."""
    path, now = batch.folder / FILE, search.model_dump(mode="json", exclude={"trials"})
    with contextlib.suppress(FileNotFoundError, ValueError, LookupError, TypeError):
        before = json.loads(path.read_bytes())
        if before["search"] == now:
            return int(before["together"])
    forget_stopped(batch.folder / sweeps.POINTS)
    write_atomically(path, json.dumps({"search": now, "together": batch.processes}, indent=1).encode())
    return batch.processes


@contextmanager
def _quiet() -> Iterator[Any]:
    """Optuna, without what it prints for every trial."""
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise MissingDependency("a search needs optuna: pip install 'squeeze-compress[explore]'") from error
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield optuna
    finally:
        optuna.logging.set_verbosity(before)


def _study(optuna: Any, search: Search) -> Study:
    sampler = optuna.samplers.TPESampler(seed=search.seed, n_startup_trials=N_FIRST)
    if search.objective == "tradeoff":
        return optuna.create_study(sampler=sampler, directions=["minimize", "maximize"])
    pruner = optuna.pruners.MedianPruner(n_startup_trials=N_FIRST)
    return optuna.create_study(sampler=sampler, pruner=pruner, direction="maximize")


def _fields(trial: Trial, search: Search) -> Fields:
    fields: Fields = {}
    for name, values in search.fields.items():
        if not isinstance(values, Range):
            fields[name] = values[trial.suggest_int(name, 0, len(values) - 1)]
        elif isinstance(values.low, int) and isinstance(values.high, int):
            fields[name] = trial.suggest_int(name, values.low, values.high, log=values.log)
        else:
            fields[name] = trial.suggest_float(name, values.low, values.high, log=values.log)
    return fields


class _Judge:
    """Says of a training whether the other trials' median was higher after as many measurements."""

    def __init__(self, trials: dict[str, Trial]) -> None:
        self._trials = trials
        self._n_reported = dict.fromkeys((trial.number for trial in trials.values()), 0)

    def __call__(self, point: Point, top1: list[float]) -> str:
        trial = self._trials[point.recipe.digest()]
        self.report(trial, top1)
        if not trial.should_prune():
            return ""
        return f"after {len(top1)} measurements its top-1 is {100 * top1[-1]:.1f}%, below the median of the others"

    def report(self, trial: Trial, top1: Sequence[float]) -> None:
        """Those measurements that were not reported yet: all of a point that was run before."""
        n_before = self._n_reported.get(trial.number, 0)
        if len(trial.study.directions) == 1:
            for step, share in enumerate(top1[n_before:], n_before):
                trial.report(share, step)
        self._n_reported[trial.number] = max(n_before, len(top1))


def _tell(optuna: Any, study: Study, trial: Trial, result: Result, search: Search) -> None:
    if result.stopped:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    elif result.error or result.top1 is None or result.size_bytes is None:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    else:
        study.tell(trial, [result.size_bytes, result.top1] if search.objective == "tradeoff" else result.top1)
