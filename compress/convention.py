"""What a network expects at its input, and how one expectation is folded into another exactly.

A net trained on Caffe input (BGR, 0..255, minus a mean) computes the same function of torchvision input (RGB, 0..1,
normalised) once its first convolution is changed: the input map is affine per channel, and so is the convolution. This is
exact only where that convolution has no padding (a padded border is zero on both sides of the map).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from compress.errors import CorruptArtifact

MAX_SIDE = 2048  # pixels of an input image: a file may not ask predict for more memory than that takes


@dataclass(frozen=True)
class InputConvention:
    """Pixels p in 0..1 become (p * scale - mean) / std per channel, in the order of `channels`.

    channels: "RGB", "BGR" or "L" (grey). size: side of the square crop, pixels. resize: the short side before the centre
    crop, pixels. mean and std have one value a channel, in that order. first_layer: of a net that was trained on other input
    than torchvision's and can take torchvision's, the module (a convolution) that this folds into; None: it stays as it is.
    """

    channels: str
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int
    resize: int
    first_layer: str | None = None

    def __post_init__(self) -> None:
        n_channels = len(self.channels)
        if self.channels not in ("RGB", "BGR", "L"):
            raise ValueError(f"channels must be RGB, BGR or L, got {self.channels!r}")
        if len(self.mean) != n_channels or len(self.std) != n_channels:
            raise ValueError(f"{self.channels} needs {n_channels} means and stds, got {len(self.mean)} and {len(self.std)}")
        numbers = np.array([self.scale, *self.mean, *self.std], np.float64)
        if not np.isfinite(numbers).all() or self.scale <= 0 or min(self.std) <= 0:
            raise ValueError("scale and std must be positive, and all numbers finite")
        if not isinstance(self.first_layer, str | None):
            raise ValueError(f"first_layer must name a module, got {self.first_layer!r}")
        if not 1 <= self.size <= self.resize <= MAX_SIDE:
            raise ValueError(f"need 1 <= size <= resize <= {MAX_SIDE}, got size {self.size}, resize {self.resize}")

    def to_metadata(self) -> dict[str, Any]:
        """As the `input` object of a file's metadata."""
        fields = asdict(self) | {"mean": list(self.mean), "std": list(self.std)}
        return {name: value for name, value in fields.items() if value is not None}

    @classmethod
    def from_metadata(cls, fields: Mapping[str, Any], source: str) -> InputConvention:
        """Read the `input` object of a file's metadata. Raises CorruptArtifact where it does not make sense."""
        try:
            return cls(
                channels=fields["channels"],
                scale=float(fields["scale"]),
                mean=tuple(float(x) for x in fields["mean"]),
                std=tuple(float(x) for x in fields["std"]),
                size=int(fields["size"]),
                resize=int(fields["resize"]),
                first_layer=fields.get("first_layer"),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CorruptArtifact(f"{source}: metadata.input is not an input convention: {error!r}") from error


TORCHVISION = InputConvention("RGB", 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), size=227, resize=256)
CAFFE = InputConvention("BGR", 255.0, (104.0, 117.0, 123.0), (1.0, 1.0, 1.0), size=227, resize=256)


def fold(
    weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32], trained: InputConvention, wanted: InputConvention
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The first convolution's weight (out, in, kh, kw) and bias (out,), changed to take `wanted` input. No padding allowed.

    Computed in float64, and rounded to float32 at the end.
    """
    if {trained.channels, wanted.channels} <= {"RGB", "BGR"}:
        order = [wanted.channels.index(channel) for channel in trained.channels]
    elif trained.channels == wanted.channels:
        order = list(range(len(trained.channels)))
    else:
        raise ValueError(f"{trained.channels} input cannot be folded into {wanted.channels}")
    # trained channel c sees gain * x + offset, where x is wanted channel order[c]
    wanted_std = np.array(wanted.std, np.float64)[order]
    wanted_mean = np.array(wanted.mean, np.float64)[order]
    trained_std = np.array(trained.std, np.float64)
    ratio = trained.scale / wanted.scale
    gain = ratio * wanted_std / trained_std
    offset = (ratio * wanted_mean - np.array(trained.mean, np.float64)) / trained_std
    scaled = weight.astype(np.float64) * gain[None, :, None, None]
    folded = np.empty_like(scaled)
    folded[:, order] = scaled
    shift = (weight.astype(np.float64).sum(axis=(2, 3)) * offset).sum(axis=1)
    return folded.astype(np.float32), (bias.astype(np.float64) + shift).astype(np.float32)
