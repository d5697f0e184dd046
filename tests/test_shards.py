import gzip
import hashlib
import io
import os
import re
import tarfile
from pathlib import Path

import fsspec
import pytest
from fsspec.registry import known_implementations
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from webdataset import TarWriter

from compress.data.preprocess import open_bytes
from compress.data.shards import Sample, samples
from compress.errors import InputError, MissingDependency

BLOCK = 512
TWO = {"a.jpg": b"first", "a.cls": b"7", "b.png": b"second", "b.cls": b"0"}  # four members of one block: 8 blocks, then zeros
END = 8 * BLOCK


def tar(members, **options):
    """members: name -> bytes, or (name, bytes) pairs where a name comes twice."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", **options) as archive:
        for name, data in members.items() if isinstance(members, dict) else members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return written.getvalue()


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "set-0.tar"

    def write(data):
        path.write_bytes(data)
        return str(path)

    return write


def assert_offsets_are_of_the_images(path):
    whole = Path(path).read_bytes()
    for sample in samples(path):
        assert whole[sample.offset : sample.offset + len(sample.image)] == sample.image


def refusal(pattern, error=InputError):
    """The message of a pattern whose samples cannot be read."""
    with pytest.raises(error) as refused:
        list(samples(pattern))
    return str(refused.value)


@pytest.fixture
def memory():
    """A remote file system: fsspec's, in memory."""
    fs = fsspec.filesystem("memory")
    yield fs
    fs.rm("/", recursive=True)


# --- samples ---------------------------------------------------------------------------------------------------------


def test_samples_come_as_they_are_stored(shard):
    path = shard(tar(TWO))
    assert list(samples(path)) == [
        Sample("a", b"first", 7, path, offset=BLOCK),
        Sample("b", b"second", 0, path, offset=5 * BLOCK),
    ]


def test_a_sample_without_a_label_has_none(shard):
    assert [sample.label for sample in samples(shard(tar({"a.jpg": b"x", "b.jpg": b"y", "b.cls": b"3"})))] == [None, 3]


@pytest.mark.parametrize("extension", ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "ppm", "JPG", "Png", "TIFF"])
def test_every_kind_of_picture_in_any_case(shard, extension):
    (sample,) = samples(shard(tar({f"a.{extension}": b"x", "a.CLS": b"1"})))
    assert (sample.key, sample.image, sample.label) == ("a", b"x", 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.tuples(st.binary(max_size=1100), st.none() | st.integers(0, 999_999_999)), min_size=1, max_size=5))
def test_what_webdataset_writes_comes_back(shard, pairs):
    written = io.BytesIO()
    with TarWriter(written) as writer:
        for i, (image, label) in enumerate(pairs):
            writer.write({"__key__": f"{i:06d}", "jpg": image} | ({} if label is None else {"cls": label}))
    path = shard(written.getvalue())
    found = list(samples(path))
    expected = [Sample(f"{i:06d}", image, label, path, offset=found[i].offset) for i, (image, label) in enumerate(pairs)]
    assert found == expected
    assert_offsets_are_of_the_images(path)


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_folders_and_every_tar_format(shard, format):
    keys = ["./n01/a", "n01/b.c/a", "/".join(["folder" * 8] * 3) + "/é"]
    path = shard(tar({f"{key}.jpg": key.encode() for key in keys}, format=format))
    assert [sample.key for sample in samples(path)] == keys
    assert_offsets_are_of_the_images(path)


def test_other_members_of_a_sample_and_of_webdataset_are_let_by(shard):
    data = tar({"__meta__/info.json": b"{}", "__index__": b"", "a.json": b"{}", "a.jpg": b"x", "a.seg.png": b"y"})
    assert [(sample.key, sample.image) for sample in samples(shard(data))] == [("a", b"x")]


def test_folders_in_a_tar_hold_no_sample(tmp_path):
    (tmp_path / "n01").mkdir()
    (tmp_path / "n01" / "a.jpg").write_bytes(b"x")
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "n01", "n01")
    assert [sample.key for sample in samples(str(tmp_path / "set.tar"))] == ["n01/a"]


def test_a_compressed_shard(tmp_path):
    whole = gzip.compress(tar(TWO))
    (tmp_path / "a.tgz").write_bytes(whole)
    assert [sample.image for sample in samples(str(tmp_path / "a.tgz"))] == [b"first", b"second"]
    path = tmp_path / "a.tar.gz"
    path.write_bytes(whole)
    assert [sample.image for sample in samples(str(path))] == [b"first", b"second"]
    assert {sample.offset for name in ("a.tgz", "a.tar.gz") for sample in samples(str(tmp_path / name))} == {None}
    for cut in (5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert re.search(r"a\.tar\.gz: cannot be read as a tar: ", refusal(str(path)))
    path.write_bytes(whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:])
    assert re.search(r"a\.tar\.gz: cannot be read as a tar: CRC check failed", refusal(str(path)))


