"""Two .sqz files, tensor by tensor: what each takes in either file, and how far apart the decoded values are.

The tensors are compared as they are stored. A net for Caffe input and the same net for torchvision's have different first
layers (compress.convention): `same_input_convention` says whether that is so, nothing is folded.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from compress.artifact.inspect import Parts, Row, inspect, parts_of
from compress.artifact.reader import Artifact, read
from compress.layer import Layer

CONVENTION = ("channels", "scale", "mean", "std")  # of metadata.input: what the first layer's weights depend on

Outcome = Literal["identical", "values differ", "types differ", "shapes differ", "only in A", "only in B"]


@dataclass(frozen=True)
class ValueDifference:
    """How far the values of a tensor in B are from those in A, as float32 (int64 counters as they are)."""

    n_weights: int
    n_identical: int  # the same bytes in both: 0.0 and -0.0 are not, a NaN and the same NaN are
    relative_rms: float | None  # rms(a - b) / rms(a); None where a is all zero and b is not, or where max_abs is None
    max_abs: float | None  # of a - b; None where a weight that differs is NaN or infinite in a or b

    @property
    def identical(self) -> float:
        """The share of weights that are identical, in [0, 1]."""
        return self.n_identical / self.n_weights


@dataclass(frozen=True)
class TensorPair:
    """A tensor that at least one of the files has."""

    name: str
    a: Row | None  # None: not in that file
    b: Row | None
    outcome: Outcome
    values: ValueDifference | None  # None unless both files have it, in one shape and as one type

    @property
    def difference_bytes(self) -> int:
        """How many more B takes for it; a file that does not have it takes none."""
        return (self.b.size_bytes if self.b else 0) - (self.a.size_bytes if self.a else 0)

    def to_json(self) -> dict[str, Any]:
        rows = {
            side: row and {**asdict(row), "size_bytes": row.size_bytes, "density": row.n_nonzero / row.n_weights}
            for side, row in (("a", self.a), ("b", self.b))
        }
        values = self.values and {**asdict(self.values), "identical": self.values.identical}
        return {"name": self.name, "outcome": self.outcome, "difference_bytes": self.difference_bytes, **rows, "values": values}


@dataclass(frozen=True)
class File:
    path: str
    sha256: str
    metadata: dict[str, Any]
    parts: Parts

    def to_json(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"file": self.path, "size_bytes": self.parts.size_bytes, "sha256": self.sha256}
        return {**facts, "parts": asdict(self.parts), "metadata": self.metadata}


@dataclass(frozen=True)
class MetadataDifference:
    key: str  # with the keys of the objects around it, for instance "recipe.sha256"
    a: str | None  # the value as JSON; None where the file does not have the key
    b: str | None


@dataclass(frozen=True)
class Comparison:
    a: File
    b: File
    tensors: list[TensorPair]  # in A's order; then those that only B has, in B's
    metadata: list[MetadataDifference]  # sorted by key
    same_input_convention: bool

    @property
    def identical(self) -> bool:
        """Both files have the same tensors, in name, shape, type and every byte of the decoded values."""
        return all(pair.outcome == "identical" for pair in self.tensors)

    def to_json(self) -> dict[str, Any]:
        """Every fact, derived ones too, as what `json.dumps` takes."""
        return {
            "a": self.a.to_json(),
            "b": self.b.to_json(),
            "identical": self.identical,
            "same_input_convention": self.same_input_convention,
            "metadata": [asdict(difference) for difference in self.metadata],
            "tensors": [pair.to_json() for pair in self.tensors],
        }


def compare(path_a: str | os.PathLike[str], path_b: str | os.PathLike[str]) -> Comparison:
    """Decode both files whole, and compare them. Raises ArtifactError for a file that is not accepted, InputError for one
    that cannot be read; both name the file."""
    (file_a, rows_a, artifact_a), (file_b, rows_b, artifact_b) = map(_open, (path_a, path_b))
    tensors = [
        _pair(name, rows_a.get(name), rows_b.get(name), artifact_a.layers.get(name), artifact_b.layers.get(name))
        for name in dict.fromkeys([*artifact_a.layers, *artifact_b.layers])
    ]
    same_convention = _convention(file_a.metadata) == _convention(file_b.metadata)
    return Comparison(file_a, file_b, tensors, metadata_differences(file_a.metadata, file_b.metadata), same_convention)


def value_difference(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> ValueDifference:
    """a, b: of one shape with at least one weight, and of one type, float32 or int64. Computed in float64."""
    differs = _bytes(a) != _bytes(b)
    n_different = int(np.count_nonzero(differs))
    if n_different == 0:
        return ValueDifference(a.size, a.size, 0.0, 0.0)
    with np.errstate(invalid="ignore"):  # infinity - infinity is NaN
        errors = a[differs].astype(np.float64) - b[differs].astype(np.float64)
    max_abs = float(np.abs(errors).max())
    if not math.isfinite(max_abs):
        return ValueDifference(a.size, a.size - n_different, None, None)
    error_energy, energy = float(np.square(errors).sum()), float(np.square(a.astype(np.float64)).sum())
    relative_rms = math.sqrt(error_energy / energy) if energy > 0 else (0.0 if error_energy == 0 else None)
    return ValueDifference(a.size, a.size - n_different, relative_rms, max_abs)


def metadata_differences(a: dict[str, Any], b: dict[str, Any]) -> list[MetadataDifference]:
    """The keys whose values are not the same JSON, those of nested objects joined by dots; a list is compared whole."""
    texts_a, texts_b = dict(_flat(a)), dict(_flat(b))
    return [
        MetadataDifference(".".join(path), texts_a.get(path), texts_b.get(path))
        for path in sorted(texts_a.keys() | texts_b.keys())
        if texts_a.get(path) != texts_b.get(path)
    ]


def _open(path: str | os.PathLike[str]) -> tuple[File, dict[str, Row], Artifact]:
    """A file, the rows of its tensors, and its layers."""
    artifact, rows = read(path), inspect(path)
    file = File(os.fspath(path), artifact.sha256, artifact.metadata, parts_of(rows))
    return file, {row.name: row for row in rows if row.kind}, artifact


def _pair(name: str, row_a: Row | None, row_b: Row | None, layer_a: Layer | None, layer_b: Layer | None) -> TensorPair:
    if layer_b is None:
        return TensorPair(name, row_a, row_b, "only in A", None)
    if layer_a is None:
        return TensorPair(name, row_a, row_b, "only in B", None)
    if layer_a.shape != layer_b.shape:
        return TensorPair(name, row_a, row_b, "shapes differ", None)
    a, b = layer_a.values(), layer_b.values()
    if a.dtype != b.dtype:
        return TensorPair(name, row_a, row_b, "types differ", None)
    values = value_difference(a, b)
    return TensorPair(name, row_a, row_b, "identical" if values.n_identical == values.n_weights else "values differ", values)


def _bytes(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The bits of each value as an unsigned integer: equal for equal NaNs, different for 0.0 and -0.0."""
    return values.view(f"u{values.itemsize}")


def _convention(metadata: dict[str, Any]) -> object:
    described = metadata.get("input")
    return {key: described.get(key) for key in CONVENTION} if isinstance(described, dict) else described


def _flat(value: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """The keys that lead to every value that is no object, or an empty one, and its JSON."""
    for key, item in value.items():
        if isinstance(item, dict) and item:
            yield from _flat(item, (*path, key))
        else:
            yield (*path, key), json.dumps(item, ensure_ascii=False)
