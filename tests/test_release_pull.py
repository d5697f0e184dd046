import hashlib
import json
from dataclasses import replace

import pytest
from release_parts import net_file, put, together

from compress.errors import InputError, NotTrusted, PlaceUnreachable, ReleaseError
from compress.release import keys
from compress.release import pull as pulling
from compress.release.cache import Cache
from compress.release.places import place as places
from compress.release.places.directory import Directory
from compress.release.pull import Access, Checks, obtain, pull
from compress.release.reference import parse
from compress.release.version import Version


@pytest.fixture
def key(tmp_path):
    keys.generate(tmp_path / "key")
    return tmp_path / "key"


@pytest.fixture
def source(tmp_path, key):
    """Three versions, the second a pre-release of the third, each with other bytes; signed."""
    for seed, version in enumerate(("1.0.0", "1.1.0-rc.1", "1.1.0")):
        put(net_file(tmp_path, seed), f"dir:{tmp_path}/releases/deep:{version}", key=key)
    return f"dir:{tmp_path}/releases/deep"


@pytest.fixture
def access(tmp_path):
    return Access(tmp_path / "cache")


def trusting(key, **checks):
    return Checks((key.with_name(key.name + ".pub"),), **checks)


def version(text):
    return Version.parse(text)


def in_place(tmp_path, part):
    return tmp_path / "releases" / "deep" / part


def net_bytes(tmp_path, seed):
    return (tmp_path / f"net{seed}.sqz").read_bytes()


def test_the_file_is_the_one_that_was_published(source, tmp_path, access, key):
    found = pull(parse(f"{source}:1.0.0"), tmp_path / "out.sqz", trusting(key), access)
    assert (tmp_path / "out.sqz").read_bytes() == net_bytes(tmp_path, 0)
    assert found.fetched_bytes == len(net_bytes(tmp_path, 0)) and found.signed_by.startswith("ed25519:")
    again = pull(parse(f"{source}:1.0.0"), tmp_path / "out.sqz", Checks(), access)
    assert again.fetched_bytes == 0 and again.signed_by is None and again.file == found.file


def test_which_version(source, access, tmp_path):
    put(net_file(tmp_path, 3), f"{source}:1.2.0-beta")
    assert str(obtain(parse(source), Checks(), access).reference) == f"{source}:1.1.0"
    assert str(obtain(parse(source), Checks(prerelease=True), access).reference) == f"{source}:1.2.0-beta"
    assert str(obtain(parse(f"{source}:1.1.0-rc.1"), Checks(), access).reference) == f"{source}:1.1.0-rc.1"
    with pytest.raises(ReleaseError, match=r"deep:3\.0\.0: there is no such version"):
        obtain(parse(f"{source}:3.0.0"), Checks(), access)
    with pytest.raises(ReleaseError, match=r"no version is published there$"):
        obtain(parse(source.replace("deep", "other")), Checks(), access)
    put(net_file(tmp_path, 3), f"dir:{tmp_path}/releases/early:0.1.0-a")
    with pytest.raises(ReleaseError, match=r"only pre-releases, such as 0\.1\.0-a \(--pre takes them\)"):
        obtain(parse(f"dir:{tmp_path}/releases/early"), Checks(), access)


def test_an_older_one_is_refused(source, access):
    """Also from the cache, where it is."""
    assert obtain(parse(f"{source}:1.1.0"), Checks(min_version=version("1.1.0")), access)
    obtain(parse(f"{source}:1.0.0"), Checks(), access)
    for offline in (False, True):
        way = replace(access, offline=offline)
        for oldest in ("1.0.1-0", "1.0.1", "2.0.0"):
            with pytest.raises(NotTrusted, match=rf"deep:1\.0\.0: older than {oldest} \(--min-version\)"):
                obtain(parse(f"{source}:1.0.0"), Checks(min_version=version(oldest)), way)
        with pytest.raises(NotTrusted, match=r"deep, the newest there is 1\.1\.0: older than 2\.0\.0"):
            obtain(parse(source), Checks(min_version=version("2.0.0")), way)


def refused(reference, output, checks, access, message, kind=NotTrusted):
    """Nothing gets a name, and nothing new is in the cache."""
    before = sorted(access.cache.rglob("*"))
    with pytest.raises(kind, match=message):
        pull(parse(reference), output, checks, access)
    assert not output.exists()
    assert [path for path in sorted(access.cache.rglob("*")) if path not in before and path.suffix in (".json", ".sig")] == []


