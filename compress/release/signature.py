"""An Ed25519 signature over the exact bytes of a manifest, behind a prefix that no other use of the key has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from compress.artifact.metadata import canonical
from compress.errors import NotTrusted
from compress.release.keys import key_name

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PREFIX = b"squeeze-compress release manifest, version 1\n"
MAX_BYTES = 1_000


class _Signature(BaseModel):
    """key: the name of the public key, to find it by. signature: 64 bytes in hexadecimal."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    algorithm: Literal["ed25519"]
    key: Annotated[str, StringConstraints(pattern=r"^ed25519:[0-9a-f]{16}$")]
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


def sign(manifest: bytes, key: Ed25519PrivateKey) -> bytes:
    """The content of a signature file, which is the same each time."""
    signature = key.sign(PREFIX + manifest).hex()
    return canonical({"algorithm": "ed25519", "key": key_name(key.public_key()), "signature": signature})


def signer(signature: bytes | None, *, where: object) -> str | None:
    """The name of the key that a signature says it is by, which is not checked; None of None. Raises NotTrusted."""
    return None if signature is None else _parse(signature, where=where).key


def check(manifest: bytes, signature: bytes | None, trusted: Sequence[Ed25519PublicKey], *, where: object) -> str:
    """Returns the name of the trusted key that signed. where: the release, for messages. Raises NotTrusted."""
    from cryptography.exceptions import InvalidSignature

    if signature is None:
        raise NotTrusted(f"{where}: is not signed, must be signed by a trusted key")
    found = _parse(signature, where=where)
    keys = {key_name(key): key for key in trusted}
    if found.key not in keys:
        raise NotTrusted(f"{where}: is signed by {found.key}, trusted: {', '.join(keys)}")
    try:
        keys[found.key].verify(bytes.fromhex(found.signature), PREFIX + manifest)
    except InvalidSignature as error:
        raise NotTrusted(f"{where}: its signature by {found.key} is not of this manifest: one of them was changed") from error
    return found.key


def _parse(signature: bytes, *, where: object) -> _Signature:
    try:
        if len(signature) > MAX_BYTES:
            raise ValueError(f"over {MAX_BYTES:,} bytes")
        value = _Signature.model_validate(json.loads(signature))
        if canonical(value.model_dump()) != signature:
            raise ValueError("not in canonical form")
    except (ValueError, RecursionError) as error:
        raise NotTrusted(f"{where}: its signature file is damaged") from error
    return value
