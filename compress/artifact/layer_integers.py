"""A layer as integers that move little when its weights do: what the symbol form of a delta codes the changes of.

The integers of a shared layer are its indices; where those of both files are in the order of levels (a step, or a codebook that
rises and holds no zero), the signed levels of docs/FORMAT.md's position mode 4. Those of a raw float tensor are its bits, turned
so that they rise with the value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from compress.artifact.layout import Kind, LayerRecord
from compress.artifact.streams import levels_of
from compress.errors import CorruptArtifact, CorruptStream
from compress.layer import MAX_LEVEL, Layer, RawTensor, SharedLayer

Integers = npt.NDArray[np.int64]  # shape (n_weights,)


@dataclass(frozen=True, eq=False)
class Values:
    """What the indices of a shared layer stand for: a codebook or a step."""

    codebook: npt.NDArray[Any] | None
    step: np.float32 | None

    @classmethod
    def of(cls, layer: SharedLayer) -> Values:
        return cls(layer.codebook, layer.step)

    @classmethod
    def from_tensor(cls, tensor: Layer) -> Values:
        """tensor: a scalar is a step, a row a codebook. Raises CorruptArtifact for any other."""
        if isinstance(tensor, RawTensor) and tensor.array.dtype.kind == "f":
            if tensor.shape == () and tensor.array.dtype == np.float32:
                return cls(None, np.float32(tensor.array))
            if len(tensor.shape) == 1:
                return cls(tensor.array, None)
        raise CorruptArtifact(f"shape {tensor.shape} is neither a codebook nor a step")

    def to_tensor(self, name: str) -> RawTensor:
        return RawTensor(name, np.array(self.step, np.float32) if self.codebook is None else self.codebook)

    def same_as(self, other: Values) -> bool:
        """Bit for bit."""
        a, b = self.to_tensor("").array, other.to_tensor("").array
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()

    @property
    def _record(self) -> LayerRecord:
        kind = Kind.STEP_F32 if self.codebook is None else Kind.CODEBOOK_F32
        return LayerRecord("", kind, (), codebook=self.codebook, step=self.step)

    @property
    def has_levels(self) -> bool:
        return self._record.has_levels

    def integers(self, indices: npt.NDArray[np.int32], *, as_levels: bool) -> Integers:
        flat = indices.reshape(-1)
        return (levels_of(flat, self._record) if as_levels else flat).astype(np.int64)

    def indices(self, integers: Integers, *, as_levels: bool) -> npt.NDArray[np.int32]:
        """Inverse of integers. Raises CorruptStream for what is no index."""
        n_below = self._record.extent[0] if as_levels and self.codebook is not None else 0
        found = integers
        if as_levels and self.codebook is not None:
            found = np.where(integers == 0, 0, integers + n_below + (integers < 0))
            found = np.where((integers != 0) & (found <= 0), -1, found)  # below the lowest centroid
        low, high = (-MAX_LEVEL, MAX_LEVEL) if self.codebook is None else (0, len(self.codebook))
        if int(found.min()) < low or int(found.max()) > high:
            raise CorruptStream(f"indices span [{found.min()}, {found.max()}], allowed [{low}, {high}]")
        return found.astype(np.int32)


def comparable(was: Layer, layer: Layer) -> tuple[Integers, Integers] | None:
    """Both as integers, or None where they have none that belong together."""
    if was.shape != layer.shape:
        return None
    if isinstance(was, SharedLayer) and isinstance(layer, SharedLayer):
        if layer.codebook is not None and not len(layer.codebook):
            return None  # a tensor of no values is not one that a file holds
        before, after = Values.of(was), Values.of(layer)
        as_levels = before.has_levels and after.has_levels
        return before.integers(was.indices, as_levels=as_levels), after.integers(layer.indices, as_levels=as_levels)
    if isinstance(was, RawTensor) and isinstance(layer, RawTensor) and was.array.dtype == layer.array.dtype:
        return (_rising(was.array), _rising(layer.array)) if is_float(was) else None
    return None


def identical(was: Layer, layer: Layer) -> bool:
    """Bit for bit, and of one type; whatever their names."""
    if isinstance(was, SharedLayer) and isinstance(layer, SharedLayer):
        return was.shape == layer.shape and same_values(was, layer) and bool(np.array_equal(was.indices, layer.indices))
    if isinstance(was, RawTensor) and isinstance(layer, RawTensor):
        a, b = was.array, layer.array
        return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    return False


def same_values(was: Layer, layer: Layer) -> bool:
    """Whether the integers of comparable layers stand for the same values."""
    return not (isinstance(was, SharedLayer) and isinstance(layer, SharedLayer)) or Values.of(was).same_as(Values.of(layer))


def is_float(tensor: RawTensor) -> bool:
    return tensor.array.dtype.kind == "f"


def old_integers(was: Layer, values: Values | None) -> Integers:
    """The base's layer as it was when a change was made. values: NEW's, where they are not the base's.

    Raises CorruptArtifact for a layer that has no integers."""
    if isinstance(was, SharedLayer):
        before = Values.of(was)
        return before.integers(was.indices, as_levels=before.has_levels and (values or before).has_levels)
    if values is not None or not is_float(was):
        raise CorruptArtifact(f"a {was.array.dtype} tensor cannot be changed, only given whole, or kept")
    return _rising(was.array)


def rebuilt(was: Layer, values: Values | None, integers: Integers) -> Layer:
    """NEW's layer. Raises CorruptArtifact for integers that stand for nothing."""
    if isinstance(was, RawTensor):
        return RawTensor(was.name, _floats(integers, was.array.dtype).reshape(was.shape))
    before = Values.of(was)
    after = values or before
    indices = after.indices(integers, as_levels=before.has_levels and after.has_levels).reshape(was.shape)
    try:
        return SharedLayer(was.name, was.shape, indices, after.codebook, after.step)
    except ValueError as error:  # a value that is not finite
        raise CorruptArtifact(str(error).removeprefix(f"{was.name}: ")) from error


def _rising(floats: npt.NDArray[Any]) -> Integers:
    """As keys_of in codebook.py: bits of a positive float above those of a negative one, which are turned round."""
    bits = np.ascontiguousarray(floats).reshape(-1).view(f"u{floats.itemsize}").astype(np.int64)
    half = 1 << 8 * floats.itemsize - 1
    return np.where(bits < half, bits + half, 2 * half - 1 - bits)


def _floats(integers: Integers, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Inverse of _rising."""
    half = 1 << 8 * dtype.itemsize - 1
    if int(integers.min()) < 0 or int(integers.max()) >= 2 * half:
        raise CorruptStream(f"values span [{integers.min()}, {integers.max()}], allowed [0, {2 * half - 1}]")
    bits = np.where(integers >= half, integers - half, 2 * half - 1 - integers)
    return bits.astype(f"u{dtype.itemsize}").view(dtype)
