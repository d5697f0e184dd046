"""A SqueezeNet of a few hundred weights with made-up values, and its .sqz file: for tests that need a file and no training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from compress.artifact import writer
from compress.layer import Layer, RawTensor, SharedLayer

CLASSES = ["cat", "dog", "owl"]
INPUT = {"channels": "RGB", "mean": [0.485, 0.456, 0.406], "resize": 18, "scale": 1.0, "size": 16, "std": [0.229, 0.224, 0.225]}
GREY_INPUT = {"channels": "L", "mean": [0.5], "resize": 18, "scale": 1.0, "size": 16, "std": [0.25]}
CAFFE_INPUT = {
    "channels": "BGR",
    "first_layer": "features.0",
    "mean": [104.0, 117.0, 123.0],
    "resize": 18,
    "scale": 255.0,
    "size": 16,
    "std": [1.0, 1.0, 1.0],
}
ARCHITECTURE = {
    "base_e": 8,
    "classes": 3,
    "conv1_channels": 4,
    "conv10_relu": False,
    "incr_e": 0,
    "n_fires": 1,
    "name": "squeezenet",
    "pool_after": [1],
    "squeeze_ratio": 0.5,
    "version": "1.1",
}
SHAPES = {
    "features.0": (4, 3, 3, 3),
    "features.2.squeeze": (4, 4, 1, 1),
    "features.2.expand1x1": (4, 4, 1, 1),
    "features.2.expand3x3": (4, 4, 3, 3),
    "classifier.1": (3, 8, 1, 1),
}


def layers(seed: int = 0, shapes: dict[str, tuple[int, ...]] = SHAPES) -> list[Layer]:
    """Weights of four centroids and a third of zeros, float32 biases."""
    rng = np.random.default_rng(seed)
    made: list[Layer] = []
    for name, shape in shapes.items():
        indices = (rng.integers(1, 5, shape) * (rng.random(shape) < 0.67)).astype(np.int32)
        codebook = np.sort(rng.normal(0, 0.4, 4)).astype(np.float16)
        made.append(SharedLayer(f"{name}.weight", shape, indices, codebook=codebook))
        made.append(RawTensor(f"{name}.bias", rng.normal(0, 0.2, shape[0]).astype(np.float32)))
    return made


def grey_layers() -> list[Layer]:
    return layers(shapes={**SHAPES, "features.0": (4, 1, 3, 3)})


def metadata(**changes: Any) -> dict[str, Any]:
    """changes: keys to replace, or to leave out where None."""
    described = {"architecture": ARCHITECTURE, "classes": CLASSES, "encoder": "tests", "input": INPUT} | changes
    return {key: value for key, value in described.items() if value is not None}


def write(path: Path, net: list[Layer] | None = None, **changes: Any) -> Path:
    writer.write(path, net or layers(), metadata(**changes))
    return path
