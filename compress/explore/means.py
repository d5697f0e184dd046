"""Points that differ in their seed alone, as one: the mean of their figures, and its standard error."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from compress.explore.results import Result
from compress.explore.space import label_of

SEED = "seed"
NORMAL_95 = 1.96  # half-width of an interval of 95%, in standard errors


@dataclass(frozen=True)
class Mean:
    """Of shares (0 to 1). error: standard error of the mean over the seeds; of a single one, that of a share of n images."""

    value: float
    error: float


@dataclass(frozen=True)
class SeedMean:
    """results: of the seeds that have a file, by index; of none, the figures are None. label: without the seed."""

    label: str
    results: tuple[Result, ...]
    n_failed: int
    parameters: int | None
    fp32_bytes: int | None

    @property
    def name(self) -> str:
        """The indices of its points: "0, 6, 12"."""
        return ", ".join(str(result.index) for result in self.results)

    @property
    def size_bytes(self) -> float | None:
        sizes = [result.size_bytes for result in self.results if result.size_bytes is not None]
        return statistics.fmean(sizes) if sizes else None

    @property
    def top1(self) -> Mean | None:
        """Of the files."""
        return _mean([(result.top1, result.n) for result in self.results])

    @property
    def fp32_top1(self) -> Mean | None:
        """Of the uncompressed nets."""
        return _mean([(result.fp32_top1, result.n) for result in self.results])

    @property
    def drop(self) -> Mean | None:
        """Of the uncompressed net's top-1 less the file's, each seed's from its own net."""
        pairs = [(r.fp32_top1 - r.top1, r) for r in self.results if r.fp32_top1 is not None and r.top1 is not None]
        if not pairs:
            return None
        drops = [drop for drop, _ in pairs]
        if len(drops) > 1:
            return _of_seeds(drops)
        return Mean(drops[0], (pairs[0][1].drop_interval or 0.0) / NORMAL_95)


def over_seeds(results: Iterable[Result]) -> list[SeedMean]:
    """In order of their first points."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(json.dumps(_but_seed(result), sort_keys=True), []).append(result)
    return [_of(group) for group in groups.values()]


def only_difference(means: Sequence[SeedMean]) -> str | None:
    """The field in which they differ, seeds apart; None where there are several, or where points have labels of their own."""
    fields = [_but_seed(mean.results[0]) for mean in means]
    names = {name for each in fields for name in each}
    differ = [name for name in names if len({json.dumps(each.get(name)) for each in fields}) > 1]
    if len(differ) != 1 or any(has_own_label(result) for mean in means for result in mean.results):
        return None
    return differ[0] if all(differ[0] in each for each in fields) else None


def has_own_label(result: Result) -> bool:
    return result.label != label_of(result.fields)


def _of(group: Sequence[Result]) -> SeedMean:
    first = group[0]
    made = tuple(result for result in group if result.size_bytes is not None)
    label = first.label if len(group) == 1 or has_own_label(first) else label_of(_but_seed(first))
    return SeedMean(label, made, len(group) - len(made), first.parameters, first.fp32_bytes)


def _but_seed(result: Result) -> dict[str, Any]:
    return {name: value for name, value in result.fields.items() if name != SEED}


def _mean(shares: Sequence[tuple[float | None, int | None]]) -> Mean | None:
    known = [(share, n) for share, n in shares if share is not None]
    if not known:
        return None
    values = [share for share, _ in known]
    mean = statistics.fmean(values)
    if len(values) > 1:
        return _of_seeds(values)
    n = known[0][1]
    return Mean(mean, math.sqrt(mean * (1 - mean) / n) if n else 0.0)


def _of_seeds(values: Sequence[float]) -> Mean:
    return Mean(statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values)))
