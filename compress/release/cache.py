"""What was pulled before: files by their digest, and what each source said a version is. Several processes may use it at once.

    blobs/sha256/DIGEST               a whole file; checked each time that it is taken
    blobs/sha256/DIGEST.part, .lock   one that is being fetched, or was cut; who holds the lock writes it
    releases/SOURCE/VERSION.json, VERSION.sig   SOURCE: the SHA-256 of Reference.identity

$SQUEEZE_CACHE, else $XDG_CACHE_HOME/squeeze-compress, else ~/.cache/squeeze-compress.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from compress.atomic import write_atomically
from compress.errors import InputError
from compress.file_lock import try_lock
from compress.release import manifest as manifests
from compress.release.manifest import FileFacts
from compress.release.places.place import Stored
from compress.release.reference import Reference
from compress.release.version import Version, known


def default_folder() -> Path:
    if own := os.environ.get("SQUEEZE_CACHE"):
        return Path(own)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "squeeze-compress"
    try:
        return Path.home() / ".cache" / "squeeze-compress"
    except RuntimeError as error:
        raise InputError("there is no home folder for a cache: SQUEEZE_CACHE must name a folder") from error


class Cache:
    """Its methods raise OSError as the system gives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blobs = folder / "blobs" / "sha256"

    def versions(self, reference: Reference) -> list[Version]:
        folder = self._releases(reference)
        names = [path.stem for path in folder.glob("*.json")] if folder.is_dir() else []
        return [version for version in map(known, names) if version is not None]

    def recall(self, reference: Reference) -> Stored | None:
        """What the source said a version is, when that was last pulled. The reference has a version."""
        manifest = _read(self.record(reference))
        if manifest is None:
            return None
        return Stored(manifest, _read(self._releases(reference) / f"{reference.version}.sig"))

    def remember(self, reference: Reference, stored: Stored, *, is_signed: bool) -> None:
        """Of a release whose file was checked. is_signed: by a trusted key, as was checked too; otherwise the signature that the
        same manifest has here stays, whatever the place now says. Nothing is written where nothing changed."""
        before = self.recall(reference)
        if before is not None and before.manifest == stored.manifest and before.signature is not None and not is_signed:
            stored = before
        if stored == before:
            return
        folder = self._releases(reference)
        folder.mkdir(parents=True, exist_ok=True)
        signature = folder / f"{reference.version}.sig"
        if stored.signature is None:
            signature.unlink(missing_ok=True)
        else:
            write_atomically(signature, stored.signature)
        write_atomically(self.record(reference), stored.manifest)

    def record(self, reference: Reference) -> Path:
        """The manifest's file, for messages too."""
        return self._releases(reference) / f"{reference.version}.json"

    def find(self, sha256: str) -> Iterator[tuple[Path, Stored]]:
        """What was remembered of the file with this digest, under the path of its manifest."""
        for path in sorted(self.folder.glob("releases/*/*.json")):
            manifest = _read(path)
            if manifest is not None and manifests.sha256_of(manifest) == sha256:
                yield path, Stored(manifest, _read(path.with_suffix(".sig")))

    def take(self, file: FileFacts) -> bytes | None:
        """A whole file; None where it is not there, or was damaged, and then it goes."""
        path = self._blobs / file.sha256
        data = _read(path)
        if data is not None and hashlib.sha256(data).hexdigest() != file.sha256:
            path.unlink(missing_ok=True)
            return None
        return data

    def keep(self, file: FileFacts, part: Path) -> None:
        """A whole and checked file under its digest."""
        part.replace(self._blobs / file.sha256)

    @contextlib.contextmanager
    def part(self, file: FileFacts) -> Iterator[Path]:
        """Where to write what is fetched: it may have the beginning. Another process that fetches the same at this moment has
        the shared one; then it is a path of our own, which goes at the end."""
        self._blobs.mkdir(parents=True, exist_ok=True)
        shared = self._blobs / f"{file.sha256}.part"
        with shared.with_suffix(".lock").open("ab") as lock:
            if try_lock(lock):
                yield shared
                return
        own = self._blobs / f"{file.sha256}.{secrets.token_hex(8)}.part"
        try:
            yield own
        finally:
            own.unlink(missing_ok=True)

    def _releases(self, reference: Reference) -> Path:
        return self.folder / "releases" / hashlib.sha256(reference.identity.encode(errors="surrogateescape")).hexdigest()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