def test_unsigned_and_wrongly_signed(source, tmp_path, access, key):
    other = tmp_path / "other"
    keys.generate(other)
    refused(
        f"{source}:1.0.0", tmp_path / "o", trusting(other), access, r"deep:1\.0\.0: is signed by ed25519:.*, trusted: ed25519:"
    )
    both = Checks((*trusting(other).trust, *trusting(key).trust))
    assert obtain(parse(f"{source}:1.0.0"), both, access)
    put(net_file(tmp_path), f"{source}:1.0.1")
    refused(f"{source}:1.0.1", tmp_path / "o", trusting(key), access, r"deep:1\.0\.1: is not signed")
    refused(source, tmp_path / "o", Checks((key,)), access, "a private key, must be the public one", InputError)


def test_a_changed_manifest(source, tmp_path, access, key):
    path = in_place(tmp_path, "versions/1.0.0.json")
    facts = json.loads(path.read_bytes())
    signature = in_place(tmp_path, "signatures")
    old = next(each for each in signature.iterdir() if each.stem == hashlib.sha256(path.read_bytes()).hexdigest())
    facts["input"]["mean"][0] += 1
    data = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    path.write_bytes(data)
    refused(f"{source}:1.0.0", tmp_path / "o", trusting(key), access, "is not signed")
    (signature / f"{hashlib.sha256(data).hexdigest()}.json").write_bytes(old.read_bytes())
    refused(f"{source}:1.0.0", tmp_path / "o", trusting(key), access, "its signature by .* is not of this manifest")


def test_a_signed_release_under_another_version_or_name(source, tmp_path, access, key):
    """Everything in it is true and signed; it is not what was asked for."""
    versions = in_place(tmp_path, "versions")
    (versions / "2.0.0.json").write_bytes((versions / "1.0.0.json").read_bytes())
    for reference in (f"{source}:2.0.0", source):
        refused(reference, tmp_path / "o", trusting(key), access, r"deep:2\.0\.0: replaced: its manifest is of deep:1\.0\.0")
    in_place(tmp_path, "").rename(tmp_path / "releases/other")
    refused(f"dir:{tmp_path}/releases/other:1.0.0", tmp_path / "o", trusting(key), access, r"its manifest is of deep:1\.0\.0")


@pytest.mark.parametrize("bad", [lambda data: bytes(len(data)), lambda data: data + b"\0", lambda data: data[:-1] + b"\0\0\0"])
def test_a_replaced_file(source, tmp_path, access, bad, key):
    for blob in in_place(tmp_path, "blobs/sha256").iterdir():
        blob.write_bytes(bad(blob.read_bytes()))
    refused(f"{source}:1.0.0", tmp_path / "o", trusting(key), access, r"deep:1\.0\.0: replaced: the file is .* its manifest says")
    assert not list(access.cache.rglob("*.part")), "what is wrong is not gone on with"


def test_a_truncated_file(source, tmp_path, access, key):
    data = net_bytes(tmp_path, 0)
    blob = next(each for each in in_place(tmp_path, "blobs/sha256").iterdir() if each.read_bytes() == data)
    blob.write_bytes(data[:100])
    message = rf"deep:1\.0\.0: truncated: 100 of {len(data):,} bytes came"
    refused(f"{source}:1.0.0", tmp_path / "o", trusting(key), access, message, ReleaseError)
    blob.write_bytes(data)
    assert obtain(parse(f"{source}:1.0.0"), trusting(key), access).fetched_bytes == len(data) - 100


def test_a_version_that_changed_since_it_was_pulled(source, tmp_path, access, key):
    """Even when the same key signed it."""
    obtain(parse(f"{source}:1.0.0"), Checks(), access)
    in_place(tmp_path, "versions/1.0.0.json").unlink()
    put(net_file(tmp_path, seed=9), f"{source}:1.0.0", key=key)
    with pytest.raises(NotTrusted, match=r"deep:1\.0\.0: replaced: sha256 is .*, it was .* when it was pulled before"):
        obtain(parse(f"{source}:1.0.0"), trusting(key), access)


