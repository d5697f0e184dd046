import json

import pytest
import tiny_net

from compress.artifact.reader import read
from compress.errors import InputError, NotTrusted, ReleaseError
from compress.release import manifest as manifests
from compress.release.reference import parse
from compress.release.version import Version

VERSION = Version.parse("1.0.0")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    recipe = {"name": "deep", "sha256": "ab" * 32}
    return read(tiny_net.write(tmp_path_factory.mktemp("file") / "net.sqz", recipe=recipe, parent_sha256="cd" * 32))


@pytest.fixture
def facts(artifact, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    return made(artifact).model_dump()


def made(artifact, **changes):
    return manifests.of(artifact, **({"name": "deep", "version": VERSION, "rows": [], "tool": "tests 1"} | changes))


def text(facts):
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def refused(data):
    with pytest.raises(ReleaseError) as caught:
        manifests.parse(data, where="dir:x/deep:1.0.0")
    assert str(caught.value).startswith("dir:x/deep:1.0.0: ")
    return str(caught.value)


def test_round_trip(artifact):
    found = made(artifact)
    assert manifests.parse(found.to_bytes(), where="") == found


def test_known_bytes(facts):
    facts |= {"architecture": None, "input": None, "classes": ["ä"], "recipe": None, "parent_sha256": None}
    facts["file"] = {"sha256": "00" * 32, "size_bytes": 5}
    expected = (
        '{"architecture":null,"classes":["ä"],"file":{"sha256":"' + "00" * 32 + '","size_bytes":5},"format":1,"input":null,'
        '"ledger":[],"name":"deep","parent_sha256":null,"recipe":null,"time":"2023-11-14T22:13:20Z","tool":"tests 1",'
        '"version":"1.0.0"}'
    )
    assert text(facts) == expected.encode()
    assert manifests.parse(expected.encode(), where="").to_bytes() == expected.encode()


def test_it_says_what_the_file_says(artifact, facts):
    assert facts["file"] == {"sha256": artifact.sha256, "size_bytes": artifact.size_bytes}
    for key in ("architecture", "input", "classes", "recipe", "parent_sha256"):
        assert facts[key] == artifact.metadata[key]


def test_a_file_that_says_nothing_of_itself(tmp_path):
    bare = dict.fromkeys(("architecture", "classes", "encoder", "input"))
    facts = made(read(tiny_net.write(tmp_path / "net.sqz", **bare))).model_dump()
    assert [facts[key] for key in ("architecture", "input", "classes", "recipe", "parent_sha256")] == [None] * 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"more": 1}, "'more': Extra inputs are not permitted"),
        ({"format": 2}, "format 2, this version reads 1"),
        ({"format": True}, "'format': Input should be a valid integer"),
        ({"\x1b[2Jmore": 1}, "'\\x1b[2Jmore': Extra inputs are not permitted"),
        ({"name": "\x1b[2J"}, "'name': Value error, must be small letters and digits"),
        ({"name": "a" * 101}, "'name': Value error, must be small letters and digits"),
        ({"version": "1.0"}, "'version': Value error, '1.0' is not a version"),
        ({"time": "2023-11-14 22:13:20"}, "'time': Value error, must be UTC"),
        ({"time": "2023-02-31T00:00:00Z"}, "'time': Value error"),
        ({"file": {"sha256": "AB" * 32, "size_bytes": 5}}, "'file.sha256': String should match"),
        ({"file": {"sha256": "ab" * 32, "size_bytes": 0}}, "'file.size_bytes': Input should be greater than 0"),
        ({"file": {"sha256": "ab" * 32, "size_bytes": "5"}}, "'file.size_bytes': Input should be a valid integer"),
        ({"file": {"sha256": "ab" * 32, "size_bytes": 1 << 40}}, "'file.size_bytes': Input should be less than"),
        ({"ledger": {}}, "'ledger': Input should be a valid list"),
        ({"parent_sha256": "x"}, "'parent_sha256': "),
    ],
)
def test_a_wrong_field_is_refused_by_name(facts, change, message):
    assert message in refused(text(facts | change))


def test_a_missing_field_is_refused_by_name(facts):
    for name in facts:
        assert f"'{name}': Field required" in refused(text({key: facts[key] for key in facts if key != name}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data + b"\n", "not in canonical form"),
        (lambda data: data.replace(b'"format":1', b'"format":1,"format":1'), "not in canonical form"),
        (lambda data: data[:-1], "not a manifest"),
        (lambda data: b"", "not a manifest"),
        (lambda data: b"[]", "not a manifest"),
        (lambda data: b"\xff", "not a manifest"),
        (lambda data: b"[" * 100_000, "not a manifest"),
        (lambda data: data.replace(b'"format":1', b'"format":NaN'), "not a manifest"),
        (lambda data: b" " * 1_000_001, "over 1,000,000 bytes"),
    ],
)
def test_other_bytes_are_refused(facts, damage, message):
    assert message in refused(damage(text(facts)))


def test_of_another_name_or_version(facts):
    data = text(facts)
    assert manifests.parse_of(data, parse("x/deep:1.0.0")).name == "deep"
    for other in ("x/deeper:1.0.0", "x/deep:1.0.0-rc.1"):
        with pytest.raises(NotTrusted, match=r"replaced: its manifest is of deep:1\.0\.0"):
            manifests.parse_of(data, parse(other))


def test_the_digest_alone(facts):
    assert manifests.sha256_of(text(facts)) == facts["file"]["sha256"] and manifests.sha256_of(b"{}") is None


def test_every_truncation_is_refused(facts):
    data = text(facts)
    for n in range(0, len(data), 7):
        refused(data[:n])


@pytest.mark.parametrize("epoch", ["soon", "1.5", "99999999999999999999"])
def test_an_epoch_that_is_no_time(artifact, monkeypatch, epoch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(InputError, match=r"SOURCE_DATE_EPOCH is .*, must be seconds since 1970"):
        made(artifact)


def test_metadata_that_no_manifest_holds(tmp_path):
    odd = read(tiny_net.write(tmp_path / "net.sqz", parent_sha256="none"))
    with pytest.raises(InputError, match="no manifest can be made of the file's metadata: 'parent_sha256': "):
        made(odd)
