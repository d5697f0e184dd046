"""Which tensor of a net is what: what can be pruned and shared, and what is stored as it is."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass(frozen=True)
class Roles:
    """State-dict names, each group in the state dict's order. Every name is in exactly one of the first four.

    compressible: weights of Conv2d and Linear, subclasses too.
    biases: of these layers.
    batchnorm: weight, bias, running_mean, running_var and num_batches_tracked of BatchNorms.
    uncompressed: every other tensor -> the type of the module that owns it, for instance "LSTM".
    buffers: among them all, those that are no parameters: running statistics, counters, masks. Tuning does not move them.
    """

    compressible: tuple[str, ...]
    biases: tuple[str, ...]
    batchnorm: tuple[str, ...]
    uncompressed: dict[str, str]
    buffers: tuple[str, ...]


def roles(net: nn.Module) -> Roles:
    """The roles of a net's tensors. The net may be on the meta device.

    A subclass of Conv2d or Linear counts: whatever its forward pass does with `weight` (standardises it, scales it), what it
    starts from is the tensor of that name, which the file stores. Where the weight is computed from other parameters
    (weight_norm, spectral_norm, any parametrization, torch.nn.utils.prune) the layer has no parameter `weight`, and those
    tensors are left uncompressed: what is shared would not be what the layer multiplies with.
    """
    compressible: list[str] = []
    biases: list[str] = []
    batchnorm: list[str] = []
    buffers: list[str] = []
    uncompressed: dict[str, str] = {}
    for name in net.state_dict():
        owner_name, _, tensor_name = name.rpartition(".")
        owner = net.get_submodule(owner_name)
        is_parameter = tensor_name in owner._parameters
        if not is_parameter:
            buffers.append(name)
        if isinstance(owner, nn.Conv2d | nn.Linear) and is_parameter and tensor_name in ("weight", "bias"):
            (compressible if tensor_name == "weight" else biases).append(name)
        elif isinstance(owner, _BatchNorm):
            batchnorm.append(name)
        else:
            uncompressed[name] = type(owner).__name__
    return Roles(tuple(compressible), tuple(biases), tuple(batchnorm), uncompressed, tuple(buffers))
