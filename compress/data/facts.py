"""What the pictures of one source are: every one is decoded once, as a run would see it, and dropped again.

A run refuses a source at its first fault (pictures.py); here faults are facts too: a class without pictures, a picture that
cannot be decoded.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile

from compress.cores import n_cores
from compress.data.overlap import SIDE, Fingerprints, thumbnail
from compress.data.pictures import Encoded, list_folder, list_shards, visible
from compress.data.preprocess import LONGEST_ASPECT, centre_crop, open_bytes
from compress.errors import ImageError, InputError
from compress.paths import expand

Label = str | int | None  # a sub-folder, the number in a shard, or none
VERY_LARGE = 1 << 24  # pixels; decoding them takes a large part of a second, each time that the picture is drawn
UNUSUAL = {  # kind -> what it is, and what a run makes of it
    "grey": "grey, made RGB",
    "palette": "of a palette",
    "cmyk": "CMYK, made RGB",
    "deep": "of more than 8 bits a channel, made 8",
    "transparent": "with transparency, laid on white",
    "turned": "turned upright by EXIF",
    "one_pixel": "with a side of one pixel",
    "narrow": f"longer than {LONGEST_ASPECT}:1, of which the middle is seen",
    "enlarged": "smaller than the short side that they are scaled to",
    "very_large": f"of more than {VERY_LARGE >> 20} Mi pixels, slow to decode",
}


@dataclass(frozen=True)
class ClassCount:
    """n_images: that can be decoded. n_damaged: that cannot."""

    name: Label
    n_images: int
    n_damaged: int


@dataclass(frozen=True)
class Size:
    """Of a picture as it is shown, upright, in pixels."""

    width: int
    height: int
    name: str


@dataclass(frozen=True)
class Damaged:
    name: str
    reason: str


@dataclass(frozen=True)
class Copies:
    """Pictures whose files are the same, byte for byte; classes: of each."""

    names: tuple[str, ...]
    classes: tuple[Label, ...]


@dataclass(frozen=True)
class SetFacts:
    """One source. classes: also those without a picture. n_others: files that are no pictures by their names, or of no class.

    sizes: the smallest, the median and the largest picture by area; none where no picture can be decoded. unusual: kind of
    UNUSUAL -> how many, of those that there are. mean, std: of all pixels of the crops, a channel (RGB) each, in 0..1.
    """

    source: str
    n_images: int
    n_others: int
    classes: tuple[ClassCount, ...]
    sizes: tuple[Size, ...]
    damaged: tuple[Damaged, ...]
    copies: tuple[Copies, ...]
    unusual: dict[str, int]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None


@dataclass(frozen=True, eq=False)
class Seen:
    """A source's facts, and what another source is compared with: SHA-256 of a file -> names of the pictures that have it, and
    fingerprints (of no picture where they were not asked for)."""

    facts: SetFacts
    files: dict[bytes, tuple[str, ...]]
    fingerprints: Fingerprints


@dataclass(frozen=True, eq=False)
class _Look:
    """What is kept of a picture. moments: (2, 3) int64, of its crop: sums of the levels, and of their squares."""

    sha256: bytes
    width: int
    height: int
    kinds: tuple[str, ...]
    moments: npt.NDArray[np.int64]
    thumbnail: npt.NDArray[np.float32] | None


def look_through(
    source: str, *, field: str, resize: int, size: int, fingerprints: bool, advance: Callable[[int, int], None]
) -> Seen:
    """Every picture of a folder:PATH or shards:GLOB source. field: for messages. resize, size: as in a recipe's `input`.

    advance: told how many pictures are done, of how many. Raises InputError for a source that is missing or cannot be listed.
    """
    items, labels, n_others = _listed(source, field)
    looks: list[tuple[Encoded, _Look]] = []
    damaged: list[tuple[Encoded, ImageError]] = []
    with ThreadPoolExecutor(n_cores()) as pool:
        found = pool.map(partial(_look, resize=resize, size=size, with_thumbnail=fingerprints), items)
        for i, (item, look) in enumerate(zip(items, found, strict=True)):
            if isinstance(look, _Look):
                looks.append((item, look))
            else:
                damaged.append((item, look))
            advance(i + 1, len(items))
    files: dict[bytes, list[Encoded]] = {}
    for item, look in looks:
        files.setdefault(look.sha256, []).append(item)
    n_images, n_damaged = Counter(item.category for item, _ in looks), Counter(item.category for item, _ in damaged)
    kinds = Counter(kind for _, look in looks for kind in look.kinds)
    mean, std = _mean_and_std([look.moments for _, look in looks], size * size)
    facts = SetFacts(
        source=source,
        n_images=len(looks),
        n_others=n_others,
        classes=tuple(ClassCount(label, n_images[label], n_damaged[label]) for label in labels),
        sizes=_sizes([Size(look.width, look.height, item.name) for item, look in looks]),
        damaged=tuple(Damaged(item.name, str(error).removeprefix(f"{item.name}: ")) for item, error in damaged),
        copies=tuple(
            Copies(tuple(item.name for item in same), tuple(item.category for item in same))
            for same in files.values()
            if len(same) > 1
        ),
        unusual={kind: kinds[kind] for kind in UNUSUAL if kinds[kind]},
        mean=mean,
        std=std,
    )
    marks = [(item.name, look.thumbnail) for item, look in looks if look.thumbnail is not None]
    thumbnails = np.stack([mark for _, mark in marks]) if marks else np.zeros((0, SIDE * SIDE), np.float32)
    names = {digest: tuple(item.name for item in same) for digest, same in files.items()}
    return Seen(facts, names, Fingerprints(tuple(name for name, _ in marks), thumbnails))


# --- listing ---------------------------------------------------------------------------------------------------------


def _listed(source: str, field: str) -> tuple[list[Encoded], list[Label], int]:
    """The pictures, the classes in order, also those without pictures, and the number of other files."""
    kind, _, where = source.partition(":")
    if kind not in ("folder", "shards") or not where:
        raise InputError(f"{field}: {source}: must be folder:PATH or shards:GLOB")
    place = expand(where, field=field)
    try:
        if kind == "folder":
            folder = Path(place).expanduser()
            items, n_others = list_folder(folder, empty_classes=True)
            return items, [path.name for path in visible(folder) if path.is_dir()], n_others
        items = list_shards(place)
    except InputError as error:
        raise InputError(f"{field}: {error}" if place == where else f"{field}: {source}: {error}") from error
    numbers = sorted({item.category for item in items if isinstance(item.category, int)})
    return items, [*numbers, *([None] if any(item.category is None for item in items) else [])], 0


# --- looking ---------------------------------------------------------------------------------------------------------


def _look(item: Encoded, *, resize: int, size: int, with_thumbnail: bool) -> _Look | ImageError:
    try:
        data = item.read()
        image = open_bytes(data, item.name, "RGB")
    except OSError as error:
        return ImageError(f"cannot be read: {error.strerror or error}")
    except ImageError as error:
        return error
    counts = np.array(centre_crop(image, resize=resize, size=size).histogram(), np.int64).reshape(3, 256)
    levels = np.arange(256)
    return _Look(
        hashlib.sha256(data).digest(),
        image.width,
        image.height,
        tuple(_kinds(data, image, resize)),
        np.stack([counts @ levels, counts @ levels**2]),
        thumbnail(image) if with_thumbnail else None,
    )


def _kinds(data: bytes, image: Image.Image, resize: int) -> list[str]:
    """Of UNUSUAL. image: what the data were decoded to, upright; of how they are stored only their head tells."""
    with Image.open(io.BytesIO(data)) as stored:
        samples = str(stored.tile[0][3]) if isinstance(stored, ImageFile.ImageFile) and stored.tile else ""  # "LA;16B"
        mode, transparent = stored.mode, stored.has_transparency_data
        orientation = stored.getexif().get(ExifTags.Base.Orientation)
    short, long = sorted(image.size)
    is_of = {
        "grey": mode in ("1", "L", "LA") or mode.startswith(("I", "F")) or samples.startswith("LA"),
        "palette": mode in ("P", "PA"),
        "cmyk": mode == "CMYK",
        "deep": mode.startswith(("I", "F")) or ";16" in samples,
        "transparent": transparent,
        "turned": orientation in range(2, 9),
        "one_pixel": short == 1,
        "narrow": long > LONGEST_ASPECT * short,
        "enlarged": short < resize,
        "very_large": short * long > VERY_LARGE,
    }
    return [kind for kind in UNUSUAL if is_of[kind]]


def _sizes(sizes: Sequence[Size]) -> tuple[Size, ...]:
    by_area = sorted(sizes, key=lambda size: (size.width * size.height, size.width))  # equal ones stay in their order
    return (by_area[0], by_area[(len(by_area) - 1) // 2], by_area[-1]) if by_area else ()


def _mean_and_std(
    moments: Sequence[npt.NDArray[np.int64]], n_pixels: int
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Of all pixels, a channel each, in 0..1. moments: of each crop; n_pixels: of a crop. In integers up to the last division."""
    if not moments:
        return None, None
    n = n_pixels * len(moments)
    sums, squares = np.sum(moments, axis=0).tolist()
    return tuple(s / n / 255 for s in sums), tuple(math.sqrt(n * q - s * s) / n / 255 for s, q in zip(sums, squares, strict=True))
