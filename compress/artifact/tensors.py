"""A .sqz file as plain arrays, without torch: what `squeeze-compress decode` writes."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from compress.artifact.reader import Artifact, read
from compress.convention import TORCHVISION, InputConvention, fold
from compress.errors import CorruptArtifact


def decode(path: str | os.PathLike[str], **limits: Any) -> dict[str, npt.NDArray[Any]]:
    """The tensors of a file under the net's state-dict keys, float32 (int64 counters as they are), in its order.

    A net that was stored with another input convention comes back with it folded into its first convolution, so that it
    takes torchvision's. limits: as for `read`. Raises ArtifactError for a file that is not accepted.
    """
    artifact = read(path, **limits)
    return tensors(artifact, str(path))


def tensors(artifact: Artifact, source: str) -> dict[str, npt.NDArray[Any]]:
    """As decode, for a file already read."""
    values: dict[str, npt.NDArray[Any]] = {name: layer.values() for name, layer in artifact.layers.items()}
    described = artifact.metadata.get("input")
    if described is None:
        return values
    stored = InputConvention.from_metadata(described, source)
    wanted = wanted_convention(stored)
    if replace(stored, first_layer=None) != wanted:
        weight, bias = (f"{_first_layer(artifact, stored, source)}.{part}" for part in ("weight", "bias"))
        values[weight], values[bias] = fold(values[weight], values[bias], stored, wanted)
    return values


def wanted_convention(stored: InputConvention) -> InputConvention:
    """What the decoded tensors take: torchvision's, at the stored size, where the file names the layer that the stored one folds
    into; else (a net of the user's own, a grey net) the stored one."""
    folds = stored.first_layer is not None and stored.channels != "L"
    return replace(TORCHVISION, size=stored.size, resize=stored.resize) if folds else replace(stored, first_layer=None)


def _first_layer(artifact: Artifact, stored: InputConvention, source: str) -> str:
    name = stored.first_layer
    parts = [artifact.layers.get(f"{name}.weight"), artifact.layers.get(f"{name}.bias")]
    weight, bias = parts
    if weight is None or bias is None or len(weight.shape) != 4 or bias.shape != weight.shape[:1]:
        raise CorruptArtifact(
            f"{source}: metadata.input.first_layer is {name!r}, which is no convolution with a bias in the file"
        )
    if weight.shape[1] != len(stored.channels):
        raise CorruptArtifact(f"{source}: {name}.weight takes {weight.shape[1]} channels, metadata.input is {stored.channels}")
    return str(name)
