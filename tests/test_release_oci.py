"""Against Debian's docker-registry, on 127.0.0.1."""

import json
import random
import re
import socket
import threading
from functools import partial

import pytest
import requests
from release_parts import (
    REGISTRY,
    Proxy,
    Publishers,
    Registry,
    StubServer,
    fetch,
    free_port,
    net_file,
    put,
    repository,
    running_registry,
    together,
)

from compress.errors import PlaceUnreachable, ReleaseError
from compress.release.listing import list_versions
from compress.release.places import oci, oci_client
from compress.release.places.place import Upload, open_place
from compress.release.pull import Access, Checks, obtain
from compress.release.reference import parse
from compress.release.version import Version

ONE = Version.parse("1.0.0")
N_RACES, N_KILLS, N_RESTARTS, N_CUTS = 10, 10, 2, 8
needs_registry = pytest.mark.skipif(REGISTRY is None, reason="docker-registry is not installed (apt-get install docker-registry)")


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with running_registry(tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.fixture
def source(registry, request):
    return repository(registry, request.node.name)


@pytest.fixture
def net(tmp_path):
    return net_file(tmp_path)


@pytest.fixture
def access(tmp_path):
    return Access(tmp_path / "cache")


def place(source, **options):
    return open_place(parse(source), **options)


def upload(file=b"file", sha256=None, manifest=b"{}"):
    return Upload(file, sha256 or oci_client.digest_of(file).removeprefix("sha256:"), manifest, None)


@needs_registry
def test_publish_and_pull(registry, source, net, access, monkeypatch):
    assert place(source).versions() == [] and place(source).read(ONE) is None
    first = put(net, f"{source}:1.0.0")
    assert first.is_new and not put(net, f"{source}:1.0.0").is_new
    found = obtain(parse(source), Checks(), access)
    assert found.file == net.read_bytes() and found.stored == first.stored == place(source).read(ONE)
    assert [str(each.version) for each in list_versions(parse(source))] == ["1.0.0"]


@needs_registry
def test_the_layout_is_one_that_any_client_can_fetch(registry, source, net):
    found = put(net, f"{source}:1.0.0")
    base = f"http://{registry.host}/v2/{source.partition('/')[2]}"
    image = json.loads(fetch(f"{base}/manifests/1.0.0", Accept=oci_client.MANIFEST_TYPE))
    assert image["artifactType"] == oci.ARTIFACT_TYPE and image["config"]["mediaType"] == oci.CONFIG_TYPE
    [layer] = image["layers"]
    assert layer["annotations"] == {"org.opencontainers.image.title": "deep-1.0.0.sqz"}
    assert layer["size"] == net.stat().st_size and layer["digest"] == f"sha256:{found.manifest.file.sha256}"
    assert fetch(f"{base}/blobs/{layer['digest']}") == net.read_bytes()
    assert fetch(f"{base}/blobs/{image['config']['digest']}") == found.stored.manifest


@needs_registry
def test_other_bytes_are_refused(source, net, tmp_path):
    put(net, f"{source}:1.0.0")
    with pytest.raises(ReleaseError, match="is published with other bytes"):
        put(net_file(tmp_path, 1), f"{source}:1.0.0")
    assert not place(source).create(ONE, upload())


@needs_registry
def test_racing_publishers_of_other_bytes_one_wins(source, tmp_path, access):
    nets = [net_file(tmp_path, seed) for seed in (1, 2)]
    for i in range(N_RACES):
        target = f"{source}:1.0.{i}"
        results = together(*(partial(put, net, target) for net in nets))
        lost = [each for each in results if isinstance(each, Exception)]
        [won] = [each for each in results if not isinstance(each, Exception)]
        assert won.is_new and isinstance(lost[0], ReleaseError)
        assert "is being published with other bytes" in str(lost[0]) or "is published with other bytes" in str(lost[0])
        assert obtain(parse(target), Checks(), access).manifest == won.manifest


@needs_registry
def test_racing_publishers_of_the_same_bytes_both_succeed(source, net, access):
    for i in range(N_RACES // 2):
        target = f"{source}:1.0.{i}"
        results = together(*[partial(put, net, target)] * 2)
        assert not [each for each in results if isinstance(each, Exception)]
        assert obtain(parse(target), Checks(), access).file == net.read_bytes()


def tag_folder(registry, source, tag):
    name = source.partition("/")[2]
    return registry.root / "docker/registry/v2/repositories" / name / "_manifests/tags" / tag


@needs_registry
def test_a_tag_that_the_registry_cannot_read_is_not_replaced(registry, source, net, tmp_path, monkeypatch):
    monkeypatch.setattr(oci_client, "PAUSES_S", (0, 0))
    put(net, f"{source}:1.0.0")
    (tag_folder(registry, source, "1.0.0") / "current/link").write_bytes(b"")
    with pytest.raises(ReleaseError, match="the registry answers 500 to GET"):
        put(net_file(tmp_path, 1), f"{source}:1.0.0")
    [listed] = list_versions(parse(source))
    assert listed.manifest is None and "the registry answers 500 to GET" in listed.error


@needs_registry
def test_another_kind_of_artifact_is_refused_by_name(source):
    made = place(source)
    config = made._client.put_blob(b"{}")
    image = {"schemaVersion": 2, "mediaType": oci_client.MANIFEST_TYPE, "layers": []}
    image["config"] = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2}
    made._client.put_manifest("1.0.0", json.dumps(image).encode())
    with pytest.raises(ReleaseError, match=r"deep:1\.0\.0: the tag is no release of squeeze-compress"):
        made.read(ONE)


@needs_registry
def test_a_killed_publisher_leaves_no_half_version(source, net):
    rng, codes = random.Random(1), []
    with Publishers(net) as publishers:
        seconds = publishers.seconds(f"{source}:0.1.0")
        for i in range(N_KILLS):
            target = f"{source}:1.{i}.0"
            codes.append(publishers.kill_after(target, rng.uniform(0, 1.2 * seconds)))
            is_there = place(source).read(Version.parse(f"1.{i}.0")) is not None
            assert is_there or codes[-1]
            assert put(net, target).is_new != is_there  # which reads and checks what is there
    assert any(codes), "none was killed"


@needs_registry
def test_a_killed_registry_leaves_no_half_version(tmp_path, net):
    """And the publisher is told; it publishes when the registry is back."""
    registry = Registry(tmp_path)
    registry.start()
    rng, told = random.Random(2), 0
    for i in range(N_RESTARTS):
        target = f"oci:{registry.host}/deep:1.{i}.0"
        killer = threading.Timer(rng.uniform(0, 0.05), registry.kill)
        killer.start()
        [result] = together(partial(put, net, target))
        if isinstance(result, Exception):
            assert isinstance(result, PlaceUnreachable) and str(result).startswith(f"oci:{registry.host}/deep: {registry.host}: ")
            told += 1
        killer.join()
        registry.start()
        put(net, target)
        assert not put(net, target).is_new
    registry.kill()
    assert told, "it was never killed in time"


@needs_registry
def test_a_cut_download_asks_for_the_rest_only(registry, source, tmp_path, net):
    put(net, f"{source}:1.0.0")
    rng, size, ranges = random.Random(3), net.stat().st_size, 0
    for i in range(N_CUTS):
        with Proxy(registry.port, cuts=[rng.randrange(3000 + size)]) as proxy:
            through = source.replace(registry.host, proxy.host)
            found = obtain(parse(f"{through}:1.0.0"), Checks(), Access(tmp_path / f"cache{i}"))
            assert found.file == net.read_bytes()
            assert found.fetched_bytes == size, "no byte came twice"
            ranges += b"".join(proxy.heard).count(b"Range: bytes=")
    assert ranges, "no cut was within the file"


@needs_registry
def test_a_cut_anywhere(registry, source, tmp_path, net, monkeypatch):
    """In an answer's head, in a manifest, in the file: each connection brings a little more, and all comes."""
    monkeypatch.setattr(oci_client, "PAUSES_S", (0, 0))
    put(net, f"{source}:1.0.0")
    for n in range(0, 8000, 400):
        with Proxy(registry.port, cuts=[n, n]) as proxy:
            through = source.replace(registry.host, proxy.host)
            found = obtain(parse(f"{through}:1.0.0"), Checks(), Access(tmp_path / f"cache{n}"))
            assert found.file == net.read_bytes()


@needs_registry
def test_the_next_pull_goes_on_where_the_last_was_cut(registry, source, net, access, monkeypatch):
    monkeypatch.setattr(oci_client, "PAUSES_S", (0.01, 0.01))
    put(net, f"{source}:1.0.0")
    with Proxy(registry.port, cuts=[20_000] + [0] * 9) as proxy:
        through = parse(f"{source.replace(registry.host, proxy.host)}:1.0.0")
        with pytest.raises(
            PlaceUnreachable, match=r"truncated: [\d,]+ of [\d,]+ bytes came: .*the next pull goes on there"
        ) as caught:
            obtain(through, Checks(), access)
        came = int(re.search(r"truncated: ([\d,]+) of", str(caught.value))[1].replace(",", ""))
        assert came > 10_000
        proxy.cuts.clear()
        found = obtain(through, Checks(), access)
        assert found.file == net.read_bytes() and found.fetched_bytes == len(found.file) - came
        assert f"Range: bytes={came}-\r\n".encode() in proxy.heard[-1]


@pytest.fixture
def silent():
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_server_that_hangs_ends_with_a_message(silent, net, access):
    source = f"oci:{silent}/x/deep"
    for call in (
        lambda: put(net, f"{source}:1.0.0", timeout_s=0.2),
        lambda: obtain(parse(source), Checks(), Access(access.cache, timeout_s=0.2)),
    ):
        with pytest.raises(PlaceUnreachable, match=f"^oci:{silent}/x/deep: {silent}: no answer within 0.2 s$"):
            call()


def test_a_port_that_nobody_listens_at(access, monkeypatch):
    monkeypatch.setattr(oci_client, "PAUSES_S", (0.01, 0.01))
    port = free_port()
    with pytest.raises(PlaceUnreachable, match=f"^oci:127.0.0.1:{port}/deep: 127.0.0.1:{port}: Connection refused$"):
        obtain(parse(f"oci:127.0.0.1:{port}/deep:1.0.0"), Checks(), access)


def test_another_machine_is_asked_by_https(monkeypatch):
    asked = []

    def answer(self, method, url, **_):
        asked.append(url)
        raise requests.exceptions.SSLError("no")

    monkeypatch.setattr(requests.Session, "request", answer)
    for options in ({}, {"plain_http": True}):
        with pytest.raises(PlaceUnreachable):
            place("oci:registry.example/deep", **options).versions()
    assert [url.partition(":")[0] for url in asked] == ["https", "http"]


@pytest.fixture
def stub(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with StubServer() as server:
        yield server


def test_a_busy_registry_is_asked_again(stub, monkeypatch):
    monkeypatch.setattr(oci_client, "PAUSES_S", (0, 0))
    answers = [(503, {}, b""), (429, {}, b""), (200, {}, b'{"tags": ["1.0.0", "latest"]}')] + [(503, {}, b"")] * 3
    stub.answer = lambda _: answers.pop(0)
    assert place(f"oci:{stub.host}/deep").versions() == [ONE]
    with pytest.raises(PlaceUnreachable, match="the registry answers 503 to GET"):
        place(f"oci:{stub.host}/deep").versions()
    assert len(stub.asked) == 6


def test_a_list_of_tags_in_pages(stub):
    def answer(request):
        first = "last=" not in request.path
        link = {"Link": '</v2/deep/tags/list?last=1.0.0&n=1>; rel="next"'} if first else {}
        return 200, link, b'{"tags": ["1.0.0"]}' if first else b'{"tags": ["1.1.0"]}'

    stub.answer = answer
    assert sorted(map(str, place(f"oci:{stub.host}/deep").versions())) == ["1.0.0", "1.1.0"]


def test_a_registry_that_ignores_ranges(stub):
    stub.answer = lambda _: (200, {}, b"0123456789")
    assert b"".join(place(f"oci:{stub.host}/deep").fetch("ab" * 32, 4)) == b"456789"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"no JSON", "the registry's manifest is not JSON"),
        (b"[" * 100_000, "the registry's manifest is not JSON"),
        (b"[]", "the registry's manifest is not a JSON object"),
        (b"{}", "the tag is no release"),
        (b'{"config": 5, "layers": 5}', "the tag is no release"),
        (b'{"config": {"mediaType": "%s", "digest": "md5:1"}}' % oci.CONFIG_TYPE.encode(), "the tag is no release"),
        (b" " * (5 << 20), "the manifest of 1.0.0 takes over 4,194,304 bytes"),
    ],
)
def test_manifests_of_a_bad_registry(stub, body, message):
    stub.answer = lambda _: (200, {}, body)
    with pytest.raises(ReleaseError, match=f"^oci:{stub.host}/deep.*: {message}"):
        place(f"oci:{stub.host}/deep").read(ONE)


def test_a_blob_with_other_bytes(stub):
    digest = oci_client.digest_of(b"{}")
    parts = [{"mediaType": kind, "digest": digest} for kind in (oci.CONFIG_TYPE, oci.FILE_TYPE)]
    image = json.dumps({"config": parts[0], "layers": parts[1:]}).encode()
    stub.answer = lambda request: (200, {}, image if "manifests" in request.path else b"[]")
    with pytest.raises(ReleaseError, match=f"blob {digest} has other bytes"):
        place(f"oci:{stub.host}/deep").read(ONE)
