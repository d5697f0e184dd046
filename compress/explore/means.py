"""Points that differ in their seed alone, as one: the mean of their figures, and its standard error.

Few seeds say little of their own spread, two next to nothing: it is pooled over all points of a sweep, as in an analysis of
variance. Where no point has two seeds, an error is that of a share of so many images.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from compress.explore.results import Result
from compress.explore.space import label_of

SEED = "seed"
NORMAL_95 = 1.96  # half-width of an interval of 95%, in standard errors


@dataclass(frozen=True)
class Mean:
    """Of shares (0 to 1). error: standard error of the mean over the seeds, their spread pooled over the sweep's points; where
    no point has two, that of a share of n images, or of a paired drop."""

    value: float
    error: float


@dataclass(frozen=True)
class SeedMean:
    """results: of the seeds that have a file, by index; of none, the figures are None. label: without the seed. top1, drop: of
    the files; fp32_top1: of the uncompressed nets."""

    label: str
    results: tuple[Result, ...]
    parameters: int | None
    fp32_bytes: int | None
    top1: Mean | None
    fp32_top1: Mean | None
    drop: Mean | None

    @property
    def size_bytes(self) -> float | None:
        sizes = [result.size_bytes for result in self.results if result.size_bytes is not None]
        return statistics.fmean(sizes) if sizes else None


def over_seeds(results: Iterable[Result]) -> list[SeedMean]:
    """In order of their first points. Of a point that a search chose twice, one counts."""
    groups: dict[str, dict[str, Result]] = {}
    for result in results:
        seeds = groups.setdefault(json.dumps(_but_seed(result), sort_keys=True), {})
        seeds.setdefault(json.dumps(result.fields.get(SEED)), result)
    each = [list(seeds.values()) for seeds in groups.values()]
    made = [tuple(result for result in group if result.size_bytes is not None) for group in each]
    figures = [_means(made, figure) for figure in FIGURES]
    return [
        SeedMean(_label(group), of_group, group[0].parameters, group[0].fp32_bytes, *means)
        for group, of_group, *means in zip(each, made, *figures, strict=True)
    ]


def n_seeds(means: Iterable[SeedMean]) -> tuple[int, int]:
    """The fewest and the most results of a point."""
    counts = [len(mean.results) for mean in means]
    return min(counts), max(counts)


def front(means: Iterable[SeedMean]) -> list[SeedMean]:
    """Of those with a top-1: which no other beats, with fewer bytes and no lower top-1, or as many bytes and a higher one; by
    bytes, and of equal ones the first."""
    found: list[SeedMean] = []
    best = -math.inf
    for mean in sorted((mean for mean in means if mean.top1 is not None), key=_bytes_then_top1):
        assert mean.top1 is not None
        if mean.top1.value > best:
            found.append(mean)
            best = mean.top1.value
    return found


def only_difference(means: Sequence[SeedMean]) -> str | None:
    """The field in which they differ, seeds apart; None where there are several, or where points have labels of their own."""
    fields = [_but_seed(mean.results[0]) for mean in means]
    names = {name for each in fields for name in each}
    differ = [name for name in names if len({json.dumps(each.get(name)) for each in fields}) > 1]
    if len(differ) != 1 or any(_has_own_label(result) for mean in means for result in mean.results):
        return None
    return differ[0] if all(differ[0] in each for each in fields) else None


def _label(group: Sequence[Result]) -> str:
    first = group[0]
    return first.label if len(group) == 1 or _has_own_label(first) else label_of(_but_seed(first))


def _has_own_label(result: Result) -> bool:
    return result.label != label_of(result.fields)


def _but_seed(result: Result) -> dict[str, Any]:
    return {name: value for name, value in result.fields.items() if name != SEED}


def _bytes_then_top1(mean: SeedMean) -> tuple[float, float]:
    assert mean.size_bytes is not None and mean.top1 is not None
    return mean.size_bytes, -mean.top1.value


# ---- Figures ----

Figure = Callable[[Result], Mean | None]  # of one point; the error is that of its images


def _share(value: float | None, n: int | None) -> Mean | None:
    return Mean(value, math.sqrt(value * (1 - value) / n) if n else 0.0) if value is not None else None


def _drop(result: Result) -> Mean | None:
    """Of the uncompressed net's top-1 less the file's, each seed's from its own net."""
    if result.fp32_top1 is None or result.top1 is None:
        return None
    return Mean(result.fp32_top1 - result.top1, (result.drop_interval or 0.0) / NORMAL_95)


FIGURES: tuple[Figure, ...] = (
    lambda result: _share(result.top1, result.n),
    lambda result: _share(result.fp32_top1, result.n),
    _drop,
)


def _means(groups: Sequence[Sequence[Result]], figure: Figure) -> list[Mean | None]:
    """Of one figure, in each group."""
    found = [[mean for result in group if (mean := figure(result)) is not None] for group in groups]
    spread = _pooled([[mean.value for mean in group] for group in found])
    return [_mean(group, spread) if group else None for group in found]


def _mean(seeds: Sequence[Mean], spread: float | None) -> Mean:
    value = statistics.fmean(seed.value for seed in seeds)
    return Mean(value, spread / math.sqrt(len(seeds)) if spread is not None else seeds[0].error)


def _pooled(groups: Sequence[Sequence[float]]) -> float | None:
    """The standard deviation within groups; None where each is of one."""
    freedom = sum(len(group) - 1 for group in groups if group)
    if not freedom:
        return None
    return math.sqrt(sum((len(group) - 1) * statistics.variance(group) for group in groups if len(group) > 1) / freedom)
