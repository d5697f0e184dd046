"""The stage that trains: a recipe's net, its weights to start from, its images and its teacher, into train/loop.py."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compress import checkpoint
from compress.atomic import write_atomically
from compress.checkpoint import Checkpoint, key_of
from compress.convention import InputConvention
from compress.data.classes import N_IMAGENET, imagenet_wnids
from compress.data.loader import Loader
from compress.data.preprocess import normalise
from compress.data.sets import MeasuringSet
from compress.data.training import TrainingSet
from compress.errors import ImageError, InputError, RecipeError, RunFolderError
from compress.measure.fidelity import logits, right_in_top
from compress.models import pretrained
from compress.models.built_in import BuiltIn, build, head
from compress.models.memory import keep_freed_memory
from compress.models.normalised import add_batchnorm, folded, start_as_identity
from compress.models.squeezenet import SqueezeNet
from compress.prune.dsd import DenseSparseDense
from compress.prune.gradual import GradualPruning, layer_densities
from compress.recipe import FactorySpec, Recipe, Train
from compress.subject import Subject, image_side
from compress.teacher import Teacher
from compress.train.distributed import ALONE, Process
from compress.train.loop import n_steps_of, train
from compress.train.setting import Reporter, Setting, Tested
from compress.training_folder import training_facts, training_folder, training_folder_of

Arrays = dict[str, npt.NDArray[Any]]
FOLDER, FINISHED = "train", "finished"  # in the run's folder; FINISHED: a checkpoint in FOLDER
PREDICTIONS = "predictions.json"
MAX_FIRST_INPUTS = 128  # pictures that new BatchNorms take their statistics from

# What trains the net of a recipe: the state dict, from its images. The last: data.test, on the first rank.
Trainer = Callable[[Subject, TrainingSet, Teacher | None, MeasuringSet | None], Arrays]


@dataclass(frozen=True)
class TrainOptions:
    """How a training run is done, which does not change what comes of it. runs: where its folder is made; resume: its folder,
    where that is named. fresh: forget what was trained. stop_after: steps after which it stops, to be resumed."""

    runs: Path
    device: torch.device
    process: Process = ALONE
    resume: Path | None = None
    fresh: bool = False
    stop_after: int | None = None
    tensorboard: bool = False


@dataclass(frozen=True, eq=False)
class Trained:
    """arrays: the state dict of the trained net, BatchNorms folded; on the first rank. folder: of the training run. reused: it
    was finished before."""

    arrays: Arrays
    folder: Path
    reused: bool


def train_net(
    recipe: Recipe,
    options: TrainOptions,
    reporter: Reporter,
    subject: Subject,
    training: TrainingSet,
    teacher: Teacher | None,
    test: MeasuringSet | None,
) -> Trained:
    """Train a recipe's net, or take it from the run's folder where that is finished.

    Raises CompressError. The folder: training_folder_of.
    """
    settings, process = recipe.train, options.process
    assert settings is not None
    if settings.sparse is not None:  # refused before a folder is made
        layer_densities(settings.sparse, [name.removesuffix(".weight") for name in subject.roles.compressible])
    facts = training_facts(recipe, subject, training, teacher)
    key = key_of(facts)
    folder = options.resume or training_folder_of(recipe, options.runs, facts)
    with contextlib.ExitStack() as held:
        if process.is_first:
            named = options.resume is not None
            held.enter_context(training_folder(folder, facts, fresh=options.fresh, must_exist=named))
        return _train_in(folder, key, recipe, options, reporter, subject, training, teacher, test)


def _train_in(
    folder: Path,
    key: str,
    recipe: Recipe,
    options: TrainOptions,
    reporter: Reporter,
    subject: Subject,
    training: TrainingSet,
    teacher: Teacher | None,
    test: MeasuringSet | None,
) -> Trained:
    settings, process, device = recipe.train, options.process, options.device
    assert settings is not None
    finished = checkpoint.load(folder / FOLDER, FINISHED, key) if process.is_first else None
    key_of_first, is_finished = process.from_first((key, finished is not None))
    if key_of_first != key:
        raise InputError(
            f"rank {process.rank}: trains something else than rank 0: all need the same recipe, images, weights and teacher"
        )
    if is_finished:
        reporter.line(trained_already(folder))
        return Trained(finished.arrays if finished is not None else {}, folder, reused=True)
    if device.type == "cpu":
        keep_freed_memory()
    net = first_net(recipe)
    if settings.batchnorm and recipe.weights_source not in (None, "scratch"):
        if not isinstance(net, SqueezeNet):
            raise RecipeError("train.batchnorm: in a net of weights that are there it is for SqueezeNet; train from scratch")
        start_as_identity(net, _some_inputs(training, settings, image_side(recipe, subject.convention), subject.convention))
    net.to(device)
    pin_memory = device.type == "cuda"
    loader = Loader(training, settings, seed=recipe.seed, rank=process.rank, world=process.world, pin_memory=pin_memory)
    setting = Setting(
        train=settings,
        convention=subject.convention,
        crop=image_side(recipe, subject.convention),
        seed=recipe.seed,
        device=device,
        folder=folder / FOLDER,
        key=key,
        test=_tester(test, subject.convention) if test is not None and test.labels is not None else None,
        teacher=teacher.net.to(device) if teacher is not None else None,
        after_step=_masks(settings, net, n_steps_of(settings, loader.n_steps)),
        process=process,
        tensorboard=options.tensorboard,
        stop_after=options.stop_after,
    )
    reporter.line(f"training in {folder}")
    try:
        net.load_state_dict(train(net, loader, setting, reporter))
    except torch.cuda.OutOfMemoryError as error:
        n_images = min(settings.micro_batch or settings.batch_size, -(-settings.batch_size // process.world))
        raise RecipeError(
            f"train.micro_batch: {n_images} images in a forward pass take more memory than {device} has; give a lower one"
        ) from error
    state = folded(net) if settings.batchnorm else net.state_dict()
    arrays = {name: np.ascontiguousarray(tensor.cpu().numpy()) for name, tensor in state.items()}
    if process.is_first:
        if test is not None and test.labels is not None:
            _write_predictions(folder / FOLDER / PREDICTIONS, net.eval(), test, recipe, subject)
        checkpoint.save(folder / FOLDER, FINISHED, key, Checkpoint(arrays, {}))
    return Trained(arrays, folder, reused=False)


def trained_already(folder: Path) -> str:
    """What is told of a training that was finished before; `explore` looks for it."""
    return f"{folder}: trained already"


def first_net(recipe: Recipe) -> BuiltIn:
    """The net as training starts, on the CPU: new weights (section "init" of the paper's solver), or those of `weights`, with
    BatchNorms where the recipe wants them. Of weights for other classes all but the last layer is taken; of that, the rows of the
    recipe's classes, where all of these are ImageNet's by their WordNet ids."""
    assert not isinstance(recipe.model, FactorySpec) and recipe.train is not None
    net = build(recipe.model)
    net.init_weights(torch.Generator().manual_seed(recipe.seed))
    if recipe.weights_source not in (None, "scratch"):
        net.load_state_dict(_with_head(_start_weights(recipe, net), net, recipe))
    if recipe.train.batchnorm:
        add_batchnorm(net)
    return net


def _some_inputs(training: TrainingSet, settings: Train, side: int, convention: InputConvention) -> Tensor:
    """(b, c, side, side): pictures from all over the set, as they are trained on; the same for every seed and every process."""
    crops = []
    for i in np.linspace(0, len(training) - 1, min(settings.batch_size, MAX_FIRST_INPUTS, len(training))).astype(int).tolist():
        try:
            crops.append(training.example(i, side, settings.augment, np.random.default_rng(i))[0])
        except ImageError:
            continue
    if not crops:
        raise ImageError("data.train: none of the pictures that the first statistics of BatchNorm are from can be read")
    return normalise(torch.from_numpy(np.stack(crops)), convention)


def _start_weights(recipe: Recipe, net: BuiltIn) -> Mapping[str, npt.NDArray[Any]]:
    expected = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    assert recipe.weights_source is not None
    return pretrained.load(recipe.weights_source, expected, recipe.weights_sha256, any_rows=head(net)).tensors


def _with_head(tensors: Mapping[str, npt.NDArray[Any]], net: BuiltIn, recipe: Recipe) -> dict[str, Tensor]:
    state, names = net.state_dict(), head(net)
    n_rows = len(tensors[names[0]])
    found = {name: torch.from_numpy(np.array(array)) for name, array in tensors.items()}
    if n_rows == len(state[names[0]]):
        return found
    rows = _rows_of(recipe, n_rows)
    return found | {name: found[name][rows] if rows is not None else state[name] for name in names}


def _rows_of(recipe: Recipe, n_rows: int) -> list[int] | None:
    """The rows of an ImageNet net's last layer that are the recipe's classes; None where not all of them are there."""
    if n_rows != N_IMAGENET or not isinstance(recipe.classes, list):
        return None
    places = {wnid: i for i, wnid in enumerate(imagenet_wnids())}
    return [places[name] for name in recipe.classes] if set(recipe.classes) <= places.keys() else None


def _masks(settings: Train, net: nn.Module, n_steps: int) -> Callable[[nn.Module, int], None]:
    """What is done to the net after each step."""
    if settings.dsd is not None:
        return DenseSparseDense(settings.dsd, n_steps).apply
    if settings.sparse is not None:
        return GradualPruning(settings.sparse, net, n_steps).apply
    return lambda net, step: None


def _tester(test: MeasuringSet, convention: InputConvention) -> Callable[[nn.Module], Tested]:
    labels = test.labels
    assert labels is not None
    weights = torch.ones(len(labels)) if test.weights is None else test.weights
    shares = weights.double() / weights.double().sum()

    def measure(net: nn.Module) -> Tested:
        outputs = logits(net, test.pixels, convention)
        loss_of_each = F.cross_entropy(outputs, labels, reduction="none")
        values = loss_of_each, right_in_top(outputs, labels, 1), right_in_top(outputs, labels, 5)
        return Tested(*(float((value.double() * shares).sum()) for value in values))

    return measure


def _write_predictions(path: Path, net: nn.Module, test: MeasuringSet, recipe: Recipe, subject: Subject) -> None:
    """What the trained net says of each picture of data.test, for `squeeze-compress plot`."""
    assert test.labels is not None
    probabilities = logits(net, test.pixels, subject.convention).softmax(1)
    names = test.fingerprints.names if test.fingerprints is not None else ()
    images = [
        {
            "name": names[i] if len(names) == len(probabilities) else None,
            "label": int(label),
            "predicted": int(probabilities[i].argmax()),
            "probability": round(float(probabilities[i][label]), 6),
        }
        for i, label in enumerate(test.labels.tolist())
    ]
    if isinstance(recipe.classes, list):
        classes = list(recipe.classes)
    else:
        classes = imagenet_wnids() if recipe.classes is not None else [str(i) for i in range(subject.n_classes)]
    facts = {"test_set": test.description, "classes": classes, "images": images}
    try:
        write_atomically(path, json.dumps(facts).encode())
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be written: {error.strerror or error}") from error
