"""A space of recipes, as a YAML file: one recipe, and the fields in which its points differ.

    name: squeeze-ratio
    recipe: imagenette                 # a shipped recipe, or a file beside this one
    set: {train.epochs: 8}             # of every point
    grid: {model.squeeze_ratio: [0.125, 0.25, 0.5], seed: [0, 1]}   # every combination
    points:                            # or, and then before them, one by one; `label` is what tables and plots call it
      - {label: the widest, model.bypass: complex, model.squeeze_ratio: 1.0}
    search:                            # or, in place of both, by what was found so far (search.py)
      trials: 20
      fields: {model.squeeze_ratio: {low: 0.1, high: 1.0}, quantize.bits: [2, 3, 4]}
    reference:                         # for the picture: nets that others measured, on an axis of their own
      what: the paper, top-5 of ImageNet, %
      marks: [{label: SR .125, size_bytes: 4800000, accuracy: 80.3}]

A field is named as by `--set`. What a point's recipe is refused for, it is refused for before anything runs; of a search, those
of its `samples`.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, JsonValue, Tag, model_validator

from compress import recipe_file, yaml_file
from compress.errors import RecipeError, SpaceError
from compress.recipe import Recipe
from compress.recipe.section import Section

WHAT = "a space"
MAX_POINTS = 10_000  # unless the caller says yes

Fields = dict[str, JsonValue]  # "model.squeeze_ratio" -> value
LABEL = "label"  # may stand beside the fields of one of `points`
MAX_LABEL = 60  # characters


class Range(Section):
    """Whole numbers where both ends are, else numbers."""

    low: int | float
    high: int | float
    log: bool = Field(default=False, description="as likely between 1 and 10 as between 10 and 100")

    @model_validator(mode="after")
    def _is_range(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be less than high ({self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"low ({self.low}) must be above 0 for log")
        return self


Choices = Annotated[
    Annotated[Range, Tag("[range]")] | Annotated[list[JsonValue], Tag("[list]")],
    Discriminator(lambda value: "[list]" if isinstance(value, list) else "[range]"),
]


class Search(Section):
    """Points that are chosen as results come (Akiba et al. 2019, arXiv 1907.10902)."""

    trials: int = Field(ge=1, le=100_000, description="how many points are run, those that are stopped early counted")
    objective: Literal["top1", "tradeoff"] = Field(
        default="top1",
        description="top1: the highest top-1 of the file; trainings that fall behind the median are stopped. tradeoff: few bytes "
        "and a high top-1, both",
    )
    fields: dict[str, Choices] = Field(min_length=1, description="the values that each field may take")
    seed: int = Field(default=0, ge=0, lt=1 << 32)

    @model_validator(mode="after")
    def _has_choices(self) -> Search:
        for name, values in self.fields.items():
            if isinstance(values, list) and len(values) < 2:
                raise ValueError(f"fields.{name}: must be a range, or a list of at least two values")
        return self


class Mark(Section):
    """A net that others measured. accuracy: in percent."""

    label: str = Field(min_length=1, max_length=MAX_LABEL)
    size_bytes: int = Field(gt=0)
    accuracy: float = Field(ge=0, le=100)


class Reference(Section):
    """Figures of others, which the picture shows beside the sweep's own, on an axis of their own."""

    what: str = Field(min_length=1, max_length=80, description="whose they are, and of what the accuracies are")
    marks: list[Mark] = Field(min_length=1)


class Space(Section):
    """The fields of a space's file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="of the sweep, and of its folder")
    recipe: str = Field(min_length=1, description="a recipe that ships with the package, or a file, from this one's folder")
    set: Fields = Field(default={}, description="fields of the recipe that every point has otherwise")
    points: list[Fields] = Field(
        default=[], description="points one by one: the fields that each has otherwise, and its label, if it has one"
    )
    grid: dict[str, list[JsonValue]] = Field(default={}, description="fields and the values that they take: every combination")
    search: Search | None = Field(default=None, description="points that are chosen as results come, in place of the others")
    reference: Reference | None = Field(default=None, description="figures of others, for the picture")

    @model_validator(mode="after")
    def _has_points(self) -> Space:
        if (self.search is None) != bool(self.points or self.grid):
            raise ValueError("needs a grid, points, or a search; a search has neither of the others")
        for name, values in self.grid.items():
            if not values:
                raise ValueError(f"grid.{name}: has no value")
            if any(values.count(value) > 1 for value in values):
                raise ValueError(f"grid.{name}: names a value twice")
        for index, point in enumerate(self.points):
            label = point.get(LABEL, "a label")
            if not isinstance(label, str) or not 1 <= len(label) <= MAX_LABEL or not label.isprintable():
                raise ValueError(f"points.{index}.{LABEL}: must be a text of 1 to {MAX_LABEL} characters, was {label!r}")
        return self

    @property
    def n_points(self) -> int:
        """Of a search: its trials."""
        if self.search is not None:
            return self.search.trials
        return len(self.points) + (math.prod(len(values) for values in self.grid.values()) if self.grid else 0)

    def fields_of_points(self) -> Iterator[tuple[Fields, str]]:
        """With the label of those that have one. In order: `points`, then the grid, whose last field changes fastest."""
        for point in self.points:
            yield {name: value for name, value in point.items() if name != LABEL}, str(point.get(LABEL, ""))
        if self.grid:
            for values in itertools.product(*self.grid.values()):
                yield dict(zip(self.grid, values, strict=True)), ""


@dataclass(frozen=True)
class Point:
    """fields: in which it differs from the space's recipe, beside those of `set`. label: for tables and plots."""

    index: int
    fields: Fields
    recipe: Recipe
    label: str

    @property
    def where(self) -> str:
        """For messages."""
        return where(self.index, self.fields)


