"""target.max_top1_drop: the fewest bytes that lose no more, by bisection over runs, each resumable, in a folder of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from compress.artifact.tensors import wanted_convention
from compress.data.sets import measuring_set
from compress.errors import RecipeError
from compress.recipe import Recipe, Target
from compress.run_folder import RunResult
from compress.subject import subject

SMALLEST_SHARE, LARGEST_SHARE = 1 / 32, 1 / 5  # of the fp32 weights: 1 to 6.4 bits a weight
CLOSE_ENOUGH = 1.05  # two sizes that are so close are one


class RunOnce(Protocol):
    """One run of a recipe with target.max_bytes. fresh: forget what is finished. report: measure data.report too."""

    def __call__(self, recipe: Recipe, *, fresh: bool, report: bool) -> RunResult: ...


def smallest_within_drop(recipe: Recipe, max_drop: float, run_once: RunOnce, *, fresh: bool) -> RunResult:
    """The run of the fewest bytes whose top-1 drop on data.test is at most max_drop points. data.report is measured once, on
    the file that is chosen.

    fresh: of a size, when it is first run here; what this search has finished itself it takes.
    Raises RecipeError, before anything runs, for a data.test without labels.
    """
    fp32_bytes = _fp32_bytes(recipe)
    tried: set[int] = set()

    def at(n_bytes: int, *, report: bool) -> RunResult:
        sized = recipe.model_copy(update={"target": Target(max_bytes=n_bytes)})
        is_first = n_bytes not in tried
        tried.add(n_bytes)
        return run_once(sized, fresh=fresh and is_first, report=report)

    largest = at_most = round(LARGEST_SHARE * fp32_bytes)
    at_least = round(SMALLEST_SHARE * fp32_bytes)
    while at_most > CLOSE_ENOUGH * at_least:
        middle = round((at_least * at_most) ** 0.5)
        if middle in (at_least, at_most):  # a net of a hundred weights
            break
        if _drop_of(at(middle, report=False)) <= max_drop:
            at_most = middle
        else:
            at_least = middle
    result = replace(at(at_most, report=True), margin_bytes=None, missed="")  # the recipe itself has no target of bytes
    drop = _drop_of(result)
    if at_most == largest and drop > max_drop:
        missed = f"{result.artifact}: top-1 drops by {drop:.1f} points on data.test, target.max_top1_drop is {max_drop:g}"
        return replace(result, missed=f"{missed}; the file is kept")
    return result


def _fp32_bytes(recipe: Recipe) -> int:
    """What the net's tensors take as float32. Raises RecipeError for a data.test without labels."""
    net = subject(recipe)
    test = measuring_set(recipe.data.test, wanted_convention(net.convention), recipe.classes, net.n_classes, field="data.test")
    if test.labels is None:
        raise RecipeError("target.max_top1_drop: data.test has no labels, so no top-1 can be told; name a labelled set")
    return 4 * net.n_parameters


def _drop_of(result: RunResult) -> float:
    """Of top-1 on data.test, in points."""
    row = next(row for row in reversed(result.rows) if row.stage == "encode")
    assert row.top1_drop is not None
    return 100 * row.top1_drop
