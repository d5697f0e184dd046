"""The folder of a training run: what is trained there, in words, so that nothing else is trained on in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compress.atomic import write_atomically
from compress.checkpoint import key_of
from compress.data.training import TrainingSet
from compress.errors import RunFolderError
from compress.recipe import Recipe
from compress.subject import Subject

FACTS = "training.json"
# Fields of `train` that change nothing but how the run is done: a run goes on with others.
OPERATIONAL = {"workers", "cache_gb", "checkpoint_every", "keep", "evaluate_every", "max_skipped", "compile"}


def training_key(recipe: Recipe, subject: Subject, training: TrainingSet) -> str:
    return key_of(training_facts(recipe, subject, training))


def training_facts(recipe: Recipe, subject: Subject, training: TrainingSet) -> dict[str, Any]:
    """All that the trained weights depend on, but for versions and device: a run goes on after an update, on another machine."""
    fields = recipe.model_dump(mode="json")
    train = {name: value for name, value in fields["train"].items() if name not in OPERATIONAL}
    return {
        "seed": recipe.seed,
        "model": fields["model"],
        "classes": fields["classes"],
        "weights": {"source": recipe.weights_source, "sha256": subject.sha256},
        "input": fields["input"],
        "crop": recipe.crop,
        "train": train,
        "images": {"description": training.description, "sha256": training.digest},
    }


def open_training_folder(folder: Path, facts: dict[str, Any], *, fresh: bool, must_exist: bool) -> None:
    """Make it, or see that what it holds is this training. Raises RunFolderError, with every difference, where it is another."""
    path = folder / FACTS
    try:
        if fresh and folder.exists():
            shutil.rmtree(folder)
        if must_exist and not path.exists():
            raise RunFolderError(f"{folder}: no training run is there: {FACTS} is missing")
        if path.exists():
            differences = list(_differences(json.loads(path.read_bytes()), facts))
            if differences:
                lines = "\n".join(f"  {line}" for line in differences)
                raise RunFolderError(f"{folder}: was trained with other settings; was, is now:\n{lines}\n--fresh drops it")
            return
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(facts, indent=1).encode())
    except ValueError as error:
        raise RunFolderError(f"{path}: is damaged: {error}; --fresh starts over") from error
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be used: {error.strerror or error}") from error


def _differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            yield from _differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif before != now:
        yield f"{name}: {json.dumps(before)}, {json.dumps(now)}"
