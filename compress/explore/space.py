"""A space of recipes, as a YAML file: one recipe, and the fields in which its points differ.

    name: squeeze-ratio
    recipe: imagenette                 # a shipped recipe, or a file beside this one
    set: {train.epochs: 8}             # of every point
    grid: {model.squeeze_ratio: [0.125, 0.25, 0.5], seed: [0, 1]}   # every combination
    points:                            # or, and then before them, one by one
      - {model.bypass: complex}

A field is named as by `--set`. What a point's recipe is refused for, it is refused for before anything runs.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue, model_validator

from compress import recipe_file, yaml_file
from compress.errors import RecipeError, SpaceError
from compress.recipe import Recipe
from compress.recipe.section import Section

WHAT = "a space"
MAX_POINTS = 10_000  # unless the caller says yes

Fields = dict[str, JsonValue]  # "model.squeeze_ratio" -> value


class Space(Section):
    """The fields of a space's file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="of the sweep, and of its folder")
    recipe: str = Field(min_length=1, description="a recipe that ships with the package, or a file, from this one's folder")
    set: Fields = Field(default={}, description="fields of the recipe that every point has otherwise")
    points: list[Fields] = Field(default=[], description="points one by one: the fields that each has otherwise")
    grid: dict[str, list[JsonValue]] = Field(default={}, description="fields and the values that they take: every combination")

    @model_validator(mode="after")
    def _has_points(self) -> Space:
        if not self.points and not self.grid:
            raise ValueError("needs a grid, or points")
        for name, values in self.grid.items():
            if not values:
                raise ValueError(f"grid.{name}: has no value")
            if any(values.count(value) > 1 for value in values):
                raise ValueError(f"grid.{name}: names a value twice")
        return self

    @property
    def n_points(self) -> int:
        return len(self.points) + (math.prod(len(values) for values in self.grid.values()) if self.grid else 0)

    def fields_of_points(self) -> Iterator[Fields]:
        """In order: `points`, then the grid, whose last field changes fastest."""
        yield from self.points
        if self.grid:
            for values in itertools.product(*self.grid.values()):
                yield dict(zip(self.grid, values, strict=True))


@dataclass(frozen=True)
class Point:
    """fields: in which it differs from the space's recipe, beside those of `set`."""

    index: int
    fields: Fields
    recipe: Recipe

    @property
    def label(self) -> str:
        """For tables and plots: the last names of the fields, and their values."""
        return ", ".join(f"{name.rpartition('.')[2]} {_shown(value)}" for name, value in self.fields.items())


def load(path: Path) -> Space:
    """Raises SpaceError, with the line, for a file that is missing or not valid."""
    return yaml_file.load(path, Space, what=WHAT, error=SpaceError)


def points(space: Space, path: Path, *, allow_many: bool = False) -> list[Point]:
    """Every point with its checked recipe. path: of the space's file, for messages, and for a recipe that lies beside it.

    Raises SpaceError for more than MAX_POINTS (unless allow_many) and for a point whose recipe is refused, naming it.
    """
    if space.n_points > MAX_POINTS and not allow_many:
        raise SpaceError(f"{path}: {space.n_points:,} points, more than {MAX_POINTS:,} need --yes")
    base = _base(space, path)
    found: list[Point] = []
    seen: dict[str, int] = {}
    for index, fields in enumerate(space.fields_of_points()):
        where = f"{path}: point {index} ({_listed(fields)})"
        recipe = _check(base, fields, where)
        digest = recipe.digest()
        if digest in seen:
            raise SpaceError(f"{where}: is the same recipe as point {seen[digest]}")
        seen[digest] = index
        found.append(Point(index, fields, recipe))
    return found


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


def _listed(fields: Fields) -> str:
    return ", ".join(f"{name}={_shown(value)}" for name, value in fields.items())


def _shown(value: JsonValue) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
