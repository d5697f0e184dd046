"""Releases behind any protocol of fsspec: s3, gs, hf, abfs, sftp... The layout is that of directory.py.

A version is its manifest, written last and only if it is not there: by the protocol's own exclusive creation (S3's
If-None-Match, Google's if-generation-match) where its fsspec implementation offers it. Where it does not, the manifest is
looked for just before and read again just after: two publishers of one version within that moment may both be told that it is
theirs, so publish from one machine there. An object appears whole or not at all in an object store; where a write can be cut,
over sftp, ftp and the like, a file is written under a temporary name beside its own and then moved.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import inspect
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from compress.errors import CompressError, InputError, PlaceUnreachable, ReleaseError
from compress.release import manifest as manifests
from compress.release import signature as signatures
from compress.release.places.deadline import MIN_BYTES_PER_S, Result, within
from compress.release.places.place import OTHER_SIGNATURE, Stored, Upload
from compress.release.version import Version, known

if TYPE_CHECKING:
    from compress.release.reference import Reference

_PIECE = 1 << 20  # bytes that are asked for at once
_LOCAL = ("file", "local")
_WITH_FOLDERS = ("sftp", "ssh", "ftp", "smb", "webdav", "dav", "hdfs", "webhdfs")


class Remote:
    def __init__(self, reference: Reference, *, timeout_s: float) -> None:
        self._where, self._scheme, self._timeout_s = reference.source, reference.scheme, timeout_s
        self._files, place = self._call(lambda: _file_system(reference))
        self._folder = f"{place.rstrip('/')}/{reference.name}"

    def versions(self) -> list[Version]:
        def names() -> list[str]:
            try:
                self._files.invalidate_cache()
                return [str(path) for path in self._files.ls(f"{self._folder}/versions", detail=False)]
            except FileNotFoundError:
                return []

        stems = [name.rpartition("/")[2].removesuffix(".json") for name in self._call(names) if name.endswith(".json")]
        return [version for version in map(known, stems) if version is not None]

    def read(self, version: Version) -> Stored | None:
        manifest = self._read(self._manifest(version), manifests.MAX_BYTES)
        if manifest is None:
            return None
        return Stored(manifest, self._read(self._signature(manifest), signatures.MAX_BYTES))

    def create(self, version: Version, upload: Upload) -> bool:
        self._write(self._blob(upload.sha256), upload.file)
        if upload.signature is not None:
            self._write_signature(self._signature(upload.manifest), upload.signature)
        path = self._manifest(version)
        if self._read(path, manifests.MAX_BYTES) is not None:
            return False
        return self._create(path, upload.manifest) and self._read(path, manifests.MAX_BYTES) == upload.manifest

    def fetch(self, sha256: str, offset: int) -> Iterator[bytes]:
        path = self._blob(sha256)

        def piece(start: int) -> bytes:
            data = self._files.cat_file(path, start=start, end=start + _PIECE)
            return bytes(data)

        while data := self._call(partial(piece, offset), n_bytes=_PIECE):
            yield data
            offset += len(data)
            if len(data) < _PIECE:
                return

    def _blob(self, sha256: str) -> str:
        return f"{self._folder}/blobs/sha256/{sha256}"

    def _signature(self, manifest: bytes) -> str:
        return f"{self._folder}/signatures/{hashlib.sha256(manifest).hexdigest()}.json"

    def _manifest(self, version: Version) -> str:
        return f"{self._folder}/versions/{version}.json"

    def _read(self, path: str, max_bytes: int) -> bytes | None:
        """As _there, within the timeout."""
        return self._call(partial(self._there, path, max_bytes))

    def _write(self, path: str, data: bytes) -> None:
        """A file whose name says its content."""

        def write() -> None:
            if self._scheme not in _WITH_FOLDERS:
                self._files.pipe_file(path, data)
            elif self._there(path, len(data)) != data:
                self._move_in(path, data, may_replace=True)

        self._call(write, n_bytes=2 * len(data))

    def _write_signature(self, path: str, data: bytes) -> None:
        if not self._create(path, data) and self._read(path, signatures.MAX_BYTES) != data:
            raise ReleaseError(f"{self._where}: {path}: {OTHER_SIGNATURE}")

    def _create(self, path: str, data: bytes) -> bool:
        """A new file. False where the name is taken."""

        def create() -> bool:
            if self._scheme in _WITH_FOLDERS:
                return self._there(path, 0) is None and self._move_in(path, data, may_replace=False)
            try:
                self._pipe_new(path, data)
            except FileExistsError:
                return False
            return True

        return self._call(create, n_bytes=len(data))

    def _pipe_new(self, path: str, data: bytes) -> None:
        """By exclusive creation, where the protocol's implementation knows that and the server does (some that are like S3
        answer NotImplemented, which s3fs gives as ENOSYS); else without."""
        if "mode" in inspect.signature(self._files.pipe_file).parameters:
            try:
                self._files.pipe_file(path, data, mode="create")
                return
            except NotImplementedError:
                pass
            except OSError as error:
                if error.errno != errno.ENOSYS:
                    raise
        self._files.pipe_file(path, data)

    def _move_in(self, path: str, data: bytes, *, may_replace: bool) -> bool:
        """A file that is whole when it gets its name. False where that is taken and must not be replaced."""
        folder, _, name = path.rpartition("/")
        self._files.makedirs(folder, exist_ok=True)  # only here: in an object store this could make a bucket
        temporary = f"{folder}/.{name}.{secrets.token_hex(8)}.part"
        try:
            self._files.pipe_file(temporary, data)
            is_taken = self._there(path, 0) is not None
            if is_taken and not may_replace:
                self._files.rm_file(temporary)
                return False
            if is_taken:
                self._files.rm_file(path)  # not every protocol moves a file over another
            self._files.mv(temporary, path)
        except BaseException:
            with contextlib.suppress(Exception):  # where it could not be written, or the line is cut, it stays
                self._files.rm_file(temporary)
            raise
        return True

    def _there(self, path: str, max_bytes: int) -> bytes | None:
        """None where there is no such file; a byte more than max_bytes of one that is larger."""
        try:
            return bytes(self._files.cat_file(path, start=0, end=max_bytes + 1))
        except FileNotFoundError:
            return None

    def _call(self, function: Callable[[], Result], *, n_bytes: int = 0) -> Result:
        """What a protocol does, within its time; whatever it raises becomes a ReleaseError that names the place."""
        seconds = self._timeout_s + n_bytes / MIN_BYTES_PER_S
        try:
            return within(seconds, function)
        except (CompressError, ModuleNotFoundError):
            raise
        except TimeoutError as error:
            raise PlaceUnreachable(f"{self._where}: no answer within {seconds:g} s") from error
        except FileNotFoundError as error:
            raise ReleaseError(f"{self._where}: {_text(error)}: is not there") from error
        except (PermissionError, NotImplementedError) as error:
            raise ReleaseError(f"{self._where}: {self._scheme} does not allow it: {_text(error)}") from error
        except Exception as error:  # botocore, aiohttp, paramiko...: each protocol has its own
            raise PlaceUnreachable(f"{self._where}: {type(error).__name__}: {_text(error)}") from error


def _file_system(reference: Reference) -> tuple[Any, str]:
    """That of the place, and what it calls the place."""
    import fsspec

    if reference.scheme in _LOCAL:
        raise InputError(f"{reference}: a folder of this machine is dir:{reference.place}/{reference.name}")
    if "::" in reference.place:
        raise InputError(f"{reference}: a place must not be a chain of places (::)")
    try:
        url = f"{reference.scheme}://{reference.place}"
        files, place = fsspec.core.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
    except ValueError as error:
        raise InputError(
            f"{reference}: must be dir, oci or a protocol that fsspec knows (s3, gs, hf...): {_text(error)}"
        ) from error
    except ImportError as error:
        raise InputError(f"{reference}: {reference.scheme} needs a package of its own: {_text(error)}") from error
    return files, place


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
