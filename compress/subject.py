"""What a recipe compresses: the net, its weights, which of its tensors are what, and what it takes at its input."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from compress import stage_arrays
from compress.convention import TORCHVISION, InputConvention
from compress.data import digits
from compress.errors import RecipeError
from compress.layer import Layer, RawTensor
from compress.models import batchnorm, pretrained
from compress.models.built_in import BuiltIn, build, describe, head
from compress.models.factory import build_from, import_factory
from compress.models.roles import Roles, roles
from compress.recipe import BuiltInSpec, FactorySpec, Recipe

FOLD_TOLERANCE = 1e-3  # of the largest logit


@dataclass(frozen=True, eq=False)
class Subject:
    """net: in eval mode, on the CPU. convention: what it takes at its input.

    layers: its weights as they came, in the state dict's order; empty for a net that is trained first. sha256: of the file
    that they came from, or of the tensors. n_classes: of its output. architecture: as a file's metadata describes it.
    outputs_sha256: of what a net of the user's own computes, see _outputs_sha256; empty for one of this package.
    """

    net: nn.Module
    roles: Roles
    convention: InputConvention
    layers: tuple[Layer, ...]
    sha256: str
    n_classes: int
    architecture: dict[str, Any]
    outputs_sha256: str

    @property
    def n_parameters(self) -> int:
        """Of the uncompressed net, buffers too."""
        return sum(tensor.numel() for tensor in self.net.state_dict().values())


def subject(recipe: Recipe) -> Subject:
    """Make the net and read its weights. Raises RecipeError or WeightsError for anything that does not fit."""
    net, architecture = _new_net(recipe.model)
    expected = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    integers = {name for name, tensor in net.state_dict().items() if not tensor.is_floating_point()}
    source = recipe.weights_source
    if recipe.train is not None:
        assert isinstance(net, BuiltIn)  # the recipe says so
        return _to_be_trained(recipe, net, architecture, expected)
    if source == "scratch":
        raise RecipeError(
            "model.weights: scratch is for SqueezeNet and AlexNet; leave weights out for those of the net that is made"
        )
    if source is None:
        if recipe.weights_sha256 is not None:
            raise RecipeError("weights_sha256: is the digest of a file, and no weights are given")
        tensors = {name: tensor.detach().numpy().copy() for name, tensor in net.state_dict().items()}
        pretrained.check(tensors, expected, f"model.factory: {architecture['factory']}", integers)
        layers = tuple(RawTensor(name, array) for name, array in tensors.items())
        weights = pretrained.Pretrained(layers, stage_arrays.sha256(tensors))
    else:
        weights = pretrained.load(source, expected, recipe.weights_sha256, integers=integers)
    if weights.convention is not None and recipe.input is not None:
        raise RecipeError(f"input: {source} says itself what it takes ({weights.convention.channels})")
    convention = weights.convention or _wanted_convention(recipe)
    if convention.first_layer is not None:
        _check_takes_folding(net, convention.first_layer, str(source))
    n_classes = _check_input(net, recipe, convention)
    if isinstance(recipe.model, FactorySpec) and recipe.model.batchnorm == "fold" and batchnorm.foldable(net):
        net.load_state_dict({layer.name: torch.from_numpy(layer.values()) for layer in weights.layers})
        net = _folded(net, convention)
        layers = tuple(RawTensor(name, tensor.detach().numpy().copy()) for name, tensor in net.state_dict().items())
        weights = replace(weights, layers=layers)
    found = roles(net)
    if not found.compressible:
        raise RecipeError("model: the net has no Conv2d and no Linear layer, so there is nothing to compress")
    outputs = _outputs_sha256(net, weights.layers, convention) if isinstance(recipe.model, FactorySpec) else ""
    return Subject(net, found, convention, weights.layers, weights.sha256, n_classes, architecture, outputs)


def _to_be_trained(recipe: Recipe, net: BuiltIn, architecture: dict[str, Any], expected: dict[str, tuple[int, ...]]) -> Subject:
    """A net that a `train` section makes the weights of, from scratch or from others (train_stage.first_net)."""
    sha256, convention, source = "", _wanted_convention(recipe), recipe.weights_source
    assert source is not None  # the recipe says so
    if source.startswith("net:"):
        raise RecipeError(f"weights: {source} takes Caffe images, and training would not; train from others")
    if source != "scratch":
        weights = pretrained.load(source, expected, recipe.weights_sha256, any_rows=head(net))
        sha256 = weights.sha256
        for field in ("channels", "scale", "mean", "std") if weights.convention is not None else ():
            wanted, given = getattr(weights.convention, field), getattr(convention, field)
            if wanted != given:
                raise RecipeError(f"input.{field}: must be {wanted} for weights: {source}, got {given}")
    n_classes = _check_input(net, recipe, convention)
    assert recipe.train is not None
    smallest = net.spec.smallest_side
    if recipe.train.first_crop is not None and recipe.train.first_crop < smallest:
        raise RecipeError(f"train.first_crop: {recipe.train.first_crop} pixels, the net of `model` needs sides of {smallest}")
    return Subject(net, roles(net), convention, (), sha256, n_classes, architecture, "")


def _new_net(spec: BuiltInSpec | FactorySpec) -> tuple[nn.Module, dict[str, Any]]:
    if not isinstance(spec, FactorySpec):
        return build(spec).eval(), describe(spec)
    net = build_from(import_factory(spec.factory), spec.factory)
    return net, {"name": "factory", "factory": spec.factory, "batchnorm": spec.batchnorm}


def _outputs_sha256(net: nn.Module, layers: Sequence[Layer], convention: InputConvention) -> str:
    """A net whose code has changed is another net, with the same weights too: wherever that code is, it is known by the
    outputs for two images of noise, to three digits."""
    net.load_state_dict({layer.name: torch.from_numpy(layer.values()) for layer in layers})
    with torch.no_grad():
        outputs = net(_noise(convention)).double()
    steps = (outputs / outputs.abs().max() * 1000).round().nan_to_num().to(torch.int16)
    return hashlib.sha256(steps.numpy().tobytes()).hexdigest()


def _noise(convention: InputConvention) -> torch.Tensor:
    """Two images, always the same."""
    shape = (2, len(convention.channels), convention.size, convention.size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _folded(net: nn.Module, convention: InputConvention) -> nn.Module:
    """The net with its BatchNorms folded. Raises RecipeError where that changes what it computes: a forward pass that reads
    a weight outside of its layer, which tracing cannot see."""
    folded = batchnorm.fold(net)
    x = _noise(convention)
    with torch.no_grad():
        before, after = net(x), folded(x)
    worst = float((before - after).abs().max())
    allowed = FOLD_TOLERANCE * max(1.0, float(before.abs().max()))
    if not worst <= allowed:
        raise RecipeError(f"model.batchnorm: folding changes the outputs by {worst:g}, at most {allowed:g} is allowed; use store")
    return folded


def _check_takes_folding(net: nn.Module, first_layer: str, source: str) -> None:
    """What loads the file folds its input convention into first_layer, which is exact for a plain convolution only. A
    SqueezeNet's has no padding; a net of the user's own may have another layer there."""
    layer = net.get_submodule(first_layer)
    if not isinstance(layer, nn.Conv2d) or layer.groups != 1 or layer.padding not in ((0, 0), "valid"):
        raise RecipeError(
            f"weights: what {source} takes at its input is folded into {first_layer}, which must be a Conv2d without padding "
            f"and groups, and is {layer}"
        )


def _wanted_convention(recipe: Recipe) -> InputConvention:
    if recipe.input is not None:
        return InputConvention(**recipe.input.model_dump())
    return digits.CONVENTION if recipe.data.is_digits() else TORCHVISION


def image_side(recipe: Recipe, convention: InputConvention) -> int:
    """Of the images that are trained and tuned on, pixels: digits are never cropped."""
    return convention.size if recipe.data.is_digits() else recipe.crop


def _check_input(net: nn.Module, recipe: Recipe, convention: InputConvention) -> int:
    """Number of classes. Raises RecipeError for a net that does not take the images, or does not give one vector an image."""
    spec, n_channels = recipe.model, len(convention.channels)
    crop = image_side(recipe, convention)
    if not isinstance(spec, FactorySpec):
        if spec.in_channels != n_channels:
            raise RecipeError(f"model.in_channels is {spec.in_channels}, the images have {n_channels} ({convention.channels})")
        for field, side in (("input.size", convention.size), ("data.crop", crop)):
            if side < spec.smallest_side:
                raise RecipeError(
                    f"{field}: images of {side} x {side} pixels, the net of `model` needs sides of {spec.smallest_side}"
                )
        return spec.classes
    n_classes = n_outputs(net, n_channels, convention.size, owner="model.factory", field="input.size")
    n_outputs(net, n_channels, crop, owner="model.factory", field="data.crop")
    n_names = 1000 if recipe.classes == "imagenet-1k" else len(recipe.classes) if recipe.classes is not None else n_classes
    if n_names != n_classes:
        raise RecipeError(f"classes has {n_names} names, the net of model.factory has {n_classes} outputs")
    return n_classes


def n_outputs(net: nn.Module, n_channels: int, side: int, *, owner: str, field: str) -> int:
    """The number of classes that a net on the CPU gives for images of n_channels x side x side. owner: what the net is of,
    field: where the size was asked for, for the message. Raises RecipeError for a net that fails, or gives anything else than
    one vector an image."""
    found = set()
    for n, images in ((2, "two images"), (1, "one image")):
        try:
            with torch.no_grad():
                outputs = net(torch.zeros(n, n_channels, side, side))
        except Exception as error:  # the user's own code
            raise RecipeError(f"{owner}: the net does not take {field}: {n_channels} x {side} x {side}: {error}") from error
        if not isinstance(outputs, torch.Tensor) or outputs.ndim != 2 or len(outputs) != n:
            shape = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
            raise RecipeError(f"{owner}: the net gives {shape} for {images}, need logits of shape ({n}, classes)")
        found.add(int(outputs.shape[1]))
    if len(found) > 1:
        raise RecipeError(f"{owner}: the net gives {sorted(found)} outputs, by the number of images")
    return found.pop()
