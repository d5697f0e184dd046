from pathlib import Path

import gate_folder
import pytest
from release_parts import net_file, put

from compress.errors import CorruptArtifact, GateFailed, InputError, NotTrusted, ReleaseError
from compress.release import keys
from compress.release.places.directory import Directory
from compress.release.publish import NO_LIMITS, NO_ROWS, Judging, publish
from compress.release.reference import parse
from compress.release.version import Version

ONE = Version.parse("1.0.0")


@pytest.fixture
def net(tmp_path):
    return net_file(tmp_path)


@pytest.fixture
def target(tmp_path):
    return f"dir:{tmp_path}/releases/deep:1.0.0"


@pytest.fixture
def key(tmp_path):
    keys.generate(tmp_path / "key")
    return tmp_path / "key"


@pytest.fixture
def folder(tmp_path):
    return gate_folder.published(tmp_path / "project")


def judged(file, target, **judging):
    return publish(file, parse(target), Judging(**judging), tool=gate_folder.ENCODER)


def nothing_there(target):
    reference = parse(target)
    return not Path(reference.place).exists() or Directory(reference).read(ONE) is None


def test_publishing_twice_changes_nothing(net, target, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    first = put(net, target)
    assert first.is_new and first.notes == (NO_LIMITS, NO_ROWS) and first.manifest.time == "1970-01-01T00:00:01Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "2")
    again = put(net, target)
    assert not again.is_new and again.stored == first.stored and again.notes == first.notes


def test_other_bytes_are_refused(net, target, tmp_path):
    first = put(net, target)
    with pytest.raises(ReleaseError, match=r"deep:1\.0\.0: is published with other bytes: sha256 .*a version never changes"):
        put(net_file(tmp_path, seed=1), target)
    assert Directory(parse(target)).read(ONE) == first.stored
    assert put(net_file(tmp_path, seed=1), target.replace("1.0.0", "1.0.1")).is_new


def test_the_same_file_is_the_same_release(net, target, tmp_path, monkeypatch):
    """With SOURCE_DATE_EPOCH, byte for byte."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert put(net, target).stored.manifest == put(net, f"dir:{tmp_path}/elsewhere/deep:1.0.0").stored.manifest


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[:-40] + b"\0" + data[-39:]])
def test_a_file_that_does_not_decode_is_not_published(net, target, damage):
    net.write_bytes(damage(net.read_bytes()))
    with pytest.raises(CorruptArtifact, match=str(net)):
        put(net, target)
    assert nothing_there(target)


def test_signed(net, target, key):
    found = put(net, target, key=key)
    assert found.stored.signature is not None and not put(net, target, key=key).is_new


def test_what_is_published_is_not_signed_later(net, target, key, tmp_path):
    put(net, target)
    with pytest.raises(ReleaseError, match="is published, not signed; a version never changes"):
        put(net, target, key=key)
    other = tmp_path / "other"
    keys.generate(other)
    put(net, target.replace("1.0.0", "1.0.1"), key=other)
    with pytest.raises(ReleaseError, match="is published, signed by ed25519:"):
        put(net, target.replace("1.0.0", "1.0.1"), key=key)


def test_an_unreadable_key_is_refused_before_anything_is_published(net, target, tmp_path):
    with pytest.raises(InputError, match="none: cannot be read"):
        put(net, target, key=tmp_path / "none")
    assert nothing_there(target)


def test_a_damaged_release_is_not_said_to_be_there(net, target, tmp_path, key):
    found = put(net, target, key=key)
    [blob] = (tmp_path / "releases/deep/blobs/sha256").iterdir()
    data = blob.read_bytes()
    for bad in (data[:-1], data + b"x", bytes(len(data))):
        blob.write_bytes(bad)
        with pytest.raises(ReleaseError, match="is published, and its file there is damaged"):
            put(net, target)
    blob.write_bytes(data)
    [manifest] = (tmp_path / "releases/deep/versions").iterdir()
    manifest.write_bytes(found.stored.manifest[:-1])
    with pytest.raises(ReleaseError, match="not a manifest"):
        put(net, target)
    manifest.write_bytes(found.stored.manifest.replace(b"tests 1.0", b"tests 1.1"))
    with pytest.raises(ReleaseError, match="is published, not signed"):
        put(net, target, key=key)
    assert NotTrusted.exit_code == ReleaseError.exit_code == 2


def test_the_gate_judges_first(folder, target):
    file = folder.artifacts / "net.sqz"
    found = judged(file, target, limits=folder.limits)
    assert found.notes == () and {each.rule for each in found.findings} >= {"decodes", "ledger", "max_bytes", "min_top1"}
    [row] = found.manifest.ledger
    assert row["run_id"] == "net-0123abcd" and row["artifact_sha256"] == found.manifest.file.sha256 and row["top1"] == 0.9


def test_what_the_gate_fails_is_not_published(folder, target):
    file = folder.artifacts / "net.sqz"
    folder.limit(net={"max_bytes": 100})
    with pytest.raises(GateFailed, match=r"net\.sqz: not published: 1 failed: max_bytes: .*limit 100: .* over") as caught:
        judged(file, target, limits=folder.limits)
    assert caught.value.exit_code == 1 and nothing_there(target)


def test_what_the_gate_cannot_judge_is_not_published(folder, target, tmp_path):
    file = folder.artifacts / "net.sqz"
    folder.limit(net={"max_growth": "1%"})
    for judging, message in (
        ({}, "max_growth: "),
        ({"limits": folder.limits}, "max_growth: "),
        ({"limits": tmp_path / "none.yaml"}, "limits: .*none.yaml"),
        ({"limits": folder.limits, "ledger": tmp_path / "none.csv"}, "ledger: .*none.csv"),
        ({"limits": folder.limits, "against": "no-such-ref"}, "baseline: "),
    ):
        with pytest.raises(InputError, match=f"not published: .*{message}"):
            judged(file, target, **judging)
    folder.limits.unlink()
    for judging, option in (({"against": "HEAD"}, "--against"), ({"allow_new": True}, "--allow-new")):
        with pytest.raises(InputError, match=rf"{option} needs --limits, or limits\.yaml beside .*net\.sqz"):
            judged(file, target, **judging)
    folder.limits.symlink_to("none.yaml")
    with pytest.raises(InputError, match=r"not published: .*limits: "):
        judged(file, target)
    assert nothing_there(target)


def test_limits_beside_the_file_are_used(folder, target):
    file = folder.artifacts / "net.sqz"
    assert {each.rule for each in judged(file, target).findings} >= {"max_bytes", "min_top1"}
    folder.limit(net={"max_bytes": 100})
    with pytest.raises(GateFailed, match="max_bytes: "):
        judged(file, target.replace("1.0.0", "1.0.1"))


def test_a_new_file_is_admitted_by_name(folder, target):
    """As the gate says: it names the option."""
    other = folder.publish("other.sqz")
    with pytest.raises(InputError, match=r"does not name it: name it there, or --allow-new other\.sqz"):
        judged(other, target)
    found = judged(other, target, allow_new=True)
    assert found.is_new and "admitted by --allow-new" in "".join(each.message for each in found.findings)


def test_rows_of_the_ledger(folder, target, net):
    file = folder.artifacts / "net.sqz"
    folder.limits.unlink()
    folder.add_row("net.sqz", stage="report val2", test_set="val2: 10 images of 2 classes, with labels")
    found = judged(file, target)
    assert [row["stage"] for row in found.manifest.ledger] == ["encode", "report val2"] and found.notes == (NO_LIMITS,)
    with pytest.raises(InputError, match=r"ledger\.csv: has no row of .*net0\.sqz"):
        judged(net, target.replace("1.0.0", "1.0.1"), ledger=folder.ledger)
    folder.change_rows("net.sqz", top1=0.1)
    assert "what is published says otherwise of: ledger; a version never changes" in judged(file, target).notes


def test_what_else_is_gone_does_not_keep_a_file_from_being_published(folder, target):
    """That is for the check of all artifacts to judge."""
    previous = folder.artifacts / "old.csv"
    text = (folder.artifacts / "ledger.csv").read_text()
    rows = text.splitlines(keepends=True)[1:]
    previous.write_text(text + "".join(rows).replace("net-", "gone-"))
    found = judged(folder.artifacts / "net.sqz", target, limits=folder.limits, against=str(previous))
    assert found.is_new and all(each.verdict in ("pass", "note") for each in found.findings)
