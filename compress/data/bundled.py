"""Photographs that need no download: those that scikit-image and scikit-learn carry inside their packages.

Distilling a net from very few images works when they are cropped and changed heavily enough (Asano & Saeed 2021,
"The Augmented Image Prior", arXiv 2112.00725). Two lists that share no photograph: one to tune on, one to measure
agreement with the uncompressed net on. Neither has labels: what is measured on them is agreement, never accuracy.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from compress.convention import InputConvention
from compress.data.augment import change_batch, random_crop
from compress.data.preprocess import normalise
from compress.data.sets import MeasuringSet, TuningSet
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


def load(names: dict[str, tuple[str, str]]) -> tuple[list[Image.Image], str]:
    """The photographs as RGB images, and the SHA-256 of their pixels together (the set's digest in the ledger)."""
    digest = hashlib.sha256()
    images = []
    for path in paths(names):
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        digest.update(image.tobytes())
        images.append(image)
    return images, digest.hexdigest()


def tuning_set(crop: int, convention: InputConvention) -> TuningSet:
    """Endless batches of augmented random crops of the TUNE photographs, `crop` pixels a side."""
    images, digest = load(TUNE)

    def batches(batch_size: int, seed: int) -> Iterator[Tensor]:
        rng = np.random.default_rng(seed)
        while True:
            chosen = rng.integers(len(images), size=batch_size)
            crops = np.stack([random_crop(images[i], crop, rng) for i in chosen])  # (b, crop, crop, 3)
            x = change_batch(torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255, rng)
            yield normalise((x * 255).permute(0, 2, 3, 1), convention)

    return TuningSet("bundled", f"random crops of {len(TUNE)} bundled photographs, no labels", digest, batches)


def measuring_set(convention: InputConvention) -> MeasuringSet:
    """A fixed set of random crops of the TEST photographs, at the net's input size, without labels."""
    images, _ = load(TEST)
    rng = np.random.default_rng(TEST_CROPS_SEED)
    crops = [random_crop(image, convention.size, rng) for image in images for _ in range(CROPS_PER_TEST_PHOTOGRAPH)]
    pixels = torch.from_numpy(np.stack(crops))
    description = f"agreement on {len(crops)} bundled crops of {len(TEST)} photographs that were not tuned on; not accuracy"
    return MeasuringSet("bundled", description, hashlib.sha256(pixels.numpy().tobytes()).hexdigest(), pixels, None)
