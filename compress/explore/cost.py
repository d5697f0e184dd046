"""What a point costs before it is run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compress.convention import TORCHVISION
from compress.errors import RecipeError, SpaceError
from compress.explore.space import Point
from compress.models.describe import NetFacts, describe
from compress.recipe import FactorySpec, Recipe


def nets_of(points: Sequence[Point], path: Path) -> list[NetFacts | None]:
    """Of each point. path: of the space's file. Raises SpaceError, naming the point, for an input too small for its net."""
    found = []
    for point in points:
        try:
            found.append(net_facts(point.recipe))
        except RecipeError as error:
            raise SpaceError(f"{path}: {point.where}: {error}") from error
    return found


def net_facts(recipe: Recipe) -> NetFacts | None:
    """The net of a recipe at its input size; None for one of the user's own, of which only its code knows. Raises RecipeError."""
    if isinstance(recipe.model, FactorySpec):
        return None
    if recipe.input is not None:
        return describe(recipe.model, recipe.input.size)
    if recipe.data.is_digits():
        from compress.data import digits  # costs a scikit-learn

        return describe(recipe.model, digits.CONVENTION.size)
    return describe(recipe.model, TORCHVISION.size)
