"""What a training run wrote down: log.jsonl, a JSON object a line, and predictions.json, what the net says of the test set."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, Field, NonNegativeInt, ValidationError

from compress.errors import InputError

LOG = Path("train", "log.jsonl")  # in the folder of a run
PREDICTIONS = Path("train", "predictions.json")

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TrainSteps:
    """An entry a step, steps ascending. loss: NaN or infinite where it diverged. accuracy: of the step's batch, in [0, 1]; NaN
    where it has none, as with mixed pictures. grad_norm, images_per_second: NaN where not taken, as the speed of the first step.
    seconds: since the start of training."""

    step: Integers
    epoch: Floats
    loss: Floats
    accuracy: Floats
    learning_rate: Floats
    grad_norm: Floats
    images_per_second: Floats
    seconds: Floats


@dataclass(frozen=True, eq=False)
class Evaluations:
    """An entry each time that the net was run on the test set, steps ascending. top1, top5: in [0, 1]; NaN where not taken."""

    step: Integers
    epoch: Floats
    loss: Floats
    top1: Floats
    top5: Floats


@dataclass(frozen=True, eq=False)
class TrainingLog:
    train: TrainSteps
    test: Evaluations


@dataclass(frozen=True, eq=False)
class Predictions:
    """An entry an image. names: the path of its file, or TAR/KEY for a sample of a shard; None where it has none. labels,
    predicted: places in `classes`. probabilities: that the net gives to the label."""

    test_set: str
    classes: tuple[str, ...]
    names: tuple[str | None, ...]
    labels: Integers
    predicted: Integers
    probabilities: Floats


def read_log(run: Path) -> TrainingLog:
    """The log of a run's folder. Of a step that stands in it more than once, as after a kill and a resume, the last line counts;
    later steps of before the kill, which the resumed run has not reached again, do not.

    Raises InputError where the run trained no net, and with the line for one that is not of a log.
    """
    if not run.is_dir():
        raise InputError(
            f"{run}: {'not a folder' if run.exists() else 'no such folder'}; expected a run's, as in runs/NAME-DIGEST"
        )
    path = run / LOG
    if not path.exists():
        raise InputError(f"{run}: the run trained no net: it has no {LOG.as_posix()}")
    steps: list[_StepLine] = []
    tests: list[_TestLine] = []
    for line in _lines(path):
        while tests and tests[-1].step >= line.step:
            tests.pop()
        if isinstance(line, _TestLine):
            tests.append(line)
            continue
        while steps and steps[-1].step >= line.step:
            steps.pop()
        steps.append(line)
    if not steps:
        raise InputError(f"{path}: no training step in it yet")
    return TrainingLog(
        TrainSteps(
            step=np.array([line.step for line in steps], np.int64),
            epoch=_floats(line.epoch for line in steps),
            loss=_floats(line.loss for line in steps),
            accuracy=_floats(line.accuracy for line in steps),
            learning_rate=_floats(line.learning_rate for line in steps),
            grad_norm=_floats(line.grad_norm for line in steps),
            images_per_second=_floats(line.images_per_second for line in steps),
            seconds=_floats(line.seconds for line in steps),
        ),
        Evaluations(
            step=np.array([line.step for line in tests], np.int64),
            epoch=_floats(line.epoch for line in tests),
            loss=_floats(line.test_loss for line in tests),
            top1=_floats(line.test_top1 for line in tests),
            top5=_floats(line.test_top5 for line in tests),
        ),
    )


def read_predictions(run: Path) -> Predictions:
    """Raises InputError for a file that is missing or not valid, naming the entry."""
    path = run / PREDICTIONS
    try:
        found = _PredictionsFile.model_validate(json.loads(_read(path)))
    except ValidationError as error:
        raise InputError(f"{path}: {_first(error)}") from None
    except (ValueError, RecursionError) as error:  # also text that is not UTF-8
        raise InputError(f"{path}: not JSON: {error}") from error
    for i, image in enumerate(found.images):
        for field, place in (("label", image.label), ("predicted", image.predicted)):
            if place >= len(found.classes):
                raise InputError(f"{path}: images.{i}.{field}: class {place}, of {len(found.classes)} classes from 0")
    return Predictions(
        found.test_set,
        tuple(found.classes),
        tuple(image.name for image in found.images),
        np.array([image.label for image in found.images], np.int64),
        np.array([image.predicted for image in found.images], np.int64),
        _floats(image.probability for image in found.images),
    )


def _text_or_none(value: object) -> object:
    """Not pydantic's str, which refuses a path that is not UTF-8."""
    if not isinstance(value, str | None):
        raise ValueError("must be text or null")
    return value


Finite = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1 + 1e-6)]  # a float32 softmax may end a little above 1


class _StepLine(BaseModel, frozen=True, strict=True):
    step: NonNegativeInt
    epoch: Finite
    loss: float
    accuracy: Fraction | None
    learning_rate: Finite
    grad_norm: float | None
    images_per_second: Finite | None
    seconds: Finite


class _TestLine(BaseModel, frozen=True, strict=True):
    step: NonNegativeInt
    epoch: Finite
    test_loss: float | None
    test_top1: Fraction
    test_top5: Fraction | None


class _Image(BaseModel, frozen=True, strict=True):
    name: Annotated[Any, AfterValidator(_text_or_none)]
    label: NonNegativeInt
    predicted: NonNegativeInt
    probability: Fraction


class _PredictionsFile(BaseModel, frozen=True, strict=True):
    test_set: str
    classes: list[str] = Field(min_length=1)
    images: list[_Image] = Field(min_length=1)


def _lines(path: Path) -> Iterator[_StepLine | _TestLine]:
    """Lines of a log. One that a kill cut is left out: the last, or, where training went on in the same file, one before."""
    for number, line in enumerate(_read(path).splitlines(), start=1):
        if line.startswith(b"{") and not line.endswith(b"}"):  # objects hold no others: only a whole one ends so
            continue
        where = f"{path}:{number}"
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: not JSON: {error}") from error
        if not isinstance(fields, dict) or not fields.keys() & {"loss", "test_loss"}:
            raise InputError(f"{where}: neither a training step, which has a loss, nor an evaluation, which has a test_loss")
        try:
            yield (_StepLine if "loss" in fields else _TestLine).model_validate(fields)
        except ValidationError as error:
            raise InputError(f"{where}: {_first(error)}") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _first(error: ValidationError) -> str:
    """The first thing that is wrong: which field, what it must be, what it was."""
    found = error.errors()[0]
    field = ".".join(map(str, found["loc"]))
    if found["type"] == "missing":
        return f"{field} is missing"
    message = found["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("should", "must")
    got = "" if isinstance(found["input"], dict | list) else f", got {found['input']!r}"
    return f"{field}: {message}{got}" if field else message


def _floats(values: Iterator[float | None] | Sequence[float | None]) -> Floats:
    """None becomes NaN."""
    return np.array([np.nan if value is None else value for value in values], np.float64)