def test_a_record_that_the_key_did_not_sign_does_not_stand_in_its_way(source, tmp_path, access, key):
    """Whoever served another file once would keep the signed one out for ever."""
    manifest = in_place(tmp_path, "versions/1.0.0.json")
    signed = manifest.read_bytes()
    manifest.unlink()
    put(net_file(tmp_path, seed=9), f"{source}:1.0.0")
    assert obtain(parse(f"{source}:1.0.0"), Checks(), access).file == net_bytes(tmp_path, 9)
    manifest.write_bytes(signed)
    with pytest.raises(NotTrusted, match=r"replaced: .* is known to be the wrong one, remove .*/1\.0\.0\.json$"):
        obtain(parse(f"{source}:1.0.0"), Checks(), access)
    for way in (access, replace(access, offline=True)):
        assert obtain(parse(f"{source}:1.0.0"), trusting(key), way).file == net_bytes(tmp_path, 0)


def test_a_place_that_hides_a_signature_does_not_take_it_from_the_cache(source, tmp_path, access, key):
    obtain(parse(f"{source}:1.0.0"), trusting(key), access)
    for path in in_place(tmp_path, "signatures").iterdir():
        path.unlink()
    assert obtain(parse(f"{source}:1.0.0"), Checks(), access).stored.signature is None
    assert obtain(parse(f"{source}:1.0.0"), trusting(key), replace(access, offline=True)).signed_by


def test_an_existing_file_stays_until_the_new_one_is_checked(source, tmp_path, access, key):
    (tmp_path / "out.sqz").write_bytes(b"what runs now")
    put(net_file(tmp_path), f"{source}:9.0.0")
    with pytest.raises(NotTrusted):
        pull(parse(source), tmp_path / "out.sqz", trusting(key), access)
    assert (tmp_path / "out.sqz").read_bytes() == b"what runs now"
    pull(parse(source), tmp_path / "out.sqz", Checks(), access)
    assert (tmp_path / "out.sqz").read_bytes() == net_bytes(tmp_path, 0)


def test_offline(source, tmp_path, access, key):
    obtain(parse(f"{source}:1.0.0"), Checks(), access)
    (tmp_path / "releases").rename(tmp_path / "away")
    offline = replace(access, offline=True)
    found = obtain(parse(source), trusting(key), offline)
    assert str(found.reference) == f"{source}:1.0.0" and found.file == net_bytes(tmp_path, 0) and found.signed_by
    found = obtain(parse(f"{source}:1.0.0"), trusting(key), access)
    [note] = found.notes
    assert "releases is no folder, or not there; taken from the cache" in note
    with pytest.raises(PlaceUnreachable, match="is no folder, or not there"):  # which is the newest now, nobody knows
        obtain(parse(source), Checks(), access)
    with pytest.raises(PlaceUnreachable, match="is no folder, or not there"):
        obtain(parse(f"{source}:1.1.0"), Checks(), access)
    with pytest.raises(ReleaseError, match=r"deep:1\.1\.0: was never pulled into the cache"):
        obtain(parse(f"{source}:1.1.0"), Checks(), offline)


def test_the_cache_is_not_trusted(source, tmp_path, access, key):
    """Damage in it: what can be fetched again is, what cannot is refused."""
    reference = parse(f"{source}:1.0.0")
    data = obtain(reference, trusting(key), access).file
    offline = replace(access, offline=True)
    [blob] = [path for path in (access.cache / "blobs/sha256").iterdir() if len(path.name) == 64]
    blob.write_bytes(bytes(len(data)))
    with pytest.raises(ReleaseError, match="its file is no longer whole in the cache"):
        obtain(reference, Checks(), offline)
    assert obtain(reference, Checks(), access).fetched_bytes == len(data)
    signature = Cache(access.cache).record(reference).with_suffix(".sig")
    signature.unlink()
    with pytest.raises(NotTrusted, match="is not signed"):
        obtain(reference, trusting(key), offline)
    Cache(access.cache).record(reference).write_bytes(b"{}")
    with pytest.raises(ReleaseError, match=r"deep:1\.0\.0: not a manifest"):
        obtain(reference, Checks(), offline)
    assert obtain(reference, trusting(key), access).signed_by


class Cut:
    """A place whose file breaks off, here and there, as a bad line would. asked: the offsets."""

    def __init__(self, reference, breaks):
        self.inner, self.breaks, self.asked = Directory(reference), list(breaks), []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def fetch(self, sha256, offset):
        self.asked.append(offset)
        n = self.breaks.pop(0) if self.breaks else None
        yield b"".join(self.inner.fetch(sha256, offset))[:n]
        if n is not None:
            raise PlaceUnreachable("the line is cut")


