import base64
import json
import sys

import pytest

from compress.errors import InputError
from compress.release.places.docker_login import basic_credentials, config_path

LOGIN = base64.b64encode(b"user:secret").decode()


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def write(**content):
        (tmp_path / "config.json").write_text(json.dumps(content))

    return write


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """A credential helper, as docker calls it: the host comes on stdin."""

    def write(*lines):
        path = tmp_path / "docker-credential-tests"
        path.write_text("#!/bin/sh\nread -r host\n" + "\n".join(lines) + "\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return write


posix = pytest.mark.skipif(sys.platform == "win32", reason="the helper is a shell script")


def test_where_it_is(monkeypatch, tmp_path):
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config_path() == tmp_path / ".docker/config.json"
    assert basic_credentials("host:5000") is None, "nobody has to have docker"


def test_a_login_of_the_file(config):
    config(auths={"host:5000": {"auth": LOGIN}, "empty": {}})
    assert basic_credentials("host:5000") == LOGIN
    assert basic_credentials("host") is None and basic_credentials("empty") is None


def test_docker_hub_has_a_name_of_its_own(config):
    config(auths={"https://index.docker.io/v1/": {"auth": LOGIN}})
    assert basic_credentials("docker.io") == LOGIN and basic_credentials("example.org") is None


@posix
@pytest.mark.parametrize("where", [{"credsStore": "tests"}, {"credHelpers": {"host": "tests"}}])
def test_a_credential_helper(config, helper, where):
    config(**where)
    helper('test "$1 $host" = "get host" || exit 1', 'echo \'{"Username": "user", "Secret": "secret"}\'')
    assert basic_credentials("host") == LOGIN
    assert basic_credentials("other") is None


@posix
def test_helpers_that_cannot_help(config, helper, monkeypatch):
    config(credsStore="tests")
    helper('echo \'{"Username": "<token>", "Secret": "secret"}\'')
    with pytest.raises(InputError, match="gives an identity token for host, must give a user and a password"):
        basic_credentials("host")
    for answer in ("secret", "{}", "[]", '{"Username": "secret"}', '{"Username": "\\ud800", "Secret": "secret"}'):
        helper(f"cat << 'END'\n{answer}\nEND")
        with pytest.raises(InputError, match="docker-credential-tests: does not answer with a Username and a Secret") as caught:
            basic_credentials("host")
        assert "secret" not in str(caught.value) and caught.value.__cause__ is None
    helper("exec sleep 5")
    monkeypatch.setattr("compress.release.places.docker_login.HELPER_TIMEOUT_S", 0.1)
    with pytest.raises(InputError, match=r"docker-credential-tests: no answer within 0\.1 s"):
        basic_credentials("host")
    config(credsStore="not-there")
    with pytest.raises(InputError, match="docker-credential-not-there is not installed"):
        basic_credentials("host")
    config(credsStore="../tests")
    with pytest.raises(InputError, match=r"'\.\./tests' is not the name of a credential helper"):
        basic_credentials("host")


@pytest.mark.parametrize("auth", ["se cret", "secret\r\nX: y", "secr\u00e9t", "{secret}"])
def test_a_login_that_no_header_can_hold(config, auth):
    config(auths={"host": {"auth": auth}})
    with pytest.raises(InputError, match=r"config\.json: the login of host is not base64") as caught:
        basic_credentials("host")
    assert "secr" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "secret", "[]", '{"auths": []}', '{"auths": {"host": "secret"}}', "\udc80", "[" * 100_000])
def test_a_damaged_configuration_is_named_and_not_echoed(tmp_path, monkeypatch, text):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=r"config\.json: not a configuration of docker") as caught:
        basic_credentials("host")
    assert "secret" not in str(caught.value)
