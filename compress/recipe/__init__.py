"""A recipe: what a run does, as frozen pydantic models, checked once; recipe_file.py reads them from YAML.

Below the edge a recipe is trusted.
"""

from compress.recipe.data import Data, Source
from compress.recipe.model import AlexNetSpec, BuiltInSpec, FactorySpec, Input, SqueezeNetSpec
from compress.recipe.recipe import Recipe, in_order, json_schema, per_layer
from compress.recipe.section import EntryError
from compress.recipe.steps import Encode, Prune, Quantize, Rate, Svd, Target, Tune
from compress.recipe.train import Augment, Distill, Dsd, Sparse, Train

__all__ = [
    "AlexNetSpec", "Augment", "BuiltInSpec", "Data", "Distill", "Dsd", "Encode", "EntryError", "FactorySpec", "Input",
    "Prune", "Quantize", "Rate", "Recipe", "Source", "Sparse", "SqueezeNetSpec", "Svd", "Target", "Train", "Tune",
    "in_order", "json_schema", "per_layer",
]  # fmt: skip
