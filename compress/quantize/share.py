"""Weight sharing, stage by stage: k-means on each layer's survivors, then the two ways to tune what is shared."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from compress.layer import SharedLayer
from compress.quantize.centroids import shared_weight, stored_codebook
from compress.quantize.exact import exact_kmeans
from compress.quantize.kmeans import Init, assign, kmeans, midpoints
from compress.quantize.reassign import REFRESH_EVERY, Reassigning
from compress.recipe import Tune
from compress.train.distill import OnStep, adam, distill, trained, tunable

SGD_MOMENTUM = 0.9


@dataclass(frozen=True, eq=False)
class Shared:
    """layers: the shared weights by name. others: every other tensor of the state dict."""

    layers: dict[str, SharedLayer]
    others: dict[str, Tensor]


def cluster(
    name: str,
    weight: Tensor,
    mask: Tensor,
    bits: int,
    *,
    method: Literal["lloyd", "exact"] = "lloyd",
    init: Init,
    max_iterations: int,
    dtype: np.dtype[Any],
    seed: int,
) -> SharedLayer:
    """Share one layer's kept weights among at most 2**bits centroids, rounded to the codebook's dtype.

    method: Lloyd's algorithm from `init`, or the clusters of least squared error.

    Raises RecipeError where the dtype cannot hold a centroid.
    """
    values = weight.detach().cpu().numpy()
    kept = mask.cpu().numpy() & (values != 0)  # zero lives in the mask, also where the mask would keep one
    if method == "exact":
        centroids = exact_kmeans(values[kept], 1 << bits)
    else:
        rng = np.random.default_rng(seed)
        centroids = kmeans(values[kept], 1 << bits, init=init, max_iterations=max_iterations, rng=rng)
    codebook = stored_codebook(name, centroids, dtype)
    indices = np.where(kept, assign(values, midpoints(centroids)) + 1, 0).astype(np.int32)
    return SharedLayer(name, tuple(weight.shape), indices, codebook=codebook)


def cluster_by_rate(layer: SharedLayer, weight: Tensor, rate_weight: float, max_iterations: int) -> SharedLayer:
    """Go on from a layer's clusters by entropy-constrained k-means, in which zero is one of the centroids: a pruned weight
    may come back, a kept one may be pruned. rate_weight: price of a bit, in variances of the weights."""
    return Reassigning.start(layer, weight, rate_weight=rate_weight, max_iterations=max_iterations).to_layer(layer.name)


def tune_fixed(
    net: nn.Module,
    teacher: nn.Module,
    shared: Shared,
    tune: Tune,
    batches: Iterator[Tensor],
    on_step: OnStep,
    *,
    field: str,
    held: Collection[str] = (),
) -> Shared:
    """Tune the centroids and the other tensors; no weight changes cluster (Han et al. 2016, section 3.3). SGD with momentum.

    tune.learning_rate is absolute. field: the recipe's section of this tuning, for errors. held: names of tensors that are
    not tuned.
    Raises TrainingDiverged, and RecipeError where the dtype cannot hold a centroid.
    """
    device = next(net.parameters()).device
    indices = {name: torch.from_numpy(layer.indices).long().to(device) for name, layer in shared.layers.items()}
    codebooks = {}
    for name, layer in shared.layers.items():
        assert layer.codebook is not None
        codebooks[name] = torch.from_numpy(layer.codebook.astype(np.float32)).to(device).requires_grad_()
    others = tunable(shared.others, held)

    def parameters() -> dict[str, Tensor]:
        return {**others, **{name: shared_weight(codebooks[name], indices[name]) for name in codebooks}}

    groups = [
        {"params": list(codebooks.values()), "lr": tune.learning_rate},
        {"params": trained(others), "lr": tune.bias_learning_rate},
    ]
    optimizer = torch.optim.SGD(groups, momentum=SGD_MOMENTUM)
    distill(net, teacher, parameters, optimizer, batches, steps=tune.steps, field=field, on_step=on_step)
    layers = {}
    for name, layer in shared.layers.items():
        assert layer.codebook is not None
        tuned = codebooks[name].detach().cpu().numpy()
        layers[name] = replace(layer, codebook=stored_codebook(name, tuned, layer.codebook.dtype))
    return Shared(layers, {name: tensor.detach() for name, tensor in others.items()})


def tune_reassigned(
    net: nn.Module,
    teacher: nn.Module,
    shared: Shared,
    latents: Mapping[str, Tensor],
    tune: Tune,
    batches: Iterator[Tensor],
    on_step: OnStep,
    *,
    rate_weights: Mapping[str, float],
    held: Collection[str] = (),
) -> Shared:
    """Tune latent weights, each of which the net sees as its nearest centroid (reassign.py), and the other tensors.

    latents: the float weights that the clusters were made from. rate_weights: as for cluster_by_rate, by name.
    tune.learning_rate is in steps of the layer's quantizer. held: names of tensors that are not tuned.
    Raises TrainingDiverged.
    """
    if not tune.steps:
        return shared
    sharing = {
        name: Reassigning.start(layer, latents[name], rate_weight=rate_weights[name], max_iterations=1)
        for name, layer in shared.layers.items()
    }
    others = tunable(shared.others, held)

    def parameters() -> dict[str, Tensor]:
        return {**others, **{name: layer.weight() for name, layer in sharing.items()}}

    def after_step(step: int) -> None:
        if step % REFRESH_EVERY == 0:
            for layer in sharing.values():
                layer.refresh()

    scales = {name: layer.step_size() for name, layer in sharing.items()}
    latent = {name: layer.latent for name, layer in sharing.items()}
    optimizer = adam(latent, scales, others, tune.learning_rate, tune.bias_learning_rate)
    distill(
        net,
        teacher,
        parameters,
        optimizer,
        batches,
        steps=tune.steps,
        field="quantize.tune",
        on_step=on_step,
        after_step=after_step,
    )
    layers = {name: layer.to_layer(name) for name, layer in sharing.items()}
    return Shared(layers, {name: tensor.detach() for name, tensor in others.items()})
