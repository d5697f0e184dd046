"""scikit-learn's handwritten digits: 1,797 grey images of 8 x 8 pixels, with labels, inside the package.

The smallest set on which the whole chain can be trained, compressed and measured with labels: in seconds, with no download.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from compress.convention import InputConvention
from compress.data.preprocess import normalise

CONVENTION = InputConvention("L", 1.0, (0.305,), (0.376,), size=8, resize=8)  # mean and std of the training images
N_TEST = 360
SPLIT_SEED = 0  # fixed: the same images are held out in every run


@cache
def _split() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(train pixels, train labels, test pixels, test labels); pixels are (n, 8, 8, 1) uint8."""
    loaded = load_digits()
    pixels = np.round(loaded.images * (255 / 16)).astype(np.uint8)[..., None]  # stored as 0..16
    order = np.random.default_rng(SPLIT_SEED).permutation(len(pixels))
    test, train = order[:N_TEST], order[N_TEST:]
    x, y = torch.from_numpy(pixels), torch.from_numpy(loaded.target.astype(np.int64))
    return x[train], y[train], x[test], y[test]


def training_pixels() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """(n, 8, 8, 1) images and (n,) labels of the training part."""
    pixels, labels, _, _ = _split()
    return pixels.numpy(), labels.numpy()


def tuning_images(convention: InputConvention) -> tuple[Tensor, str]:
    """The training part as (n, 1, 8, 8) float32 normalised images, and the SHA-256 of its pixels."""
    pixels, _, _, _ = _split()
    return normalise(pixels, convention), hashlib.sha256(pixels.numpy().tobytes()).hexdigest()


def held_out_images() -> tuple[Tensor, Tensor]:
    """The held-out part: (n, 8, 8, 1) uint8 pixels and (n,) int64 labels."""
    _, _, pixels, labels = _split()
    return pixels, labels


def batches(images: Tensor) -> Callable[[int, int], Iterator[Tensor]]:
    """batches(batch_size, seed): random images for ever."""

    def endless(batch_size: int, seed: int) -> Iterator[Tensor]:
        rng = np.random.default_rng(seed)
        while True:
            yield images[torch.from_numpy(rng.integers(len(images), size=batch_size))]

    return endless
