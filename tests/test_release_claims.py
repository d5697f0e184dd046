"""Two publishers of one version, against Debian's docker-registry, on 127.0.0.1."""

import json
import threading
import time
from functools import partial

import pytest
from release_parts import REGISTRY, StubServer, net_file, put, repository, running_registry, together

from compress.errors import PlaceUnreachable, ReleaseError
from compress.release import keys, signature
from compress.release.listing import list_versions
from compress.release.places import oci, oci_claims, oci_client
from compress.release.places.oci_claims import key_of
from compress.release.places.place import TIMEOUT_S, Upload, open_place
from compress.release.pull import Access, Checks, obtain
from compress.release.reference import parse
from compress.release.version import MAX_LENGTH, Version

ONE, CANDIDATE = Version.parse("1.0.0"), Version.parse("1.0.0-rc.1")
N_RACES = 6
pytestmark = pytest.mark.skipif(REGISTRY is None, reason="docker-registry is not installed (apt-get install docker-registry)")


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
def key(tmp_path):
    keys.generate(tmp_path / "key")
    return tmp_path / "key"


def place(source, **options):
    return open_place(parse(source), **options)


def upload(file=b"file", manifest=b"{}", signed=None):
    return Upload(file, oci_client.digest_of(file).removeprefix("sha256:"), manifest, signed)


def claim_of(each, version, random="00000000", signer=None):
    return f"_claim.{key_of(each.sha256, signer)}.{random}.{version}"


def claims(made, version, *files, signer=None, **annotations):
    """What a publisher that died after its claim leaves."""
    for file in files:
        each = upload(file)
        for blob in (each.file, each.manifest):
            made._client.put_blob(blob)
        notes = {oci_claims.CLAIMED_AT: f"{made._client.now():.0f}", oci_claims.ALLOWS_S: "0"} | annotations
        made._client.put_manifest(claim_of(each, version, signer=signer), made._image_manifest(version, each, notes))


A, B = sorted((b"file", b"other file"), key=lambda data: key_of(upload(data).sha256, None))


def test_a_pre_release_and_its_claims(source, net, tmp_path):
    """A tag `1.0.0-rc.1.claim-...` would itself be a version."""
    access = Access(tmp_path / "cache")
    assert put(net, f"{source}:{CANDIDATE}").is_new
    assert [str(each.version) for each in list_versions(parse(source))] == ["1.0.0-rc.1"]
    assert str(obtain(parse(source), Checks(prerelease=True), access).reference) == f"{source}:1.0.0-rc.1"
    assert any(tag.startswith("_claim.") for tag in place(source)._client.tags())


@pytest.mark.parametrize("version", [ONE, CANDIDATE])
def test_claims_are_no_versions(source, version):
    made = place(source)
    claims(made, version, A)
    assert made.versions() == [] and made.read(version) is None


def test_a_claim_is_of_one_version(source):
    made = place(source)
    claims(made, Version.parse("1.0.0-rc"), A)
    claims(made, ONE, A)
    assert made.create(CANDIDATE, upload(B))


def test_the_longest_version_has_a_claim(source):
    longest = Version.parse("1.0.0-" + "a" * (MAX_LENGTH - 6))
    assert len(claim_of(upload(), longest)) == 128 and place(source).create(longest, upload())


def test_a_claim_that_sorts_before_is_left_alone(source):
    made = place(source)
    claims(made, ONE, A)
    message = r"is being published with other bytes, or by another signer \(tag _claim\..*\.1\.0\.0\); .*lapses 600 s after it"
    with pytest.raises(ReleaseError, match=message):
        made.create(ONE, upload(B))
    assert made.read(ONE) is None
    assert made.create(ONE, upload(A)), "the one who lost has withdrawn, so that nobody waits"


def test_a_claim_that_sorts_after_is_waited_for(source, monkeypatch):
    monkeypatch.setattr(oci_claims, "WAIT_TIMEOUTS", 0.05)
    made = place(source)
    claims(made, ONE, B)
    start = time.monotonic()
    assert made.create(ONE, upload(A))
    assert time.monotonic() - start > oci_claims.WAIT_TIMEOUTS * TIMEOUT_S


def test_a_claim_that_allows_itself_more_is_waited_for_longer(source):
    made = place(source, timeout_s=0.5)
    claims(made, ONE, B, **{oci_claims.ALLOWS_S: "3"})
    start = time.monotonic()
    assert made.create(ONE, upload(A))
    assert time.monotonic() - start > 3


def test_a_claim_lapses(source):
    made = place(source)
    claims(made, ONE, A, **{oci_claims.CLAIMED_AT: f"{made._client.now() - oci_claims.CLAIM_LAPSES_S - 2:.0f}"})
    assert made.create(ONE, upload(B))


class OneTag:
    """A client whose registry has one tag, at the time 1000."""

    def __init__(self, annotations):
        self.annotations = annotations

    def now(self):
        return 1000.0

    def get_manifest(self, _):
        return json.dumps({"annotations": self.annotations}).encode()


AT, FOR = oci_claims.CLAIMED_AT, oci_claims.ALLOWS_S


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({AT: "990", FOR: "90"}, 90),
        ({AT: "990", FOR: "99999"}, 600),
        ({AT: "990", FOR: "soon"}, 600),
        ({AT: "990"}, 600),
        ({AT: "399", FOR: "90"}, None),
        ({AT: "1601", FOR: "90"}, None),
        ({AT: "9" * 5000, FOR: "90"}, None),
        ({AT: "\u0661", FOR: "90"}, None),
        ({AT: 990, FOR: "90"}, None),
        ({AT: "990", FOR: "90", oci_claims.WITHDRAWN: "true"}, None),
        (None, None),
    ],
)
def test_what_a_claim_allows(annotations, expected):
    assert oci_claims._allows_s(OneTag(annotations), "tag", "here") == expected


