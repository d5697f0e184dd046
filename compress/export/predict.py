"""Pictures in, the names of the likeliest classes out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from compress.artifact.reader import read
from compress.data.preprocess import open_image
from compress.export.load import from_artifact


@dataclass(frozen=True)
class Prediction:
    """name: the class's name, or its index where the file names none. probability: softmax of the logits."""

    index: int
    name: str
    probability: float


def predict(file: Path, images: Iterable[Path], top: int) -> list[tuple[Path, list[Prediction]]]:
    """The `top` likeliest classes of each picture. Raises ArtifactError for the file, ImageError for a picture."""
    loaded = from_artifact(read(file), str(file))
    mode = "L" if loaded.preprocess.convention.channels == "L" else "RGB"
    pictures = [(path, open_image(path, mode)) for path in images]  # refuse a bad one before any is classified
    found = []
    for path, picture in pictures:
        with torch.inference_mode():
            probabilities = loaded.net(loaded.preprocess(picture)).softmax(1)[0]
        best = probabilities.topk(min(top, len(probabilities)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        names = loaded.class_names
        found.append((path, [Prediction(i, names[i] if names else str(i), p) for i, p in pairs]))
    return found
