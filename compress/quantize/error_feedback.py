"""Rounding whose errors are made up for: each weight is rounded in turn, and the weights of its row that are not yet rounded
move so that the layer's outputs change least.

Least squares on the layer's own inputs: Optimal Brain Surgeon (Hassibi & Stork 1993) as in OBC and GPTQ (Frantar et al. 2022,
2023), columns in falling order of their inputs' energy. No gradient is needed, only the second moments of the inputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compress.errors import TrainingDiverged
from compress.quantize.uniform import levels

MAX_COLUMNS = 8192  # weights of a row: the moments take 4 bytes times their square
PATCHES_PER_IMAGE = 400  # of a convolution's inputs
BLOCK = 32  # columns whose feedback to later ones is added in one product
DAMPING = 0.01  # added to the moments' diagonal, in means of it


@torch.no_grad()
def input_moments(net: nn.Module, names: Iterable[str], batches: Iterator[Tensor], n_images: int) -> dict[str, Tensor]:
    """For each weight in `names`, the second moments of what its rows are multiplied with: (groups, columns, columns).

    names: of Conv2d and Linear weights ("fc.weight"). A layer that is not called, or has rows of more than 8192 weights, is left
    out. Raises TrainingDiverged, naming the layer, for inputs that are not finite.
    """
    generator = torch.Generator().manual_seed(0)
    moments: dict[str, Tensor] = {}

    def observe(name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        patches = _patches(module, inputs[0].float(), generator)  # (groups, n, columns)
        moments[name] = moments.get(name, 0) + patches.transpose(1, 2) @ patches

    hooks = []
    for name in names:
        module = net.get_submodule(name.rpartition(".")[0])
        weight = net.get_parameter(name)
        if isinstance(module, nn.Conv2d | nn.Linear) and weight[0].numel() <= MAX_COLUMNS:
            hooks.append(module.register_forward_pre_hook(lambda module, inputs, name=name: observe(name, module, inputs)))
    device = next(net.parameters()).device
    try:
        left = n_images
        while left > 0:
            images = next(batches)[:left]
            net(images.to(device))
            left -= len(images)
    finally:
        for hook in hooks:
            hook.remove()
    for name, found in moments.items():
        if not found.isfinite().all():
            raise TrainingDiverged(f"{name}: the layer's inputs are not finite on tuning crops")
    return moments


def _patches(module: nn.Module, x: Tensor, generator: torch.Generator) -> Tensor:
    """What a layer multiplies its rows with: (groups, n, columns)."""
    if isinstance(module, nn.Linear):
        return _drawn(x.reshape(-1, x.shape[-1]), PATCHES_PER_IMAGE * len(x), generator)[None]
    assert isinstance(module, nn.Conv2d)
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    padded = F.pad(x, module._reversed_padding_repeated_twice, mode=mode)
    kernel = (module.kernel_size[0], module.kernel_size[1])
    columns = F.unfold(padded, kernel, dilation=module.dilation, stride=module.stride)  # (b, channels * kh * kw, positions)
    rows = _drawn(columns.transpose(1, 2).flatten(0, 1), PATCHES_PER_IMAGE * len(x), generator)  # (n, channels * kh * kw)
    return rows.unflatten(1, (module.groups, -1)).transpose(0, 1).contiguous()


def _drawn(rows: Tensor, n: int, generator: torch.Generator) -> Tensor:
    return rows if len(rows) <= n else rows[torch.randperm(len(rows), generator=generator)[:n].to(rows.device)]


class ErrorFeedback:
    """One layer's rounding with feedback, at any step. weight: as the net has it; moments: of its inputs."""

    def __init__(self, weight: Tensor, moments: Tensor) -> None:
        self._shape = weight.shape
        groups, n_columns = moments.shape[:2]
        columns = weight.detach().reshape(groups, -1, n_columns).transpose(1, 2)  # (groups, columns, rows)
        energy = moments.diagonal(dim1=1, dim2=2)  # (groups, columns)
        order = energy.argsort(dim=1, descending=True, stable=True)
        self._back = order.argsort(dim=1)
        self._columns = torch.stack([part[by] for part, by in zip(columns, order, strict=True)])
        self._feedback = torch.stack(
            [_feedback(part[by][:, by]) for part, by in zip(moments, order, strict=True)]
        )  # (groups, columns, columns)

    def __call__(self, step: float, dead_zone: float) -> Tensor:
        """The weights as they were when their turn came: `levels` of them are the rounding. The shape of the layer's weight."""
        columns = self._columns.clone()
        n_columns = columns.shape[1]
        for start in range(0, n_columns, BLOCK):
            end = min(start + BLOCK, n_columns)
            errors = torch.empty_like(columns[:, start:end])
            for j in range(start, end):
                column = columns[:, j]  # (groups, rows)
                error = column - levels(column, step, dead_zone) * step
                errors[:, j - start] = error
                columns[:, j + 1 : end] -= self._feedback[:, j, j + 1 : end, None] * error[:, None]
            columns[:, end:] -= self._feedback[:, start:end, end:].transpose(1, 2) @ errors  # what is past the block, at once
        rounded = torch.stack([part[by] for part, by in zip(columns, self._back, strict=True)])
        return rounded.transpose(1, 2).reshape(self._shape)


def _feedback(moments: Tensor) -> Tensor:
    """(columns, columns): what an error of 1 in column j takes off each later one, row j of the Cholesky factor of the
    inverse over its diagonal."""
    mean = float(moments.diagonal().mean())
    if mean <= 0:  # inputs that are always zero: nothing to make up for
        return torch.zeros_like(moments)
    identity = torch.eye(len(moments), dtype=moments.dtype, device=moments.device)
    damping = DAMPING
    while True:
        factor, failed = torch.linalg.cholesky_ex(moments + damping * mean * identity)
        if not failed:
            upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(factor), upper=True)
        if not failed:
            return upper / upper.diagonal()[:, None]
        damping *= 10
        assert math.isfinite(damping)


def error_feedback(weights: Mapping[str, Tensor], moments: Mapping[str, Tensor]) -> dict[str, ErrorFeedback]:
    """For each layer whose inputs were observed."""
    return {name: ErrorFeedback(weights[name], moments[name]) for name in weights if name in moments}
