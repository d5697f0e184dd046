"""Which test pictures the file takes for another class than the uncompressed net: both run again, on the sets of the recipe."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor

from compress.artifact.tensors import wanted_convention
from compress.convention import InputConvention
from compress.data.sets import MeasuringSet, measuring_set
from compress.errors import InputError
from compress.export.load import build, class_names
from compress.layer import Layer, RawTensor
from compress.measure.fidelity import logits
from compress.models.factory import import_factory
from compress.plots.labels import one_line
from compress.recipe import FactorySpec, Recipe, Train
from compress.report.pictures import ChangedPictures, Picture
from compress.report.run import RECIPE, Run
from compress.subject import n_outputs

LARGE = 64  # pixels: from this side on a picture is stored as JPEG; a smaller one is shown larger than it is
JPEG_QUALITY = 85


def changed_pictures(run: Run, n_images: int) -> list[ChangedPictures]:
    """For each set that the run measured its file on, up to n_images of the pictures whose prediction changed.

    Raises InputError for a recipe that cannot be read, or whose sets are not here, or are others than the run's.
    """
    recipe = _recipe(run)
    artifact, source = run.file.artifact, run.file.name
    factory = import_factory(recipe.model.factory) if isinstance(recipe.model, FactorySpec) else None
    after = build(artifact, source, factory)
    before = build(_uncompressed(run), f"{run.folder}: the uncompressed net", factory)
    convention = wanted_convention(InputConvention.from_metadata(artifact.metadata.get("input", {}), source))
    n_classes = n_outputs(before, len(convention.channels), convention.size, owner=source, field="metadata.input")
    names = class_names(artifact.metadata.get("classes"))
    digests = {row.test_set_sha256 for row in run.rows if row.artifact_sha256}
    found = []
    for measuring in _sets(recipe, convention, n_classes):
        if measuring.digest not in digests:
            raise InputError(
                f"{measuring.name}: not the pictures that {run.run_id} was measured on: its ledger has another digest"
            )
        outputs = [logits(net, measuring.pixels, convention).softmax(1) for net in (before, after)]
        found.append(_changed(measuring, outputs[0], outputs[1], names, n_images))
    return found


def _recipe(run: Run) -> Recipe:
    try:
        return Recipe.model_validate(run.recipe | {"train": _given(run.recipe.get("train"))})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise InputError(f"{run.folder / RECIPE}: {field}: {first['msg']}") from None


def _given(train: Any) -> Any:
    """recipe.json names every field, and a recipe may not name those of another optimizer: what is a default is not given."""
    if not isinstance(train, dict):
        return train
    defaults = {name: field.default for name, field in Train.model_fields.items()}
    return {name: value for name, value in train.items() if name not in defaults or value != defaults[name]}


def _uncompressed(run: Run) -> Any:
    """The net as it was, as if it had been read from a file: with all its channels."""
    artifact = run.file.artifact
    described = dict(artifact.metadata.get("architecture", {}))
    described.pop("channels", None)
    layers: dict[str, Layer] = {name: RawTensor(name, array) for name, array in run.before.items()}
    return replace(artifact, metadata=artifact.metadata | {"architecture": described}, layers=layers)


def _sets(recipe: Recipe, convention: InputConvention, n_classes: int) -> list[MeasuringSet]:
    sets = [measuring_set(recipe.data.test, convention, recipe.classes, n_classes, field="data.test")]
    for i, source in enumerate(recipe.data.report or ()):
        sets.append(measuring_set((source,), convention, recipe.classes, n_classes, field=f"data.report.{i}"))
    return sets


def _changed(
    measuring: MeasuringSet, before: Tensor, after: Tensor, names: Sequence[str] | None, n_images: int
) -> ChangedPictures:
    """before, after: (n, classes) probabilities."""
    was, now = before.argmax(1), after.argmax(1)
    places = torch.nonzero(was != now).flatten()
    sure = before[places].amax(1)
    shown = places[sure.argsort(descending=True, stable=True)][:n_images]
    labels = measuring.labels
    return ChangedPictures(
        test_set=measuring.description,
        n=len(was),
        n_changed=len(places),
        n_lost=None if labels is None else int((was[places] == labels[places]).sum()),
        n_won=None if labels is None else int((now[places] == labels[places]).sum()),
        shown=[_picture(measuring, before, after, int(i), names) for i in shown],
    )


def _picture(measuring: MeasuringSet, before: Tensor, after: Tensor, i: int, names: Sequence[str] | None) -> Picture:
    was, now = int(before[i].argmax()), int(after[i].argmax())
    label = None if measuring.labels is None else int(measuring.labels[i])
    pixels = measuring.pixels[i].numpy()
    return Picture(
        data_url=data_url(pixels),
        label="" if label is None else _name(label, names),
        before=_name(was, names),
        before_probability=float(before[i, was]),
        after=_name(now, names),
        after_probability=float(after[i, now]),
        outcome="lost" if was == label else "won" if now == label else "",
        is_small=max(pixels.shape[:2]) < LARGE,
    )


def data_url(pixels: np.ndarray[Any, Any]) -> str:
    """(h, w, c) uint8 -> a data: URL of a JPEG, of a small picture of a PNG."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    kind, options = ("jpeg", {"quality": JPEG_QUALITY}) if max(image.size) >= LARGE else ("png", {})
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _name(i: int, names: Sequence[str] | None) -> str:
    return one_line(names[i]) if names is not None else str(i)
