"""Where the bits of a rate-aware run would go, before it is run: sensitivities measured, steps placed, bytes counted."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from compress.artifact.inspect import inspect_bytes
from compress.artifact.reader import read_bytes
from compress.errors import RecipeError
from compress.layer import SharedLayer
from compress.rate_stages import plan_by_rate
from compress.recipe import Recipe
from compress.stages import Stages


@dataclass(frozen=True)
class PlannedLayer:
    """sensitivity: nats that a squared error of 1 in every weight would cost, over the number of weights. size_bytes: all that
    the layer takes in the file."""

    name: str
    n_weights: int
    sensitivity: float
    step: float
    n_levels: int  # zero not counted
    density: float
    bits_per_weight: float
    size_bytes: int


@dataclass(frozen=True)
class Plan:
    """size_bytes: of the whole file. other_bytes: of it, what is no layer of the list: biases, other tensors, metadata,
    checksums."""

    layers: tuple[PlannedLayer, ...]
    other_bytes: int
    size_bytes: int
    max_bytes: int


def plan(recipe: Recipe, device: torch.device) -> Plan:
    """Each weight is rounded alone here; a run makes up for the errors and tunes, at the same number of bytes.

    Raises RecipeError for a recipe without `rate` and target.max_bytes, which has nothing to plan.
    """
    if recipe.rate is None or recipe.target is None or recipe.target.max_bytes is None:
        raise RecipeError("plan is for a recipe with `rate` and target.max_bytes; --set target.max_bytes=... gives it one")
    stages = Stages(recipe, device)
    data, sensitivity = plan_by_rate(stages, recipe.rate)
    rows = {row.name: row for row in inspect_bytes(data)}
    stored = read_bytes(data).layers.items()
    steps = {name: layer.step for name, layer in stored if isinstance(layer, SharedLayer) and layer.step is not None}
    layers = tuple(
        PlannedLayer(
            name=name,
            n_weights=rows[name].n_weights,
            sensitivity=sensitivity[name],
            step=float(steps[name]),
            n_levels=rows[name].n_centroids,
            density=rows[name].n_nonzero / rows[name].n_weights,
            bits_per_weight=rows[name].bits_per_weight,
            size_bytes=rows[name].size_bytes,
        )
        for name in sensitivity
    )
    planned = sum(layer.size_bytes for layer in layers)
    return Plan(layers, len(data) - planned, len(data), recipe.target.max_bytes)
