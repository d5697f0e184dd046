"""BatchNorm folded into the layer before it. In eval mode it scales and shifts each channel, and so does the layer's weight
and bias: the two are one layer (Jacob et al. 2018, arXiv 1712.05877, section 3.2).

torch.fx says which layer feeds which BatchNorm; the net that is returned is the user's own class, with Identity in its place.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from compress.errors import RecipeError

# Arguments of a flatten to (b, features); what leaves the number of dimensions as it is between the layers of a perceptron.
FLATTENS: tuple[tuple[list[int], dict[str, int]], ...] = (([1], {}), ([1, -1], {}), ([], {"start_dim": 1}))
SAME_DIMS_MODULES = {nn.Linear, nn.BatchNorm1d, nn.Identity, nn.Dropout, nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Tanh}
SAME_DIMS_CALLS = {F.relu, F.leaky_relu, F.gelu, F.silu, F.dropout, torch.relu, torch.tanh, "relu", "tanh"}


def fold(net: nn.Module) -> nn.Module:
    """A copy in eval mode whose foldable BatchNorms (see foldable) are part of the layer before them, Identity in their place.

    Names of the state dict stay, less those of the folded BatchNorms, plus the bias of a layer that had none. What is folded
    does not depend on the values: a net on the meta device, or with other weights, gives the same structure.
    Raises RecipeError for a net with BatchNorm that cannot be copied, or that torch.fx cannot trace.
    """
    folded = _copy(net)
    pairs = foldable(net)
    for norm_name, layer_name in pairs.items():
        norm: Any = folded.get_submodule(norm_name)
        layer: Any = folded.get_submodule(layer_name)
        with torch.no_grad():  # one factor a row of the weight: the formula is Linear's too
            weight, bias = fuse_conv_bn_weights(
                layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
        layer.weight, layer.bias = weight, bias.requires_grad_(weight.requires_grad)
        _replace(folded, norm, nn.Identity())
    if pairs:
        _trace(folded)  # fails where the net also holds a folded BatchNorm outside its modules, in a list, and calls that
    return folded


def foldable(net: nn.Module) -> dict[str, str]:
    """Module names, BatchNorm -> the Conv2d or Linear that it can be folded into, in the order of the forward pass.

    The layer feeds the BatchNorm and nothing else; both are called once, have no hooks, and are plain: their tensors are
    read by no other part of the forward pass, the layer's weight is a parameter, the BatchNorm has running statistics.
    BatchNorm1d normalises dimension 1, which is Linear's output only where that is (b, features): it is folded where the
    trace shows that (a flatten before the layers). Raises RecipeError as fold does.
    """
    if not any(isinstance(module, _BatchNorm) for module in net.modules()):
        return {}  # nothing to trace for
    graph = _trace(net)
    modules = dict(net.named_modules())
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    read = {str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}
    pairs = {}
    for node in graph.nodes:
        source = node.args[0] if node.op == "call_module" and len(node.args) == 1 else None
        if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) != 1:
            continue
        norm, layer = str(node.target), str(source.target)
        if (
            calls[norm] == calls[layer] == 1
            and not {norm, layer} & read
            and _fits(modules[norm], modules[layer])
            and (isinstance(modules[layer], nn.Conv2d) or _is_two_dimensional(source, modules))
        ):
            pairs[norm] = layer
    return pairs


def _fits(norm: Any, layer: Any) -> bool:
    """Whether both are what their class says. Exact types: a subclass, a parametrization or a hook computes something else;
    weight_norm and torch.nn.utils.prune put other parameters in the place of `weight`."""
    pair = (type(layer), type(norm))
    if pair == (nn.Conv2d, nn.BatchNorm2d):
        width = layer.out_channels
    elif pair == (nn.Linear, nn.BatchNorm1d):
        width = layer.out_features
    else:
        return False
    plain = all(
        module._parameters.keys() == {"weight", "bias"} and not module._forward_hooks and not module._forward_pre_hooks
        for module in (layer, norm)
    )
    return plain and norm.running_mean is not None and norm.num_features == width


def _is_two_dimensional(value: object, modules: dict[str, nn.Module]) -> bool:
    """Whether the trace shows that a value is (b, features), whatever the net's input: it comes from a flatten, or a view or
    reshape to two sizes, by way of what leaves the number of dimensions as it is."""
    while isinstance(value, fx.Node) and value.op in ("call_module", "call_method", "call_function"):
        source, *settings = value.args or (None,)
        called = modules[str(value.target)] if value.op == "call_module" else value.target
        if isinstance(called, nn.Flatten):
            return (called.start_dim, called.end_dim) == (1, -1)
        if called in (torch.flatten, "flatten"):
            return (settings, value.kwargs) in FLATTENS
        if called in ("view", "reshape"):
            sizes = settings[0] if settings and isinstance(settings[0], tuple | list) else settings
            return len(sizes) == 2
        if type(called) not in SAME_DIMS_MODULES and called not in SAME_DIMS_CALLS:
            return False
        value = source
    return False


def _replace(net: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Under every name that it has."""
    for parent in net.modules():
        for name, child in parent._modules.items():
            if child is old:
                setattr(parent, name, new)


def _trace(net: nn.Module) -> fx.Graph:
    """Traced on a copy: a forward pass may leave something on its module."""
    try:
        return fx.Tracer().trace(_copy(net))
    except Exception as error:  # the user's forward pass, run on symbols, raises whatever it raises
        reason = f"{type(error).__name__}: {error}"
        raise RecipeError(f"model.batchnorm: fold needs a net that torch.fx can trace ({reason}); use store") from error


def _copy(net: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(net).eval()
    except Exception as error:  # whatever a module or an attribute of it raises
        reason = f"{type(error).__name__}: {error}"
        raise RecipeError(f"model.batchnorm: fold needs a net that can be copied ({reason}); use store") from error
