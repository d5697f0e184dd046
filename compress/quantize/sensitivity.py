"""How much a network's outputs mind an error in a layer's weights: the diagonal of the Fisher information, averaged over the
layer.

For a small error e of the weights the divergence KL(net || net with the error) is 1/2 e^T F e, where F is the Fisher information
of the weights (Amari 1998; used to place bits by Choi et al. 2017, section 3.3, and Dong et al. 2019). Its diagonal is the mean
over images of the squared gradient of log p(y), y drawn from the net's own outputs: no labels are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compress.errors import TrainingDiverged

SMALLEST = 1e-9  # of the largest: a layer that nothing depends on still gets a finite step


def sensitivities(net: nn.Module, names: Iterable[str], batches: Iterator[Tensor], n_images: int) -> dict[str, float]:
    """For each tensor in `names`, the mean squared gradient of a weight, above zero; in nats per squared unit of the weights.

    net: in eval mode. batches: (b, c, h, w), normalised. Raises TrainingDiverged naming the first layer whose gradient is not
    finite.
    """
    parameters = dict(net.named_parameters())
    weights = [(name, parameters[name]) for name in names]
    device = weights[0][1].device
    generator = torch.Generator().manual_seed(0)
    totals = dict.fromkeys((name for name, _ in weights), 0.0)
    trainable = [weight.requires_grad for _, weight in weights]
    for _, weight in weights:
        weight.requires_grad_(True)
    try:
        for image in _single(batches, n_images):
            log_p = F.log_softmax(net(image.to(device)).float(), 1)  # (1, classes)
            if not log_p.isfinite().all():
                raise TrainingDiverged("the uncompressed net's outputs are not finite on a tuning crop")
            drawn = torch.multinomial(log_p.detach().exp().cpu(), 1, generator=generator)
            gradients = torch.autograd.grad(log_p[0, int(drawn.item())], [weight for _, weight in weights])
            for (name, _), gradient in zip(weights, gradients, strict=True):
                totals[name] += float(gradient.square().mean())
    finally:
        for (_, weight), before in zip(weights, trainable, strict=True):
            weight.requires_grad_(before)
    for name, total in totals.items():
        if not total < float("inf"):
            raise TrainingDiverged(f"{name}: the gradient of the outputs is {total}")
    floor = SMALLEST * max(totals.values())
    if floor <= 0:
        raise TrainingDiverged("the outputs depend on no weight: the uncompressed net gives the same for every image")
    return {name: max(total, floor) / n_images for name, total in totals.items()}


def _single(batches: Iterator[Tensor], n_images: int) -> Iterator[Tensor]:
    """n_images batches of one image."""
    left = n_images
    while left:
        for image in next(batches)[:left].split(1):
            left -= 1
            yield image
