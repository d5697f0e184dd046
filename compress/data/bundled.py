"""Photographs that need no download: those that scikit-image and scikit-learn carry inside their packages.

Distilling a net from very few images works when they are cropped and changed heavily enough (Asano & Saeed 2021,
"The Augmented Image Prior", arXiv 2112.00725). Two lists that share no photograph: one to tune on, one to measure
agreement with the uncompressed net on. Neither has labels: what is measured on them is agreement, never accuracy.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from compress.data.augment import random_crop
from compress.data.overlap import Fingerprints, thumbnail
from compress.errors import MissingDependency

_SKIMAGE = ("skimage", "data")
_SKLEARN = ("sklearn", "datasets/images")

TUNE = {
    "astronaut.png": _SKIMAGE,
    "brick.png": _SKIMAGE,
    "cell.png": _SKIMAGE,
    "chelsea.png": _SKIMAGE,
    "china.jpg": _SKLEARN,
    "clock_motion.png": _SKIMAGE,
    "color.png": _SKIMAGE,
    "flower.jpg": _SKLEARN,
    "grass.png": _SKIMAGE,
    "hubble_deep_field.jpg": _SKIMAGE,
    "ihc.png": _SKIMAGE,
    "moon.png": _SKIMAGE,
    "motorcycle_left.png": _SKIMAGE,
    "motorcycle_right.png": _SKIMAGE,
    "page.png": _SKIMAGE,
    "retina.jpg": _SKIMAGE,
}
TEST = {
    "camera.png": _SKIMAGE,
    "coffee.png": _SKIMAGE,
    "coins.png": _SKIMAGE,
    "gravel.png": _SKIMAGE,
    "rocket.jpg": _SKIMAGE,
}
CROPS_PER_TEST_PHOTOGRAPH = 40
TEST_MIN_AREA = 0.05  # of a crop, as a share of its photograph's
TEST_CROPS_SEED = 1602_07360  # fixed: a measuring set is the same in every run


def paths(names: dict[str, tuple[str, str]]) -> list[Path]:
    """Where the photographs lie, in the order of their names. The packages are located, not imported (they are slow to)."""
    found = []
    for name, (package, folder) in sorted(names.items()):
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise MissingDependency(
                f"bundled photographs: package {package} is not installed: pip install 'squeeze-compress[train]'"
            )
        path = Path(spec.origin).parent / folder / name
        if not path.is_file():
            raise MissingDependency(f"bundled photographs: {path} is missing from the installed {package}")
        found.append(path)
    return found


def load(names: dict[str, tuple[str, str]], mode: str) -> tuple[list[Image.Image], str, Fingerprints]:
    """The photographs in `mode` ("RGB" or "L"), the SHA-256 of their pixels together, and their fingerprints."""
    digest = hashlib.sha256()
    images = []
    for path in paths(names):
        with Image.open(path) as opened:
            image = opened.convert("RGB").convert(mode)
        digest.update(image.tobytes())
        images.append(image)
    marks = Fingerprints(tuple(f"bundled/{name}" for name in sorted(names)), np.stack([thumbnail(image) for image in images]))
    return images, digest.hexdigest(), marks


def held_out_crops(size: int, mode: str) -> tuple[Tensor, Fingerprints]:
    """A fixed set of random crops of the TEST photographs, (n, size, size, c) uint8; and the photographs' fingerprints."""
    images, _, marks = load(TEST, mode)
    rng = np.random.default_rng(TEST_CROPS_SEED)
    crops = [random_crop(image, size, TEST_MIN_AREA, rng) for image in images for _ in range(CROPS_PER_TEST_PHOTOGRAPH)]
    return torch.from_numpy(np.stack(crops)), marks
