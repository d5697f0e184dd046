"""Whether a file that is here, or a release, is what a trusted key signed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import CompressError, InputError, NotTrusted
from compress.release import manifest as manifests
from compress.release.cache import Cache
from compress.release.places.place import Stored
from compress.release.pull import MANIFEST_SUFFIX, SIGNATURE_SUFFIX, Checks, check_signature, trusted_keys
from compress.release.version import Version

if TYPE_CHECKING:
    from compress.release.manifest import Manifest


@dataclass(frozen=True)
class Verified:
    """said_by: the file of the manifest that was signed."""

    manifest: Manifest
    signed_by: str
    said_by: Path


def verify_file(path: Path, checks: Checks, cache_folder: Path, name: str | None = None) -> Verified:
    """By the manifest and the signature beside the file (pull --with-manifest), or by what was pulled into the cache. name: of
    the release; without it a min_version says nothing, for the same key may have signed another net under a higher version.

    Raises NotTrusted where none of them is of these bytes, of this name, and signed by a trusted key.
    """
    keys = trusted_keys(checks.trust)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    sha256 = hashlib.sha256(data).hexdigest()
    refused: CompressError | None = None
    for said_by, stored in _said(path, sha256, cache_folder):
        try:
            signed_by = check_signature(stored, keys, where=said_by)
            assert signed_by is not None, "verify asks for a key"
            manifest = manifests.parse(stored.manifest, where=said_by)
            if (manifest.file.sha256, manifest.file.size_bytes) != (sha256, len(data)):
                raise NotTrusted(
                    f"{path}: replaced: {len(data):,} bytes with sha256 {sha256}, {said_by} says {manifest.file.size_bytes:,} "
                    f"and {manifest.file.sha256}"
                )
            if name is not None and manifest.name != name:
                raise NotTrusted(f"{path}: is {manifest.name}:{manifest.version}, must be {name!r} (--name)")
            if checks.min_version is not None and Version.parse(manifest.version) < checks.min_version:
                raise NotTrusted(
                    f"{path}: is {manifest.name}:{manifest.version}, older than {checks.min_version} (--min-version)"
                )
            return Verified(manifest, signed_by, said_by)
        except NotTrusted as error:
            refused = refused or error
    raise refused or NotTrusted(
        f"{path}: no manifest of these bytes: none beside it ({path.name}{MANIFEST_SUFFIX}, from pull --with-manifest), none in "
        f"the cache {cache_folder}"
    )


def _said(path: Path, sha256: str, cache_folder: Path) -> Iterator[tuple[Path, Stored]]:
    """Manifests that may be of this file; one beside it is the only one that counts, unless it is of another file: then it was
    left there by that."""
    beside = path.with_name(path.name + MANIFEST_SUFFIX)
    if beside.exists():
        signature, manifest = path.with_name(path.name + SIGNATURE_SUFFIX), beside.read_bytes()
        yield beside, Stored(manifest, signature.read_bytes() if signature.exists() else None)
        if manifests.sha256_of(manifest) in (sha256, None):
            return
    yield from Cache(cache_folder).find(sha256)
