"""What became of each weight tensor: how many weights are left, what they take, how far they are from what they were."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compress.artifact.inspect import Row
from compress.artifact.reader import Artifact
from compress.layer import SharedLayer
from compress.run_folder import Arrays


@dataclass(frozen=True)
class LayerFacts:
    """n_values: centroids or non-zero levels; 0 of a raw tensor. size_bytes: all that the file has of the tensor.
    coded_bytes: of those, what the coders take: payloads and models. entropy_bits: order-0 entropy of the indices, zeros
    included, a weight; None of a raw tensor. relative_error: rms(before - after) / rms(before); None where there is nothing to
    compare with, the shapes differ (channels were cut), or all was zero. sensitivity: the Fisher information that the run
    measured (quantize.sensitivity); None where it measured none."""

    name: str
    shape: tuple[int, ...]
    n_weights: int
    n_nonzero: int
    n_values: int
    coding: str
    size_bytes: int
    coded_bytes: int
    entropy_bits: float | None
    relative_error: float | None
    sensitivity: float | None

    @property
    def density(self) -> float:
        return self.n_nonzero / self.n_weights

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.size_bytes / self.n_weights

    @property
    def coded_bits(self) -> float:
        return 8 * self.coded_bytes / self.n_weights


@dataclass(frozen=True)
class CodingTotals:
    """Of all layers that have indices: what the coders take, and the sum of the layers' order-0 entropies."""

    coded_bytes: int
    entropy_bytes: float


def layer_facts(artifact: Artifact, rows: Sequence[Row], before: Arrays, sensitivity: Mapping[str, float]) -> list[LayerFacts]:
    """Of the tensors with two dimensions or more, in the file's order. before: the uncompressed net's, where they are known."""
    facts = []
    for row in rows:
        if not row.kind or len(row.shape) < 2:
            continue
        layer = artifact.layers[row.name]
        facts.append(
            LayerFacts(
                name=row.name,
                shape=row.shape,
                n_weights=row.n_weights,
                n_nonzero=layer.n_nonzero,
                n_values=row.n_centroids,
                coding=" + ".join(part for part in (row.positions, row.codes) if part) or row.kind,
                size_bytes=row.size_bytes,
                coded_bytes=row.payload_bytes + row.model_bytes,
                entropy_bits=order_0_entropy(layer.indices) if isinstance(layer, SharedLayer) else None,
                relative_error=relative_error(before.get(row.name), layer.values()),
                sensitivity=sensitivity.get(row.name),
            )
        )
    return facts


def totals(facts: Sequence[LayerFacts]) -> CodingTotals | None:
    """None where no layer has indices."""
    coded = [each for each in facts if each.entropy_bits is not None]
    if not coded:
        return None
    entropy_bits = sum(each.n_weights * (each.entropy_bits or 0.0) for each in coded)
    return CodingTotals(sum(each.coded_bytes for each in coded), entropy_bits / 8)


def order_0_entropy(indices: npt.NDArray[np.int32]) -> float:
    """Bits an index: what a coder that knows each value's frequency, and nothing of the values around, cannot go below."""
    counts = np.bincount(indices.ravel() - int(indices.min()))
    shares = counts[counts > 0] / indices.size
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # no -0.0


def relative_error(before: npt.NDArray[np.generic] | None, after: npt.NDArray[np.generic]) -> float | None:
    if before is None or before.shape != after.shape:
        return None
    energy = float(np.square(before.astype(np.float64)).sum())
    if energy == 0:
        return None
    return math.sqrt(float(np.square(before.astype(np.float64) - after.astype(np.float64)).sum()) / energy)
