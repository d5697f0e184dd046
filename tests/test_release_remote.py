"""Against an S3 server on 127.0.0.1 (moto), and fsspec's own file system in memory."""

import errno
import hashlib
import socket
import time
from functools import partial

import pytest
from release_parts import net_file, put, together

from compress.errors import InputError, PlaceUnreachable, ReleaseError
from compress.release import manifest as manifests
from compress.release import publish as publishing
from compress.release.places import remote
from compress.release.places.place import Upload, open_place
from compress.release.pull import Access, Checks, obtain
from compress.release.reference import parse
from compress.release.version import Version

ONE = Version.parse("1.0.0")
N_RACES = 2
KEYS = (("ACCESS_KEY_ID", "tests"), ("SECRET_ACCESS_KEY", "tests"), ("DEFAULT_REGION", "us-east-1"))


@pytest.fixture(scope="module")
def bucket():
    """Of an S3 server. The environment says where that is, and that this is all that there is of AWS."""
    pytest.importorskip("s3fs")
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as environment:
        at = "http://{}:{}".format(*server.get_host_and_port())
        for name, value in (*KEYS, ("ENDPOINT_URL", at)):
            environment.setenv(f"AWS_{name}", value)
        boto3.client("s3").create_bucket(Bucket="releases")
        yield "releases"
    server.stop()


@pytest.fixture(params=["s3", "memory"])
def source(request):
    """A place of its own for each test."""
    place = "memory:" if request.param == "memory" else f"s3:{request.getfixturevalue('bucket')}/"
    return f"{place}{time.time_ns()}/deep"


@pytest.fixture
def access(tmp_path):
    return Access(tmp_path / "cache")


@pytest.fixture
def net(tmp_path):
    return net_file(tmp_path)


def place(source, **options):
    return open_place(parse(source), **options)


def test_publish_and_pull(source, net, access):
    assert place(source).versions() == [] and place(source).read(ONE) is None
    first = put(net, f"{source}:1.0.0")
    assert first.is_new and not put(net, f"{source}:1.0.0").is_new
    found = obtain(parse(source), Checks(), access)
    assert found.file == net.read_bytes() and found.stored == first.stored


def test_a_version_stays(source, net, tmp_path):
    first = put(net, f"{source}:1.0.0")
    with pytest.raises(ReleaseError, match="is published with other bytes"):
        put(net_file(tmp_path, 1), f"{source}:1.0.0")
    assert not place(source).create(ONE, Upload(b"file", "ab" * 32, b"{}", None))
    assert not place(source)._create(place(source)._manifest(ONE), b"{}"), "the file system itself refuses"
    assert place(source).read(ONE) == first.stored


def test_parts_of_a_file(source):
    made = place(source)
    data = bytes(range(256)) * 8192  # two pieces exactly
    made._write(made._blob("ab" * 32), data)
    for offset in (0, 1, len(data) - 1):
        got = b""
        for piece in made.fetch("ab" * 32, offset):
            got += piece
            if len(got) == len(data) - offset:
                break
        assert got == data[offset:]
    with pytest.raises(ReleaseError, match="is not there"):
        list(made.fetch("cd" * 32, 0))


def test_a_file_that_ends_with_a_piece(source, net):
    """An object store has no range at the end of a file: to ask for it is an error."""
    there = put(net, f"{source}:1.0.0").manifest
    made, data = place(source), bytes(1 << 20)
    facts = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    made._write(made._blob(facts["sha256"]), data)
    publishing._check_file(made, parse(f"{source}:1.0.0"), there.model_copy(update={"file": manifests.FileFacts(**facts)}))


def test_another_signature_of_the_same_manifest_is_not_replaced(source):
    made, digest = place(source), hashlib.sha256(b"file").hexdigest()
    made._write_signature(made._signature(b"{}"), b"signed")
    with pytest.raises(ReleaseError, match="is another signature of the same manifest"):
        made.create(ONE, Upload(b"file", digest, b"{}", b"signed by another"))
    assert made.read(ONE) is None
    assert made.create(ONE, Upload(b"file", digest, b"{}", b"signed")) and made.read(ONE).signature == b"signed"


def test_racing_publishers_of_other_bytes_one_wins(source, tmp_path, access):
    nets = [net_file(tmp_path, seed) for seed in (1, 2)]
    for i in range(N_RACES):
        target = f"{source}:1.0.{i}"
        results = together(*(partial(put, net, target) for net in nets))
        lost = [each for each in results if isinstance(each, Exception)]
        [won] = [each for each in results if not isinstance(each, Exception)]
        assert won.is_new and "is published with other bytes" in str(lost[0])
        assert obtain(parse(target), Checks(), access).manifest == won.manifest


def test_a_server_that_hangs_ends_with_a_message(monkeypatch, access):
    pytest.importorskip("s3fs")
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        for name, value in KEYS:
            monkeypatch.setenv(f"AWS_{name}", value)
        with pytest.raises(PlaceUnreachable, match=r"^s3:bucket/deep: no answer within 0\.5 s$"):
            obtain(parse("s3:bucket/deep"), Checks(), Access(access.cache, timeout_s=0.5))


def memory_place():
    return f"memory:tests{time.time_ns()}/deep"


