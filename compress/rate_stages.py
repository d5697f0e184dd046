"""The stages of a run with `rate`: uniform steps for a byte target, then tuning at that size. pipeline.py has their order."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from compress.artifact import reader
from compress.errors import RecipeError
from compress.quantize.error_feedback import error_feedback, input_moments
from compress.quantize.rate import RateQuantizer
from compress.quantize.sensitivity import sensitivities
from compress.quantize.uniform import base_steps
from compress.recipe import Rate, Tune
from compress.run_folder import Arrays
from compress.stage_arrays import LATENT, SENSITIVITY, from_layers
from compress.stages import UNTUNED, Stages, shared_arrays
from compress.train.distill import OnStep

COST_FACTORS = (1.331, 1.21, 1.1, 1.0)  # 10% apart


def quantize_by_rate(stages: Stages, section: Rate, dense: Arrays) -> Arrays:
    """The levels, and beside them (LATENT) the weights that they are the rounding of, for tune_by_rate."""
    tensors = stages.tensors(dense)
    net = stages.net_with(tensors)
    found = measured_sensitivities(stages, section, net)
    crops = stages.batches("quantize", measuring_crops(section))
    moments = input_moments(net, stages.bits, crops, section.images)
    quantizer = rate_quantizer(stages, section, tensors, found, moments)
    latents = {LATENT + name: weight.detach().cpu().numpy() for name, weight in quantizer.weights.items()}
    sensitivity = {SENSITIVITY + name: np.array(value) for name, value in found.items()}
    return shared_arrays(quantizer.quantized()) | latents | sensitivity


def plan_by_rate(stages: Stages, section: Rate) -> tuple[bytes, dict[str, float]]:
    """A file of the size that is asked for, each weight rounded alone, and the sensitivities that placed its steps."""
    recipe = stages.recipe
    if recipe.train is not None or recipe.svd is not None or (recipe.prune is not None and recipe.prune.macs is not None):
        raise RecipeError("plan needs the weights: this recipe trains, factorises or cuts channels first")
    baseline = from_layers(stages.subject.layers)
    tensors = stages.tensors(baseline)
    found = measured_sensitivities(stages, section, stages.net_with(tensors))
    quantizer = rate_quantizer(stages, section, tensors, found, {})
    return stages.file_bytes(shared_arrays(quantizer.quantized()), as_file=True), found


def measured_sensitivities(stages: Stages, section: Rate, net: nn.Module) -> dict[str, float]:
    return sensitivities(net, stages.bits, stages.batches("quantize", measuring_crops(section)), section.images)


def measuring_crops(section: Rate) -> Tune:
    return Tune(steps=0, learning_rate=1.0, batch_size=min(16, section.images))


def tune_by_rate(stages: Stages, section: Rate, dense: Arrays, levels: Arrays, on_step: OnStep) -> Arrays:
    tensors = stages.tensors(dense)
    start = tensors | {name: torch.from_numpy(levels[LATENT + name]).to(stages.device) for name in stages.bits}
    found = {name: float(levels[SENSITIVITY + name]) for name in stages.bits}
    quantizer = rate_quantizer(stages, section, start, found, {})
    tune = section.tune or UNTUNED
    quantizer.tune(stages.net_for(tensors), stages.teacher, tune, stages.batches("tune", tune), on_step)
    return shared_arrays(quantizer.quantized())


def costs_of_bytes(stages: Stages, section: Rate, dense: Arrays, levels: Arrays, n_bytes: int) -> list[tuple[int, float]]:
    """Bytes, and agreement on data.test, of untuned files of 1.33, 1.21, 1.1 and 1 times n_bytes: what 10% fewer cost."""
    tensors = stages.tensors(dense)
    crops = stages.batches("quantize", measuring_crops(section))
    moments = input_moments(stages.net_with(tensors), stages.bits, crops, section.images)
    found = {name: float(levels[SENSITIVITY + name]) for name in stages.bits}
    costs = []
    for factor in COST_FACTORS:
        quantizer = rate_quantizer(stages, section, tensors, found, moments, max_bytes=round(factor * n_bytes))
        data = stages.file_bytes(shared_arrays(quantizer.quantized()), as_file=True)
        costs.append((len(data), stages.rows.row("", reader.read_bytes(data), stages.splits.test, 0.0).agreement))
    return costs


def rate_quantizer(
    stages: Stages,
    section: Rate,
    tensors: dict[str, Tensor],
    sensitivity: Mapping[str, float],
    moments: Mapping[str, Tensor],
    *,
    max_bytes: int | None = None,
) -> RateQuantizer:
    """max_bytes: target.max_bytes, where it is not given."""
    assert stages.recipe.target is not None and stages.recipe.target.max_bytes is not None
    weights = {name: tensors[name] for name in stages.bits}
    biases = [name for name in stages.roles.biases if name not in stages.held]
    return RateQuantizer(
        weights,
        {name: tensors[name] for name in biases},
        {name: tensor for name, tensor in tensors.items() if name not in stages.bits and name not in biases},
        bases=base_steps(sensitivity),
        dead_zone=section.dead_zone,
        bias_bits=section.bias_bits,
        max_bytes=max_bytes or stages.recipe.target.max_bytes,
        size_of=lambda quantized: len(stages.file_bytes(shared_arrays(quantized), as_file=True)),
        feedback=error_feedback(weights, moments),
        held=stages.held,
    )
