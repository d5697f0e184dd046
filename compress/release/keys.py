"""Ed25519 keys as PEM files. A private key is written 0600 from its first byte, and read from no file that others may read.

No key is ever part of a message; a public key is named by the first 16 digits of its SHA-256.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from compress.errors import InputError, MissingDependency

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAX_BYTES = 10_000  # of a key's file
_SHOWN = 16  # hexadecimal digits of a key's name
_PRIVATE, _PUBLIC = 0o600, 0o644


def key_name(key: Ed25519PublicKey) -> str:
    return f"ed25519:{hashlib.sha256(key.public_bytes_raw()).hexdigest()[:_SHOWN]}"


def generate(path: Path) -> tuple[Path, str]:
    """Write a new private key to `path` and its public one beside it, `path`.pub. Returns the latter's path and the key's name.

    Raises InputError where one of the two exists: a key is never overwritten.
    """
    serialization, ed25519 = _cryptography()
    key = ed25519.Ed25519PrivateKey.generate()
    public_path = path.with_name(path.name + ".pub")
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    if public_path.exists():
        raise InputError(f"{public_path}: exists; a key is never overwritten")
    _create(path, private, _PRIVATE)
    try:
        _create(public_path, public, _PUBLIC)
    except BaseException:
        path.unlink()
        raise
    return public_path, key_name(key.public_key())


def read_private(path: Path) -> Ed25519PrivateKey:
    """Raises InputError for a file that is no unencrypted Ed25519 private key, or that others than its owner may read."""
    serialization, ed25519 = _cryptography()
    with _opened(path) as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        if sys.platform != "win32" and mode & 0o077:
            raise InputError(f"{path}: a private key that others may read (mode {mode:04o}), must be 0600: chmod 600 {path}")
        data = file.read(MAX_BYTES)
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except TypeError as error:
        raise InputError(f"{path}: a private key with a passphrase, must be without one") from error
    except Exception as error:  # ValueError, UnsupportedAlgorithm: their messages may quote the file
        raise InputError(f"{path}: not a private key: must be PEM, as keygen writes it") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise InputError(f"{path}: a private key of another kind, must be Ed25519")
    return key


def read_public(path: Path) -> Ed25519PublicKey:
    """Raises InputError for a file that is no Ed25519 public key."""
    serialization, ed25519 = _cryptography()
    with _opened(path) as file:
        data = file.read(MAX_BYTES)
    if b"PRIVATE KEY" in data:
        raise InputError(f"{path}: a private key, must be the public one (keygen wrote it beside, {path.name}.pub)")
    try:
        key = serialization.load_pem_public_key(data)
    except Exception as error:  # ValueError, UnsupportedAlgorithm
        raise InputError(f"{path}: not a public key: must be PEM, as keygen writes it") from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise InputError(f"{path}: a public key of another kind, must be Ed25519")
    return key


def _create(path: Path, data: bytes, mode: int) -> None:
    """A new file that has its mode before it has any content, durable; none is left where it could not be written."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise InputError(f"{path}: exists; a key is never overwritten") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _cryptography() -> tuple[Any, Any]:
    """Its modules serialization and ed25519."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError as error:
        raise MissingDependency("signing and --trust need cryptography: pip install 'squeeze-compress[release]'") from error
    return serialization, ed25519
