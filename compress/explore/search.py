"""Points chosen as results come, by Optuna (Akiba et al. 2019, arXiv 1907.10902): for the highest top-1, or for few bytes and a
high top-1 both.

As many points as there are processes are chosen at a time, and told when all of them are done: so the points depend on the
seed and on the number of processes, not on which process was faster, and a search that is stopped goes on with the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.errors import MissingDependency
from compress.explore import sweep as sweeps
from compress.explore.cost import net_facts
from compress.explore.results import Result
from compress.explore.space import Fields, Point, Points, Range, Search, Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

N_FIRST = 4  # trials that are drawn at random, and that no training is stopped before


def run(space: Space, path: Path, sweep: sweeps.Sweep, on_result: sweeps.OnResult) -> list[Result]:
    """The results of all trials, in order. path: of the space's file.

    Raises MissingDependency without optuna, SpaceError for a trial whose recipe is refused; see sweep.run for others.
    """
    assert space.search is not None
    search, make = space.search, Points(space, path)
    found: list[Result] = []
    with _quiet() as optuna, sweeps.opened(sweep) as batch:
        study = _study(optuna, search)
        while len(found) < search.trials:
            trials = [study.ask() for _ in range(min(sweep.processes, search.trials - len(found)))]
            points = [make.point(len(found) + i, _fields(trial, search)) for i, trial in enumerate(trials)]
            by_digest = {point.recipe.digest(): point for point in points}  # two trials may be the same point
            unique = list(by_digest.values())
            judge = _Judge({point.recipe.digest(): trial for point, trial in zip(points, trials, strict=True)})
            results = batch.run(unique, [net_facts(point.recipe) for point in unique], on_result, is_hopeless=judge)
            done = {result.recipe_sha256: result for result in results}
            for point, trial in zip(points, trials, strict=True):
                result = done[point.recipe.digest()]
                found.append(replace(result, index=point.index))
                judge.report(trial, result.measured_top1)
                _tell(optuna, study, trial, result, search)
        batch.write_table(found)
    return found


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
        if len(trial.study.directions) > 1 or not trial.should_prune():  # two objectives have no median
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
