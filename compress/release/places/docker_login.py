"""User and password of an OCI registry, from where `docker login` (podman, oras and others too) keeps them."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from compress.errors import InputError

HELPER_TIMEOUT_S = 30
_CREDENTIAL = re.compile(r"[A-Za-z0-9+/=._~-]+")  # what an Authorization header can hold after its kind
_DOCKER_HUB = "https://index.docker.io/v1/"  # the name that docker keeps its own registry's login under


def config_path() -> Path:
    folder = os.environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path.home() / ".docker") / "config.json"


def is_credential(text: str) -> bool:
    """Whether a token, or a login in base64, can be sent."""
    return _CREDENTIAL.fullmatch(text) is not None


def basic_credentials(host: str) -> str | None:
    """What HTTP's basic authentication sends: base64 of USER:PASSWORD. None where nobody logged in to that host.

    Raises InputError for a configuration that cannot be read, and where a credential helper fails.
    """
    path = config_path()
    try:
        config = json.loads(path.read_bytes())
        if not isinstance(config, dict):
            raise ValueError("not a JSON object")
        names = [host, _DOCKER_HUB] if host in ("docker.io", "registry-1.docker.io") else [host]
        for name in names:
            if found := _credentials(config, name):
                return found
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, AttributeError, TypeError, RecursionError):  # not echoed: the file holds passwords
        raise InputError(f"{path}: not a configuration of docker") from None
    return None


def _credentials(config: dict[str, Any], host: str) -> str | None:
    auth = config.get("auths", {}).get(host, {}).get("auth")
    if isinstance(auth, str) and auth:
        if not is_credential(auth):
            raise InputError(f"{config_path()}: the login of {host} is not base64")
        return auth
    helper = config.get("credHelpers", {}).get(host) or config.get("credsStore")
    return _ask_helper(helper, host) if helper else None


def _ask_helper(helper: str, host: str) -> str | None:
    """None where the helper knows no such host, which it says by its exit code."""
    program = f"docker-credential-{helper}"
    if not helper.replace("-", "").isalnum():
        raise InputError(f"{config_path()}: {helper!r} is not the name of a credential helper")
    try:
        answer = subprocess.run([program, "get"], input=host.encode(), capture_output=True, timeout=HELPER_TIMEOUT_S, check=False)
    except FileNotFoundError as error:
        raise InputError(f"{config_path()}: the credential helper {program} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{program}: no answer within {HELPER_TIMEOUT_S} s") from error
    if answer.returncode:
        return None
    try:  # not echoed, and without its cause: both may hold the password
        login = json.loads(answer.stdout)
        user, secret = login["Username"], login["Secret"]
        encoded = base64.b64encode(f"{user}:{secret}".encode()).decode()
    except (ValueError, LookupError, TypeError, RecursionError):
        raise InputError(f"{program}: does not answer with a Username and a Secret for {host}") from None
    if user == "<token>":
        raise InputError(f"{program}: gives an identity token for {host}, must give a user and a password")
    return encoded
