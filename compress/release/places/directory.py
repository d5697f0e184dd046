"""Releases in a folder of a file system: NAME/blobs/sha256/DIGEST, NAME/signatures/DIGEST.json, NAME/versions/VERSION.json.

A version is its manifest in versions/, which is hard-linked there when all else is on the disk: a link appears whole or not
at all, and never replaces a file, whoever else publishes at that moment. So is a signature: the same manifest keeps its first.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from compress.atomic import write_atomically
from compress.errors import InputError, PlaceUnreachable, ReleaseError
from compress.regular_file import open_regular
from compress.release import manifest as manifests
from compress.release import signature as signatures
from compress.release.places.place import OTHER_SIGNATURE, Stored, Upload
from compress.release.reference import Reference
from compress.release.version import Version, known

_PIECE = 1 << 20  # bytes that are read at once


class Directory:
    def __init__(self, reference: Reference, *, make: bool = False) -> None:
        self._where = reference.source
        self._place = reference.folder
        self._folder = self._place / reference.name
        if make:
            with self._errors():
                if self._place.exists() and not self._place.is_dir():
                    raise InputError(f"{self._where}: the place {self._place} is a file, must be a folder")
                self._place.mkdir(parents=True, exist_ok=True)

    def versions(self) -> list[Version]:
        with self._errors():
            if not self._place.is_dir():
                raise PlaceUnreachable(f"{self._where}: {self._place} is no folder, or not there")
            folder = self._folder / "versions"
            names = [path.stem for path in folder.glob("*.json")] if folder.is_dir() else []
        return [version for version in map(known, names) if version is not None]

    def read(self, version: Version) -> Stored | None:
        with self._errors():
            if not self._place.is_dir():
                raise PlaceUnreachable(f"{self._where}: {self._place} is no folder, or not there")
            manifest = _read(self._manifest(version), manifests.MAX_BYTES)
            if manifest is None:
                return None
            return Stored(manifest, _read(self._signature(manifest), signatures.MAX_BYTES))

    def create(self, version: Version, upload: Upload) -> bool:
        with self._errors():
            self._keep(self._blob(upload.sha256), upload.file)
            if upload.signature is not None:
                self._keep_signature(self._signature(upload.manifest), upload.signature)
            return _create(self._manifest(version), upload.manifest)

    def fetch(self, sha256: str, offset: int) -> Iterator[bytes]:
        with self._errors(), open_regular(self._blob(sha256)) as file:
            file.seek(offset)
            while piece := file.read(_PIECE):
                yield piece

    def _blob(self, sha256: str) -> Path:
        return self._folder / "blobs" / "sha256" / sha256

    def _signature(self, manifest: bytes) -> Path:
        return self._folder / "signatures" / f"{hashlib.sha256(manifest).hexdigest()}.json"

    def _manifest(self, version: Version) -> Path:
        return self._folder / "versions" / f"{version}.json"

    def _keep(self, path: Path, data: bytes) -> None:
        """A file whose name says its content: where it is there whole, it stays."""
        if _read(path, len(data)) != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, data)
        _sync_folder(path.parent)

    def _keep_signature(self, path: Path, data: bytes) -> None:
        if not _create(path, data) and _read(path, len(data)) != data:
            raise ReleaseError(f"{self._where}: {path}: {OTHER_SIGNATURE}")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ReleaseError(f"{self._where}: {error.filename or self._folder}: {error.strerror or error}") from error


def _read(path: Path, max_bytes: int) -> bytes | None:
    """None where there is no such file; a byte more than max_bytes of one that is larger."""
    try:
        with open_regular(path) as file:
            return file.read(max_bytes + 1)
    except FileNotFoundError:
        return None


def _create(path: Path, data: bytes) -> bool:
    """A new file, whole or not at all. False where the name is taken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        with contextlib.suppress(OSError):  # where it could not be made, it cannot be removed either
            temporary.unlink()
    _sync_folder(path.parent)
    return True


def _sync_folder(folder: Path) -> None:
    """So that after a power cut no name is there whose content is not."""
    if sys.platform == "win32":
        return  # a folder cannot be opened there
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
