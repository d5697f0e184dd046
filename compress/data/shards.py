"""Samples of webdataset shards: tars in which 000123.jpg and 000123.cls are the picture and the label of sample 000123.

webdataset says which members make a sample; the opening and the walk through a tar are done here. webdataset's own opener
runs `pipe:` patterns as shell commands, and the tarfile under it takes a cut or damaged header for the end of the tar.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from tarfile import EOFHeaderError  # type: ignore[attr-defined]
from typing import IO, Any, NamedTuple

from braceexpand import braceexpand
from fsspec.core import OpenFile, url_to_fs
from fsspec.implementations.local import LocalFileSystem
from webdataset.tariterators import base_plus_ext, group_by_keys, meta_prefix, meta_suffix

from compress.errors import InputError, MissingDependency

IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "ppm")  # in any case
LABEL_EXTENSION = "cls"
GLOB_CHARACTERS = "*?["
_LABEL = re.compile(rb"\s*([0-9]{1,9})\s*")
_NO_SAMPLE = re.compile(f"{meta_prefix}[^/]*{meta_suffix}($|/)")  # webdataset's own members: of no sample


@dataclass(frozen=True)
class Sample:
    """image: the picture's file as it is stored. label: None where the sample has none. shard: the path or URL of its tar.

    offset: where the image is in the shard, bytes; None in a shard that is compressed or not on a local disk."""

    key: str
    image: bytes
    label: int | None
    shard: str
    offset: int | None = None


def samples(pattern: str) -> Iterator[Sample]:
    """The samples of every shard, shards in sorted order and samples as they are stored.

    pattern: a path, or any URL that fsspec opens, with globs or braces: data/train-*.tar, s3://bucket/train-{0000..0009}.tar.
    Raises, when called, InputError for a pattern that names no shard or one that is missing, MissingDependency where a URL
    needs a package; and on the way InputError with the shard for one that is cut, damaged or has a sample that is not valid.
    """
    shards = _shards(pattern)
    return (sample for shard in shards for sample in _read(shard))


def _shards(pattern: str) -> list[OpenFile]:
    """The files that a pattern names, each once, sorted by name. Every alternative of a brace must exist."""
    try:
        urls = list(braceexpand(pattern, escape=False))  # a backslash is part of a Windows path
    except ValueError as error:  # braces that do not close
        raise InputError(f"{pattern}: {error}") from error
    found = {_name(shard): shard for url in urls for shard in _matches(url)}
    return [shard for _, shard in sorted(found.items())]


def _matches(url: str) -> list[OpenFile]:
    """The files of one path or URL without braces."""
    if any(part.strip().lower().startswith("pipe:") for part in url.split("::")):
        raise InputError(f"{url}: pipe: runs a shell command; a shard is a path or a URL that fsspec opens")
    try:
        fs, path = url_to_fs(url)
        is_glob = any(character in path for character in GLOB_CHARACTERS)
        found = fs.glob(path, detail=True) if is_glob else {path: fs.info(path)}
    except FileNotFoundError as error:
        raise InputError(f"{url}: no such shard") from error
    except ImportError as error:  # fsspec names the package that a protocol needs
        raise MissingDependency(f"{url}: {error}") from error
    except Exception as error:  # a protocol that is unknown, a server that refuses: whatever its file system raises
        raise InputError(f"{url}: cannot be looked up: {error}") from error
    files = [
        OpenFile(fs, path, compression="gzip" if path.endswith(".tgz") else "infer")
        for path, info in found.items()
        if info.get("type") != "directory"
    ]
    if found and not files:
        raise InputError(f"{url}: a folder; expected its shards, as in {url.rstrip('/')}/*.tar")
    if not files:
        raise InputError(f"{url}: no shard matches")
    return files


def _name(shard: OpenFile) -> str:
    return str(shard.path if _is_local(shard) else shard.full_name)


def _is_local(shard: OpenFile) -> bool:
    """Whether its path is one of this machine. Of the file systems that cache a remote file it is not."""
    return isinstance(shard.fs, LocalFileSystem)


def _read(shard: OpenFile) -> Iterator[Sample]:
    """The samples of one shard, in one pass. Raises InputError with the shard for whatever keeps it from being read whole."""
    name = _name(shard)
    n_samples = 0
    try:
        with shard as stream:
            for fields in group_by_keys(_members(stream, name)):
                yield _sample(fields, in_place=shard.compression is None and _is_local(shard))
                n_samples += 1
    except InputError:
        raise
    except Exception as error:  # tarfile, the decompressor, the file system: each has its own
        raise InputError(f"{name}: cannot be read as a tar: {error}") from error
    if not n_samples:
        raise InputError(f"{name}: a tar without a sample")


class _Header(tarfile.TarInfo):
    """A member's header. One that is cut or damaged is an error wherever it stands; tarfile's own only for the first member."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _Header:
        try:
            return super().fromtarfile(archive)
        except EOFHeaderError:  # a block of zeros: the end of the tar
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}: cut or damaged at byte {archive.offset:,}") from error


