"""Against an S3 server on 127.0.0.1 (moto), and fsspec's own file system in memory."""

import socket
import time
from functools import partial

import pytest
from release_parts import net_file, put, together

from compress.errors import InputError, PlaceUnreachable, ReleaseError
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


def test_exclusive_creation_that_a_protocol_does_not_offer(net, monkeypatch):
    """Then it is looked for before and read after."""
    source = f"memory:tests{time.time_ns()}/deep"
    made = place(source)
    real = type(made._files).pipe_file

    def pipe_file(self, path, value, mode="overwrite", **options):
        if mode == "create":
            raise NotImplementedError
        real(self, path, value, **options)

    monkeypatch.setattr(type(made._files), "pipe_file", pipe_file)
    assert put(net, f"{source}:1.0.0").is_new and not put(net, f"{source}:1.0.0").is_new


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
