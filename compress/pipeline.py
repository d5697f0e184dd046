"""run(recipe): the stages in order. Each takes the tensors of the one before, leaves a checkpoint and a row in the ledger.

    baseline   the net's weights, imported or trained from scratch: the teacher of every stage after it
    prune      small weights removed, the others tuned with the masks held
    share      k-means on the survivors of each layer; nothing tuned yet
    fixed      (quantize.also_fixed) the same clusters, kept fixed, only their centroids tuned, for comparison
    tune       the shared weights tuned as quantize.assignment says
    quantize   (rate, in place of the three above) uniform steps for target.max_bytes by measured sensitivity; nothing tuned yet
    tune       (rate) the weights tuned straight through the rounding, at that size
    encode     the .sqz file, read again from the disk
    report X   the same file on set X of data.report, which nothing before has seen

Without a `prune`, a `quantize` or a `rate` section their stages are left out.
Every row is measured on what the container's reader gives back for that stage, never on the model in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from compress import rate_stages
from compress.errors import InputError, RecipeError
from compress.ledger import ledger
from compress.recipe import Recipe, Target
from compress.run_folder import Arrays, RunFolder, Silent, Watcher
from compress.stages import Stages
from compress.subject import subject
from compress.train.distill import OnStep


@dataclass(frozen=True)
class RunResult:
    """folder: of the run. artifact: the .sqz file. rows: one a stage. reused: stages taken as finished.

    margin_bytes: target.max_bytes less the file's size, negative where the target was missed; None without one.
    missed: in words, what was asked for and not met; empty where all was.
    """

    folder: Path
    artifact: Path
    rows: tuple[ledger.Row, ...]
    reused: tuple[str, ...]
    margin_bytes: int | None
    missed: str = ""


def run(
    recipe: Recipe,
    *,
    runs: Path = Path("runs"),
    device: str = "auto",
    fresh: bool = False,
    allow_overlap: bool = False,
    watcher: Watcher | None = None,
) -> RunResult:
    """Run a recipe in `runs`/<name>-<digest>, going on after the last stage that is finished with the same recipe and inputs.

    device: "auto", "cpu", "cuda" or "mps". fresh: forget what is finished. allow_overlap: go on where pictures are both tuned
    and measured on; the ledger has their number. Raises CompressError; a missed target raises nothing (see
    RunResult.margin_bytes).
    """
    watcher = watcher or Silent()
    if recipe.target is not None and recipe.target.max_top1_drop is not None:
        return _run_for_drop(
            recipe,
            recipe.target.max_top1_drop,
            runs=runs,
            device=device,
            fresh=fresh,
            allow_overlap=allow_overlap,
            watcher=watcher,
        )
    return _run(recipe, runs=runs, device=device, fresh=fresh, allow_overlap=allow_overlap, watcher=watcher)


def _run(
    recipe: Recipe, *, runs: Path, device: str, fresh: bool, allow_overlap: bool, watcher: Watcher, report: bool = True
) -> RunResult:
    """report: measure data.report too."""
    watcher.stage_started("inputs")
    stages = Stages(recipe, pick_device(device), allow_overlap=allow_overlap)
    folder = RunFolder(runs / f"{recipe.name}-{recipe.digest()[:8]}", recipe, watcher, fresh=fresh)
    keys = stages.stage_keys()

    def stage(name: str, make: Callable[[OnStep], Arrays]) -> Arrays:
        def on_step(step: int, steps: int, loss: float) -> None:
            watcher.step(name, step, steps, loss)

        return folder.stage(name, keys[name], lambda: stages.measured(name, lambda: make(on_step)))

    costs: Callable[[int], list[tuple[int, float]]] | None = None  # of bytes, in agreement
    arrays = stage("baseline", stages.import_or_train)
    stages.adopt_teacher(arrays)
    if (prune := recipe.prune) is not None:
        baseline = arrays
        arrays = stage("prune", lambda on_step: stages.prune(prune, baseline, on_step))
    if (quantize := recipe.quantize) is not None:
        pruned = arrays
        shared = stage("share", lambda on_step: stages.share(quantize, pruned))
        if (paper := quantize.also_fixed) is not None:
            stage("fixed", lambda on_step: stages.tune_fixed(shared, paper, on_step, field="quantize.also_fixed"))
        arrays = stage("tune", lambda on_step: stages.tune(quantize, pruned, shared, on_step))
    elif (rate := recipe.rate) is not None:
        dense = arrays
        levels = stage("quantize", lambda on_step: rate_stages.quantize_by_rate(stages, rate, dense))
        arrays = stage("tune", lambda on_step: rate_stages.tune_by_rate(stages, rate, dense, levels, on_step))
        costs = partial(rate_stages.costs_of_bytes, stages, rate, dense, levels)
    watcher.stage_started("encode")
    path = stages.encode(arrays, folder, report=report)
    limit = recipe.target.max_bytes if recipe.target else None
    margin = limit - path.stat().st_size if limit is not None else None
    missed = ""
    if limit is not None and margin is not None and margin < 0:
        missed = f"{path}: {limit - margin:,} bytes, target.max_bytes is {limit:,}; the file is kept"
        if costs is not None:
            missed += (
                "\nfewer bytes would leave less than 2% of a layer's weights. Untuned, on data.test, each further 10% costs:"
            )
            missed += "".join(f"\n  {n_bytes:,} bytes: agreement {agreement:.3f}" for n_bytes, agreement in costs(limit - margin))
    return RunResult(folder.path, path, tuple(folder.rows), tuple(folder.reused), margin, missed)


SMALLEST_SHARE, LARGEST_SHARE = 1 / 32, 1 / 5  # of the fp32 weights: 1 to 6.4 bits a weight
CLOSE_ENOUGH = 1.05  # two sizes that are so close are one


def _run_for_drop(
    recipe: Recipe, max_drop: float, *, runs: Path, device: str, fresh: bool, allow_overlap: bool, watcher: Watcher
) -> RunResult:
    """The run of the fewest bytes whose top-1 drop on data.test is at most max_drop points: bisection over runs, each of them
    resumable, in a folder of its own. data.report is measured once, on the file that is chosen."""

    def at(n_bytes: int, *, report: bool) -> RunResult:
        sized = recipe.model_copy(update={"target": Target(max_bytes=n_bytes)})
        return _run(
            sized,
            runs=runs,
            device=device,
            fresh=fresh and not report,
            allow_overlap=allow_overlap,
            watcher=watcher,
            report=report,
        )

    def drop_of(result: RunResult) -> float:
        row = next(row for row in reversed(result.rows) if row.stage == "encode")
        if row.top1_drop is None:
            raise RecipeError("target.max_top1_drop: data.test has no labels, so no top-1 can be told; name a labelled set")
        return 100 * row.top1_drop

    largest = at_most = fp32_bytes_of(recipe, LARGEST_SHARE)
    at_least = fp32_bytes_of(recipe, SMALLEST_SHARE)
    while at_most > CLOSE_ENOUGH * at_least:
        middle = round((at_least * at_most) ** 0.5)
        if drop_of(at(middle, report=False)) <= max_drop:
            at_most = middle
        else:
            at_least = middle
    result = at(at_most, report=True)
    drop = drop_of(result)
    if at_most == largest and drop > max_drop:
        missed = f"{result.artifact}: top-1 drops by {drop:.1f} points on data.test, target.max_top1_drop is {max_drop:g}"
        return replace(result, missed=f"{missed}; the file is kept")
    return result


def fp32_bytes_of(recipe: Recipe, share: float) -> int:
    """A share of what the net's tensors take as float32."""
    return round(4 * share * sum(tensor.numel() for tensor in subject(recipe).net.state_dict().values()))


def pick_device(name: str) -> torch.device:
    """Raises InputError for a device that this machine does not have."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    if not available.get(name):
        raise InputError(f"--device {name}: not available here; have {', '.join(k for k, have in available.items() if have)}")
    return torch.device(name)
