"""The nets that this package makes itself, from the `model` of a recipe or from a file's metadata."""

from __future__ import annotations

from compress.models.alexnet import AlexNet
from compress.models.squeezenet import SqueezeNet
from compress.recipe import BuiltInSpec, SqueezeNetSpec

BuiltIn = SqueezeNet | AlexNet


def build(spec: BuiltInSpec) -> BuiltIn:
    """With weights as torch draws them; `init_weights` draws those that training starts from."""
    return SqueezeNet(spec) if isinstance(spec, SqueezeNetSpec) else AlexNet(spec)


def describe(spec: BuiltInSpec) -> dict[str, object]:
    """As a file's metadata name the net: `architecture`."""
    return {"name": "squeezenet" if isinstance(spec, SqueezeNetSpec) else "alexnet"} | spec.compact()


def head(net: BuiltIn) -> tuple[str, str]:
    """State-dict names of weight and bias of the layer whose rows are the classes."""
    layer = "classifier.1" if isinstance(net, SqueezeNet) else "classifier.6"
    return f"{layer}.weight", f"{layer}.bias"
