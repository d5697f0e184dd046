"""The folder of a training run: what is trained there, in words, so that nothing else is trained on in it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compress.atomic import write_atomically
from compress.checkpoint import key_of
from compress.data.training import TrainingSet
from compress.errors import RunFolderError
from compress.folder_lock import empty, locked
from compress.recipe import Recipe, in_order
from compress.subject import Subject
from compress.teacher import Teacher

FACTS = "training.json"
MAX_SHOWN = 120  # characters of a value in a message: a list of classes may have a thousand names
# Fields of `train` that change nothing but how the run is done: a run goes on with others.
OPERATIONAL = {"workers", "cache_gb", "checkpoint_every", "keep", "evaluate_every", "max_skipped", "compile"}


def training_folder_of(recipe: Recipe, runs: Path, facts: dict[str, Any]) -> Path:
    """Of what is trained, not of what is done with it after: recipes that differ in that share it."""
    return runs / f"{recipe.name}-train-{key_of(facts)[:8]}"


def training_facts(recipe: Recipe, subject: Subject, training: TrainingSet, teacher: Teacher | None) -> dict[str, Any]:
    """All that the trained weights depend on, but for versions and device: a run goes on after an update, on another machine.

    Of fields what differs from the defaults, so that one which a later version adds changes no training."""
    fields = recipe.model_dump(mode="json", exclude_defaults=True)
    train = in_order({name: value for name, value in fields["train"].items() if name not in OPERATIONAL})
    facts = {
        "seed": recipe.seed,
        "model": fields.get("model"),
        "classes": fields.get("classes"),
        "weights": {"source": recipe.weights_source, "sha256": subject.sha256},
        "input": fields.get("input"),
        "crop": recipe.crop,
        "train": train,
        "images": {"sha256": training.digest},
    }
    return facts | ({"teacher": {"sha256": teacher.sha256}} if teacher is not None else {})


@contextlib.contextmanager
def training_folder(folder: Path, facts: dict[str, Any], *, fresh: bool = False, must_exist: bool = False) -> Iterator[None]:
    """Make it, or see that what it holds is this training, and keep others out. fresh: forget what it holds.

    Raises RunFolderError, with every difference, where it is another training; where another process trains there.
    """
    assert not (fresh and must_exist)  # what the user names is never deleted
    if must_exist and not (folder / FACTS).exists():
        raise RunFolderError(f"{folder}: no training run is there: {FACTS} is missing")
    with locked(folder, "training"):
        _open(folder, facts, fresh=fresh, is_named=must_exist)
        yield


def _open(folder: Path, facts: dict[str, Any], *, fresh: bool, is_named: bool) -> None:
    path = folder / FACTS
    try:
        if fresh:
            empty(folder)
        if not path.exists():
            write_atomically(path, json.dumps(facts, indent=1).encode())
            return
        before = json.loads(path.read_bytes())
        if not isinstance(before, dict):
            raise ValueError("no object")
    except ValueError as error:
        raise RunFolderError(
            f"{path}: is damaged: {error}; without it the run cannot go on: --fresh, or remove {folder}"
        ) from error
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be used: {error.strerror or error}") from error
    if differences := list(_differences(before, json.loads(json.dumps(facts)))):  # a tuple is a list, once it is read
        lines = "\n".join(f"  {line}" for line in differences)
        rest = "without --resume this recipe has a folder of its own" if is_named else "--fresh drops it"
        raise RunFolderError(f"{folder}: trains with other settings; there, in the recipe:\n{lines}\n{rest}")


def _differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            yield from _differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif before != now:
        yield f"{name}: {_shown(before)}, {_shown(now)}"


def _shown(value: Any) -> str:
    text = json.dumps(value) if value is not None else "the default"  # what is left out of the facts
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