class _Stored(NamedTuple):
    content: bytes
    offset: int  # in the tar


def _members(stream: IO[bytes], name: str) -> Iterator[dict[str, object]]:
    """The members of a tar, as group_by_keys takes them. Those that are neither picture nor label come without their bytes."""
    seen: set[str] = set()
    key, extensions = None, set[str]()
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as archive:
        for member in archive:
            if member.isdir() or _NO_SAMPLE.match(member.name):
                continue
            before, (key, extension) = key, base_plus_ext(member.name)
            where = f"{name}: key {key}"
            if key is None:
                raise InputError(f"{name}: member {member.name} has no key with an extension, as in 000123.jpg")
            if key != before and key in seen:
                raise InputError(f"{where}: two samples have this key, or its members do not stand together")
            if key != before:
                seen.add(key)
                extensions = set()
            extension = extension.lower()
            if extension in extensions:
                raise InputError(f"{where}: two members .{extension}")
            extensions.add(extension)
            if not member.isreg() or member.issparse():  # a sparse file may declare more zeros than there is memory
                raise InputError(f"{where}: {member.name} is a link or a special file; only plain files are read")
            content = archive.extractfile(member) if extension in (*IMAGE_EXTENSIONS, LABEL_EXTENSION) else None
            stored = _Stored(content.read() if content else b"", member.offset_data)
            yield {"fname": member.name, "data": stored, "__url__": name}
        _check_end(archive)


def _check_end(archive: tarfile.TarFile) -> None:
    """After the first block of zeros, which ended the loop, only zeros are left, and a block of them at least (POSIX ustar).

    A tar without them was cut, were it exactly between two members. Bytes after them are a second tar, which nobody would read.
    """
    block = archive.fileobj.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("its end is cut off: it has no two blocks of zeros")
    while block:
        if any(block):
            raise tarfile.ReadError("more bytes follow its end, as when two tars are joined")
        block = archive.fileobj.read(tarfile.RECORDSIZE)


def _sample(fields: Mapping[str, Any], *, in_place: bool) -> Sample:
    """fields: extension -> _Stored, with __key__ and __url__, as group_by_keys gives them."""
    key, shard = fields["__key__"], fields["__url__"]
    images = [extension for extension in IMAGE_EXTENSIONS if extension in fields]
    if len(images) != 1:
        found = f"has {len(images)} pictures: .{', .'.join(images)}" if images else "has no picture"
        raise InputError(f"{shard}: key {key}: {found}; one is expected, of .{', .'.join(IMAGE_EXTENSIONS)}")
    image: _Stored = fields[images[0]]
    return Sample(key, image.content, _label(fields, key, shard), shard, image.offset if in_place else None)


def _label(fields: Mapping[str, Any], key: str, shard: str) -> int | None:
    stored = fields.get(LABEL_EXTENSION)
    if stored is None:
        return None
    number = _LABEL.fullmatch(stored.content)
    if number is None:
        raise InputError(f"{shard}: key {key}: label {stored.content[:20]!r} is not the index of a class in decimal digits")
    return int(number[1])
