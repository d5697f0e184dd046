"""A .sqz file as plain arrays, without torch: what `squeeze-compress decode` writes."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from compress.artifact.reader import Artifact, read
from compress.convention import TORCHVISION, InputConvention, fold
from compress.errors import CorruptArtifact
from compress.layer import Layer, RawTensor

PIECE = 1 << 20  # weights at a time


def decode(path: str | os.PathLike[str], **limits: Any) -> dict[str, npt.NDArray[Any]]:
    """The tensors of a file under the net's state-dict keys, float32 (int64 counters as they are), in its order.

    A net that was stored with another input convention comes back with it folded into its first convolution, so that it
    takes torchvision's. limits: as for `read`. Raises ArtifactError for a file that is not accepted.
    """
    artifact = read(path, **limits)
    layers = artifact.layers
    values: dict[str, npt.NDArray[Any]] = {name: into_values(layers.pop(name)) for name in list(layers)}
    return _in_torchvisions(values, artifact.metadata, str(path))


def tensors(artifact: Artifact, source: str) -> dict[str, npt.NDArray[Any]]:
    """As decode, for a file already read."""
    values: dict[str, npt.NDArray[Any]] = {name: layer.values() for name, layer in artifact.layers.items()}
    return _in_torchvisions(values, artifact.metadata, source)


def into_values(layer: Layer) -> npt.NDArray[Any]:
    """layer.values(), in the memory of its indices: a net is never there twice. The layer cannot be used after."""
    if isinstance(layer, RawTensor) or not layer.indices.flags.c_contiguous:
        return layer.values()
    indices = layer.indices.reshape(-1)
    values = indices.view(np.float32)
    for start in range(0, indices.size, PIECE):
        part = slice(start, start + PIECE)
        values[part] = replace(layer, shape=indices[part].shape, indices=indices[part]).values()
    return values.reshape(layer.shape)


def _in_torchvisions(values: dict[str, npt.NDArray[Any]], metadata: dict[str, Any], source: str) -> dict[str, npt.NDArray[Any]]:
    described = metadata.get("input")
    if described is None:
        return values
    stored = InputConvention.from_metadata(described, source)
    wanted = wanted_convention(stored)
    if replace(stored, first_layer=None) != wanted:
        weight, bias = (f"{_first_layer(values, stored, source)}.{part}" for part in ("weight", "bias"))
        values[weight], values[bias] = fold(values[weight], values[bias], stored, wanted)
    return values


def wanted_convention(stored: InputConvention) -> InputConvention:
    """What the decoded tensors take: torchvision's, at the stored size, where the file names the layer that the stored one folds
    into; else (a net of the user's own, a grey net) the stored one."""
    folds = stored.first_layer is not None and stored.channels != "L"
    return replace(TORCHVISION, size=stored.size, resize=stored.resize) if folds else replace(stored, first_layer=None)


def _first_layer(values: dict[str, npt.NDArray[Any]], stored: InputConvention, source: str) -> str:
    name = stored.first_layer
    weight, bias = values.get(f"{name}.weight"), values.get(f"{name}.bias")
    if weight is None or bias is None or len(weight.shape) != 4 or bias.shape != weight.shape[:1]:
        raise CorruptArtifact(
            f"{source}: metadata.input.first_layer is {name!r}, which is no convolution with a bias in the file"
        )
    if weight.shape[1] != len(stored.channels):
        raise CorruptArtifact(f"{source}: {name}.weight takes {weight.shape[1]} channels, metadata.input is {stored.channels}")
    return str(name)