def test_a_picture_of_a_shard_is_decoded_like_a_file(shard, tmp_path):
    Image.new("RGB", (3, 2), "red").save(tmp_path / "p.png")
    (sample,) = samples(shard(tar({"p.png": (tmp_path / "p.png").read_bytes()})))
    assert open_bytes(sample.image, f"{sample.shard}: {sample.key}").getpixel((2, 1)) == (255, 0, 0)


@pytest.mark.parametrize(("stored", "label"), [(b"0", 0), (b"007", 7), (b"12\n", 12), (b" 12\r\n", 12)])
def test_labels(shard, stored, label):
    assert [sample.label for sample in samples(shard(tar({"a.jpg": b"x", "a.cls": stored})))] == [label]


@pytest.mark.parametrize("stored", [b"", b"-1", b"1.0", b"cat", b"1 2", "٣".encode(), b"1_0", b"0x1", b"9" * 10, b"1\0"])
def test_a_label_that_is_no_number_is_refused(shard, stored):
    assert re.search(
        r"set-0\.tar: key a: label b.* is not the index of a class", refusal(shard(tar({"a.jpg": b"x", "a.cls": stored})))
    )


# --- which shards ----------------------------------------------------------------------------------------------------


@pytest.fixture
def three(tmp_path):
    for name in ("train-2", "train-0", "train-1", "test-0"):
        (tmp_path / f"{name}.tar").write_bytes(tar({f"{name}.jpg": b"x"}))
    (tmp_path / "train-folder.tar").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "pattern",
    [
        "train-*.tar",
        "train-?.tar",
        "train-[0-2].tar",
        "train-{0..2}.tar",
        "train-{2,1,0}.tar",
        "{train-2,train-[01]}.tar",
        "train-{*,0,1}.tar",
    ],
)
def test_globs_and_braces_name_each_shard_once_in_order(three, pattern):
    assert [sample.key for sample in samples(f"{three}/{pattern}")] == ["train-0", "train-1", "train-2"]


def test_a_relative_pattern(three, monkeypatch):
    monkeypatch.chdir(three)
    assert [sample.key for sample in samples("te*.tar")] == ["test-0"]


@pytest.mark.parametrize("pattern", ["memory://x/*.tar", "memory://x/s-{0..1}.tar", "simplecache::memory://x/s-*.tar"])
def test_any_fsspec_url(memory, pattern):
    for i in (1, 0):
        memory.pipe(f"/x/s-{i}.tar", tar({f"{i}.jpg": b"x"}))
    assert [sample.key for sample in samples(pattern)] == ["0", "1"]


def test_the_shard_of_a_remote_sample_is_its_url(memory):
    memory.pipe("/x/s.tar", tar(TWO))
    assert {sample.shard for sample in samples("memory://x/*.tar")} == {"memory:///x/s.tar"}


@pytest.mark.parametrize("protocol", ["", "simplecache::", "filecache::"])
def test_a_remote_sample_is_at_no_place_of_a_local_file(memory, protocol):
    """Also where fsspec keeps a copy: its protocol filecache has the word file in it."""
    memory.pipe("/x/s.tar", tar(TWO))
    found = list(samples(f"{protocol}memory://x/s.tar"))
    assert [(sample.image, sample.offset) for sample in found] == [(b"first", None), (b"second", None)]
    assert {sample.shard for sample in found} == {found[0].shard} and "://" in found[0].shard


@pytest.mark.parametrize("prefix", ["file://", "local://", ""])
def test_every_spelling_of_a_local_path_is_read_in_place(shard, prefix):
    path = shard(tar(TWO))
    assert [(sample.shard, sample.offset) for sample in samples(prefix + path)] == [(path, BLOCK), (path, 5 * BLOCK)]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("none-*.tar", r"none-\*\.tar: no shard matches"),
        ("none.tar", r"none\.tar: no such shard"),
        ("train-{0..3}.tar", r"train-3\.tar: no such shard"),
        ("{train-*,none-*}.tar", r"none-\*\.tar: no shard matches"),
        ("train-{0..3.tar", "Unbalanced braces"),
        ("train-folder.tar", r"train-folder\.tar: a folder; expected its shards, as in .*/train-folder\.tar/\*\.tar"),
    ],
)
def test_a_pattern_that_names_no_shard_is_refused_before_anything_is_read(three, pattern, message):
    with pytest.raises(InputError, match=message):
        samples(f"{three}/{pattern}")