@pytest.fixture
def cut(source, monkeypatch):
    def make(*breaks):
        place = Cut(parse(source), breaks)
        monkeypatch.setattr(pulling, "open_place", lambda *_, **__: place)
        return place

    return make


def test_a_cut_download_goes_on(cut, source, tmp_path, access):
    place = cut(100, 0, 0, 50)
    found = obtain(parse(f"{source}:1.0.0"), Checks(), access)
    assert found.file == net_bytes(tmp_path, 0) and found.fetched_bytes == len(found.file)
    assert place.asked == [0, 100, 100, 100, 150]


def test_a_dead_line_is_given_up_and_the_next_pull_goes_on(cut, source, tmp_path, access):
    cut(100, 0, 0, 0)
    with pytest.raises(PlaceUnreachable, match=r"truncated: 100 of [\d,]+ bytes came: the line is cut; the next pull goes on"):
        obtain(parse(f"{source}:1.0.0"), Checks(), access)
    place = cut()
    assert obtain(parse(f"{source}:1.0.0"), Checks(), access).file == net_bytes(tmp_path, 0) and place.asked == [100]


def test_a_beginning_that_is_wrong_is_fetched_again(cut, source, tmp_path, access):
    cut(100, 0, 0, 0)
    with pytest.raises(PlaceUnreachable):
        obtain(parse(f"{source}:1.0.0"), Checks(), access)
    [part] = access.cache.rglob("*.part")
    for bad in (bytes(100), bytes(1 << 20)):
        part.write_bytes(bad)
        place = cut()
        assert obtain(parse(f"{source}:1.0.0"), Checks(), access).file == net_bytes(tmp_path, 0) and place.asked[-1] == 0
        next(path for path in (access.cache / "blobs/sha256").iterdir() if len(path.name) == 64).unlink()


def test_concurrent_pulls(source, tmp_path, access):
    reference = parse(f"{source}:1.0.0")
    for i in range(5):
        way = replace(access, cache=tmp_path / f"cache{i}")
        outputs = [tmp_path / f"out{i}-{j}" for j in range(4)]
        results = together(*(lambda output=output, way=way: pull(reference, output, Checks(), way) for output in outputs))
        assert all(isinstance(each, pulling.Pulled) for each in results), results
        assert {output.read_bytes() for output in outputs} == {net_bytes(tmp_path, 0)}
        assert not list(way.cache.rglob("*.part"))


def test_another_process_that_fetches_the_same_is_not_waited_for(source, tmp_path, access):
    reference = parse(f"{source}:1.0.0")
    file = obtain(reference, Checks(), replace(access, cache=tmp_path / "other")).manifest.file
    with Cache(access.cache).part(file) as shared:
        shared.write_bytes(b"some of it")
        assert obtain(reference, Checks(), access).file == net_bytes(tmp_path, 0)
        assert shared.read_bytes() == b"some of it"


def test_an_unwritable_cache_is_named(source, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=str(tmp_path / "file")):
        obtain(parse(f"{source}:1.0.0"), Checks(), Access(tmp_path / "file"))


def test_a_cache_that_cannot_be_written_to(source, tmp_path, access, monkeypatch):
    """Where it has the file: nothing is written that is known, and what cannot be written is told."""
    obtain(parse(f"{source}:1.0.0"), Checks(), access)

    def fail(path, _):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr("compress.release.cache.write_atomically", fail)
    assert obtain(parse(f"{source}:1.0.0"), Checks(), access).notes == ()
    record = Cache(access.cache).record(parse(f"{source}:1.0.0"))
    for path in record.parent.iterdir():
        path.unlink()
    found = obtain(parse(f"{source}:1.0.0"), Checks(), access)
    assert found.file == net_bytes(tmp_path, 0) and found.fetched_bytes == 0
    assert found.notes == (f"{record}: not written: Read-only file system; the next pull knows nothing of this one",)


def test_a_full_disk_is_named(source, access, monkeypatch):
    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("compress.release.pull.os.fsync", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        obtain(parse(f"{source}:1.0.0"), Checks(), access)
    assert str(caught.value.filename).startswith(str(access.cache / "blobs/sha256")) and caught.value.filename.endswith(".part")


def test_plain_http_is_for_this_machine():
    with pytest.raises(InputError, match="http to another machine needs --plain-http"):
        places.open_place(parse("http:example.org/x/deep"))
