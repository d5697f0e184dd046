"""What a file and its net need on a device, and which real parts have that. All from the file and data sheets; nothing is run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compress.artifact import reader
from compress.artifact.decoder_memory import decoder_bytes
from compress.artifact.reader import Artifact
from compress.convention import InputConvention
from compress.errors import CorruptArtifact
from compress.export.architecture import architecture, svd_ranks
from compress.export.needs import BYTES_A_VALUE, FP32_BYTES, FUSED, WEIGHTS, Layer, Need, can_fuse, need, peak_of
from compress.export.parts import PARTS, Part
from compress.models.operations import Operation, operations

BUILT_IN = ("squeezenet", "alexnet")


@dataclass(frozen=True)
class Verdict:
    """need: the one that takes the most and still fits; of a part that nothing fits on, the one that takes the least. Spare bytes
    are below 0 where they lack. flash_spare_bytes: None without flash on the chip."""

    part: Part
    need: Need
    ram_spare_bytes: int
    flash_spare_bytes: int | None

    @property
    def fits(self) -> bool:
        return self.ram_spare_bytes >= 0 and (self.flash_spare_bytes or 0) >= 0


@dataclass(frozen=True)
class Weights:
    """float32 bytes: of all tensors, of the largest layer, of the largest row; and what decoding takes beside them, at most."""

    n_values: int
    all_bytes: int
    layer_bytes: int
    layer: str
    row_bytes: int
    row_layer: str
    decoder_bytes: int


@dataclass(frozen=True)
class Fit:
    """not_described: why there is no more than flash and weights; "" where there is. side: of the input, pixels."""

    file: Path
    flash_bytes: int
    weights: Weights
    not_described: str = ""
    side: int = 0
    layers: tuple[Layer, ...] = ()
    peaks: Mapping[str, tuple[int, str]] | None = None  # by activations: the most bytes of them, and where
    needs: tuple[Need, ...] = ()
    verdicts: tuple[Verdict, ...] = ()

    @property
    def macs(self) -> int:
        return sum(layer.operation.macs for layer in self.layers)

    @property
    def nonzero_macs(self) -> int:
        return sum(layer.nonzero_macs for layer in self.layers)

    def to_json(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"file": str(self.file), "flash_bytes": self.flash_bytes, "weights": asdict(self.weights)}
        if self.not_described:
            return facts | {"not_described": self.not_described}
        return facts | {
            "side": self.side,
            "macs": self.macs,
            "nonzero_macs": self.nonzero_macs,
            "activations": {name: {"peak_bytes": n, "peak": where} for name, (n, where) in (self.peaks or {}).items()},
            "layers": [_layer_json(layer) for layer in self.layers],
            "needs": [asdict(need) for need in self.needs],
            "parts": [asdict(verdict.part) | _verdict_json(verdict) for verdict in self.verdicts],
        }


def fit(file: str | os.PathLike[str]) -> Fit:
    """Raises ArtifactError for a file that is not accepted, or whose tensors are not those of the net that it names."""
    path = Path(file)
    with reader.named(path):
        contents = reader.parse(reader.read_file(path), reader.MAX_WEIGHTS)
    artifact = reader.read_bytes(contents.data, name=str(path))
    block_weights = 1 << contents.header.block_log
    state = {record.name: decoder_bytes(record, block_weights=block_weights) for record in contents.records}
    if why := _not_described(artifact.metadata.get("architecture")):
        return Fit(path, artifact.size_bytes, _weights_by_name(artifact, state), why)
    layers, side = _layers(artifact, state, str(path))
    peaks = {name: peak_of(layers, name) for name in BYTES_A_VALUE if name != FUSED or can_fuse(layers)}
    needs = tuple(need(layers, weights, activations) for activations in peaks for weights in WEIGHTS)
    return Fit(
        path,
        artifact.size_bytes,
        _weights(layers),
        side=side,
        layers=tuple(layers),
        peaks=peaks,
        needs=needs,
        verdicts=verdicts(needs, artifact.size_bytes, PARTS),
    )


def _not_described(described: object) -> str:
    """Why the layers of a net are not known, "" where they are. described: metadata.architecture."""
    name = described.get("name") if isinstance(described, dict) else None
    if name in BUILT_IN:
        return ""
    if isinstance(described, dict) and name == "factory":
        return f"holds a net of {described.get('factory')!r}, whose layers its own code alone knows"
    return f"metadata.architecture is {described!r}; the layers of squeezenet and alexnet are known"


def _layers(artifact: Artifact, state: Mapping[str, int], source: str) -> tuple[list[Layer], int]:
    spec = architecture(artifact.metadata, source)
    described = artifact.metadata["architecture"]
    convention = InputConvention.from_metadata(artifact.metadata.get("input", {}), source)
    if spec.in_channels != len(convention.channels) or spec.smallest_side > convention.size:
        raise CorruptArtifact(
            f"{source}: metadata.input is {convention.channels} at {convention.size} pixels, the net takes {spec.in_channels} "
            f"channels of at least {spec.smallest_side} pixels"
        )
    shapes = {name: layer.shape for name, layer in artifact.layers.items()}
    ranks, pruned = svd_ranks(described, source), described.get("channels") == "pruned"
    try:
        found = operations(spec, convention.size, shapes, ranks=ranks, pruned=pruned)
    except ValueError as error:
        raise CorruptArtifact(f"{source}: the net does not fit the tensors (metadata.architecture): {error}") from error
    return [_layer(operation, artifact, state) for operation in found], convention.size


def _layer(operation: Operation, artifact: Artifact, state: Mapping[str, int]) -> Layer:
    if not operation.n_weights:
        return Layer(operation, 0, 0)
    weight, bias = f"{operation.module}.weight", f"{operation.module}.bias"
    n_nonzero = int(np.count_nonzero(artifact.layers[weight].values()))
    return Layer(operation, n_nonzero, max(state[weight], state.get(bias, 0)))


def _weights(layers: Sequence[Layer]) -> Weights:
    largest, widest = max(layers, key=lambda layer: layer.fp32_bytes), max(layers, key=lambda layer: layer.row_bytes)
    n_values = sum(layer.operation.n_parameters for layer in layers)
    return Weights(
        n_values,
        FP32_BYTES * n_values,
        largest.fp32_bytes,
        largest.operation.name,
        widest.row_bytes,
        widest.operation.name,
        max(layer.decoder_bytes for layer in layers),
    )


def _weights_by_name(artifact: Artifact, state: Mapping[str, int]) -> Weights:
    """Of a net that is not described: a layer is what has one name up to the last dot, a row the weights of one output."""
    values: dict[str, int] = {}
    rows: dict[str, int] = {}
    for name, layer in artifact.layers.items():
        owner = name.rpartition(".")[0] or name
        values[owner] = values.get(owner, 0) + layer.n_weights
        row = layer.n_weights // layer.shape[0] if layer.n_weights and layer.shape else layer.n_weights
        rows[owner] = max(rows.get(owner, 0), row)
    largest, widest = max(values, key=values.__getitem__, default=""), max(rows, key=rows.__getitem__, default="")
    return Weights(
        sum(values.values()),
        FP32_BYTES * sum(values.values()),
        FP32_BYTES * values.get(largest, 0),
        largest,
        FP32_BYTES * rows.get(widest, 0),
        widest,
        max(state.values(), default=0),
    )


def verdicts(needs: Sequence[Need], file_bytes: int, parts: Sequence[Part]) -> tuple[Verdict, ...]:
    """Microcontrollers first, then FPGAs, each with the most RAM first."""
    order = sorted(parts, key=lambda part: (part.kind == "FPGA", -part.ram_bytes, part.name))
    return tuple(_verdict(part, needs, file_bytes) for part in order)


def _verdict(part: Part, needs: Sequence[Need], file_bytes: int) -> Verdict:
    """An FPGA has no flash: the file is in its block RAM too."""
    in_ram = file_bytes if part.kind == "FPGA" else 0
    flash_spare = part.flash_bytes - file_bytes if part.flash_bytes is not None else None
    by_size = sorted(needs, key=lambda need: need.ram_bytes)
    fitting = [need for need in by_size if need.ram_bytes + in_ram <= part.ram_bytes]
    chosen = fitting[-1] if fitting else by_size[0]
    return Verdict(part, chosen, part.ram_bytes - chosen.ram_bytes - in_ram, flash_spare)


def _layer_json(layer: Layer) -> dict[str, Any]:
    operation = layer.operation
    return {
        "name": operation.name,
        "module": operation.module,
        "kind": operation.kind,
        "output": [operation.channels, operation.side, operation.side],
        "live_values": operation.live_values,
        "parameters": operation.n_parameters,
        "weights": operation.n_weights,
        "nonzero_weights": layer.n_nonzero,
        "fp32_bytes": layer.fp32_bytes,
        "row_bytes": layer.row_bytes,
        "decoder_bytes": layer.decoder_bytes,
        "macs": operation.macs,
        "nonzero_macs": layer.nonzero_macs,
    }


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "fits": verdict.fits,
        "need": asdict(verdict.need),
        "ram_spare_bytes": verdict.ram_spare_bytes,
        "flash_spare_bytes": verdict.flash_spare_bytes,
    }
