"""A net whose layers have fewer channels than its code gives them, as channel pruning leaves it (prune/channels.py).

The code of a net says which layers there are, a file says how wide they are. Both are needed for a net to be built, and the
file is not trusted: it may only make layers narrower, and its layers must fit each other before memory is taken for them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

Shape = tuple[int, ...]
RESIZABLE = (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d)
TENSORS = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}  # that these layers have


def resize(net: nn.Module, shapes: Mapping[str, Shape]) -> None:
    """Give net's tensors these shapes, in place: what changes is empty, on its device, and its layer's attributes follow.

    shapes: of the whole state dict, by name. Conv2d, Linear and BatchNorm layers may have fewer channels than net has, at
    least 1. A depthwise convolution keeps one channel a group, any other grouped one its number of groups.

    Raises ValueError, and leaves net as it was, for a name that is missing or unknown and for a shape that is not allowed.
    """
    had = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    different = sorted(had.keys() ^ shapes.keys())
    if different:
        name = different[0]
        raise ValueError(f"tensor {name} is missing, the net has one" if name in had else f"tensor {name}: the net has none")
    wanted: dict[nn.Module, dict[str, Shape]] = {}
    for path, tensors in _by_layer(shapes).items():
        layer = net.get_submodule(path)
        _check_layer(layer, {f"{path}.{tensor}" if path else tensor: shape for tensor, shape in tensors.items()}, had)
        if wanted.setdefault(layer, tensors) != tensors:
            raise ValueError(f"layer {path} has two names in the net, and the tensors of the two have different shapes")
    for layer, tensors in wanted.items():
        if any(tuple(getattr(layer, tensor).shape) != shape for tensor, shape in tensors.items()):
            _resize_layer(layer, tensors)


def check_fits(net: nn.Module, example_shape: Shape) -> Shape:
    """The shape of what net gives for an input of this shape, (b, c, h, w). No memory is taken and nothing is computed.

    Raises ValueError, with the layer and the reason, where the layers do not fit each other or the input.
    """
    on_meta: dict[int, Any] = {id(tensor): tensor.detach().to("meta") for tensor in net.buffers()}
    on_meta |= {id(tensor): nn.Parameter(tensor.detach().to("meta"), requires_grad=False) for tensor in net.parameters()}
    shadow = copy.deepcopy(net, on_meta).eval()
    last = "the input"

    def enter(path: str, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal last
        last = path
        if isinstance(layer, nn.Conv2d | nn.Linear) and inputs and isinstance(inputs[0], Tensor) and inputs[0].ndim:
            is_conv = isinstance(layer, nn.Conv2d)
            takes, gets = (layer.in_channels, inputs[0].shape[-3]) if is_conv else (layer.in_features, inputs[0].shape[-1])
            if takes != gets:
                raise ValueError(f"it takes {takes} channels and gets {gets}")

    for path, module in shadow.named_modules():
        if not any(True for _ in module.children()):
            module.register_forward_pre_hook(partial(enter, path))
    try:
        with torch.no_grad(), torch.device("meta"):
            out = shadow(torch.empty(example_shape))
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise ValueError(f"the layers do not fit each other for an input of {example_shape}: at {last}: {error}") from error
    if not isinstance(out, Tensor):
        raise ValueError(f"the net must give one tensor, it gives a {type(out).__name__}")
    return tuple(out.shape)


def _by_layer(shapes: Mapping[str, Shape]) -> dict[str, dict[str, Shape]]:
    """Layer's name -> tensor's name in it -> shape."""
    layers: dict[str, dict[str, Shape]] = {}
    for name, shape in shapes.items():
        path, _, tensor = name.rpartition(".")
        layers.setdefault(path, {})[tensor] = shape
    return layers


def _check_layer(layer: nn.Module, shapes: Mapping[str, Shape], had: Mapping[str, Shape]) -> None:
    """Raise ValueError where the layer may not have tensors of these shapes. Both are by the tensors' names in the net."""
    resizable = isinstance(layer, RESIZABLE) and {name.rpartition(".")[2] for name in shapes} <= TENSORS
    changed = [name for name, shape in shapes.items() if shape != had[name]]
    for name in changed:
        shape, before = shapes[name], had[name]
        what = f"tensor {name} is {shape}, the net has {before}"
        if not resizable or is_parametrized(layer):  # a reparametrised layer's weight is not its own
            raise ValueError(
                f"{what}: only a Conv2d, Linear or BatchNorm of its own weights may be resized, not this {type(layer).__name__}"
            )
        if len(shape) != len(before) or shape[2:] != before[2:]:
            raise ValueError(f"{what}: the number of channels may change, dimensions and kernels may not")
        if any(not 1 <= n <= limit for n, limit in zip(shape, before, strict=True)):
            raise ValueError(f"{what}: there may be fewer channels, at least 1, but not more")
    if not changed:
        return
    first, *others = (name for name, shape in shapes.items() if shape)  # a BatchNorm's count of batches is a number
    for name in others:
        if shapes[name][0] != shapes[first][0]:
            raise ValueError(
                f"tensor {name} is {shapes[name]}, {first} is {shapes[first]}: a layer's tensors must have as many channels"
            )
    if isinstance(layer, nn.Conv2d) and not _is_depthwise(layer) and shapes[first][0] % layer.groups:
        raise ValueError(f"tensor {first} is {shapes[first]}: must have a multiple of {layer.groups} outputs, one a group")


def _is_depthwise(conv: nn.Conv2d) -> bool:
    return conv.groups == conv.in_channels == conv.out_channels


def _resize_layer(layer: nn.Module, tensors: Mapping[str, Shape]) -> None:
    """tensors: checked."""
    for name, shape in tensors.items():
        tensor = getattr(layer, name)
        if tuple(tensor.shape) != shape:
            empty = torch.empty(shape, dtype=tensor.dtype, device=tensor.device)
            is_parameter = isinstance(tensor, nn.Parameter)
            setattr(layer, name, nn.Parameter(empty, requires_grad=tensor.requires_grad) if is_parameter else empty)
    if isinstance(layer, nn.Conv2d):
        layer.groups = tensors["weight"][0] if _is_depthwise(layer) else layer.groups
        layer.in_channels, layer.out_channels = tensors["weight"][1] * layer.groups, tensors["weight"][0]
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = tensors["weight"]
    elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        layer.num_features = next((shape[0] for shape in tensors.values() if shape), layer.num_features)
