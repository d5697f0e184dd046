"""What the file holds: the tensors of a state dict, each either shared (a codebook or a step, and indices) or raw.

Zero lives in the mask: an index of 0 is a pruned weight, whatever the codebook. So one array of indices says both where
the weights are and which value each has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

MAX_CENTROIDS = 1 << 16
MAX_LEVEL = (1 << 15) - 1  # largest magnitude of a level in a stepped tensor
MIN_STEP = float(np.finfo(np.float32).tiny)  # 2^-126: a subnormal step is zero on machines that flush them
MAX_VALUE = float(np.finfo(np.float32).max)
RAW_DTYPES = (np.dtype("<f2"), np.dtype("<f4"), np.dtype("<i8"))


@dataclass(frozen=True, eq=False)
class SharedLayer:
    """A weight tensor whose values are few (Han et al. 2016, section 3; uniform steps: Choi et al. 2017).

    name: state-dict key, for instance "features.3.squeeze.weight".
    shape: of the tensor, for instance (16, 64, 1, 1); for a convolution (out, in / groups, kh, kw).
    indices: int32, shape `shape`. 0 is a pruned weight. With a codebook, i >= 1 is centroid i - 1; with a step, the index
        is a signed level.
    codebook: float16 or float32, shape (n_centroids,), finite; or None.
    step: float32, normal and > 0, the width of a level; or None. Exactly one of codebook and step is given.
    """

    name: str
    shape: tuple[int, ...]
    indices: npt.NDArray[np.int32]
    codebook: npt.NDArray[np.float16] | npt.NDArray[np.float32] | None = None
    step: np.float32 | None = None

    kind: Literal["shared"] = "shared"

    def __post_init__(self) -> None:
        if (self.codebook is None) == (self.step is None):
            raise ValueError(f"{self.name}: exactly one of codebook and step is needed")
        if self.indices.dtype != np.int32 or self.indices.shape != self.shape:
            raise ValueError(f"{self.name}: indices are {self.indices.dtype} {self.indices.shape}, need int32 {self.shape}")
        low, high = (int(self.indices.min()), int(self.indices.max())) if self.indices.size else (0, 0)
        if self.codebook is not None:
            if self.codebook.dtype not in (np.float16, np.float32) or self.codebook.ndim != 1:
                raise ValueError(
                    f"{self.name}: codebook is {self.codebook.dtype} {self.codebook.shape}, need 1-D float16 or float32"
                )
            if len(self.codebook) > MAX_CENTROIDS or not np.isfinite(self.codebook).all():
                raise ValueError(f"{self.name}: a codebook holds at most {MAX_CENTROIDS} finite centroids")
            if low < 0 or high > len(self.codebook):
                raise ValueError(f"{self.name}: indices span [{low}, {high}], allowed [0, {len(self.codebook)}]")
        else:
            assert self.step is not None
            if not (np.isfinite(self.step) and self.step >= MIN_STEP):
                raise ValueError(f"{self.name}: step is {self.step}, must be finite and at least {MIN_STEP}")
            if max(-low, high) > MAX_LEVEL:
                raise ValueError(f"{self.name}: levels span [{low}, {high}], allowed magnitude {MAX_LEVEL}")
            if float(self.step) * max(-low, high) > MAX_VALUE:
                raise ValueError(
                    f"{self.name}: step {self.step} times level {max(-low, high)} is above {MAX_VALUE}, the largest float32"
                )

    @property
    def n_weights(self) -> int:
        return self.indices.size

    @property
    def n_nonzero(self) -> int:
        return int(np.count_nonzero(self.indices))

    def values(self) -> npt.NDArray[np.float32]:
        """The float32 weights that the indices stand for: a codebook entry, or float32(level) * step, one rounding."""
        if self.codebook is not None:
            return np.concatenate([np.zeros(1, np.float32), self.codebook.astype(np.float32)])[self.indices]
        assert self.step is not None
        return self.indices.astype(np.float32) * np.float32(self.step)


@dataclass(frozen=True, eq=False)
class RawTensor:
    """A tensor stored as it is: a bias, a BatchNorm's statistics, a weight that is not worth sharing.

    array: float16, float32 or int64 (BatchNorm's counter), little-endian, any shape, () too.
    """

    name: str
    array: npt.NDArray[np.generic]

    kind: Literal["raw"] = "raw"

    def __post_init__(self) -> None:
        if self.array.dtype not in RAW_DTYPES:
            raise ValueError(f"{self.name}: raw tensors are float16, float32 or int64, not {self.array.dtype}")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def n_weights(self) -> int:
        return self.array.size

    @property
    def n_nonzero(self) -> int:
        return int(np.count_nonzero(self.array))

    def values(self) -> npt.NDArray[np.generic]:
        """float32 for float16 and float32 tensors (exact); int64 as it is."""
        return self.array if self.array.dtype.kind == "i" else self.array.astype(np.float32)


Layer = SharedLayer | RawTensor
