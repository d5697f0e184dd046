import os
import random
import sys
from functools import partial

import pytest
from release_parts import Publishers, net_file, put, together

from compress.errors import InputError, PlaceUnreachable, ReleaseError
from compress.release.places.directory import Directory
from compress.release.places.place import Upload
from compress.release.reference import parse
from compress.release.version import Version

ONE = Version.parse("1.0.0")
N_RACES, N_KILLS = 10, 20


def upload(manifest=b"{}", signature=None, file=b"file", sha256="ab" * 32):
    return Upload(file, sha256, manifest, signature)


@pytest.fixture
def place(tmp_path):
    return Directory(parse(f"dir:{tmp_path}/deep"), make=True)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_layout(place, tmp_path):
    assert place.versions() == [] and place.read(ONE) is None
    assert place.create(ONE, upload(signature=b"signed"))
    digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # of {}
    assert files(tmp_path / "deep") == [f"blobs/sha256/{'ab' * 32}", f"signatures/{digest}.json", "versions/1.0.0.json"]
    stored = place.read(ONE)
    assert (stored.manifest, stored.signature) == (b"{}", b"signed")
    assert place.versions() == [ONE]
    assert b"".join(place.fetch("ab" * 32, 0)) == b"file" and b"".join(place.fetch("ab" * 32, 3)) == b"e"


def test_a_version_stays(place):
    assert place.create(ONE, upload(b"1"))
    assert not place.create(ONE, upload(b"2", signature=b"signed"))
    assert place.read(ONE).manifest == b"1" and place.read(ONE).signature is None


def test_a_damaged_file_of_a_cut_push_is_written_again(place, tmp_path):
    blob = tmp_path / "deep/blobs/sha256" / ("ab" * 32)
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"fi")
    assert place.create(ONE, upload())
    assert blob.read_bytes() == b"file"


def test_other_files_are_no_versions(place, tmp_path):
    place.create(ONE, upload())
    folder = tmp_path / "deep/versions"
    for name in (".2.0.0.json.0123456789abcdef.part", "2.0.0.json.part", "notes.txt", "latest.json", "2.0.json"):
        (folder / name).write_text("{}")
    assert place.versions() == [ONE]


def test_what_is_not_there(tmp_path):
    gone = Directory(parse(f"dir:{tmp_path}/gone/deep"))
    for call in (gone.versions, lambda: gone.read(ONE)):
        with pytest.raises(PlaceUnreachable, match=r"gone/deep: .*/gone is no folder, or not there"):
            call()
    with pytest.raises(ReleaseError, match=r"^dir:.*/gone/deep: .*No such file"):
        list(gone.fetch("ab" * 32, 0))


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "deep").write_text("")
    with pytest.raises(ReleaseError, match=f"^dir:{tmp_path}/deep: {tmp_path}/deep/blobs"):
        Directory(parse(f"dir:{tmp_path}/deep")).create(ONE, upload())


def test_a_place_that_is_a_file(tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(InputError, match=rf"^dir:{tmp_path}/f/deep: the place {tmp_path}/f is a file, must be a folder$"):
        put(net_file(tmp_path), f"{tmp_path}/f/deep:1.0.0")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
def test_what_is_no_file_is_refused_at_once(place, tmp_path):
    """A FIFO would block whoever opens it."""
    place.create(ONE, upload())
    blob, manifest = tmp_path / "deep/blobs/sha256" / ("ab" * 32), tmp_path / "deep/versions/1.0.0.json"
    for path, call in ((blob, lambda: list(place.fetch("ab" * 32, 0))), (manifest, lambda: place.read(ONE))):
        path.unlink()
        for make, remove in ((os.mkdir, os.rmdir), (os.mkfifo, os.unlink)):
            make(path)
            with pytest.raises(ReleaseError, match=f"^dir:.*/deep: {path}: "):
                call()
            remove(path)


def test_another_signature_of_the_same_manifest_is_not_replaced(place, tmp_path):
    """Of a publisher that was cut before its version was there, or that is at it."""
    assert place.create(ONE, upload(signature=b"signed"))
    (tmp_path / "deep/versions/1.0.0.json").unlink()
    with pytest.raises(ReleaseError, match="is another signature of the same manifest"):
        place.create(ONE, upload(signature=b"signed by another"))
    assert place.read(ONE) is None
    assert place.create(ONE, upload(signature=b"signed")) and place.read(ONE).signature == b"signed"


@pytest.mark.parametrize("step", ["fsync", "link"])
def test_a_full_disk_leaves_no_version_and_no_sibling(place, tmp_path, monkeypatch, step):
    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, step, fail)
        with pytest.raises(ReleaseError, match="No space left"):
            place.create(ONE, upload())
    assert place.versions() == [] and not [name for name in files(tmp_path) if "versions" in name or name.endswith(".part")]
    assert place.create(ONE, upload())


def test_racing_publishers_of_other_bytes_one_wins(tmp_path):
    """The loser is told whose bytes are there."""
    nets = [net_file(tmp_path, seed) for seed in (1, 2)]
    for i in range(N_RACES):
        target = f"dir:{tmp_path}/releases/deep:1.0.{i}"
        results = together(*(partial(put, net, target) for net in nets))
        lost = [each for each in results if isinstance(each, Exception)]
        [won] = [each for each in results if not isinstance(each, Exception)]
        assert won.is_new and len(lost) == 1 and isinstance(lost[0], ReleaseError)
        assert f"{target}: is published with other bytes: sha256 {won.manifest.file.sha256}" in str(lost[0])


def test_racing_publishers_of_the_same_bytes_both_succeed(tmp_path):
    net = net_file(tmp_path)
    for i in range(N_RACES):
        target = f"dir:{tmp_path}/releases/deep:1.0.{i}"
        results = together(*[partial(put, net, target)] * 2)
        assert sorted(each.is_new for each in results) == [False, True]


@pytest.mark.skipif(sys.platform == "win32", reason="the publishers are forked")
def test_a_killed_publisher_leaves_no_half_version(tmp_path):
    """Whatever is visible is whole, and the next publisher succeeds."""
    net, rng, codes = net_file(tmp_path), random.Random(0), []
    with Publishers(net) as publishers:
        seconds = publishers.seconds(f"dir:{tmp_path}/releases/deep:1.0.0")
        for i in range(N_KILLS):
            target = f"dir:{tmp_path}/releases{i}/deep:1.0.0"
            codes.append(publishers.kill_after(target, rng.uniform(0, 1.2 * seconds)))
            is_there = Directory(parse(target), make=True).read(ONE) is not None
            assert is_there or codes[-1]
            assert put(net, target).is_new != is_there  # which reads and checks what is there
    assert any(codes), "none was killed"
