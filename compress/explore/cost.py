"""What a point costs before it is run."""

from __future__ import annotations

from compress.convention import TORCHVISION
from compress.models.describe import NetFacts, describe
from compress.recipe import FactorySpec, Recipe


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
