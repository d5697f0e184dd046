"""Prune, then tune the survivors with the masks held."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from compress.prune.magnitude import magnitude_masks
from compress.recipe import Tune
from compress.train.distill import OnStep, adam, distill, tunable


@dataclass(frozen=True, eq=False)
class Pruned:
    """tensors: the state dict, pruned weights exactly zero. masks: name -> bool, for the weights that were pruned."""

    tensors: dict[str, Tensor]
    masks: dict[str, Tensor]


def prune_and_tune(
    net: nn.Module,
    teacher: nn.Module,
    tensors: Mapping[str, Tensor],
    densities: Mapping[str, float],
    tune: Tune,
    batches: Iterator[Tensor],
    on_step: OnStep,
    *,
    held: Collection[str] = (),
    field: str = "prune.tune",
) -> Pruned:
    """densities: weight name -> fraction kept. tensors: the uncompressed state dict, on the net's device. held: names of
    tensors that are not tuned, such as running statistics. field: the recipe's section, for messages.

    The learning rate of a layer is tune.learning_rate standard deviations of its weights. Raises TrainingDiverged.
    """
    weights = {name: tensors[name].detach() for name in densities}
    masks = magnitude_masks(weights, densities)
    latents = {name: (weight * masks[name]).requires_grad_() for name, weight in weights.items()}
    others = tunable({name: tensor for name, tensor in tensors.items() if name not in weights}, held)

    def parameters() -> dict[str, Tensor]:
        return {**others, **{name: latent * masks[name] for name, latent in latents.items()}}

    scales = {name: float(weight.std(unbiased=False)) for name, weight in weights.items()}
    optimizer = adam(latents, scales, others, tune.learning_rate, tune.bias_learning_rate)
    distill(net, teacher, parameters, optimizer, batches, steps=tune.steps, field=field, on_step=on_step)
    with torch.no_grad():
        tuned = parameters()
    exact = {name: tuned[name] + 0.0 for name in masks}  # -0.0, of a negative weight, becomes 0.0: a file stores -0.0
    return Pruned({name: exact.get(name, tuned[name]).detach().clone() for name in tensors}, masks)
