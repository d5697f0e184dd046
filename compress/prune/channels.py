"""Channel pruning: whole channels go, so that the net is smaller to store and to run with no sparse kernels.

Which channels must go together (a residual sum, a concatenation, a convolution and its BatchNorm) is read from the dependency
graph of the net (Fang et al. 2023, DepGraph, arXiv 2301.12900; the torch-pruning library). Of the channels that go together
the sum of squared weights is their worth (Li et al. 2017, arXiv 1608.08710, here L2 and over the whole group).

Every layer loses the same share of its channels, the least worthy first. A ranking across layers would need norms on one
scale, and they have none: with ReLU or BatchNorm a layer times a and the next one over a is the same function.
"""

from __future__ import annotations

import copy
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch_pruning.ops import OPTYPE

from compress.errors import RecipeError

# What a channel may pass on its way beside layers that are cut. Slices and splits have fixed sizes.
PASSING = (OPTYPE.ELEMENTWISE, OPTYPE.CONCAT, OPTYPE.RESHAPE)
# What torch-pruning, and the forward pass of a net that has the sizes of its layers in its code, are seen to raise.
FAILURES = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError)


@dataclass(frozen=True)
class Cut:
    """Output channels of a layer that are removed in one step, and with them all that the dependency graph ties to them.

    layer: module name. channels: more than one where grouped convolutions must lose the same from every group.
    share: the share of the layer's channels that is gone with this cut and those before it, in (0, 1).
    """

    layer: str
    channels: tuple[int, ...]
    share: float


def count_macs(net: nn.Module, example: Tensor) -> int:
    """Multiply-accumulates of one forward pass of `example`, (b, c, h, w) or what the net takes; b images count b times.

    Counted are the weights of Conv2d and Linear layers, each as often as it is used. Not counted are biases, BatchNorm,
    activations, pools, sums, and products that are not made by one of these modules.
    """
    return _count(copy.deepcopy(net).eval(), example)


def prune_channels(net: nn.Module, example: Tensor, macs: float) -> nn.Module:
    """A copy of net without its least worthy channels, of at most `macs` of the multiply-accumulates (see count_macs).

    net: gives one tensor, its channels the classes; they all stay. example: an input; only its shape, type and device matter.
    macs: a fraction in (0, 1]. One cut fewer would be over it. Every layer keeps a channel. Names in the state dict, the
    values of what is kept, and which modules train stay as they were. The same net gives the same channels.

    Channels that meet the input, the output, or a layer that is not a Conv2d, Linear or BatchNorm are not removed. Raises
    RecipeError where the others are not enough, and where the smaller net does not compute what the whole one computes with
    the removed channels silenced.
    """
    total = count_macs(net, example)
    allowed = math.floor(round(macs * total, 6))  # 0.29 * 100 is 28.999999999999996
    try:
        cuts = _cuts(net, example)
        # multiply-accumulates fall as cuts are added; where all of them are too few, n_cuts is all of them
        n_cuts = bisect_left(range(len(cuts)), -allowed, key=lambda n: -_count(_without(net, example, cuts[:n]), example))
        pruned, silenced = _without(net, example, cuts[:n_cuts]), _silenced(net, example, cuts[:n_cuts])
        reached = _count(pruned, example)
    except FAILURES as error:
        raise RecipeError(f"prune.macs: this net does not run with fewer channels: {type(error).__name__}: {error}") from error
    if reached > allowed:
        least = math.ceil(1e4 * reached / total) / 1e4
        raise RecipeError(
            f"prune.macs: must be at least {least} for this net, got {macs}: {reached:,} of {total:,} multiply-accumulates "
            "are left when every channel is gone that may go (each layer keeps one; those that meet the input, the output, or "
            "a layer other than Conv2d, Linear and BatchNorm stay)"
        )
    _check_same_function(pruned, silenced, example)
    trained = {name: parameter.requires_grad for name, parameter in net.named_parameters()}
    for name, parameter in pruned.named_parameters():
        parameter.requires_grad_(trained[name])
        parameter.grad = None
    for module, original in zip(pruned.modules(), net.modules(), strict=True):
        module.training = original.training
    return pruned


def _count(net: nn.Module, example: Tensor) -> int:
    """count_macs of a net in eval mode."""
    total = 0

    def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(layer.weight, Tensor)
        total += output.numel() * layer.weight[0].numel()  # (out, in / groups, kh, kw): each output is a sum of the rest

    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(add) for layer in layers]
    with torch.no_grad():
        net(example)
    for hook in hooks:
        hook.remove()
    return total


def _cuts(net: nn.Module, example: Tensor) -> list[Cut]:
    """Every cut that may be made, in the order of their shares; of equal shares, in the order of the net's modules."""
    whole = copy.deepcopy(net)
    graph = _graph(whole, example)
    worth = torch_pruning.importance.GroupMagnitudeImportance(p=2, group_reduction="sum", normalizer=None)
    names = {module: name for name, module in whole.named_modules()}
    places = {name: place for place, name in enumerate(names.values())}
    cuts = []
    for group in graph.get_all_groups():
        if all(_may_lose_channels(dependency.target) for dependency, _ in group):
            cuts += _cuts_of_group(group, names[group[0].dep.target.module], worth(group).double())
    return sorted(cuts, key=lambda cut: (cut.share, places[cut.layer]))


