"""A .sqz file -> a ready torch module."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from compress.artifact.reader import Artifact, read
from compress.artifact.tensors import tensors, wanted_convention
from compress.convention import InputConvention
from compress.data.classes import IMAGENET, imagenet_names
from compress.data.preprocess import Preprocess
from compress.errors import CorruptArtifact, InputError
from compress.export.architecture import architecture, svd_ranks
from compress.models import batchnorm
from compress.models.built_in import BuiltIn
from compress.models.built_in import build as build_net
from compress.models.factory import build_from
from compress.models.low_rank import low_rank
from compress.models.resize import check_fits, resize

Factory = Callable[[], nn.Module]


@dataclass(frozen=True, eq=False)
class Loaded:
    """A net in eval mode, what turns a picture into its input, and the names of its classes, or None."""

    net: nn.Module
    preprocess: Preprocess
    class_names: tuple[str, ...] | None


def load(path: str | os.PathLike[str], *, model: Factory | None = None, device: str = "cpu", **limits: Any) -> nn.Module:
    """A net in eval mode that holds the file's tensors, with `.preprocess` (a picture or its path -> (1, c, h, w)),
    `.class_names` (a tuple, or None) and `.metadata`.

    A SqueezeNet or an AlexNet is built from the file's metadata. For a net of the user's own, `model` is the function that makes
    it: nothing that a file names is imported. It takes torchvision's input convention (a grey net: its own, stated in
    `.preprocess.convention`). A name that such a net has already, say a `preprocess` of its own, is left as it is.
    Raises ArtifactError for a file that is not accepted, or whose tensors are not those of the net; InputError where the file
    needs `model`.
    """
    artifact = read(path, **limits)
    loaded = from_artifact(artifact, str(path), model)
    net = loaded.net.to(device)
    extras = {"preprocess": loaded.preprocess, "class_names": loaded.class_names, "metadata": artifact.metadata}
    for name, value in extras.items():
        if model is None or not hasattr(net, name):
            setattr(net, name, value)
    return net


def from_artifact(artifact: Artifact, source: str, model: Factory | None = None) -> Loaded:
    """As load, for a file already read."""
    convention = InputConvention.from_metadata(artifact.metadata.get("input", {}), source)
    net = build(artifact, source, model)
    names = class_names(artifact.metadata.get("classes"))
    if isinstance(net, BuiltIn):
        if net.spec.in_channels != len(convention.channels) or net.spec.smallest_side > convention.size:
            raise CorruptArtifact(
                f"{source}: metadata.input is {convention.channels} at {convention.size} pixels, the net takes "
                f"{net.spec.in_channels} channels of at least {net.spec.smallest_side} pixels"
            )
        if names is not None and len(names) != net.spec.classes:
            raise CorruptArtifact(f"{source}: metadata.classes has {len(names)} names, the net has {net.spec.classes} classes")
    return Loaded(net, Preprocess(wanted_convention(convention)), names)


def build(artifact: Artifact, source: str, model: Factory | None = None) -> nn.Module:
    """The net that the metadata describes, or the one that `model` makes, holding the file's tensors, in eval mode."""
    arrays = tensors(artifact, source)
    shapes = {name: array.shape for name, array in arrays.items()}
    described = artifact.metadata.get("architecture")
    net = _thinned(_empty_net(artifact.metadata, source, model), described, source)
    channels_pruned = isinstance(described, dict) and described.get("channels") == "pruned"
    if channels_pruned:
        _shrink(net, shapes, artifact, source)
    expected = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    if expected != shapes:
        different = sorted(name for name in expected.keys() | shapes.keys() if expected.get(name) != shapes.get(name))
        who = "the net does not fit the tensors (metadata.architecture)" if model is None else "not a file of this net"
        raise CorruptArtifact(
            f"{source}: {who}: {different[0]} is {shapes.get(different[0], 'missing')}, the net has "
            f"{expected.get(different[0], 'no such tensor')}"
        )
    state = {name: torch.from_numpy(array) for name, array in arrays.items()}
    net.load_state_dict(state, strict=True, assign=True)
    net.requires_grad_(False).eval()
    if channels_pruned and model is not None:
        _check_runs(net, artifact, source)
    return net


def _empty_net(metadata: Mapping[str, Any], source: str, model: Factory | None) -> nn.Module:
    """A net of this package on the meta device, as no memory is taken for one whose shapes are not the file's; or what `model`
    makes."""
    described = metadata.get("architecture")
    if model is None:
        if isinstance(described, dict) and described.get("name") == "factory":
            raise InputError(
                f"{source}: holds a net of {described.get('factory')!r}, which a file may name and nothing imports: "
                "pass the function itself, compress.load(path, model=function)"
            )
        spec = architecture(metadata, source)
        with torch.device("meta"):
            return build_net(spec)
    net = build_from(model, getattr(model, "__qualname__", "model"))
    folded = isinstance(described, dict) and described.get("batchnorm") == "fold"
    return batchnorm.fold(net) if folded else net


def _thinned(net: nn.Module, described: object, source: str) -> nn.Module:
    """With the layers as products that the metadata name so."""
    ranks = svd_ranks(described, source)
    try:
        return low_rank(net, ranks) if ranks else net
    except ValueError as error:
        raise CorruptArtifact(f"{source}: metadata.architecture.svd: {error}") from error


def _shrink(net: nn.Module, shapes: Mapping[str, tuple[int, ...]], artifact: Artifact, source: str) -> None:
    """Give a net the shapes of the file's tensors, where channels were pruned."""
    try:
        resize(net, shapes)
        if isinstance(net, BuiltIn):
            outputs = check_fits(net, _one_image(artifact, source))
            if outputs != (1, net.spec.classes):
                raise ValueError(f"the net gives {outputs[-1]} outputs, metadata.architecture has {net.spec.classes} classes")
    except ValueError as error:
        raise CorruptArtifact(f"{source}: {error}") from error


def _check_runs(net: nn.Module, artifact: Artifact, source: str) -> None:
    """A user's own net with fewer channels, on the CPU: its code may do what a check without memory cannot (check_fits)."""
    shape = _one_image(artifact, source)
    try:
        with torch.no_grad():
            net(torch.zeros(shape))
    except Exception as error:  # the user's own code, on shapes that the file chose
        raise CorruptArtifact(f"{source}: the layers do not fit each other for an input of {shape}: {error}") from error


def _one_image(artifact: Artifact, source: str) -> tuple[int, int, int, int]:
    convention = InputConvention.from_metadata(artifact.metadata.get("input", {}), source)
    return (1, len(convention.channels), convention.size, convention.size)


def class_names(described: object) -> tuple[str, ...] | None:
    """The names of the classes, from a file's metadata: a list of names, "imagenet-1k", or None where it has none."""
    if isinstance(described, list):
        return tuple(str(name) for name in described)
    return imagenet_names() if described == IMAGENET else None
