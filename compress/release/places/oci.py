"""Releases in an OCI registry: one repository a name, one tag a version, as an artifact that any OCI client can fetch.

A version's tag is an image manifest whose config is the release's manifest, and whose layers are the file and its signature.
Blobs go first and the tag last, so that a push that is cut leaves no version; oci_claims.py keeps two publishers apart.
"""

from __future__ import annotations

import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from compress.artifact.metadata import canonical
from compress.errors import ReleaseError
from compress.release import manifest as manifests
from compress.release import signature as signatures
from compress.release.places.oci_claims import claim, key_of
from compress.release.places.oci_client import MANIFEST_TYPE, PAUSES_S, Client, digest_of, json_object
from compress.release.places.place import Stored, Upload
from compress.release.version import Version, known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compress.release.reference import Reference

ARTIFACT_TYPE = "application/vnd.squeeze-compress.release.v1"
CONFIG_TYPE = "application/vnd.squeeze-compress.manifest.v1+json"
FILE_TYPE = "application/vnd.squeeze-compress.sqz"
SIGNATURE_TYPE = "application/vnd.squeeze-compress.signature.v1+json"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


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
        parts = _parts(data, f"{self._where}:{version}")
        manifest = self._client.get_small_blob(parts[CONFIG_TYPE], manifests.MAX_BYTES)
        signature = parts.get(SIGNATURE_TYPE)
        return Stored(manifest, self._client.get_small_blob(signature, signatures.MAX_BYTES) if signature else None)

    def create(self, version: Version, upload: Upload) -> bool:
        """False also where another publisher of the same release has put its own manifest after this one's."""
        where = f"{self._where}:{version}"
        for blob in (upload.file, upload.manifest, upload.signature):
            if blob is not None:
                self._client.put_blob(blob)
        key = key_of(upload.sha256, signatures.signer(upload.signature, where=where))
        describe = partial(self._image_manifest, version, upload)
        allowance = claim(self._client, version, key, describe, where=where, timeout_s=self._timeout_s)
        if allowance is None:
            return False
        data = self._image_manifest(version, upload)
        self._client.put_manifest(version.text, data, left_s=allowance.left_s)
        return self._settled(version.text) == data

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


def _parts(data: bytes, where: str) -> dict[str, str]:
    """The digests of the config and the layers by media type. The file and the manifest are among them."""
    image = json_object(data, f"{where}: the registry's manifest")
    parts: dict[str, str] = {}
    layers = image.get("layers")
    for descriptor in [image.get("config"), *(layers if isinstance(layers, list) else [])]:
        if isinstance(descriptor, dict):
            digest = str(descriptor.get("digest"))
            if _DIGEST.fullmatch(digest):
                parts[str(descriptor.get("mediaType"))] = digest
    if not {CONFIG_TYPE, FILE_TYPE} <= set(parts):
        raise ReleaseError(f"{where}: the tag is no release of squeeze-compress")
    return parts
