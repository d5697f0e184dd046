"""run(recipe): the stages in order. Each takes the tensors of the one before, leaves a checkpoint and a row in the ledger.

    baseline   the net's weights, imported or trained from scratch: the teacher of every stage after it
    svd        linear layers as products of two thinner ones, tuned
    prune      small weights removed, the others tuned with the masks held
    share      k-means on the survivors of each layer; nothing tuned yet
    fixed      (quantize.also_fixed) the same clusters, kept fixed, only their centroids tuned, for comparison
    tune       the shared weights tuned as quantize.assignment says
    quantize   (rate, in place of the three above) uniform steps for target.max_bytes by measured sensitivity; nothing tuned yet
    tune       (rate) the weights tuned straight through the rounding, at that size
    encode     the .sqz file, read again from the disk
    report X   the same file on set X of data.report, which nothing before has seen

Without an `svd`, a `prune`, a `quantize` or a `rate` section their stages are left out.
Every row is measured on what the container's reader gives back for that stage, never on the model in memory.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from compress import checkpoint, rate_stages
from compress.data.training import training_set
from compress.errors import InputError, RecipeError
from compress.folder_lock import locked
from compress.ledger import ledger
from compress.recipe import Recipe
from compress.run_folder import Arrays, RunFolder, RunResult, Silent, Watcher
from compress.size_search import smallest_within_drop
from compress.stage_arrays import dense, sha256
from compress.stages import Stages
from compress.subject import subject
from compress.teacher import teacher_of
from compress.train import distributed
from compress.train.distill import OnStep
from compress.train_stage import Trained, Trainer, TrainOptions, train_net, trained_already
from compress.training_folder import training_folder_of

N_LAST, LEAST_RISE = 5, 0.01  # of a tuning: steps at its end, and nats of its loss that are more than chance


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
    process = distributed.from_environment()
    if not process.is_first:  # the first may be a caller's own script that compresses what it has trained
        raise InputError(
            f"rank {process.rank} of {process.world}: a run is of one process; train with torchrun, then run without"
        )
    forget = iter([fresh])  # what is trained, once, whatever the number of runs that share it
    watcher = watcher or Silent()
    run_once = partial(_run, runs=runs, device=device, allow_overlap=allow_overlap, watcher=watcher, forget=forget)
    if recipe.target is not None and recipe.target.max_top1_drop is not None:
        return smallest_within_drop(recipe, recipe.target.max_top1_drop, run_once, fresh=fresh)
    return run_once(recipe, fresh=fresh)


@dataclass(frozen=True)
class TrainResult:
    """folder: of the training run, with its log and checkpoints. row: of the trained net, in the ledger. reused: it was trained
    before."""

    folder: Path
    row: ledger.Row
    reused: bool


def train(
    recipe: Recipe,
    *,
    runs: Path = Path("runs"),
    resume: Path | None = None,
    device: str = "auto",
    fresh: bool = False,
    stop_after: int | None = None,
    tensorboard: bool = False,
    allow_overlap: bool = False,
    watcher: Watcher | None = None,
) -> TrainResult | None:
    """The first stage of a run alone, by this process or by those of torchrun together; None on every rank but the first.

    resume: the folder of a training run to go on in; see TrainOptions for the others. Raises CompressError; TrainingInterrupted
    where a signal or stop_after stopped it.
    """
    if recipe.train is None:
        raise RecipeError("train: the recipe has no `train` section, so there is nothing to train")
    if fresh and resume is not None:
        raise InputError("--resume goes on in a folder, --fresh starts over: one of them")
    process = distributed.from_environment()
    watcher = watcher if watcher is not None and process.is_first else Silent()
    where = pick_device(device, process.local_rank)
    options = TrainOptions(runs, where, process, resume, fresh, stop_after, tensorboard)
    reporter = StageReporter(watcher, "baseline")
    with distributed.group(process, where):
        if not process.is_first:
            found = subject(recipe)
            training = training_set(recipe.data.to_train_on, found.convention, recipe.classes, found.n_classes)
            train_net(recipe, options, reporter, found, training, teacher_of(recipe, found), None)
            return None
        watcher.stage_started("inputs")
        stages = Stages(recipe, where, allow_overlap=allow_overlap)
        assert stages.splits.training is not None
        inputs = stages.subject, stages.splits.training, stages.train_teacher, stages.splits.test
        trained = cache(lambda: train_net(recipe, options, reporter, *inputs))  # once, and always: other ranks wait for it
        path = _folder_of(recipe, runs)
        is_outdated = fresh or _is_of_other_weights(path, stages, trained)
        with locked(path, "run"):
            folder = RunFolder(path, recipe, watcher, fresh=is_outdated)
            _baseline(stages, folder, lambda *_: trained().arrays)
            return TrainResult(trained().folder, folder.rows[0], trained().reused)


def _is_of_other_weights(path: Path, stages: Stages, trained: Callable[[], Trained]) -> bool:
    """Whether a run's folder has a baseline that is not the net of the training run: it was trained again since."""
    saved = checkpoint.load(path / "stages", "baseline", stages.stage_keys()["baseline"])
    return saved is not None and sha256(dense(saved.arrays)) != sha256(trained().arrays)