def where(index: int, fields: Mapping[str, Any]) -> str:
    return f"point {index} ({', '.join(f'{name}={shown(value)}' for name, value in fields.items())})"


def label_of(fields: Mapping[str, Any]) -> str:
    """Of a point that has no other: the fields' values, and as much of their names as tells them apart."""
    return ", ".join(f"{_short(name, fields)} {shown(value)}" for name, value in fields.items()) or "as the recipe"


def _short(name: str, names: Iterable[str]) -> str:
    """The last parts of a field's name, as few as no other ends in: steps, or prune.tune.steps beside quantize.tune.steps."""
    parts = name.split(".")
    others = [other.split(".") for other in names if other != name]
    n = next((n for n in range(1, len(parts)) if all(other[-n:] != parts[-n:] for other in others)), len(parts))
    return ".".join(parts[-n:])


def shown(value: JsonValue) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def find(space: str) -> Path:
    """The file that `explore SPACE` means: a path, or the bare name of a space that ships with the package."""
    if Path(space).is_file():
        return Path(space)
    names = recipe_file.shipped_spaces()
    if space in names:
        return names[space]
    raise SpaceError(f"{space}: no such file, and no shipped space has that name; shipped: {', '.join(names) or 'none'}")


def load(path: Path) -> Space:
    """Raises SpaceError, with the line, for a file that is missing or not valid."""
    return yaml_file.load(path, Space, what=WHAT, error=SpaceError)


def points(space: Space, path: Path, *, allow_many: bool = False) -> list[Point]:
    """Every point with its checked recipe. path: of the space's file, for messages, and for a recipe that lies beside it.

    Of a search: none. Raises SpaceError for more than MAX_POINTS or as many trials (unless allow_many) and for a point whose
    recipe is refused, naming it.
    """
    if space.n_points > MAX_POINTS and not allow_many:
        raise SpaceError(f"{path}: {space.n_points:,} points, more than {MAX_POINTS:,} need --yes")
    make = Points(space, path)
    found: list[Point] = []
    seen: dict[str, int] = {}
    for index, (fields, label) in enumerate(space.fields_of_points()):
        point = make.point(index, fields, label)
        digest = point.recipe.digest()
        if digest in seen:
            raise SpaceError(f"{path}: {point.where}: is the same recipe as point {seen[digest]}")
        seen[digest] = index
        found.append(point)
    return found


def samples(space: Space, path: Path) -> list[Point]:
    """Of a search: a point for each value that a field may take, or each end of its range, the other fields at their first.

    Raises SpaceError as `points` does: a search whose samples are recipes knows every field, and its ends.
    """
    assert space.search is not None
    make = Points(space, path)
    choices = {
        name: [values.low, values.high] if isinstance(values, Range) else values for name, values in space.search.fields.items()
    }
    first = {name: values[0] for name, values in choices.items()}
    wanted = [first, *({**first, name: value} for name, values in choices.items() for value in values[1:])]
    return [make.point(index, fields) for index, fields in enumerate(wanted)]


class Points:
    """Makes points of a space, of whatever fields. Raises SpaceError."""

    def __init__(self, space: Space, path: Path) -> None:
        self._path = path
        self._base = _base(space, path)

    def point(self, index: int, fields: Fields, label: str = "") -> Point:
        recipe = _check(self._base, fields, f"{self._path}: {where(index, fields)}")
        return Point(index, fields, recipe, label or label_of(fields))


def _base(space: Space, path: Path) -> dict[str, Any]:
    """The fields of the space's recipe, those of `set` in place."""
    beside = path.parent / space.recipe
    name = str(beside) if beside.is_file() else space.recipe
    try:
        fields = recipe_file.read(name)
    except RecipeError as error:
        raise SpaceError(f"{path}: recipe: {error}") from error
    fields = {**fields, "name": space.name}
    _check_section(space.set, f"{path}: set")
    _put(fields, space.set)
    return fields


def _check(base: Mapping[str, Any], fields: Fields, where: str) -> Recipe:
    _check_section(fields, where)
    changed = copy.deepcopy(dict(base))
    _put(changed, fields)
    try:
        return recipe_file.check(changed, source=where)
    except RecipeError as error:
        raise SpaceError(str(error)) from error


def _check_section(fields: Fields, where: str) -> None:
    """What the fields may not be, beside what a recipe refuses."""
    for name in fields:
        if not all(name.split(".")):
            raise SpaceError(f"{where}: {name!r} must be the name of a field of the recipe, for instance model.squeeze_ratio")
        if name == "name":
            raise SpaceError(f"{where}: name is that of the space, for every point")


def _put(recipe: dict[str, Any], fields: Fields) -> None:
    for name, value in fields.items():
        *sections, last = name.split(".")
        target = recipe
        for section in sections:
            if not isinstance(target.get(section), dict):
                target[section] = {}
            target = target[section]
        target[last] = copy.deepcopy(value)
