"""The two kinds of image sets that a run uses, and the sets that a recipe can name.

A tuning set yields batches; a measuring set is a fixed list of images. They share no image, and a measuring set is only
ever measured on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from compress.convention import InputConvention


@dataclass(frozen=True, eq=False)
class TuningSet:
    """batches(batch_size, seed) yields (b, c, h, w) float32 normalised batches for ever, the same for the same arguments.

    digest: SHA-256 of the images. description: what it is, with n, as the ledger shows it.
    """

    name: str
    description: str
    digest: str
    batches: Callable[[int, int], Iterator[Tensor]]


@dataclass(frozen=True, eq=False)
class MeasuringSet:
    """pixels: (n, h, w, c) uint8. labels: (n,) int64, or None where only agreement with the uncompressed net can be told."""

    name: str
    description: str
    digest: str
    pixels: Tensor
    labels: Tensor | None


def tuning_set(name: str, crop: int, convention: InputConvention) -> TuningSet:
    """name: "bundled" or "digits" (the recipe allows no other). crop: side of the crops, pixels."""
    from compress.data import bundled, digits

    return bundled.tuning_set(crop, convention) if name == "bundled" else digits.tuning_set(convention)


def measuring_set(name: str, convention: InputConvention) -> MeasuringSet:
    """name: "bundled" or "digits" (the recipe allows no other)."""
    from compress.data import bundled, digits

    return bundled.measuring_set(convention) if name == "bundled" else digits.measuring_set()
