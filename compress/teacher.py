"""The teacher of train.distill: the net of a .sqz file, or the one that a function of the user's own returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from compress.artifact.reader import read
from compress.convention import InputConvention
from compress.errors import RecipeError
from compress.export.load import from_artifact
from compress.models.factory import build_from, import_factory
from compress.paths import expand
from compress.recipe import Recipe
from compress.stage_arrays import sha256
from compress.subject import Subject, image_side, n_outputs

FIELD = "train.distill.teacher"


@dataclass(frozen=True, eq=False)
class Teacher:
    """net: in eval mode, on the CPU, without gradients. sha256: of its file, or of the tensors that its function gave it."""

    net: nn.Module
    sha256: str


def teacher_of(recipe: Recipe, subject: Subject) -> Teacher | None:
    """None for a recipe without. Raises RecipeError for a net of other classes, or that takes other images than the recipe's,
    ArtifactError or InputError for a file or a function that gives none."""
    if recipe.train is None or recipe.train.distill is None:
        return None
    name = recipe.train.distill.teacher
    where = f"{FIELD}: {name}"
    found = _from_file(name, recipe, subject) if name.endswith(".sqz") else _from_factory(name)
    n_channels, side = len(subject.convention.channels), image_side(recipe, subject.convention)
    n_classes = n_outputs(found.net, n_channels, side, owner=where, field="data.crop")
    if n_classes != subject.n_classes:
        raise RecipeError(f"{where}: has {n_classes} classes, the net of the recipe has {subject.n_classes}")
    if (first := recipe.train.first_crop) is not None and first < side and not recipe.data.is_digits():
        n_outputs(found.net, n_channels, first, owner=where, field="train.first_crop")
    found.net.requires_grad_(False)
    return found


def _from_file(name: str, recipe: Recipe, subject: Subject) -> Teacher:
    path = expand(name, field=FIELD)
    artifact = read(path)
    loaded = from_artifact(artifact, path)
    theirs, ours = artifact.metadata.get("classes"), recipe.classes
    if None not in (theirs, ours) and theirs != ours:
        raise RecipeError(f"{FIELD}: {name}: its classes are {_named(theirs)}, those of the recipe {_named(ours)}")
    _check_same_input(loaded.preprocess.convention, subject.convention, f"{FIELD}: {name}")
    return Teacher(loaded.net, artifact.sha256)


def _from_factory(name: str) -> Teacher:
    if ":" not in name:
        raise RecipeError(f"{FIELD}: {name}: must be a .sqz file, or package.module:function")
    try:
        net = build_from(import_factory(name), name)
    except RecipeError as error:  # it names the field that most factories are in
        raise RecipeError(f"{FIELD}: {str(error).removeprefix('model.factory: ')}") from error
    return Teacher(net, sha256({key: tensor.detach().numpy() for key, tensor in net.state_dict().items()}))


def _check_same_input(theirs: InputConvention, ours: InputConvention, where: str) -> None:
    for field in ("channels", "scale", "mean", "std"):
        if getattr(theirs, field) != getattr(ours, field):
            raise RecipeError(
                f"{where}: takes input.{field} {getattr(theirs, field)}, the net of the recipe {getattr(ours, field)}"
            )


def _named(classes: object) -> str:
    return f"{', '.join(map(str, classes[:5]))}{', ...' * (len(classes) > 5)}" if isinstance(classes, list) else str(classes)