def test_a_url_that_names_no_shard_is_refused(memory):
    assert re.search(r"memory://none/\*\.tar: no shard matches", refusal("memory://none/*.tar"))
    assert re.search(r"memory://none/a\.tar: no such shard", refusal("memory://none/a.tar"))
    assert re.search("nonsense://a.tar: cannot be looked up: Protocol not known: nonsense", refusal("nonsense://a.tar"))


def test_a_protocol_without_its_package_names_the_package(monkeypatch):
    entry = {"class": "no_such_package.FileSystem", "err": "Install no_such_package"}
    monkeypatch.setitem(known_implementations, "cloud", entry)
    assert re.search("cloud://bucket/a.tar: Install no_such_package", refusal("cloud://bucket/a.tar", MissingDependency))


@pytest.mark.parametrize(
    "pattern", ["pipe:touch {}", "PIPE:touch {}", " pipe:touch {}", "{{pipe:touch,x}} {}", "simplecache::pipe:touch {}"]
)
def test_a_pipe_is_refused_and_nothing_is_executed(tmp_path, monkeypatch, pattern):
    monkeypatch.setattr("subprocess.Popen", None)
    monkeypatch.setattr("os.system", None)
    assert re.search("pipe: runs a shell command", refusal(pattern.format(tmp_path / "ran")))
    assert not (tmp_path / "ran").exists()


def test_webdataset_opens_nothing(shard, monkeypatch):
    monkeypatch.setattr("webdataset.gopen", None)
    monkeypatch.setattr("webdataset.tariterators.gopen", None)
    monkeypatch.setattr("webdataset.tariterators.url_opener", None)
    assert len(list(samples(shard(tar(TWO))))) == 2


# --- damage ----------------------------------------------------------------------------------------------------------


def test_a_shard_cut_anywhere_is_refused(shard):
    """Every byte of headers, data and padding; on a border between members; inside the two blocks of zeros at the end."""
    whole = tar(TWO)
    needed = END + 2 * BLOCK
    cuts = {*range(0, needed, 11), *(border + near for border in range(0, needed, BLOCK) for near in (-1, 0, 1) if border)}
    for cut in sorted(cuts):
        assert re.search(r"set-0\.tar: cannot be read as a tar: ", refusal(shard(whole[:cut])))
    assert len(whole) == 10_240 > needed  # tarfile, as webdataset's writers use it, fills up a record
    for cut in (needed, needed + 1, len(whole) - 1):  # of the rest, nothing is lost
        assert len(list(samples(shard(whole[:cut])))) == 2


def test_a_shard_of_black_pictures_cut_between_members_is_refused(shard):
    whole = tar({"a.ppm": bytes(4 * BLOCK), "b.ppm": bytes(4 * BLOCK)})
    assert re.search(r"set-0\.tar: cannot be read as a tar: .* cut or damaged at byte 2,560", refusal(shard(whole[: 5 * BLOCK])))


@pytest.mark.parametrize("place", [0, 2 * BLOCK, 6 * BLOCK + 124])  # name, name, size
def test_a_damaged_header_is_refused_and_not_taken_for_the_end(shard, place):
    damaged = bytearray(tar(TWO))
    damaged[place] ^= 1
    assert re.search(
        rf"set-0\.tar: .*bad checksum: cut or damaged at byte {place // BLOCK * BLOCK:,}", refusal(shard(bytes(damaged)))
    )


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_long_name_cut_from_its_member_is_refused(shard, format):
    whole = tar({"a.jpg": b"x", "b" * 300 + ".jpg": b"y"}, format=format)
    for cut in range(2 * BLOCK, 7 * BLOCK, 128):
        assert re.search(r"set-0\.tar: cannot be read as a tar: ", refusal(shard(whole[:cut])))


def test_two_tars_joined_are_refused(shard):
    assert re.search(
        r"set-0\.tar: cannot be read as a tar: more bytes follow its end", refusal(shard(tar(TWO) + tar({"c.jpg": b"x"})))
    )


@pytest.mark.parametrize("data", [b"", b"x", b"not a tar" * 200, b"\x89PNG\r\n" + bytes(2000)])
def test_what_is_no_tar_is_refused(shard, data):
    assert re.search(r"set-0\.tar: cannot be read as a tar: ", refusal(shard(data)))


