"""Random crops of photographs, and the changes made to a batch of them, for tuning by distillation.

No label is needed: whatever a crop shows after the change, the uncompressed net's output on that very crop is the target.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor

MAX_ASPECT = 1.5  # of a crop: width over height, or height over width
MIN_SIDE = 40  # pixels, of a part that is tuned on; below that a crop is only blur
JITTER = 0.4  # brightness, contrast and saturation are scaled by 1 - JITTER to 1 + JITTER
CUTMIX_PROBABILITY, CUTMIX_SIDES = 0.5, (0.2, 0.7)  # of a batch; side of the pasted square over the crop's


def random_crop(
    image: Image.Image, size: int, min_area: float, rng: np.random.Generator, *, min_side: int = MIN_SIDE
) -> np.ndarray:
    """A random part of a picture, log-uniform in area (a share of the picture's, from min_area) and aspect.

    image: RGB or L. min_side: of the part, pixels, where the picture has so many. Returns (size, size, c) uint8."""
    area = image.width * image.height * math.exp(rng.uniform(math.log(min_area), 0.0))
    aspect = math.exp(rng.uniform(-math.log(MAX_ASPECT), math.log(MAX_ASPECT)))
    width = min(float(image.width), max(min_side, math.sqrt(area * aspect)))
    height = min(float(image.height), max(min_side, math.sqrt(area / aspect)))
    left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    box = (left, top, left + width, top + height)
    crop = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0))
    return crop[:, :, None] if crop.ndim == 2 else crop


def change_batch(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Mirror, colour jitter and CutMix (Yun et al. 2019) of a (b, c, h, w) batch in 0..1."""
    n, _, height, width = x.shape
    mirrored = torch.from_numpy(rng.random(n) < 0.5)
    x[mirrored] = x[mirrored].flip(3)
    x = jittered(x, torch.from_numpy(rng.uniform(1 - JITTER, 1 + JITTER, (3, n)).astype(np.float32)))
    if rng.random() < CUTMIX_PROBABILITY:
        other = x[torch.from_numpy(rng.permutation(n))]
        share = rng.uniform(*CUTMIX_SIDES)
        rows, columns = int(height * share), int(width * share)
        top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
        x[:, :, top : top + rows, left : left + columns] = other[:, :, top : top + rows, left : left + columns]
    return x


def jittered(x: Tensor, factors: Tensor) -> Tensor:
    """A (b, c, h, w) batch in 0..1 with its saturation, contrast and brightness scaled: factors is (3, b), 1 changes nothing."""
    saturation, contrast, brightness = factors.view(3, -1, 1, 1, 1)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * saturation
    level = x.mean((1, 2, 3), keepdim=True)
    return ((level + (x - level) * contrast) * brightness).clamp_(0, 1)


def shifted_crop(image: Image.Image, size: int, resize: int, rng: np.random.Generator) -> np.ndarray:
    """The picture with its short side at `resize` pixels, and a random size x size part of it: (size, size, c) uint8."""
    scale = max(resize, size) / min(image.size)
    side = min(size / scale, *image.size)  # rounded, the quotient may be the least bit more than there is
    left, top = rng.uniform(0, image.width - side), rng.uniform(0, image.height - side)
    box = (left, top, left + side, top + side)
    crop = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0))
    return crop[:, :, None] if crop.ndim == 2 else crop
