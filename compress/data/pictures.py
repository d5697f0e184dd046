"""Pictures of a folder (a sub-folder a class) or of webdataset shards: listed, decoded once to see that they can be, counted.

A picture that cannot be decoded is skipped and counted; more than 1% of them is an error.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from compress.artifact.checksums import crc32c
from compress.cores import n_cores
from compress.data.overlap import SIDE, Fingerprints, thumbnail
from compress.data.preprocess import open_bytes
from compress.data.shards import samples
from compress.errors import ImageError, InputError
from compress.paths import expand
from compress.recipe import Source

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm"})
MAX_SKIPPED_PERCENT = 1  # of a source's pictures
MAX_SHARD_BYTES = 4 << 30  # shards are held in memory as they are encoded
NAMELESS = "pictures"  # a set whose path has no name, such as "." or "/"
_PARTS_OF_A_SET = frozenset({"train", "val", "validation", "test", "images", "data"})
_SHARDS = re.compile(r"\*|\.(?:tar|tgz)\b(?!/)")  # in a path: it is not of a folder
_PATTERN = re.compile(r"[*?\[{]")  # where globs, braces and a URL's query begin
_ORIGIN = re.compile(r"^.*://(?:[^/]*@)?([^/:]*)[^/]*")  # of a URL; group 1: its host or bucket
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, eq=False)
class Encoded:
    """A picture as it is stored. name: for messages, unique in its source. category: its sub-folder, or its label in a shard."""

    name: str
    category: str | int | None
    read: Callable[[], bytes]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Those of one source that can be decoded, in the order in which they are listed. mode: "RGB" or "L", of what `open` gives.

    folders: every sub-folder of the source, also one of which nothing is taken; none for shards. digest: SHA-256 of names,
    categories and stored bytes. n_skipped: pictures that cannot be decoded. n_others: files in a folder that are no pictures
    by their names, or are of no class. sizes: (width, height) of each, upright; None where nobody looked.
    """

    name: str
    folders: tuple[str, ...]
    items: tuple[Encoded, ...]
    digest: str
    n_skipped: int
    fingerprints: Fingerprints
    mode: str
    n_others: int
    sizes: tuple[tuple[int, int], ...] | None = None

    def open(self, i: int) -> Image.Image:
        """Raises ImageError for a picture that went away since it was listed, or has another size than when it was looked at."""
        name = self.items[i].name
        image = open_bytes(_read(self.items[i]), name, self.mode)
        if self.sizes is not None and image.size != self.sizes[i]:
            width, height = self.sizes[i]
            raise ImageError(f"{name}: is {image.width} x {image.height} pixels, was {width} x {height}")
        return image

    def by_category(self) -> list[npt.NDArray[np.int64]]:
        """The places of the pictures of each category; pictures without one are a category of their own."""
        places: dict[str | int | None, list[int]] = {}
        for i, item in enumerate(self.items):
            places.setdefault(item.category, []).append(i)
        return [np.array(each, np.int64) for each in places.values()]

    def description(self) -> str:
        n_categories = len({item.category for item in self.items} - {None})
        classes = f" of {n_categories} classes" if n_categories else ""
        skipped = f", {self.n_skipped} that cannot be decoded skipped" if self.n_skipped else ""
        others = f", {self.n_others} other files left alone" if self.n_others else ""
        return f"{self.name}: {len(self.items)} images{classes}{skipped}{others}"


def load(source: Source, mode: str, *, field: str) -> Pictures:
    """Every picture of a folder:PATH or shards:GLOB source, decoded once. field: the recipe's, for messages.

    Raises InputError for a source that is missing or empty, or where more than MAX_SKIPPED_PERCENT of the pictures are damaged.
    """
    kind, _, where = source.source.partition(":")
    place = expand(where, field=field)
    try:
        listed, n_others = list_folder(Path(place).expanduser()) if kind == "folder" else (list_shards(place), 0)
    except InputError as error:
        raise InputError(f"{field}: {error}" if place == where else f"{field}: {source.source}: {error}") from error
    folders = sorted({item.category for item in listed if isinstance(item.category, str)})
    items = taken(listed, source, field=field)
    if not items:
        raise InputError(f"{field}: {source.source}: of its {len(listed)} pictures none is left")
    if not source.check:
        return _unchecked(short_name(where), folders, items, mode, n_others)
    with ThreadPoolExecutor(n_cores()) as pool:
        seen = list(pool.map(partial(_look, mode=mode), items))
    good = [(item, look) for item, look in zip(items, seen, strict=True) if isinstance(look, _Look)]
    bad = [look for look in seen if isinstance(look, ImageError)]
    if 100 * len(bad) > MAX_SKIPPED_PERCENT * len(items):
        raise InputError(
            f"{field}: {place}: {len(bad)} of {len(items)} pictures cannot be decoded, at most {MAX_SKIPPED_PERCENT}% are "
            f"skipped; the first: {bad[0]}"
        )
    digest = hashlib.sha256()
    for item, look in good:
        digest.update(f"{item.name.rpartition('/')[2]} {item.category} {look.sha256}\n".encode(errors="surrogateescape"))
    prints = Fingerprints(tuple(item.name for item, _ in good), np.stack([look.thumbnail for _, look in good]))
    good_items = tuple(item for item, _ in good)
    sizes = tuple(look.size for _, look in good)
    return Pictures(short_name(where), tuple(folders), good_items, digest.hexdigest(), len(bad), prints, mode, n_others, sizes)


