import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compress.errors import NotTrusted
from compress.release import signature as signatures
from compress.release.keys import key_name

MANIFEST = b'{"format":1}'
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))


def check(manifest=MANIFEST, signature=None, trusted=(KEY,)):
    return signatures.check(manifest, signature, [key.public_key() for key in trusted], where="dir:x/deep:1.0.0")


def test_round_trip():
    signature = signatures.sign(MANIFEST, KEY)
    name = key_name(KEY.public_key())
    assert check(signature=signature) == check(signature=signature, trusted=(OTHER, KEY)) == name
    assert signatures.signer(signature, where="") == name and signatures.signer(None, where="") is None


def test_known_bytes():
    """RFC 8032's signature is the same each time; another verifier needs the prefix and this file alone."""
    found = json.loads(signatures.sign(MANIFEST, KEY))
    signed = b"squeeze-compress release manifest, version 1\n" + MANIFEST
    assert found == {"algorithm": "ed25519", "key": "ed25519:56475aa75463474c", "signature": KEY.sign(signed).hex()}
    assert signatures.sign(MANIFEST, KEY) == signatures.sign(MANIFEST, KEY)


def test_the_prefix_is_signed_too():
    bare = json.loads(signatures.sign(MANIFEST, KEY)) | {"signature": KEY.sign(MANIFEST).hex()}
    with pytest.raises(NotTrusted, match="its signature by ed25519:56475aa75463474c is not of this manifest"):
        check(signature=signatures.canonical(bare))


def test_what_is_refused_by_name():
    good = signatures.sign(MANIFEST, KEY)
    for manifest, signature, message in (
        (MANIFEST, None, "is not signed, must be signed by a trusted key"),
        (MANIFEST, signatures.sign(MANIFEST, OTHER), "is signed by ed25519:.*, trusted: ed25519:56475aa75463474c"),
        (MANIFEST + b" ", good, "is not of this manifest: one of them was changed"),
        (MANIFEST, signatures.sign(MANIFEST + b" ", KEY), "is not of this manifest: one of them was changed"),
        (MANIFEST, good[:-1], "its signature file is damaged"),
        (MANIFEST, b"", "its signature file is damaged"),
        (MANIFEST, b"\xff\xfe", "its signature file is damaged"),
        (MANIFEST, b"[" * 900, "its signature file is damaged"),
        (MANIFEST, good + b"\n", "its signature file is damaged"),
        (MANIFEST, good + b" " * 1000, "its signature file is damaged"),
        (MANIFEST, good.replace(b"ed25519", b"none", 1), "its signature file is damaged"),
        (MANIFEST, good.replace(b"{", b'{"more":1,', 1), "its signature file is damaged"),
    ):
        with pytest.raises(NotTrusted, match=f"^dir:x/deep:1.0.0: .*{message}"):
            check(manifest, signature)


def test_no_bit_of_a_signature_can_change():
    document = json.loads(signatures.sign(MANIFEST, KEY))
    raw = bytes.fromhex(document["signature"])
    for bit in range(0, 8 * len(raw), 5):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(NotTrusted, match="is not of this manifest"):
            check(signature=signatures.canonical(document | {"signature": changed.hex()}))


def test_a_key_that_takes_the_name_of_a_trusted_one():
    forged = json.loads(signatures.sign(MANIFEST, OTHER)) | {"key": key_name(KEY.public_key())}
    with pytest.raises(NotTrusted, match="is not of this manifest"):
        check(signature=signatures.canonical(forged))
