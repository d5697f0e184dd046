"""run(recipe): the stages in order. Each takes the tensors of the one before, leaves a checkpoint and a row in the ledger.

    baseline   the net's weights, imported or trained from scratch: the teacher of every stage after it
    prune      small weights removed, the others tuned with the masks held
    share      k-means on the survivors of each layer; nothing tuned yet
    fixed      (quantize.also_fixed) the same clusters, kept fixed, only their centroids tuned, for comparison
    tune       the shared weights tuned as quantize.assignment says
    encode     the .sqz file, read again from the disk
    report X   the same file on set X of data.report, which nothing before has seen

Without a `prune` or a `quantize` section their stages are left out.
Every row is measured on what the container's reader gives back for that stage, never on the model in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from compress.errors import InputError
from compress.ledger import ledger
from compress.recipe import Recipe
from compress.run_folder import Arrays, RunFolder, Silent, Watcher
from compress.stages import Stages
from compress.train.distill import OnStep


@dataclass(frozen=True)
class RunResult:
    """folder: of the run. artifact: the .sqz file. rows: one a stage. reused: stages taken as finished.

    margin_bytes: target.max_bytes less the file's size, negative where the target was missed; None without a target.
    """

    folder: Path
    artifact: Path
    rows: tuple[ledger.Row, ...]
    reused: tuple[str, ...]
    margin_bytes: int | None


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
    watcher.stage_started("inputs")
    stages = Stages(recipe, pick_device(device), allow_overlap=allow_overlap)
    folder = RunFolder(runs / f"{recipe.name}-{recipe.digest()[:8]}", recipe, watcher, fresh=fresh)
    keys = stages.stage_keys()

    def stage(name: str, make: Callable[[OnStep], Arrays]) -> Arrays:
        def on_step(step: int, steps: int, loss: float) -> None:
            watcher.step(name, step, steps, loss)

        return folder.stage(name, keys[name], lambda: stages.measured(name, lambda: make(on_step)))

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
    watcher.stage_started("encode")
    path = stages.encode(arrays, folder)
    margin = recipe.target.max_bytes - path.stat().st_size if recipe.target else None
    return RunResult(folder.path, path, tuple(folder.rows), tuple(folder.reused), margin)


def pick_device(name: str) -> torch.device:
    """Raises InputError for a device that this machine does not have."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    if not available.get(name):
        raise InputError(f"--device {name}: not available here; have {', '.join(k for k, have in available.items() if have)}")
    return torch.device(name)
