"""A training set: pictures with labels, each drawn once an epoch, and changed by a generator of its own.

What a picture becomes depends on the run's seed, the epoch and its place in the set, on nothing else: not on the process that
makes it, nor on what was drawn before. So an epoch is the same for any number of workers, ranks and interruptions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from compress.convention import InputConvention
from compress.cores import n_cores
from compress.data import digits, pictures
from compress.data.augment import random_crop, shifted_crop
from compress.data.overlap import Fingerprints
from compress.data.sets import check_takes_digits, fields_of, labels_of
from compress.errors import ImageError, InputError
from compress.recipe import Augment, Source

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """labels: (n,) int64. mode: "RGB" or "L". digest: SHA-256 of the pictures and labels. fingerprints: None for digits.

    parts: the pictures of each source, in order. fixed: (n, side, side, c) images that are taken as they are, for digits.
    decoded: the pictures in memory, where they are kept there (see keep_decoded). resize: short side of a plain crop.
    """

    description: str
    digest: str
    fingerprints: Fingerprints | None
    labels: npt.NDArray[np.int64]
    mode: str
    resize: int
    parts: tuple[pictures.Pictures, ...] = ()
    fixed: Pixels | None = None
    decoded: DecodedPictures | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def open(self, i: int) -> Image.Image:
        """Raises ImageError for a picture that cannot be read, or is another than when the set was made."""
        if self.decoded is not None:
            return self.decoded.open(i, self.mode)
        part, place = self._at(i)
        return part.open(place)

    def name(self, i: int) -> str:
        if self.fixed is not None:
            return f"digit {i}"
        part, place = self._at(i)
        return part.items[place].name

    def _at(self, i: int) -> tuple[pictures.Pictures, int]:
        for part in self.parts:
            if i < len(part.items):
                return part, i
            i -= len(part.items)
        raise IndexError(i)

    def example(self, i: int, side: int, augment: Augment, rng: np.random.Generator) -> tuple[Pixels, npt.NDArray[np.float32]]:
        """A picture as it is trained on, (side, side, c), and its factors of colour jitter, (3,). Raises ImageError."""
        if self.fixed is not None:
            return self.fixed[i], np.ones(3, np.float32)
        image = self.open(i)
        if augment.crop == "resized":
            crop = random_crop(image, side, augment.min_area, rng, min_side=1)
        else:
            crop = shifted_crop(image, side, self.resize, rng)
        if augment.mirror and rng.random() < 0.5:
            crop = crop[:, ::-1]
        return crop, rng.uniform(1 - augment.jitter, 1 + augment.jitter, 3).astype(np.float32)


@dataclass(frozen=True, eq=False)
class DecodedPictures:
    """Pixels of all pictures one after the other, (n bytes,) uint8; starts: (n + 1,). sizes: (width, height) of each.

    broken: what became of those that could not be decoded any more, by place.
    """

    pixels: Pixels
    starts: npt.NDArray[np.int64]
    sizes: Sequence[tuple[int, int]]
    broken: Mapping[int, str]

    def open(self, i: int, mode: str) -> Image.Image:
        if i in self.broken:
            raise ImageError(self.broken[i])
        return Image.frombuffer(mode, self.sizes[i], self.pixels[self.starts[i] : self.starts[i + 1]], "raw", mode, 0, 1)


def training_set(
    sources: Sequence[Source],
    convention: InputConvention,
    classes: Sequence[str] | None,
    n_classes: int,
    *,
    loaded: Mapping[Source, pictures.Pictures] | None = None,
) -> TrainingSet:
    """The pictures of all sources. classes, n_classes: of the net, see class_indices. loaded: sources that are read already.

    Raises InputError for a source that cannot be used, for pictures without labels, and where they have one label only.
    """
    field = "data.train"
    if sources[0].source == "digits":
        check_takes_digits(convention, field)
        pixels, labels = digits.training_pixels()
        digest = hashlib.sha256(pixels.tobytes() + labels.astype("<i8").tobytes()).hexdigest()
        return TrainingSet(f"{len(pixels)} digits, training part", digest, None, labels, "L", convention.resize, fixed=pixels)
    mode = "L" if convention.channels == "L" else "RGB"
    parts, label_parts = [], []
    for source, where in zip(sources, fields_of(field, sources), strict=True):
        found = (loaded or {}).get(source) or pictures.load(source, mode, field=where)
        labels_or_none = labels_of(found, classes, n_classes, f"{where}: {source.source}")
        if labels_or_none is None:
            raise InputError(f"{where}: {source.source}: its pictures have no labels, which training needs")
        parts.append(found)
        label_parts.append(labels_or_none.numpy())
    labels = np.concatenate(label_parts).astype(np.int64)
    if len(np.unique(labels)) < 2:
        raise InputError(f"{field}: its {len(labels)} pictures are of one class; training needs two at least")
    digest = hashlib.sha256("\n".join(part.digest for part in parts).encode() + labels.astype("<i8").tobytes()).hexdigest()
    description = " + ".join(part.description() for part in parts)
    prints = Fingerprints.join([part.fingerprints for part in parts])
    return TrainingSet(description, digest, prints, labels, mode, convention.resize, tuple(parts))


def keep_decoded(training: TrainingSet, limit_gb: float) -> TrainingSet:
    """The set with all of its pictures decoded in memory, if they take at most so many GB; else the set as it is."""
    sizes = [size for part in training.parts for size in part.sizes or ()]
    n_channels = len(training.mode)
    if not training.parts or len(sizes) < len(training) or sum(w * h for w, h in sizes) * n_channels > limit_gb * 1e9:
        return training
    starts = np.concatenate([[0], np.cumsum([w * h * n_channels for w, h in sizes])]).astype(np.int64)
    pixels = np.zeros(int(starts[-1]), np.uint8)
    broken: dict[int, str] = {}

    def decode(i: int) -> None:
        try:
            image = training.open(i)
        except ImageError as error:
            broken[i] = str(error)
            return
        pixels[starts[i] : starts[i + 1]] = np.asarray(image).reshape(-1)

    with ThreadPoolExecutor(n_cores()) as pool:
        list(pool.map(decode, range(len(training))))
    return replace(training, decoded=DecodedPictures(pixels, starts, sizes, broken))