def _cuts_of_group(group: Any, root: str, worth: Tensor) -> list[Cut]:
    """The cuts of channels that go together. group: of the dependency graph, all channels of its first layer, the root.
    worth: float64, (channels of the root,)."""
    n_channels = len(worth)
    groups = [_groups(dependency.target.module) for dependency, _ in group]
    every = list(range(n_channels))
    if any(n > 1 and not group[i].idxs == group[i].root_idxs == every for i, n in enumerate(groups)):
        return []  # the groups of a grouped convolution do not line up with the root's channels
    n_together = math.lcm(*groups)  # n_channels is a multiple of each
    width = n_channels // n_together
    tied = [Counter(channel % width for channel in group[i].root_idxs) for i in range(len(group))]
    left = [sum(counts.values()) for counts in tied]  # of each layer's channels in this group
    cuts: list[Cut] = []
    for first in worth.view(n_together, width).sum(0).argsort(stable=True).tolist():  # ties by position
        after = [n - counts[first] for n, counts in zip(left, tied, strict=True)]
        if min(after) > 0:  # a concatenation of two layers may lose all of one of them otherwise
            left = after
            cuts.append(Cut(root, tuple(range(first, n_channels, width)), (len(cuts) + 1) / width))
    return cuts


def _may_lose_channels(node: Any) -> bool:
    """Whether this node of the dependency graph can do with fewer channels: not the net's input, nor its output, nor a
    parameter outside of any layer."""
    module = node.module
    if _is_input(node) or is_parametrized(module):
        return False
    if isinstance(module, nn.Conv2d) and module.groups > 1:
        sides = (module.in_channels, module.out_channels)
        if module.groups in sides and sides[0] != sides[1]:
            return False  # one channel a group on one side only: torch-pruning takes it for a depthwise convolution
    return isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d) or node.type in PASSING


def _is_input(node: Any) -> bool:
    """The one source of gradients that is no parameter; see _graph."""
    sources = [getattr(function, "variable", None) for function, _ in node.grad_fn.next_functions]
    return any(source is not None and not isinstance(source, nn.Parameter) for source in sources)


def _groups(module: nn.Module) -> int:
    """Groups of which every one must lose the same channels. A depthwise convolution has none: it loses whole groups."""
    depthwise = isinstance(module, nn.Conv2d) and module.groups == module.out_channels
    return module.groups if isinstance(module, nn.Conv2d) and not depthwise else 1


def _without(net: nn.Module, example: Tensor, cuts: Sequence[Cut]) -> nn.Module:
    """A copy of net with these channels removed, in eval mode, all parameters training."""
    pruned = copy.deepcopy(net)
    graph = _graph(pruned, example)
    for layer, channels in _by_layer(cuts).items():
        _group(graph, pruned.get_submodule(layer), channels).prune()
    return pruned


def _silenced(net: nn.Module, example: Tensor, cuts: Sequence[Cut]) -> nn.Module:
    """A copy of net in which no layer listens to the channels of the cuts: the weights that read them are zero."""
    silenced = copy.deepcopy(net)
    graph = _graph(silenced, example)
    for layer, channels in _by_layer(cuts).items():
        for dependency, idxs in _group(graph, silenced.get_submodule(layer), channels):
            reader, is_out = dependency.target.module, graph.is_out_channel_pruning_fn(dependency.handler)
            if isinstance(reader, nn.Conv2d | nn.Linear) and not is_out:
                width = reader.weight.shape[1]  # inputs of one group; each group loses the same
                reader.weight.data[:, sorted({i % width for i in idxs})] = 0
    return silenced


def _check_same_function(pruned: nn.Module, silenced: nn.Module, example: Tensor) -> None:
    """Raise RecipeError where the two, in eval mode, differ: a channel was removed here and another one there."""
    noise = torch.randn(example.shape, generator=torch.Generator().manual_seed(0)).to(example)
    with torch.no_grad():
        expected, found = silenced(noise), pruned(noise)
    difference, scale = float((found - expected).abs().max()), float(expected.abs().max())
    if not difference <= scale * torch.finfo(expected.dtype).eps ** 0.5:  # NaN too
        raise RecipeError(
            "prune.macs: this net leads channels in a way that torch-pruning does not follow (a channel shuffle, a norm over "
            f"channels): without the pruned ones its outputs differ by {difference:.3g}, of {scale:.3g}, from what they are "
            "with those silenced"
        )


def _graph(net: nn.Module, example: Tensor) -> Any:
    """The dependency graph of net, whose parameters must and will require gradients. Input and output are nodes of it."""
    net.eval().requires_grad_(True)
    with torch.enable_grad():
        return torch_pruning.DependencyGraph().build_dependency(
            net,
            example,
            forward_fn=lambda net, x: net(x.detach().clone().requires_grad_() * 1),  # a node that sums with the input meet
            output_transform=_output,
            verbose=False,
        )


def _output(out: object) -> Tensor:
    """As another tensor, so that the output is a node of its own where a layer comes last."""
    if not isinstance(out, Tensor):
        raise RecipeError(f"prune.macs: needs a net that gives one tensor, this one gives a {type(out).__name__}")
    return out * 1


def _group(graph: Any, layer: nn.Module, channels: list[int]) -> Any:
    return graph.get_pruning_group(layer, graph.get_pruner_of_module(layer).prune_out_channels, channels)


def _by_layer(cuts: Sequence[Cut]) -> dict[str, list[int]]:
    channels: dict[str, list[int]] = {}
    for cut in cuts:
        channels.setdefault(cut.layer, []).extend(cut.channels)
    return {layer: sorted(removed) for layer, removed in channels.items()}