def _folder_of(recipe: Recipe, runs: Path) -> Path:
    return runs / f"{recipe.name}-{recipe.digest()[:8]}"


def _baseline(stages: Stages, folder: RunFolder, trainer: Trainer) -> Arrays:
    key = stages.stage_keys()["baseline"]
    arrays = folder.stage("baseline", key, lambda: stages.measured("baseline", lambda: stages.import_or_train(trainer)))
    stages.adopt_teacher(arrays)
    return arrays


@dataclass(frozen=True)
class StageReporter:
    """What a stage tells its run's watcher."""

    watcher: Watcher
    stage: str

    def step(self, step: int, steps: int, loss: float, note: str = "") -> None:
        self.watcher.step(self.stage, step, steps, loss, note)

    def line(self, text: str) -> None:
        self.watcher.line(text)


def _run(
    recipe: Recipe,
    *,
    runs: Path,
    device: str,
    fresh: bool,
    allow_overlap: bool,
    watcher: Watcher,
    forget: Iterator[bool],
    report: bool = True,
) -> RunResult:
    """forget: whether to train anew what is trained; asked where that is looked for. report: measure data.report too."""
    watcher.stage_started("inputs")
    where = pick_device(device)
    stages = Stages(recipe, where, allow_overlap=allow_overlap)
    path = _folder_of(recipe, runs)
    with locked(path, "run"):
        options = TrainOptions(runs, where)
        return _run_in(RunFolder(path, recipe, watcher, fresh=fresh), stages, options, watcher, forget, report=report)


def _run_in(
    folder: RunFolder, stages: Stages, options: TrainOptions, watcher: Watcher, forget: Iterator[bool], *, report: bool
) -> RunResult:
    recipe = stages.recipe
    keys = stages.stage_keys()

    def stage(name: str, make: Callable[[OnStep], Arrays]) -> Arrays:
        losses: list[float] = []

        def on_step(step: int, steps: int, loss: float) -> None:
            losses.append(loss)
            watcher.step(name, step, steps, loss)

        arrays = folder.stage(name, keys[name], lambda: stages.measured(name, lambda: make(on_step)))
        if note := rose(losses):
            watcher.line(f"note: {name}: {note}; a lower learning_rate would do less harm")
        return arrays

    def trainer(*inputs: Any) -> Arrays:
        anew = replace(options, fresh=next(forget, False))
        return train_net(recipe, anew, StageReporter(watcher, "baseline"), *inputs).arrays

    costs: Callable[[int], list[tuple[int, float]]] | None = None  # of bytes, in agreement
    arrays = _baseline(stages, folder, trainer)
    if recipe.train is not None and "baseline" in folder.reused:
        watcher.line(trained_already(training_folder_of(recipe, options.runs, stages.training_facts())))
    if (svd := recipe.svd) is not None:
        whole = arrays
        arrays = stage("svd", lambda on_step: stages.factorise(svd, whole, on_step))
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


def rose(losses: Sequence[float]) -> str:
    """Of a tuning's steps, in words; empty where its loss did not rise. One that diverges need not become infinite.

    The first loss is of the net as it was; after one step it may be that of another."""
    if len(losses) <= N_LAST:
        return ""
    first, last = losses[0], statistics.fmean(losses[-N_LAST:])
    return f"its loss rose from {first:.3g} to {last:.3g}" if last > 2 * first + LEAST_RISE else ""


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """local_rank: which of several GPUs. Raises InputError for a device that this machine does not have."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if not available.get(name):
        raise InputError(f"--device {name}: not available here; have {', '.join(k for k, have in available.items() if have)}")
    if name == "cuda" and local_rank >= (n_gpus := torch.cuda.device_count()):
        raise InputError(
            f"--device cuda: LOCAL_RANK is {local_rank}, and this machine has {n_gpus} GPUs: one process each, or --device cpu"
        )
    return torch.device(name, local_rank) if name == "cuda" and local_rank else torch.device(name)
