"""A release from a place, or the cache, to a file: nothing gets a name before its size, digest and signature are checked."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compress.atomic import write_atomically
from compress.errors import NotTrusted, PlaceUnreachable, ReleaseError
from compress.release import manifest as manifests
from compress.release import signature as signatures
from compress.release.cache import Cache
from compress.release.keys import read_public
from compress.release.manifest import FileFacts, Manifest
from compress.release.places.place import TIMEOUT_S, Place, Stored, open_place
from compress.release.reference import Reference
from compress.release.version import Version

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAX_STANDSTILLS = 3  # attempts in a row that bring no byte
MAX_ATTEMPTS = 100
MANIFEST_SUFFIX, SIGNATURE_SUFFIX = ".manifest.json", ".signature.json"  # beside a pulled file, where they are asked for


@dataclass(frozen=True)
class Checks:
    """What a release must pass. trust: public keys, of which one must have signed; none: signatures are not looked at.

    min_version: nothing older. prerelease: the newest may be one.
    """

    trust: tuple[Path, ...] = ()
    min_version: Version | None = None
    prerelease: bool = False


@dataclass(frozen=True)
class Access:
    """How a place is reached. offline: not at all, only what the cache has."""

    cache: Path
    offline: bool = False
    plain_http: bool = False
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True)
class Pulled:
    """signed_by: the trusted key that signed; None where none was asked for. fetched_bytes: what came over the wire this time.

    notes: what the user should be told.
    """

    reference: Reference
    manifest: Manifest
    stored: Stored
    file: bytes
    signed_by: str | None
    fetched_bytes: int
    notes: tuple[str, ...] = ()


def pull(reference: Reference, output: Path, checks: Checks, access: Access, *, with_manifest: bool = False) -> Pulled:
    """Obtain a release and write its file to `output`. As obtain and write."""
    found = obtain(reference, checks, access)
    write(found, output, with_manifest=with_manifest)
    return found


def write(found: Pulled, output: Path, *, with_manifest: bool = False) -> None:
    """The file, atomically, last. with_manifest: its manifest and signature first, beside it. Raises OSError."""
    if with_manifest:
        signature = output.with_name(output.name + SIGNATURE_SUFFIX)
        if found.stored.signature is None:
            signature.unlink(missing_ok=True)
        else:
            write_atomically(signature, found.stored.signature)
        write_atomically(output.with_name(output.name + MANIFEST_SUFFIX), found.stored.manifest)
    write_atomically(output, found.file)


def obtain(reference: Reference, checks: Checks, access: Access) -> Pulled:
    """A checked release, in memory and in the cache.

    Raises NotTrusted for what is unsigned, wrongly signed, replaced or too old; PlaceUnreachable; ReleaseError.
    """
    keys = trusted_keys(checks.trust)
    cache = Cache(access.cache)
    _refuse_older(reference, reference.version, checks)
    if access.offline:
        return _from_cache(reference, checks, keys, cache, ())
    try:
        return _from_place(reference, checks, keys, cache, access)
    except PlaceUnreachable as unreachable:
        if reference.version is None:  # which is the newest, only the place knows
            raise
        try:
            return _from_cache(reference, checks, keys, cache, (f"{unreachable}; taken from the cache",))
        except NotTrusted:
            raise
        except ReleaseError:  # it is not in the cache
            raise unreachable from None


def trusted_keys(paths: Sequence[Path]) -> tuple[Ed25519PublicKey, ...]:
    return tuple(read_public(path) for path in paths)


def check_signature(stored: Stored, trust: Sequence[Ed25519PublicKey], *, where: object) -> str | None:
    """The trusted key that signed, None where no key was given. Raises NotTrusted."""
    return signatures.check(stored.manifest, stored.signature, trust, where=where) if trust else None


def _from_place(reference: Reference, checks: Checks, keys: Sequence[Ed25519PublicKey], cache: Cache, access: Access) -> Pulled:
    place = open_place(reference, plain_http=access.plain_http, timeout_s=access.timeout_s)
    if reference.version is None:
        reference = reference.at(_newest(reference, place.versions(), checks))
    assert reference.version is not None
    stored = place.read(reference.version)
    if stored is None:
        raise ReleaseError(f"{reference}: there is no such version")
    manifest, signed_by = _checked(reference, stored, keys)
    _refuse_changed(reference, manifest, keys, cache)
    file, fetched_bytes = _file(reference, manifest.file, place, cache)
    notes = _remember(cache, reference, stored, is_signed=signed_by is not None)
    return Pulled(reference, manifest, stored, file, signed_by, fetched_bytes, notes)


def _remember(cache: Cache, reference: Reference, stored: Stored, *, is_signed: bool) -> tuple[str, ...]:
    """A note where the cache cannot be written to: the file is here, and checked."""
    try:
        cache.remember(reference, stored, is_signed=is_signed)
    except OSError as error:
        return (f"{cache.record(reference)}: not written: {error.strerror or error}; the next pull knows nothing of this one",)
    return ()


def _from_cache(
    reference: Reference, checks: Checks, keys: Sequence[Ed25519PublicKey], cache: Cache, notes: tuple[str, ...]
) -> Pulled:
    if reference.version is None:
        reference = reference.at(_newest(reference, cache.versions(reference), checks))
    stored = cache.recall(reference)
    if stored is None:
        raise ReleaseError(f"{reference}: was never pulled into the cache {cache.folder}")
    manifest, signed_by = _checked(reference, stored, keys)
    file = cache.take(manifest.file)
    if file is None:
        raise ReleaseError(f"{reference}: its file is no longer whole in the cache {cache.folder}")
    return Pulled(reference, manifest, stored, file, signed_by, 0, notes)


def _newest(reference: Reference, versions: Sequence[Version], checks: Checks) -> Version:
    allowed = [version for version in versions if version.is_release or checks.prerelease]
    if not allowed:
        only = f", only pre-releases, such as {max(versions)} (--pre takes them)" if versions else ""
        raise ReleaseError(f"{reference}: no version is published there{only}")
    _refuse_older(reference, max(allowed), checks)
    return max(allowed)


def _refuse_older(reference: Reference, version: Version | None, checks: Checks) -> None:
    if version is not None and checks.min_version is not None and version < checks.min_version:
        which = "" if reference.version else f", the newest there is {version}"
        raise NotTrusted(f"{reference}{which}: older than {checks.min_version} (--min-version)")


def _checked(reference: Reference, stored: Stored, keys: Sequence[Ed25519PublicKey]) -> tuple[Manifest, str | None]:
    """The signature first: nothing else of a manifest is read before it."""
    signed_by = check_signature(stored, keys, where=reference)
    return manifests.parse_of(stored.manifest, reference), signed_by


def _refuse_changed(reference: Reference, manifest: Manifest, keys: Sequence[Ed25519PublicKey], cache: Cache) -> None:
    """A version never changes: where it was pulled before, it had this file. A record of then that does not pass the checks of
    now tells nothing, as a damaged one, and is written again."""
    before, record = cache.recall(reference), cache.record(reference)
    if before is None:
        return
    try:
        check_signature(before, keys, where=record)
        sha256 = manifests.parse(before.manifest, where=record).file.sha256
    except ReleaseError:
        return
    if sha256 != manifest.file.sha256:
        raise NotTrusted(
            f"{reference}: replaced: sha256 is {manifest.file.sha256}, it was {sha256} when it was pulled before; if the one of "
            f"before is known to be the wrong one, remove {record}"
        )


def _file(reference: Reference, file: FileFacts, place: Place, cache: Cache) -> tuple[bytes, int]:
    """From the cache, or fetched into it. The file, and how many bytes came from the place."""
    if (data := cache.take(file)) is not None:
        return _whole(reference, data, file), 0
    with cache.part(file) as part:
        if (data := cache.take(file)) is not None:  # another process has fetched it meanwhile
            return _whole(reference, data, file), 0
        resumed = part.exists() and part.stat().st_size > 0
        fetched = _fetch(reference, file, place, part)
        data = part.read_bytes()
        if resumed and hashlib.sha256(data).hexdigest() != file.sha256:  # its beginning may be of a broken disk: all again
            part.unlink()
            fetched += _fetch(reference, file, place, part)
            data = part.read_bytes()
        try:
            _whole(reference, data, file)
        except NotTrusted:
            part.unlink()
            raise
        cache.keep(file, part)
        return data, fetched


def _whole(reference: Reference, data: bytes, file: FileFacts) -> bytes:
    """Raises NotTrusted for other bytes than the manifest says."""
    sha256 = hashlib.sha256(data).hexdigest()
    if (len(data), sha256) != (file.size_bytes, file.sha256):
        raise NotTrusted(
            f"{reference}: replaced: the file is {len(data):,} bytes with sha256 {sha256}, its manifest says "
            f"{file.size_bytes:,} and {file.sha256}"
        )
    return data


def _fetch(reference: Reference, file: FileFacts, place: Place, part: Path) -> int:
    """Append what is missing of a file, over as many cut connections as bring something. Returns how many bytes came.

    Raises ReleaseError where it stays short: what came is kept, and the next pull goes on there.
    """
    fetched, standstills, cut = 0, 0, ""
    with _naming(part), part.open("ab") as out:
        if out.tell() > file.size_bytes:
            out.truncate(0)
        for _ in range(MAX_ATTEMPTS):
            before = out.seek(0, os.SEEK_END)
            if before == file.size_bytes:
                break
            try:
                for piece in place.fetch(file.sha256, before):
                    out.write(piece[: file.size_bytes + 1 - out.tell()])  # one byte too many is enough to refuse it
                    if out.tell() >= file.size_bytes:
                        break
            except PlaceUnreachable as error:
                cut = f": {error}"
            came = out.tell() - before
            fetched += came
            standstills = 0 if came else standstills + 1
            if standstills == MAX_STANDSTILLS or out.tell() > file.size_bytes:
                break
        out.flush()
        os.fsync(out.fileno())
        size_bytes = out.tell()
    if size_bytes < file.size_bytes:
        kind = PlaceUnreachable if cut else ReleaseError
        raise kind(f"{reference}: truncated: {size_bytes:,} of {file.size_bytes:,} bytes came{cut}; the next pull goes on there")
    return fetched


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Of a file that is written: a full disk says so without its name."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
