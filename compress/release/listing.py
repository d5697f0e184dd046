"""What a place has of a name: its versions, the newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compress.errors import InputError, PlaceUnreachable, ReleaseError
from compress.release import manifest as manifests
from compress.release import signature as signatures
from compress.release.places.place import TIMEOUT_S, Place, open_place

if TYPE_CHECKING:
    from compress.release.manifest import Manifest
    from compress.release.reference import Reference
    from compress.release.version import Version


@dataclass(frozen=True)
class Listed:
    """manifest: None where it is refused, and `error` says why. signed_by: the key that a signature names; it is not checked."""

    version: Version
    manifest: Manifest | None
    signed_by: str | None
    error: str = ""


def list_versions(source: Reference, *, plain_http: bool = False, timeout_s: float = TIMEOUT_S) -> list[Listed]:
    """Raises InputError for a source with a version, ReleaseError where none is published there."""
    if source.version is not None:
        raise InputError(f"{source}: has a version; what is listed is {source.source}")
    place = open_place(source, plain_http=plain_http, timeout_s=timeout_s)
    versions = sorted(place.versions(), reverse=True)
    if not versions:
        raise ReleaseError(f"{source}: no version is published there")
    return [_look(place, source.at(version), version) for version in versions]


def _look(place: Place, reference: Reference, version: Version) -> Listed:
    try:
        stored = place.read(version)
        if stored is None:
            raise ReleaseError(f"{reference}: went away")
        signed_by = signatures.signer(stored.signature, where=reference)
        return Listed(version, manifests.parse_of(stored.manifest, reference), signed_by)
    except PlaceUnreachable:
        raise
    except ReleaseError as error:
        return Listed(version, None, None, str(error))