def changed_pipe(monkeypatch, raised):
    """A place whose file system raises that, where a file must be a new one."""
    source = memory_place()
    files = type(place(source)._files)
    real = files.pipe_file

    def pipe_file(self, path, value, mode="overwrite", **options):
        if mode == "create":
            raise raised
        real(self, path, value, **options)

    monkeypatch.setattr(files, "pipe_file", pipe_file)
    return source


@pytest.mark.parametrize("raised", [NotImplementedError(), OSError(errno.ENOSYS, "A header you provided is not implemented")])
def test_exclusive_creation_that_a_server_does_not_offer(net, monkeypatch, raised):
    made = changed_pipe(monkeypatch, raised)
    assert put(net, f"{made}:1.0.0").is_new and not put(net, f"{made}:1.0.0").is_new


@pytest.mark.parametrize("raised", [ValueError("odd"), TypeError("odd"), OSError(errno.EIO, "odd")])
def test_what_is_wrong_with_exclusive_creation_is_not_taken_for_its_absence(net, monkeypatch, raised):
    made = changed_pipe(monkeypatch, raised)
    with pytest.raises(PlaceUnreachable, match="odd"):
        put(net, f"{made}:1.0.0")
    assert place(made).versions() == []


def test_exclusive_creation_that_an_implementation_does_not_know(net, monkeypatch):
    source = memory_place()
    made, real = place(source), type(place(source)._files).pipe_file
    monkeypatch.setattr(type(made._files), "pipe_file", lambda self, path, value, **options: real(self, path, value, **options))
    assert put(net, f"{source}:1.0.0").is_new and not put(net, f"{source}:1.0.0").is_new


@pytest.fixture
def cut_write(monkeypatch):
    """A file system as that of sftp: it has folders, and a write that is cut leaves half a file. What a path has where it is."""
    monkeypatch.setattr(remote, "_WITH_FOLDERS", ("memory",))
    cuts, files = [], type(place(memory_place())._files)
    real = files.pipe_file

    def pipe_file(self, path, value, mode="overwrite", **options):
        if cuts and cuts[0] in path:
            real(self, path, value[: len(value) // 2])
            raise ConnectionError(cuts.pop())
        real(self, path, value, mode=mode, **options)

    monkeypatch.setattr(files, "pipe_file", pipe_file)
    return cuts


@pytest.mark.parametrize("part", ["/blobs/", "/signatures/", "/versions/"])
def test_a_write_that_is_cut_leaves_no_half_file(cut_write, part):
    source = memory_place()
    made, each = place(source), Upload(b"file", hashlib.sha256(b"file").hexdigest(), b"{}", b"signed")
    cut_write.append(part)
    with pytest.raises(PlaceUnreachable, match="ConnectionError"):
        made.create(ONE, each)
    assert made.versions() == [] and made.read(ONE) is None
    paths = made._files.find(made._folder)
    assert not [path for path in paths if part in path], "not even under another name, where the line still works"
    assert made.create(ONE, each) and made.read(ONE).signature == b"signed"
    assert b"".join(made.fetch(each.sha256, 0)) == b"file"


def test_a_file_that_is_there_is_not_written_again(cut_write):
    source = memory_place()
    made, each = place(source), Upload(b"file", hashlib.sha256(b"file").hexdigest(), b"{}", None)
    made._write(made._blob(each.sha256), b"half")
    assert made.create(ONE, each)
    cut_write.append("")
    made._write(made._blob(each.sha256), each.file)
    assert not made.create(ONE, Upload(b"file", each.sha256, b"other", None)), "a version stays"
    assert made.read(ONE).manifest == b"{}" and b"".join(made.fetch(each.sha256, 0)) == b"file"


def test_a_version_that_appeared_meanwhile_stays(cut_write, monkeypatch):
    made = place(memory_place())
    there, path = made._there, made._manifest(ONE)
    answers = [None]  # what is said of the manifest first
    monkeypatch.setattr(made, "_there", lambda path, n: answers.pop() if answers else there(path, n))
    made._files.makedirs(path.rpartition("/")[0], exist_ok=True)
    made._files.pipe_file(path, b"theirs")
    assert not made._create(path, b"ours") and made._files.cat_file(path) == b"theirs"
    assert made._files.find(made._folder) == [path]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nosuch:place/deep", "must be dir, oci or a protocol that fsspec knows"),
        ("file:place/deep", "a folder of this machine is dir:place/deep"),
        ("memory:a::memory/deep", "must not be a chain of places"),
    ],
)
def test_places_that_are_none(source, message):
    with pytest.raises(InputError, match=message):
        place(source)


def test_what_a_protocol_raises_names_the_place(monkeypatch):
    made = place("memory:tests/deep")
    for raised, kind, message in (
        (PermissionError("no"), ReleaseError, "memory does not allow it: no"),
        (RuntimeError("odd\n thing"), PlaceUnreachable, "RuntimeError: odd thing"),
        (TimeoutError(), PlaceUnreachable, "no answer within 30 s"),
    ):

        def fail(*_, raised=raised, **__):
            raise raised

        monkeypatch.setattr(made._files, "ls", fail, raising=False)
        with pytest.raises(kind, match=f"^memory:tests/deep: {message}$"):
            made.versions()
