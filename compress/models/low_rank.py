"""Linear layers as products of two thinner ones, by their singular values (Denton et al. 2014, arXiv 1404.0736).

W, (out, in), becomes A B with A (out, rank) and B (rank, in): of all products of that rank the one with the least squared error
(Eckart and Young 1936). In the state dict LAYER.weight becomes LAYER.0.weight, which is B, and LAYER.1.weight, A.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from compress.errors import RecipeError


def low_rank(net: nn.Module, ranks: Mapping[str, int]) -> nn.Module:
    """A copy of net with the named Linear layers as pairs, of the weights that net has; net may be on the meta device.

    ranks: by layer, from 1 to what the layer's matrix has. Raises ValueError for a layer that is not there, that is no Linear,
    or whose rank is another.
    """
    made = copy.deepcopy(net)
    for name, rank in ranks.items():
        try:
            layer = made.get_submodule(name)
        except AttributeError as error:
            raise ValueError(f"{name}: the net has no such layer") from error
        if type(layer) is not nn.Linear:
            raise ValueError(f"{name}: must be a Linear layer, is a {type(layer).__name__}")
        most = min(layer.in_features, layer.out_features)
        if not 1 <= rank <= most:
            raise ValueError(f"{name}: rank must be in [1, {most}], got {rank}")
        owner, _, last = name.rpartition(".")
        setattr(made.get_submodule(owner), last, _pair(layer, rank))
    return made


def _pair(layer: nn.Linear, rank: int) -> nn.Sequential:
    weight = layer.weight
    first = nn.Linear(layer.in_features, rank, bias=False, device="meta")
    second = nn.Linear(rank, layer.out_features, bias=layer.bias is not None, device="meta")
    a, b = _product(weight.detach(), rank)
    first.weight, second.weight = nn.Parameter(b, weight.requires_grad), nn.Parameter(a, weight.requires_grad)
    second.bias = layer.bias
    return nn.Sequential(first, second).train(layer.training)


def _product(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(out, rank) and (rank, in), of columns and rows of the same length. By the eigenvectors of the smaller Gram matrix, which
    is exact enough for a float32 matrix and takes seconds for 4096 x 9216."""
    out_features, in_features = weight.shape
    if weight.is_meta:
        return weight.new_empty(out_features, rank), weight.new_empty(rank, in_features)
    matrix = weight.double() if out_features <= in_features else weight.double().T
    values, vectors = torch.linalg.eigh(matrix @ matrix.T)
    left = vectors[:, -rank:].flip(1)  # of the largest values, the largest first
    roots = values[-rank:].flip(0).clamp(min=0).sqrt().sqrt()  # of the singular values: half of each goes into either factor
    right = (left.T @ matrix) / torch.where(roots > 0, roots, 1).unsqueeze(1)
    left = left * roots
    a, b = (left, right) if out_features <= in_features else (right.T, left.T)
    return a.to(weight.dtype).contiguous(), b.to(weight.dtype).contiguous()


def ranks_of(setting: Mapping[str, int], net: nn.Module) -> dict[str, int]:
    """The rank of each layer that a pattern of `svd.rank` matches; first match wins. A layer whose two factors would have more
    weights than it has is refused. Raises RecipeError."""
    layers = {name: module for name, module in net.named_modules() if type(module) is nn.Linear}
    found: dict[str, int] = {}
    for name, layer in layers.items():
        rank = next((rank for pattern, rank in setting.items() if fnmatchcase(name, pattern)), None)
        if rank is None:
            continue
        n_weights, n_factors = layer.weight.numel(), rank * (layer.in_features + layer.out_features)
        if n_factors >= n_weights:
            raise RecipeError(f"svd.rank: {name}: {rank} makes {n_factors:,} weights of {n_weights:,}; it must make fewer")
        found[name] = rank
    for pattern in setting:
        if not any(fnmatchcase(name, pattern) for name in layers):
            raise RecipeError(f"svd.rank: pattern {pattern!r} matches no Linear layer; these are {', '.join(layers) or 'none'}")
    return found
