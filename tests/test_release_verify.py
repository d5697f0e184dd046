import pytest
from release_parts import net_file, put

from compress.errors import InputError, NotTrusted
from compress.release import keys
from compress.release.pull import Access, Checks, pull
from compress.release.reference import parse
from compress.release.verify import verify_file
from compress.release.version import Version


@pytest.fixture
def key(tmp_path):
    keys.generate(tmp_path / "key")
    return tmp_path / "key"


@pytest.fixture
def checks(key):
    return Checks((key.with_name("key.pub"),))


@pytest.fixture(params=[True, False], ids=["beside", "cache"])
def pulled(request, tmp_path, key):
    """A pulled file whose manifest is beside it, or in the cache alone."""
    source = f"dir:{tmp_path}/releases/deep:1.0.0"
    put(net_file(tmp_path), source, key=key)
    path = tmp_path / "out.sqz"
    pull(parse(source), path, Checks(), Access(tmp_path / "cache"), with_manifest=request.param)
    assert (tmp_path / "out.sqz.manifest.json").exists() == request.param
    return path


def test_what_was_pulled(pulled, checks, tmp_path):
    found = verify_file(pulled, checks, tmp_path / "cache")
    assert (found.manifest.name, found.manifest.version) == ("deep", "1.0.0") and found.signed_by.startswith("ed25519:")
    assert verify_file(pulled, Checks(checks.trust, min_version=Version.parse("1.0.0")), tmp_path / "cache")


def test_what_is_refused(pulled, checks, tmp_path):
    cache = tmp_path / "cache"
    with pytest.raises(NotTrusted, match=r"out\.sqz: is deep:1\.0\.0, older than 1\.0\.1 \(--min-version\)"):
        verify_file(pulled, Checks(checks.trust, min_version=Version.parse("1.0.1")), cache)
    keys.generate(tmp_path / "other")
    with pytest.raises(NotTrusted, match=r"is signed by ed25519:.*, trusted: ed25519:"):
        verify_file(pulled, Checks((tmp_path / "other.pub",)), cache)
    pulled.write_bytes(pulled.read_bytes()[:-1])
    with pytest.raises(NotTrusted, match=r"out\.sqz: (replaced: [\d,]+ bytes with sha256|no manifest of these bytes)"):
        verify_file(pulled, checks, cache)
    with pytest.raises(InputError, match=r"none\.sqz: cannot be read: No such file"):
        verify_file(tmp_path / "none.sqz", checks, cache)


def test_a_signature_beside_it_that_was_changed(tmp_path, key, checks):
    source = f"dir:{tmp_path}/releases/deep:1.0.0"
    put(net_file(tmp_path), source, key=key)
    path = tmp_path / "out.sqz"
    pull(parse(source), path, Checks(), Access(tmp_path / "cache"), with_manifest=True)
    manifest, signature = tmp_path / "out.sqz.manifest.json", tmp_path / "out.sqz.signature.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"1.0.0", b"9.0.0"))
    with pytest.raises(NotTrusted, match=r"out\.sqz\.manifest\.json: its signature by .* is not of this manifest"):
        verify_file(path, checks, tmp_path / "cache")
    signature.unlink()
    with pytest.raises(NotTrusted, match=r"out\.sqz\.manifest\.json: is not signed"):
        verify_file(path, checks, tmp_path / "cache")


def test_a_signature_of_an_earlier_pull_does_not_stay(tmp_path, key):
    put(net_file(tmp_path), f"dir:{tmp_path}/releases/deep:1.0.0", key=key)
    put(net_file(tmp_path, 1), f"dir:{tmp_path}/releases/deep:1.0.1")
    for version, is_signed in (("1.0.0", True), ("1.0.1", False)):
        reference = parse(f"dir:{tmp_path}/releases/deep:{version}")
        pull(reference, tmp_path / "out.sqz", Checks(), Access(tmp_path / "cache"), with_manifest=True)
        assert (tmp_path / "out.sqz.signature.json").exists() == is_signed


def test_the_name(pulled, checks, tmp_path):
    """One key may sign several nets: a version alone is of any of them."""
    newer = Checks(checks.trust, min_version=Version.parse("1.0.0"))
    assert verify_file(pulled, newer, tmp_path / "cache", "deep").manifest.name == "deep"
    with pytest.raises(NotTrusted, match=r"out\.sqz: is deep:1\.0\.0, must be 'small' \(--name\)"):
        verify_file(pulled, newer, tmp_path / "cache", "small")


def test_a_manifest_beside_it_that_another_file_left(tmp_path, key, checks):
    """The cache has the right one; where it has not, what is beside the file is what is wrong."""
    for seed, version in enumerate(("1.0.0", "1.0.1")):
        put(net_file(tmp_path, seed), f"dir:{tmp_path}/releases/deep:{version}", key=key)
    path, access = tmp_path / "out.sqz", Access(tmp_path / "cache")
    pull(parse(f"dir:{tmp_path}/releases/deep:1.0.0"), path, Checks(), access, with_manifest=True)
    pull(parse(f"dir:{tmp_path}/releases/deep:1.0.1"), path, Checks(), access)
    assert verify_file(path, checks, access.cache).manifest.version == "1.0.1"
    with pytest.raises(NotTrusted, match=r"out\.sqz: replaced: .*out\.sqz\.manifest\.json says"):
        verify_file(path, checks, tmp_path / "other")
    (tmp_path / "out.sqz.manifest.json").write_bytes(b"{}")
    with pytest.raises(NotTrusted, match=r"its signature by .* is not of this manifest"):
        verify_file(path, checks, access.cache)


def test_a_file_that_nobody_published(tmp_path, checks):
    with pytest.raises(NotTrusted, match=r"no manifest of these bytes: none beside it \(net0\.sqz\.manifest\.json, from pull"):
        verify_file(net_file(tmp_path), checks, tmp_path / "cache")