def test_a_tag_that_is_just_being_made(registry, source, monkeypatch):
    """The registry lists it when its folder is there: a claim counts from then on, a version from when it can be read."""
    monkeypatch.setattr(oci, "PAUSES_S", (0.01, 0.01))
    made = place(source)
    claims(made, ONE, A)
    tags = registry.root / "docker/registry/v2/repositories" / source.partition("/")[2] / "_manifests/tags"
    (tags / claim_of(upload(A), ONE) / "current/link").unlink()
    with pytest.raises(ReleaseError, match="is being published with other bytes"):
        made.create(ONE, upload(B))
    (tags / "1.0.1/current").mkdir(parents=True)
    other = Version.parse("1.0.1")
    assert other in made.versions() and made.read(other) is None
    assert made.create(other, upload(A))


def suspended(made, seconds):
    """Let the publisher sleep between its listing of the tags and its PUT. Returns what says that it does."""
    asleep, get_manifest = threading.Event(), made._client.get_manifest

    def sleepy(tag):
        found = get_manifest(tag)
        if tag == ONE.text and not asleep.is_set():
            asleep.set()
            time.sleep(seconds)
        return found

    made._client.get_manifest = sleepy
    return asleep


def test_a_publisher_that_was_suspended_too_long_does_not_publish(source):
    made = place(source, timeout_s=0.5)
    suspended(made, 1.6)
    with pytest.raises(PlaceUnreachable, match=r"deep:1\.0\.0: took over 1\.5 s after its claim; publish again"):
        made.create(ONE, upload())
    assert place(source).read(ONE) is None and place(source).create(ONE, upload())


def test_publishers_with_other_timeouts(source):
    """The one that waits has the shorter timeout, and waits for what the other allows itself."""
    slow, quick = place(source, timeout_s=3), place(source, timeout_s=0.5)
    asleep = suspended(slow, 2.5)

    def after():
        asleep.wait()
        return quick.create(ONE, upload(A))

    assert together(lambda: slow.create(ONE, upload(B)), after) == [True, False]
    assert upload(B).sha256.encode() in quick._client.get_manifest("1.0.0")


def test_the_put_of_a_version_ends_with_its_allowance(monkeypatch):
    """Also where one attempt would have longer."""
    monkeypatch.setattr(oci_claims, "WAIT_TIMEOUTS", 0.2)

    def answer(request):
        if request.command == "PUT" and request.path.endswith("/1.0.0"):
            time.sleep(4)
        if request.command == "PUT":
            return 201, {}, b""
        return (200, {}, b'{"tags": []}') if "/tags/" in request.path else (200 if request.command == "HEAD" else 404, {}, b"")

    with StubServer() as server:
        server.answer = answer
        start = time.monotonic()
        with pytest.raises(PlaceUnreachable, match=r"no answer within [01][0-9.]* s"):
            place(f"oci:{server.host}/deep", timeout_s=5).create(ONE, upload())
        assert time.monotonic() - start < 3


@pytest.mark.parametrize("is_first", [True, False])
def test_the_same_file_by_another_signer_is_another_release(source, net, key, is_first):
    """One with a signature that was claimed, and one without, in either order."""
    made, data = place(source), net.read_bytes()
    signed = signature.sign(b"{}", keys.read_private(key))
    signer = signature.signer(signed, where="")
    ours = [upload(data), upload(data, signed=signed)]
    first, second = sorted(ours, key=lambda each: key_of(each.sha256, signer if each.signature else None))
    claimed, creating = (first, second) if is_first else (second, first)
    claims(made, ONE, data, signer=signer if claimed.signature else None, **{FOR: "3"})
    made = place(source, timeout_s=0.5)
    start = time.monotonic()
    if is_first:
        with pytest.raises(ReleaseError, match="or by another signer"):
            made.create(ONE, creating)
    else:
        assert made.create(ONE, creating) and time.monotonic() - start > 3


def test_racing_publishers_of_one_file_of_which_one_signs(source, net, key, tmp_path):
    """Whoever is told that the release is signed finds it so."""
    for i in range(N_RACES):
        target = f"{source}:1.0.{i}"
        signed, unsigned = together(partial(put, net, target, key=key), partial(put, net, target))
        won = [each for each in (signed, unsigned) if not isinstance(each, Exception) and each.is_new]
        there = place(source).read(Version.parse(f"1.0.{i}"))
        assert len(won) == 1 and there == won[0].stored
        assert isinstance(signed, ReleaseError) or there.signature is not None


def test_a_manifest_that_replaced_ours_is_not_ours(source, monkeypatch):
    """Of the same file, by the same signer, published at the same moment."""
    made, other = place(source), place(source)
    put_manifest = made._client.put_manifest

    def overtaken(tag, data, **options):
        put_manifest(tag, data, **options)
        if tag == ONE.text:
            other._client.put_blob(b"{ }")
            other._client.put_manifest(tag, other._image_manifest(ONE, upload(manifest=b"{ }")))

    made._client.put_manifest = overtaken
    assert not made.create(ONE, upload()) and made.read(ONE).manifest == b"{ }"
