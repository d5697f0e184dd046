from pathlib import Path

import pytest

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


def test_what_a_source_said(cache):
    assert cache.recall(ONE) is None and cache.versions(ONE) == []
    cache.remember(ONE, Stored(b"manifest", b"signature"))
    assert cache.recall(ONE) == Stored(b"manifest", b"signature") and cache.versions(ONE) == [ONE.version]
    cache.remember(ONE, Stored(b"manifest", None))
    assert cache.recall(ONE) == Stored(b"manifest", None)
    for other in ("dir:x/deep:1.0.1", "dir:x/deeper:1.0.0", "dir:y/deep:1.0.0", "oci:x/deep:1.0.0"):
        assert cache.recall(parse(other)) is None


def test_a_folder_is_the_one_that_it_is_from_here(cache, tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert cache.recall(ONE) is None
        cache.remember(ONE, Stored(name.encode(), None))
    assert cache.recall(parse(f"dir:{tmp_path}/a/x/deep:1.0.0")) == Stored(b"a", None)


def test_find(cache):
    assert list(cache.find("ab")) == []
    cache.remember(ONE, Stored(b"of ab", b"signature"))
    cache.remember(parse("dir:y/deep:1.0.0"), Stored(b"of cd", None))
    assert list(cache.find("ab")) == [(cache.record(ONE), Stored(b"of ab", b"signature"))]
