"""The two kinds of image sets that a run uses, made from the sources that a recipe names.

A tuning set yields batches; a measuring set is a fixed list of images. They share no image (overlap.py), and a measuring set
is only ever measured on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from compress.convention import InputConvention
from compress.data import bundled, digits, pictures
from compress.data.augment import change_batch, random_crop
from compress.data.classes import class_indices
from compress.data.overlap import Fingerprints
from compress.data.preprocess import centre_crop, normalise, to_pixels
from compress.errors import InputError
from compress.recipe import Source


@dataclass(frozen=True, eq=False)
class TuningSet:
    """batches(batch_size, seed) yields (b, c, h, w) float32 normalised batches for ever, the same for the same arguments.

    digest: SHA-256 of the images and of how they are drawn. description: what it is, with n, as the ledger shows it.
    fingerprints: None for digits, which all look alike.
    """

    description: str
    digest: str
    fingerprints: Fingerprints | None
    batches: Callable[[int, int], Iterator[Tensor]]


@dataclass(frozen=True, eq=False)
class MeasuringSet:
    """pixels: (n, h, w, c) uint8. labels: (n,) int64, or None where only agreement with the uncompressed net can be told.

    weights: (n,) how much each image counts; None: all the same. digest: SHA-256 of pixels, labels and weights. fingerprints:
    of the pictures that the pixels are of; None for digits."""

    name: str
    description: str
    digest: str
    pixels: Tensor
    labels: Tensor | None
    fingerprints: Fingerprints | None
    weights: Tensor | None = None


@dataclass(frozen=True, eq=False)
class _Part:
    """One source of a tuning set: its pictures, and their places by category, of which each is drawn as often."""

    open: Callable[[int], Image.Image]
    categories: list[npt.NDArray[np.int64]]
    weight: float


def tuning_set(
    sources: Sequence[Source],
    crop: int,
    min_area: float,
    convention: InputConvention,
    *,
    loaded: dict[Source, pictures.Pictures] | None = None,
) -> TuningSet:
    """Endless batches of augmented random crops: a source by its weight, a class of it, a picture of that.

    crop: side, pixels. min_area: of a crop, as a share of its picture's. Labels are used for nothing but the drawing. loaded:
    gets the pictures of each source, for whoever needs them too.
    Raises InputError for a source that cannot be used.
    """
    if sources[0].source == "digits":
        check_takes_digits(convention, "data.tune")
        images, digest = digits.tuning_images(convention)
        return TuningSet(f"{len(images)} digits, training part", digest, None, digits.batches(images))
    mode = "L" if convention.channels == "L" else "RGB"
    parts, prints, descriptions = [], [], []
    digest_of_all = hashlib.sha256(f"{min_area}\n".encode())
    for source, where in zip(sources, fields_of("data.tune", sources), strict=True):
        if source.source == "bundled":
            photographs, digest, marks = bundled.load(bundled.TUNE, mode)
            parts.append(_Part(photographs.__getitem__, [np.arange(len(photographs))], source.weight))
            description = f"{len(photographs)} bundled photographs"
        else:
            found = pictures.load(source, mode, field=where)
            if loaded is not None:
                loaded[source] = found
            parts.append(_Part(found.open, found.by_category(), source.weight))
            digest, marks, description = found.digest, found.fingerprints, found.description()
        prints.append(marks)
        descriptions.append(description if len(sources) == 1 else f"{source.weight:g} x {description}")
        digest_of_all.update(f"{digest} {source.weight}\n".encode())

    def batches(batch_size: int, seed: int) -> Iterator[Tensor]:
        rng = np.random.default_rng(seed)
        while True:
            drawn = [_draw(parts, rng) for _ in range(batch_size)]
            crops = np.stack([random_crop(image, crop, min_area, rng) for image in drawn])  # (b, crop, crop, c)
            x = change_batch(torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255, rng)
            yield normalise((x * 255).permute(0, 2, 3, 1), convention)

    description = f"random crops of {' + '.join(descriptions)}; no labels"
    return TuningSet(description, digest_of_all.hexdigest(), Fingerprints.join(prints), batches)


def _draw(parts: Sequence[_Part], rng: np.random.Generator) -> Image.Image:
    weights = np.array([part.weight for part in parts])
    part = parts[int(rng.choice(len(parts), p=weights / weights.sum()))] if len(parts) > 1 else parts[0]
    places = part.categories[int(rng.integers(len(part.categories)))] if len(part.categories) > 1 else part.categories[0]
    return part.open(int(places[int(rng.integers(len(places)))]))


def measuring_set(
    sources: Sequence[Source], convention: InputConvention, classes: Sequence[str] | None, n_classes: int, *, field: str
) -> MeasuringSet:
    """The pictures of all sources, short side to convention.resize, centre crop of convention.size; or crops of the bundled ones.

    classes, n_classes: of the net, see class_indices. field: of the recipe, for messages.
    Either all pictures have labels or none, and no picture is in two sources. Raises InputError.
    """
    parts = [
        _measuring_part(source, convention, classes, n_classes, where)
        for source, where in zip(sources, fields_of(field, sources), strict=True)
    ]
    if len(parts) == 1:
        return parts[0]
    marks = [part.fingerprints for part in parts if part.fingerprints is not None]
    pixels = torch.cat([part.pixels for part in parts])
    known = [part.labels for part in parts if part.labels is not None]
    if 0 < len(known) < len(parts):
        without = [source.source for source, part in zip(sources, parts, strict=True) if part.labels is None]
        raise InputError(
            f"{field}: {', '.join(without)}: pictures without labels, and the others have some; measure them apart, "
            "for accuracy is of pictures with labels"
        )
    _check_distinct(parts, field)
    joined = torch.cat(known) if known else None
    digest, descriptions, weights = _digest(pixels, joined), [part.description for part in parts], None
    if len({source.weight for source in sources}) > 1:
        counts = torch.tensor([len(part.pixels) for part in parts])
        weights = torch.tensor([source.weight for source in sources], dtype=torch.float64).repeat_interleave(counts)
        digest = hashlib.sha256(digest.encode() + weights.numpy().astype("<f8").tobytes()).hexdigest()
        descriptions = [f"{source.weight:g} x {text}" for source, text in zip(sources, descriptions, strict=True)]
    return MeasuringSet(
        "+".join(part.name for part in parts),
        " + ".join(descriptions),
        digest,
        pixels,
        joined,
        Fingerprints.join(marks) if marks else None,
        weights,
    )


def _check_distinct(parts: Sequence[MeasuringSet], field: str) -> None:
    """A picture that is counted twice would narrow the interval. Raises InputError."""
    seen: dict[bytes, int] = {}
    for number, part in enumerate(parts):
        found = [hashlib.sha256(image.numpy().data).digest() for image in part.pixels]
        twice = [i for i, digest in enumerate(found) if seen.get(digest, number) != number]
        if twice:
            named = part.fingerprints is not None and len(part.fingerprints.names) == len(found)
            first = f"; the first: {part.fingerprints.names[twice[0]]}" if part.fingerprints and named else ""
            raise InputError(
                f"{field}: {len(twice)} pictures of {part.name} are in an earlier source too, and would count twice{first}"
            )
        for digest in found:
            seen.setdefault(digest, number)


def _measuring_part(
    source: Source, convention: InputConvention, classes: Sequence[str] | None, n_classes: int, field: str
) -> MeasuringSet:
    mode = "L" if convention.channels == "L" else "RGB"
    if source.source == "digits":
        check_takes_digits(convention, field)
        pixels, labels = digits.held_out_images()
        if int(labels.max()) >= n_classes:
            raise InputError(f"{field}: digits have {int(labels.max()) + 1} classes, the net has {n_classes}")
        return MeasuringSet(
            "digits", f"{len(pixels)} digits, held out, with labels", _digest(pixels, labels), pixels, labels, None
        )
    if source.source == "bundled":
        pixels, marks = bundled.held_out_crops(convention.size, mode)
        description = (
            f"agreement on {len(pixels)} bundled crops of {len(bundled.TEST)} photographs that were not tuned on; not accuracy"
        )
        return MeasuringSet("bundled", description, _digest(pixels, None), pixels, None, marks)
    found = pictures.load(source, mode, field=field)
    pixels = torch.empty((len(found.items), convention.size, convention.size, len(mode)), dtype=torch.uint8)
    for i in range(len(pixels)):
        pixels[i] = to_pixels(centre_crop(found.open(i), resize=convention.resize, size=convention.size))
    labels_or_none = labels_of(found, classes, n_classes, f"{field}: {source.source}")
    description = f"{found.description()}, {'with' if labels_or_none is not None else 'without'} labels"
    return MeasuringSet(found.name, description, _digest(pixels, labels_or_none), pixels, labels_or_none, found.fingerprints)


def labels_of(found: pictures.Pictures, classes: Sequence[str] | None, n_classes: int, source: str) -> Tensor | None:
    """(n,) class indices: by the name of the sub-folder, or the number in the shard. None where no sample has one."""
    categories = [item.category for item in found.items]
    if found.folders:
        index = class_indices(found.folders, classes, n_classes, source)
        return torch.tensor([index[each] for each in categories if isinstance(each, str)])
    labels = [each for each in categories if isinstance(each, int)]
    if not labels:
        return None
    if len(labels) < len(categories):
        first = found.items[categories.index(None)].name
        raise InputError(
            f"{source}: {len(categories) - len(labels)} of {len(categories)} samples have no label; the first: {first}"
        )
    if not 0 <= min(labels) <= max(labels) < n_classes:
        raise InputError(f"{source}: labels span {min(labels)} to {max(labels)}, the net has classes 0 to {n_classes - 1}")
    return torch.tensor(labels)


def check_takes_digits(convention: InputConvention, field: str) -> None:
    """They are neither scaled nor coloured: a net that takes other images would be given what it does not take."""
    side = digits.CONVENTION.size
    if (convention.channels, convention.size) != (digits.CONVENTION.channels, side):
        raise InputError(
            f"{field}: digits are L images of {side} x {side} pixels, the net takes {convention.channels} of "
            f"{convention.size} x {convention.size}"
        )


def fields_of(field: str, sources: Sequence[Source]) -> list[str]:
    """The recipe's field of each source, for messages."""
    return [field] if len(sources) == 1 else [f"{field}.{i}" for i in range(len(sources))]


def _digest(pixels: Tensor, labels: Tensor | None) -> str:
    digest = hashlib.sha256(pixels.numpy().data)
    if labels is not None:
        digest.update(labels.numpy().astype("<i8").tobytes())
    return digest.hexdigest()