@pytest.mark.parametrize("data", [bytes(10_240), tar({}), tar({"__meta__": b""})])
def test_a_tar_without_samples_is_refused(shard, data):
    assert re.search(r"set-0\.tar: a tar without a sample", refusal(shard(data)))


def test_a_damaged_shard_among_whole_ones_is_named(three):
    (three / "train-1.tar").write_bytes(tar(TWO)[: 3 * BLOCK + 1])
    read = samples(f"{three}/train-*.tar")
    assert [next(read).key] == ["train-0"]
    with pytest.raises(InputError, match=r"train-1\.tar: cannot be read"):
        list(read)


def test_a_server_that_fails_on_the_way_is_named(memory, monkeypatch):
    memory.pipe("/x/s.tar", tar(TWO))
    read = samples("memory://x/s.tar")

    def forbidden(*_, **__):
        raise PermissionError("403 Forbidden")

    monkeypatch.setattr(type(memory), "_open", forbidden)
    with pytest.raises(InputError, match=r"memory:///x/s\.tar: cannot be read as a tar: 403 Forbidden"):
        list(read)


def test_a_shard_that_goes_away_is_named(shard):
    path = shard(tar(TWO))
    read = samples(path)
    Path(path).unlink()
    with pytest.raises(InputError, match=r"set-0\.tar: cannot be read as a tar: .*No such file"):
        list(read)


def test_a_reader_that_stops_early_closes_the_shard(memory, monkeypatch):
    memory.pipe("/x/s.tar", tar(TWO))
    closed = []
    monkeypatch.setattr("fsspec.core.OpenFile.close", lambda self: closed.append(self.path))
    read = samples("memory://x/s.tar")
    next(read)
    assert not closed
    del read
    assert closed == ["/x/s.tar"]


# --- samples that are not valid --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.jpg", b"x"), ("b.cls", b"1")], "key b: has no picture; one is expected, of .jpg, .jpeg, .png"),
        ([("a.jpg", b"x"), ("a.png", b"x")], "key a: has 2 pictures: .jpg, .png; one is expected"),
        ([("a.jpg", b"x"), ("a.jpg", b"x")], "key a: two members .jpg"),
        ([("a.jpg", b"x"), ("a.JPG", b"x")], "key a: two members .jpg"),
        ([("a.jpg", b"x"), ("b.jpg", b"x"), ("a.jpg", b"x")], "key a: two samples have this key"),
        ([("a.jpg", b"x"), ("b.jpg", b"x"), ("a.cls", b"1")], "key a: .* its members do not stand together"),
        ([("a.jpg", b"x"), ("README", b"x")], "member README has no key with an extension"),
        ([("._a.jpg", b"x"), ("a.jpg", b"x")], r"member \._a\.jpg has no key with an extension"),
    ],
)
def test_a_sample_that_is_not_valid_is_refused_with_shard_and_key(shard, members, message):
    assert re.search(rf"set-0\.tar: {message}", refusal(shard(tar(members))))


def test_the_same_key_in_two_shards_is_allowed(three):
    (three / "train-1.tar").write_bytes(tar({"train-0.jpg": b"y"}))
    assert [sample.key for sample in samples(f"{three}/train-{{0,1}}.tar")] == ["train-0", "train-0"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_link_or_a_device_is_refused(shard, kind):
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        member = tarfile.TarInfo("a.jpg")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    assert re.search(r"set-0\.tar: key a: a\.jpg is a link or a special file", refusal(shard(written.getvalue())))


# --- real shards -----------------------------------------------------------------------------------------------------

DATA = Path(os.environ.get("SQUEEZE_DATA", "../shared/data")) / "tiny-imagenet-wds"


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is missing: set SQUEEZE_DATA to the folder of ImageNet images")
def test_tiny_imagenet_is_read_whole():
    read = list(samples(f"{DATA}/train-*.tar"))
    assert len(read) == len({(sample.shard, sample.key) for sample in read}) == 19_923  # their numbers have gaps
    assert len({sample.label for sample in read}) == 200 and all(0 <= sample.label < 1000 for sample in read)
    with tarfile.open(DATA / "train-0009.tar") as archive:  # by another way than a stream: the last shard's last picture
        last = archive.extractfile(f"{read[-1].key}.jpg").read()
    assert hashlib.sha256(last).digest() == hashlib.sha256(read[-1].image).digest()
    assert open_bytes(last, "last").size == (64, 64)
