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
from functools import partial
from pathlib import Path

import torch

from compress import rate_stages
from compress.errors import InputError
from compress.recipe import Recipe
from compress.run_folder import Arrays, RunFolder, RunResult, Silent, Watcher
from compress.size_search import smallest_within_drop
from compress.stages import Stages
from compress.train.distill import OnStep


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
    and measured on; the ledger has their number. Raises CompressError; a missed target raises nothing (see RunResult.missed and
    RunResult.margin_bytes).
    """
    run_once = partial(_run, runs=runs, device=device, allow_overlap=allow_overlap, watcher=watcher or Silent())
    if recipe.target is not None and recipe.target.max_top1_drop is not None:
        return smallest_within_drop(recipe, recipe.target.max_top1_drop, run_once, fresh=fresh)
    return run_once(recipe, fresh=fresh)


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


def pick_device(name: str) -> torch.device:
    """Raises InputError for a device that this machine does not have."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    if not available.get(name):
        raise InputError(f"--device {name}: not available here; have {', '.join(k for k, have in available.items() if have)}")
    return torch.device(name)
