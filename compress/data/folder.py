"""A folder of pictures, one sub-folder a class: the layout of ImageNet's validation sets and of most people's own data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch

from compress.convention import InputConvention
from compress.data.preprocess import centre_crop, open_image, to_pixels
from compress.data.sets import MeasuringSet
from compress.errors import InputError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


def measuring_set(folder: Path, class_index: Mapping[str, int], convention: InputConvention) -> MeasuringSet:
    """Every picture under `folder`/<class>/, in the order of its path. class_index: sub-folder name -> index of the class.

    Raises InputError for a folder that is missing, empty, or has a class that is not in class_index; ImageError for a picture.
    """
    paths = pictures(folder)
    unknown = sorted({path.parent.name for path in paths} - class_index.keys())
    if unknown:
        raise InputError(f"{folder}: {len(unknown)} sub-folders are not classes of the net: {', '.join(unknown[:5])}")
    mode = "L" if convention.channels == "L" else "RGB"
    crops = [to_pixels(centre_crop(open_image(path, mode), resize=convention.resize, size=convention.size)) for path in paths]
    pixels = torch.stack(crops)  # (n, size, size, c) uint8
    labels = torch.tensor([class_index[path.parent.name] for path in paths])
    n_classes = len({path.parent.name for path in paths})
    description = f"{folder.name}: {len(paths)} images of {n_classes} classes, with labels"
    return MeasuringSet(folder.name, description, hashlib.sha256(pixels.numpy().tobytes()).hexdigest(), pixels, labels)


def pictures(folder: Path) -> list[Path]:
    """The picture files one level down, sorted. Raises InputError where there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    paths = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise InputError(f"{folder}: no pictures; expected {folder}/<class>/<picture>.jpg")
    return paths
