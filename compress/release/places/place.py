"""What a place of releases can do, and which one a reference means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from compress.errors import InputError, MissingDependency
from compress.release.reference import DIRECTORY, OCI, Reference, is_loopback
from compress.release.version import Version

TIMEOUT_S = 30.0  # without an answer, or without a byte more of one
OTHER_SIGNATURE = (
    "is another signature of the same manifest, of a publication that was cut or goes on elsewhere; it is not replaced: publish "
    "a new version"
)


@dataclass(frozen=True)
class Stored:
    """What is kept of a release beside its file, as it was read: nothing of it is checked."""

    manifest: bytes
    signature: bytes | None


@dataclass(frozen=True)
class Upload:
    """A release to be put into a place. sha256: of the file."""

    file: bytes
    sha256: str
    manifest: bytes
    signature: bytes | None


class Place(Protocol):
    """The releases of one name. Every method raises ReleaseError, PlaceUnreachable where there is no answer, naming the place."""

    def versions(self) -> list[Version]:
        """In no order. Empty where the name, or the place, does not exist."""

    def read(self, version: Version) -> Stored | None:
        """None where there is no such version."""

    def create(self, version: Version, upload: Upload) -> bool:
        """Put a release there. It appears whole, in one step, or not at all. False where that version exists, which stays."""

    def fetch(self, sha256: str, offset: int) -> Iterator[bytes]:
        """The bytes of a file from `offset` on, as they come; they may end early."""


def open_place(
    reference: Reference, *, to_publish: bool = False, plain_http: bool = False, timeout_s: float = TIMEOUT_S
) -> Place:
    """to_publish: a folder that is not there is made. plain_http: allow http to another machine; to this one it always is."""
    if reference.scheme == DIRECTORY:
        from compress.release.places.directory import Directory

        return Directory(reference, make=to_publish)
    try:
        if reference.scheme == OCI:
            from compress.release.places.oci import Registry

            http = plain_http or is_loopback(reference.host)
            return Registry(reference, plain_http=http, timeout_s=timeout_s)
        from compress.release.places.remote import Remote

        if reference.scheme in ("http", "ftp") and not (plain_http or is_loopback(reference.host)):
            raise InputError(f"{reference}: {reference.scheme} to another machine needs --plain-http")
        return Remote(reference, timeout_s=timeout_s)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "compress":
            raise
        raise MissingDependency(f"{reference}: needs {error.name}: pip install 'squeeze-compress[release]'") from error
