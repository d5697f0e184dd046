"""Releases in an OCI registry: one repository a name, one tag a version, as an artifact that any OCI client can fetch.

A version's tag is an image manifest whose config is the release's manifest, and whose layers are the file and its signature.
Blobs go first and the tag last, so that a push that is cut leaves no version.

The specification has no conditional PUT: of two publishers with other bytes under one version, the later would replace the
earlier. So each first puts a claim, the tag `VERSION.claim-DIGEST-RANDOM`, and then lists the tags. Of any two at least one
lists after the other's claim, and sees it:

* who sees a claim of other bytes that sorts before its own withdraws its own, by writing so into it, and refuses;
* who sees only claims that sort after its own waits until they are withdrawn, or the version is there (and refuses), or
  WAIT_TIMEOUTS timeouts have passed, and then goes on: whoever claimed has died;
* a claim over CLAIM_LAPSES_S seconds old, by the registry's clock, counts no more.

This assumes that a registry lists a tag as soon as it has answered the PUT of it, and that between listing the tags and the
end of its PUT a publisher takes under WAIT_TIMEOUTS timeouts (the PUT alone ends, or fails, within two). A publisher that is
suspended just there for longer, and wakes, replaces what was published meanwhile; whoever pulled the first notices by the
cache (cache.py). A registry whose tags are immutable by its own settings refuses even that.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

from compress.artifact.metadata import canonical
from compress.errors import ReleaseError
from compress.release import manifest as manifests
from compress.release import signature as signatures
from compress.release.places.oci_client import MANIFEST_TYPE, PAUSES_S, Client, digest_of
from compress.release.places.place import Stored, Upload
from compress.release.version import Version, known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compress.release.reference import Reference

ARTIFACT_TYPE = "application/vnd.squeeze-compress.release.v1"
CONFIG_TYPE = "application/vnd.squeeze-compress.manifest.v1+json"
FILE_TYPE = "application/vnd.squeeze-compress.sqz"
SIGNATURE_TYPE = "application/vnd.squeeze-compress.signature.v1+json"
CLAIMED_AT, WITHDRAWN = "squeeze-compress.claimed-at", "squeeze-compress.withdrawn"
WAIT_TIMEOUTS = 3
CLAIM_LAPSES_S = 600.0
POLL_S = 0.1
_CLAIM_DIGITS = 16  # of the file's digest
_RANDOM_BYTES = 4  # two publishers of the same bytes have two claims, of which one may be withdrawn


class Registry:
    def __init__(self, reference: Reference, *, plain_http: bool, timeout_s: float) -> None:
        self._where, self._name, self._timeout_s = reference.source, reference.name, timeout_s
        path = reference.place.partition("/")[2].strip("/")
        repository = f"{path}/{reference.name}" if path else reference.name
        self._client = Client(reference.host, repository, where=self._where, plain_http=plain_http, timeout_s=timeout_s)

    def versions(self) -> list[Version]:
        return [version for version in map(known, self._client.tags()) if version is not None]

    def read(self, version: Version) -> Stored | None:
        data = self._settled(version.text)
        if data is None:
            return None
        where = f"{self._where}:{version}"
        parts = _parts(data, where)
        manifest = self._client.get_small_blob(parts[CONFIG_TYPE], manifests.MAX_BYTES)
        signature = parts.get(SIGNATURE_TYPE)
        return Stored(manifest, self._client.get_small_blob(signature, signatures.MAX_BYTES) if signature else None)

    def create(self, version: Version, upload: Upload) -> bool:
        for blob in (upload.file, upload.manifest, upload.signature):
            if blob is not None:
                self._client.put_blob(blob)
        if not self._claim(version, upload):
            return False
        data = self._image_manifest(version, upload)
        self._client.put_manifest(version.text, data)
        stored = self._settled(version.text)
        return stored is not None and _parts(stored, f"{self._where}:{version}")[FILE_TYPE] == f"sha256:{upload.sha256}"

    def fetch(self, sha256: str, offset: int) -> Iterator[bytes]:
        return self._client.get_blob(f"sha256:{sha256}", offset)

    def _settled(self, tag: str) -> bytes | None:
        """The manifest of a tag; one that is listed and cannot be had may be just being made, and is looked for again."""
        for pause_s in PAUSES_S:
            data = self._client.get_manifest(tag)
            if data is not None or tag not in self._client.tags():
                return data
            time.sleep(pause_s)
        return self._client.get_manifest(tag)

    def _claim(self, version: Version, upload: Upload) -> bool:
        """Whether this publisher may put the version: False where that is there. Raises ReleaseError for another's claim."""
        prefix = f"{version}.claim-"
        same = prefix + upload.sha256[:_CLAIM_DIGITS]  # begins the claims of these bytes
        mine = f"{same}-{secrets.token_hex(_RANDOM_BYTES)}"
        self._client.put_manifest(mine, self._image_manifest(version, upload, {CLAIMED_AT: f"{self._client.now():.0f}"}))
        deadline = time.monotonic() + WAIT_TIMEOUTS * self._timeout_s
        while True:
            claims = [tag for tag in self._client.tags() if tag.startswith(prefix)]
            others = [tag for tag in claims if not tag.startswith(same) and self._is_live(tag)]
            if self._client.get_manifest(version.text) is not None:
                return False
            if others and min(others) < mine:
                self._client.put_manifest(mine, self._image_manifest(version, upload, {WITHDRAWN: "true"}))
                raise ReleaseError(
                    f"{self._where}:{version}: is being published with other bytes (tag {min(others)}); what that publisher "
                    f"claimed lapses {CLAIM_LAPSES_S:.0f} s after it, should it have died"
                )
            if not others or time.monotonic() > deadline:
                return True
            time.sleep(POLL_S)

    def _is_live(self, tag: str) -> bool:
        """Of a claim that is listed. One that cannot be had yet is just being made."""
        data = self._client.get_manifest(tag)
        if data is None:
            return True
        notes = _object(data, f"{self._where}:{tag}").get("annotations")
        if not isinstance(notes, dict) or WITHDRAWN in notes:
            return False
        claimed_at = str(notes.get(CLAIMED_AT, ""))
        return claimed_at.isdecimal() and self._client.now() - int(claimed_at) <= CLAIM_LAPSES_S

    def _image_manifest(self, version: Version, upload: Upload, annotations: dict[str, str] | None = None) -> bytes:
        title = {"org.opencontainers.image.title": f"{self._name}-{version}.sqz"}
        layers = [{**_descriptor(FILE_TYPE, upload.file), "annotations": title}]
        if upload.signature is not None:
            layers.append(_descriptor(SIGNATURE_TYPE, upload.signature))
        image = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "config": _descriptor(CONFIG_TYPE, upload.manifest),
            "layers": layers,
        }
        return canonical(image | ({"annotations": annotations} if annotations else {}))


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


def _object(data: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"{where}: the registry's manifest is not JSON") from error
    if not isinstance(value, dict):
        raise ReleaseError(f"{where}: the registry's manifest is not a JSON object")
    return value


def _parts(data: bytes, where: str) -> dict[str, str]:
    """The digests of the config and the layers by media type. The file and the manifest are among them."""
    image = _object(data, where)
    parts: dict[str, str] = {}
    layers = image.get("layers")
    for descriptor in [image.get("config"), *(layers if isinstance(layers, list) else [])]:
        if isinstance(descriptor, dict):
            digest = str(descriptor.get("digest"))
            algorithm, _, digits = digest.partition(":")
            if algorithm == "sha256" and len(digits) == 2 * hashlib.sha256().digest_size and digits.isalnum():
                parts[str(descriptor.get("mediaType"))] = digest
    if not {CONFIG_TYPE, FILE_TYPE} <= set(parts):
        raise ReleaseError(f"{where}: the tag is no release of squeeze-compress")
    return parts
