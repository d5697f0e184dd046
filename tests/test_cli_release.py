import json
import stat
import subprocess
import sys

import gate_folder
import pytest
from release_parts import net_file
from test_cli import call, refused

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
    assert "note: not judged: no --limits; the file was decoded and its checksums hold\n" in result.stderr
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
    result = call("publish", file, "releases/net:1.0.1", "--limits", folder.limits, code=1)
    assert "net.sqz: not published: 1 failed: max_bytes: " in result.stderr
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
