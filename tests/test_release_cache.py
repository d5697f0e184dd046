import json
from pathlib import Path

import pytest

from compress.errors import InputError
from compress.release.cache import Cache, default_folder
from compress.release.manifest import FileFacts
from compress.release.places.place import Stored
from compress.release.reference import parse

FILE = FileFacts(sha256="2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae", size_bytes=3)  # of foo
ONE = parse("dir:x/deep:1.0.0")


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def test_where_it_is(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    for name in ("SQUEEZE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert default_folder() == Path("/home/me/.cache/squeeze-compress")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert default_folder() == Path("/xdg/squeeze-compress")
    monkeypatch.setenv("SQUEEZE_CACHE", "/own")
    assert default_folder() == Path("/own")


def test_nobody_has_no_cache(monkeypatch):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    for name in ("SQUEEZE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    with pytest.raises(InputError, match="SQUEEZE_CACHE must name a folder"):
        default_folder()


def test_a_file_by_its_digest(cache):
    assert cache.take(FILE) is None
    with cache.part(FILE) as part:
        part.write_bytes(b"foo")
        cache.keep(FILE, part)
    assert cache.take(FILE) == b"foo"


def test_a_damaged_file_goes(cache):
    with cache.part(FILE) as part:
        part.write_bytes(b"bar")
        cache.keep(FILE, part)
    assert cache.take(FILE) is None
    assert not (cache.folder / "blobs/sha256" / FILE.sha256).exists()


def test_one_writer_has_the_shared_part(cache):
    with cache.part(FILE) as first:
        with cache.part(FILE) as second:
            assert first != second
            second.write_bytes(b"f")
        assert not second.exists()
        first.write_bytes(b"fo")
    with cache.part(FILE) as again:
        assert again == first and again.read_bytes() == b"fo"


def remember(cache, reference, manifest, signature, is_signed=False):
    cache.remember(reference, Stored(manifest, signature), is_signed=is_signed)


def test_a_signature_that_the_place_hides_or_changes_stays(cache):
    remember(cache, ONE, b"manifest", None)
    remember(cache, ONE, b"manifest", b"signature")
    for told in (None, b"another"):
        remember(cache, ONE, b"manifest", told)
        assert cache.recall(ONE) == Stored(b"manifest", b"signature")
    remember(cache, ONE, b"manifest", b"checked", is_signed=True)
    assert cache.recall(ONE) == Stored(b"manifest", b"checked")


def test_what_is_known_is_not_written_again(cache, monkeypatch):
    remember(cache, ONE, b"manifest", b"signature")
    written = []
    monkeypatch.setattr("compress.release.cache.write_atomically", lambda *file: written.append(file))
    remember(cache, ONE, b"manifest", b"signature", is_signed=True)
    remember(cache, ONE, b"manifest", None)
    assert not written and cache.recall(ONE) == Stored(b"manifest", b"signature")


def test_what_a_source_said(cache):
    assert cache.recall(ONE) is None and cache.versions(ONE) == []
    remember(cache, ONE, b"manifest", b"signature")
    assert cache.recall(ONE) == Stored(b"manifest", b"signature") and cache.versions(ONE) == [ONE.version]
    remember(cache, ONE, b"other", None)
    assert cache.recall(ONE) == Stored(b"other", None)
    for other in ("dir:x/deep:1.0.1", "dir:x/deeper:1.0.0", "dir:y/deep:1.0.0", "oci:x/deep:1.0.0"):
        assert cache.recall(parse(other)) is None


def test_a_folder_is_the_one_that_it_is_from_here(cache, tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert cache.recall(ONE) is None
        remember(cache, ONE, name.encode(), None)
    assert cache.recall(parse(f"dir:{tmp_path}/a/x/deep:1.0.0")) == Stored(b"a", None)


def manifest_of(sha256, **facts):
    nothing = dict.fromkeys(("architecture", "input", "classes", "recipe", "parent_sha256"))
    facts = nothing | {"format": 1, "name": "deep", "version": "1.0.0", "ledger": [], "tool": "tests 1"} | facts
    facts |= {"file": {"sha256": sha256, "size_bytes": 3}, "time": "2026-01-31T12:00:00Z"}
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


def test_find(cache):
    """By the digest of the file that a manifest is of, wherever else the digest may be in it."""
    assert list(cache.find(FILE.sha256)) == []
    ours, mentioned = manifest_of(FILE.sha256), manifest_of("cd" * 32, parent_sha256=FILE.sha256)
    remember(cache, ONE, ours, b"signature")
    remember(cache, parse("dir:y/deep:1.0.0"), mentioned, None)
    remember(cache, parse("dir:z/deep:1.0.0"), b"damaged " + FILE.sha256.encode(), None)
    assert list(cache.find(FILE.sha256)) == [(cache.record(ONE), Stored(ours, b"signature"))]
