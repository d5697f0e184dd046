"""Does a set that is measured on share pictures with a set that is tuned on? By name, and by how they look.

Two pictures are near-duplicates when they have the same ImageNet file name, or when their 24 x 24 grey thumbnails correlate by
more than .9. That finds a photograph in another size, compression, brightness or in grey, and most that lost 2% at each side;
not one that is mirrored, or cropped by much more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 24  # pixels of a thumbnail
MIN_CORRELATION = 0.9
_BLOCK = 1 << 24  # correlations that are in memory at once
_IMAGENET_FILE = re.compile(r"(n\d{8}_\d+|ILSVRC2012_(?:val|test)_\d{8})")


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """names: of n pictures. thumbnails: (n, SIDE * SIDE) float32, each of mean 0 and length 1, or all 0 for a flat picture."""

    names: tuple[str, ...]
    thumbnails: npt.NDArray[np.float32]

    @staticmethod
    def join(parts: Sequence[Fingerprints]) -> Fingerprints:
        names = tuple(name for part in parts for name in part.names)
        return Fingerprints(names, np.concatenate([part.thumbnails for part in parts]))


@dataclass(frozen=True)
class Pair:
    """correlation: of the thumbnails, rounded to four digits. same_file: they have the same ImageNet file name."""

    tuned: str
    measured: str
    correlation: float
    same_file: bool = False

    def __str__(self) -> str:
        reason = "same ImageNet file name, " if self.same_file else ""
        return f"{self.tuned}  and  {self.measured}  ({reason}correlation {self.correlation:.3f})"


def thumbnail(image: Image.Image) -> npt.NDArray[np.float32]:
    """(SIDE * SIDE,) float32 of mean 0 and length 1; all 0 for a flat picture, which correlates with nothing."""
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), np.float32).ravel()
    centred = grey - grey.mean()
    length = float(np.linalg.norm(centred))
    return centred / length if length > 1 else np.zeros_like(centred)


def near_duplicates(tuned: Fingerprints, measured: Fingerprints) -> list[Pair]:
    """Every tuned picture that is measured on too, with the measured one that it is most like; the most alike pair first.

    One pair a tuned picture, however many it is like: sets of pictures that all look alike would give a pair for each two.
    """
    places: dict[str, int] = {}
    for j, name in enumerate(measured.names):
        if file := imagenet_file(name):
            places.setdefault(file, j)
    pairs = []
    n_rows = max(1, _BLOCK // len(measured.names))
    for start in range(0, len(tuned.names), n_rows):
        correlations = tuned.thumbnails[start : start + n_rows] @ measured.thumbnails.T  # (rows, measured)
        nearest = correlations.argmax(1).tolist()
        for name, row, j in zip(tuned.names[start : start + n_rows], correlations, nearest, strict=True):
            file = imagenet_file(name)
            same_file = file is not None and file in places
            j = places[file] if file is not None and same_file else j
            if same_file or row[j] > MIN_CORRELATION:
                pairs.append(Pair(name, measured.names[j], round(float(row[j]), 4), same_file))
    return sorted(pairs, key=lambda pair: (-pair.correlation, pair.tuned, pair.measured))


def imagenet_file(name: str) -> str | None:
    """The ImageNet file that a picture's name says it is, for instance "n01440764_10026"; None where it says none."""
    match = _IMAGENET_FILE.match(PurePosixPath(name).name)
    return match[1] if match else None
