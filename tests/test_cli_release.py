import json
import stat
import subprocess
import sys

import gate_folder
import pytest
from click.testing import CliRunner
from release_parts import net_file
from test_cli import call, refused

from compress.cli import main
from compress.errors import PlaceUnreachable, ReleaseError

COMMANDS = ["publish", "pull", "ls", "verify", "keygen"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SQUEEZE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def net(tmp_path):
    return net_file(tmp_path)


@pytest.fixture
def key(tmp_path):
    call("keygen", "-o", "key")
    return tmp_path / "key"


def test_keygen(tmp_path):
    text = call("keygen", "-o", "key").stdout
    assert text.startswith("ed25519:") and "key signs (publish --sign); keep it" in text
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    secret = (tmp_path / "key").read_text().splitlines()[1]
    assert secret not in text
    assert refused("keygen", "-o", "key") == "error: key.pub: exists; a key is never overwritten\n"
    facts = json.loads(call("keygen", "-o", "other", "--json").stdout)
    assert facts == {"private": "other", "public": "other.pub", "key": facts["key"]} and facts["key"] not in text


def test_publish_ls_pull_verify(net, key, tmp_path):
    result = call("publish", net, "releases/deep:1.0.0", "--sign", key)
    size = f"{net.stat().st_size:,} bytes, sha256 "
    assert result.stdout.startswith(f"dir:releases/deep:1.0.0: published: {size}")
    assert "note: not judged: no --limits, and no limits.yaml beside the file; it was decoded and its checksums" in result.stderr
    again = call("publish", net, "releases/deep:1.0.0").stdout
    assert "was published already, with these bytes; nothing is changed" in again
    text = call("ls", "releases/deep").stdout
    assert "1.0.0" in text and "ed25519:" in text and f"{net.stat().st_size:,}" in text

    result = call("pull", "releases/deep", "--trust", "key.pub")
    assert (
        result.stdout.startswith(f"deep-1.0.0.sqz: dir:releases/deep:1.0.0, {size}") and ", signed by ed25519:" in result.stdout
    )
    assert (tmp_path / "deep-1.0.0.sqz").read_bytes() == net.read_bytes()
    assert "signature not checked (no --trust)" in call("pull", "releases/deep", "-o", "out.sqz", "--with-manifest").stdout
    for what in ("deep-1.0.0.sqz", "out.sqz", "releases/deep", "dir:releases/deep:1.0.0"):
        assert f"{what}: ok: deep:1.0.0, {size}" in call("verify", what, "--trust", "key.pub").stdout


def test_json(net, key):
    facts = json.loads(call("publish", net, "releases/deep:1.0.0", "--sign", key, "--json").stdout)
    assert facts["new"] and facts["reference"] == "dir:releases/deep:1.0.0" and facts["findings"] == []
    manifest = facts["manifest"]
    [listed] = json.loads(call("ls", "releases/deep", "--json").stdout)
    assert listed == {"version": "1.0.0", "signed_by": listed["signed_by"], "error": "", "manifest": manifest}
    pulled = json.loads(call("pull", "releases/deep", "--trust", "key.pub", "--json").stdout)
    assert pulled["manifest"] == manifest and pulled["fetched_bytes"] == manifest["file"]["size_bytes"]
    verified = json.loads(call("verify", "deep-1.0.0.sqz", "--trust", "key.pub", "--json").stdout)
    assert verified == {"what": "deep-1.0.0.sqz", "ok": True, "signed_by": listed["signed_by"], "manifest": manifest}
    assert pulled["signed_by"] == listed["signed_by"]


def test_refusals(net, key, tmp_path):
    call("publish", net, "releases/deep:1.0.0")
    other = net_file(tmp_path, 1)
    message = refused("publish", other, "releases/deep:1.0.0")
    assert message.startswith("error: dir:releases/deep:1.0.0: is published with other bytes: sha256 ")
    message = refused("pull", "releases/deep", "--trust", "key.pub")
    assert message == "error: dir:releases/deep:1.0.0: is not signed, must be signed by a trusted key\n"
    assert "older than 2.0.0 (--min-version)" in refused("pull", "releases/deep", "--min-version", "2.0.0")
    assert "'2' is not a version" in refused("pull", "releases/deep", "--min-version", "2")
    assert "'releases/deep' has no version" in refused("publish", net, "releases/deep")
    assert "none.sqz: cannot be read: No such file" in refused("verify", "none.sqz", "--trust", "key.pub")
    assert "Missing option '--trust'" in refused("verify", net)
    assert not list(tmp_path.glob("deep*"))


def test_the_gate_decides(tmp_path):
    folder = gate_folder.published(tmp_path / "project")
    file = folder.artifacts / "net.sqz"
    result = call("publish", file, "releases/net:1.0.0", "--limits", folder.limits)
    assert "max_bytes: pass: " in result.stdout and "not judged" not in result.stderr
    folder.limit(net={"max_bytes": 100})
    for options in ([], ["--limits", folder.limits]):
        result = call("publish", file, "releases/net:1.0.1", *options, code=1)
        assert "net.sqz: not published: 1 failed: max_bytes: " in result.stderr
    other = folder.publish("other.sqz")
    assert "or --allow-new other.sqz" in refused("publish", other, "releases/other:1.0.0")
    assert "admitted by --allow-new" in call("publish", other, "releases/other:1.0.0", "--allow-new").stdout
    assert [each["version"] for each in json.loads(call("ls", "releases/net", "--json").stdout)] == ["1.0.0"]


def test_a_damaged_version_is_listed_and_refused(net, tmp_path):
    call("publish", net, "releases/deep:1.0.0")
    (tmp_path / "releases/deep/versions/1.1.0.json").write_bytes(b"{")
    result = call("ls", "releases/deep", code=2)
    assert "REFUSED: dir:releases/deep:1.1.0: not a manifest" in result.stdout and "1.0.0" in result.stdout
    assert result.stderr == "error: 1 of 2 versions refused\n"


def test_offline(net, tmp_path):
    call("publish", net, "releases/deep:1.0.0")
    call("pull", "releases/deep:1.0.0")
    (tmp_path / "releases").rename(tmp_path / "away")
    result = call("pull", "releases/deep:1.0.0")
    assert result.stderr.startswith("note: dir:releases/deep: releases is no folder, or not there; taken from the cache")
    assert call("pull", "releases/deep", "--offline").stderr == ""


def test_values_that_their_option_refuses(net, key):
    for seconds in ("nan", "inf", "-inf", "1e300", "0", "-1", "86401", "soon"):
        assert "Invalid value for '--timeout'" in refused("ls", "releases/deep", "--timeout", seconds)
    for command in (["pull", "releases/deep", "-o", ""], ["keygen", "-o", ""]):
        assert "Invalid value for '-o' / '--output': the name of the file is empty" in refused(*command)
    message = "Invalid value for '--min-version': for a file it needs --name"
    assert message in refused("verify", net, "--trust", "key.pub", "--min-version", "1.0.0")
    message = "Invalid value for '--name': releases/deep is not a file"
    assert message in refused("verify", "releases/deep", "--trust", "key.pub", "--name", "deep")


def test_verify_a_file_by_its_name(net, key):
    call("publish", net, "releases/deep:1.0.0", "--sign", key)
    call("pull", "releases/deep", "-o", "out.sqz")
    verify = ["verify", "out.sqz", "--trust", "key.pub", "--min-version", "1.0.0", "--name"]
    assert "out.sqz: ok: deep:1.0.0" in call(*verify, "deep").stdout
    assert "is deep:1.0.0, must be 'other' (--name)" in refused(*verify, "other")


def test_a_release_that_is_called_as_a_file(net, key):
    call("publish", net, "releases/deep.sqz:1.0.0", "--sign", key)
    assert "releases/deep.sqz: ok: deep.sqz:1.0.0" in call("verify", "releases/deep.sqz", "--trust", "key.pub").stdout


ESCAPE = "\x1b]0;title\x07\u202e"


def test_no_control_character_reaches_the_terminal(net, tmp_path, monkeypatch):
    """Whatever a place says of itself: in errors, in notes, in the list."""
    from compress.release.places.directory import Directory

    def fail(*_):
        raise PlaceUnreachable(f"says {ESCAPE}\nand more")

    call("publish", net, "releases/deep:1.0.0")
    call("pull", "releases/deep:1.0.0")
    shown = "says \\x1b]0;title\\x07\\u202e\nand more"
    monkeypatch.setattr(Directory, "read", fail)
    assert call("pull", "releases/deep:1.0.0").stderr == f"note: {shown}; taken from the cache\n"
    assert refused("ls", "releases/deep") == f"error: {shown}\n"
    traced = CliRunner().invoke(main, ["--debug", "ls", "releases/deep"]).stderr
    assert "Traceback" in traced and "\x1b" not in traced and "\u202e" not in traced

    def odd(*_):
        raise ReleaseError(ESCAPE)

    monkeypatch.setattr(Directory, "read", odd)
    assert "REFUSED: \\x1b]0;title\\x07\\u202e" in call("ls", "releases/deep", code=2).stdout


def test_an_interrupt_says_nothing_of_stages(net, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("compress.release.publish.publish", interrupted)
    monkeypatch.setattr("compress.release.pull.obtain", interrupted)
    for command in (["publish", net, "releases/deep:1.0.0"], ["pull", "releases/deep"]):
        assert call(*command, code=130).stderr == "interrupted\n"
    assert "interrupted; run and train keep finished stages" in call("--help").stdout


BAD_REFERENCES = [
    ("~nobody-of-this-name/r/deep", "is the home folder of nobody"),
    ("oci:a..b/deep", "must be HOST or HOST:PORT"),
    ("oci:\udcff/deep", "must be HOST or HOST:PORT"),
    ("oci:localhost:1/A B/deep", "the repository is 'A B/deep'"),
]


@pytest.mark.parametrize(("source", "message"), BAD_REFERENCES)
def test_a_bad_reference_is_no_internal_error(source, message):
    assert message in refused("pull", source) and "internal error" not in refused("ls", source)


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    assert call(command, "--help").stdout.startswith(f"Usage: main {command}")


WITHOUT = """
import json, sys
for name in ("cryptography", "requests", "fsspec", "torch"):
    sys.modules[name] = None
from click.testing import CliRunner
from compress.cli import main
results = [CliRunner().invoke(main, arguments) for arguments in json.loads(sys.argv[1])]
print(json.dumps([(result.exit_code, result.stderr) for result in results]))
"""


def test_a_folder_needs_no_extra(net):
    """And what needs one says how to get it."""
    works = [["publish", str(net), "releases/deep:1.0.0"], ["pull", "releases/deep"], ["ls", "releases/deep"]]
    needs = [
        ["keygen", "-o", "key"],
        ["pull", "releases/deep", "--trust", "key.pub"],
        ["ls", "oci:localhost:1/deep"],
        ["ls", "s3:b/deep"],
    ]
    done = subprocess.run([sys.executable, "-c", WITHOUT, json.dumps(works + needs)], capture_output=True, text=True, check=True)
    results = json.loads(done.stdout)
    assert [code for code, _ in results] == [0] * len(works) + [2] * len(needs)
    assert all("pip install 'squeeze-compress[release]'" in message for _, message in results[len(works) :])
