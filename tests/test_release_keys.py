import os
import stat
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from compress.errors import InputError
from compress.release import keys

PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


@pytest.fixture
def pair(tmp_path):
    path = tmp_path / "key"
    public, name = keys.generate(path)
    return path, public, name


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_pair_belongs_together(pair):
    private, public, name = pair
    key = keys.read_private(private)
    assert public == private.with_name("key.pub")
    assert key.public_key() == keys.read_public(public)
    assert keys.key_name(keys.read_public(public)) == name and name.startswith("ed25519:") and len(name) == 24


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        public, _ = keys.generate(tmp_path / "key")
    finally:
        os.umask(before)
    assert mode(tmp_path / "key") == 0o600
    assert mode(public) == 0o644 & ~umask


@pytest.mark.parametrize("there", ["key", "key.pub"])
def test_nothing_is_overwritten(tmp_path, there):
    (tmp_path / there).write_text("precious")
    with pytest.raises(InputError, match=f"{there}: exists; a key is never overwritten"):
        keys.generate(tmp_path / "key")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(there, "precious")]


def test_no_half_pair_is_left(tmp_path, monkeypatch):
    real, n_calls = os.fsync, []

    def fail(descriptor):
        n_calls.append(1)
        if len(n_calls) == 2:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        keys.generate(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660])
def test_a_private_key_that_others_may_read_is_refused(pair, bits):
    pair[0].chmod(bits)
    with pytest.raises(InputError, match=f"others may read \\(mode {bits:04o}\\), must be 0600"):
        keys.read_private(pair[0])


def private_file(path, data):
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def test_other_files_are_no_private_key(pair, tmp_path):
    private, public, _ = pair
    secret = private.read_bytes()
    locked = keys.read_private(private).private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(b"x"))
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(PEM, PKCS8, serialization.NoEncryption())
    for data, message in (
        (public.read_bytes(), "not a private key"),
        (b"", "not a private key"),
        (secret[:60], "not a private key"),
        (b"\x00\xff" * 50_000, "not a private key"),
        (locked, "with a passphrase"),
        (other, "of another kind, must be Ed25519"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            keys.read_private(private_file(tmp_path / "other", data))
        body = secret.splitlines()[1].decode()
        assert body not in str(caught.value) and body[:20] not in repr(caught.value.__cause__)
    with pytest.raises(InputError, match="none: cannot be read: No such file"):
        keys.read_private(tmp_path / "none")


def test_other_files_are_no_public_key(pair, tmp_path):
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    for data, message in (
        (pair[0].read_bytes(), r"a private key, must be the public one \(keygen wrote it beside, other.pub\)"),
        (b"", "not a public key"),
        (other.public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo), "of another kind, must be Ed25519"),
    ):
        (tmp_path / "other").write_bytes(data)
        with pytest.raises(InputError, match=message):
            keys.read_public(tmp_path / "other")


def test_the_name_is_of_the_key_alone(pair):
    private, public, name = pair
    raw = keys.read_private(private).private_bytes_raw()
    again = ed25519.Ed25519PrivateKey.from_private_bytes(raw).public_key()
    assert keys.key_name(again) == keys.key_name(keys.read_public(public)) == name