def _unchecked(name: str, folders: list[str], items: list[Encoded], mode: str, n_others: int) -> Pictures:
    """Pictures of which nobody has looked at one: the digest is of their names alone, and there are no fingerprints."""
    digest = hashlib.sha256(b"unchecked\n")
    for item in items:
        digest.update(f"{item.name.rpartition('/')[2]} {item.category}\n".encode(errors="surrogateescape"))
    prints = Fingerprints((), np.zeros((0, SIDE * SIDE), np.float32))
    return Pictures(name, tuple(folders), tuple(items), digest.hexdigest(), 0, prints, mode, n_others)


def list_folder(folder: Path, *, empty_classes: bool = False) -> tuple[list[Encoded], int]:
    """The picture files of every sub-folder, at any depth, sorted by path, and the number of other files. Hidden ones are
    neither listed nor counted.

    Raises InputError where there are no classes, where one has no picture (unless empty_classes), and for a folder that cannot
    be listed.
    """
    try:
        if not folder.is_dir():
            raise InputError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
        return _list_classes(folder, empty_classes=empty_classes)
    except OSError as error:
        raise InputError(f"{error.filename or folder}: cannot be listed: {error.strerror or error}") from error


def _list_classes(folder: Path, *, empty_classes: bool) -> tuple[list[Encoded], int]:
    found = visible(folder)
    broken = [path for path in found if path.is_symlink() and not path.exists()]
    if broken:  # a class that is left out would move the index of every later one
        raise InputError(f"{broken[0]}: a link to nothing")
    classes = [path for path in found if path.is_dir()]
    if not classes:
        raise InputError(f"{folder}: no sub-folders; expected {folder}/<class>/<picture>.jpg")
    items = []
    n_others = len(found) - len(classes)
    for each in classes:
        files = list(_files(each))
        paths = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
        n_others += len(files) - len(paths)
        if not paths and not empty_classes:
            raise InputError(f"{each}: a class without pictures; it may hold {', '.join(sorted(IMAGE_SUFFIXES))}")
        items += [Encoded(path.as_posix(), each.name, path.read_bytes) for path in paths]
    return items, n_others


def _files(folder: Path) -> Iterator[Path]:
    """Everything under a folder, in order; of a folder in it what is in that. Links are followed. A folder that is called
    a picture counts as one, which cannot be decoded."""
    for path in visible(folder):
        if path.is_dir() and path.suffix.lower() not in IMAGE_SUFFIXES:
            yield from _files(path)
        else:
            yield path


def visible(folder: Path) -> list[Path]:
    """What is in a folder, sorted by name: on every system alike."""
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)


def list_shards(pattern: str) -> list[Encoded]:
    """The samples of webdataset shards. Those of a plain tar on a local disk are read where they are; others are held in
    memory as they are encoded. Raises InputError where that is too much."""
    items = []
    n_bytes = 0
    for sample in samples(pattern):
        if sample.offset is not None:
            read = partial(_read_part, sample.shard, sample.offset, len(sample.image), crc32c(sample.image))
        else:
            read = partial(bytes, sample.image)
            n_bytes += len(sample.image)
        if n_bytes > MAX_SHARD_BYTES:
            limit = f"over {MAX_SHARD_BYTES >> 30} GiB of pictures"
            raise InputError(f"{pattern}: {limit}; copy the shards to a local disk, uncompressed, or name fewer of them")
        items.append(Encoded(f"{sample.shard}/{sample.key}", sample.label, read))
    return items


def _read_part(path: str, offset: int, size: int, checksum: int) -> bytes:
    """Raises OSError where other bytes are there than when the shard was listed: they may be another sample's picture."""
    with Path(path).open("rb") as file:
        file.seek(offset)
        data = file.read(size)
    if crc32c(data) != checksum:
        raise OSError("its shard is another than when it was listed")
    return data


def taken(items: Sequence[Encoded], source: Source, *, field: str) -> list[Encoded]:
    """What take_every, leave_out_every and leave_out leave of a source. Raises InputError where leave_out names no picture."""
    out = set()
    for ending in source.leave_out:
        matching = {i for i, item in enumerate(items) if f"/{item.name}".endswith(f"/{ending}")}
        if not matching:
            raise InputError(f"{field}: {source.source}: leave_out names {ending!r}, and no picture there ends so")
        out |= matching
    every = source.take_every or source.leave_out_every or 1
    is_taken = (lambda i: i % every > 0) if source.leave_out_every else (lambda i: i % every == 0)
    return [item for i, item in enumerate(items) if is_taken(i) and i not in out]


def short_name(where: str) -> str:
    """A set's name from its path or URL, which says nothing of the machine: the last folder, with the one before for "train"
    and the like. Shards are called after the folder that they are in. Of a URL no user, password, port or query is told."""
    path = where.replace("\\", "/")
    if _SHARDS.search(path):
        path = _PATTERN.split(path)[0]
        path = path[: path.rfind("/") + 1]
    path = _ORIGIN.sub(r"\1", path)
    parts = [part for part in path.split("/") if part not in ("", ".", "..") and not _DRIVE.fullmatch(part)]
    return "/".join(parts[-2:] if parts and parts[-1].lower() in _PARTS_OF_A_SET else parts[-1:]) or NAMELESS


@dataclass(frozen=True, eq=False)
class _Look:
    sha256: str
    thumbnail: npt.NDArray[np.float32]
    size: tuple[int, int]


def _look(item: Encoded, mode: str) -> _Look | ImageError:
    """Decode a picture whole, to know that it can be."""
    try:
        data = _read(item)
        image = open_bytes(data, item.name, mode)
        return _Look(hashlib.sha256(data).hexdigest(), thumbnail(image), image.size)
    except ImageError as error:
        return error


def _read(item: Encoded) -> bytes:
    try:
        return item.read()
    except OSError as error:
        raise ImageError(f"{item.name}: cannot be read: {error.strerror or error}") from error
