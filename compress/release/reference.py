"""SCHEME:PLACE/NAME:VERSION, what a release is called: `dir:releases/deep:1.0.0`, `oci:localhost:5000/nets/deep:1.0.0`,
`s3:bucket/nets/deep:1.0.0`. Without a scheme it is a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from compress.errors import InputError
from compress.release.version import Version

EXAMPLES = "dir:releases/deep:1.0.0, oci:localhost:5000/nets/deep:1.0.0 or s3:bucket/nets/deep:1.0.0"
FORM = f"SCHEME:PLACE/NAME:VERSION, for instance {EXAMPLES}"
DIRECTORY, OCI = "dir", "oci"
MAX_NAME_LENGTH = 100
NAME_RULE = f"must be small letters and digits, with single '.', '_' or '-' between them, at most {MAX_NAME_LENGTH} characters"
MAX_HOST_LENGTH, MAX_PORT = 255, 65_535
_SCHEME = re.compile(r"([a-z][a-z0-9+-]+):(.*)", re.ASCII | re.DOTALL)  # two letters or more: C:\ is a drive
# A component of an OCI repository's name, so that a release is called the same everywhere.
_NAME = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*", re.ASCII)
_HOST = re.compile(r"(?:[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?|\[[0-9a-f:.]+\])(?::(\d{1,5}))?", re.ASCII | re.IGNORECASE)
_LOOPBACK = re.compile(r"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?", re.ASCII)


@dataclass(frozen=True)
class Reference:
    """version: None where all of a name's releases are meant, or the newest."""

    scheme: str
    place: str
    name: str
    version: Version | None

    def __str__(self) -> str:
        return self.source if self.version is None else f"{self.source}:{self.version}"

    @property
    def source(self) -> str:
        """Without the version."""
        return f"{self.scheme}:{self.place.rstrip('/')}/{self.name}"

    @property
    def identity(self) -> str:
        """The source, with a folder's whole path: what is the same from wherever it is said."""
        if self.scheme != DIRECTORY:
            return self.source
        return replace(self, place=str(self.folder.absolute())).source

    @property
    def folder(self) -> Path:
        """Of a place that is one. Raises InputError for a ~ of nobody."""
        try:
            return Path(self.place).expanduser()
        except RuntimeError as error:
            raise InputError(f"{self}: {self.place.partition('/')[0]!r} is the home folder of nobody") from error

    @property
    def host(self) -> str:
        """Of an OCI registry, with its port."""
        return self.place.partition("/")[0]

    def at(self, version: Version) -> Reference:
        return replace(self, version=version)


def parse(text: str, *, needs_version: bool = False) -> Reference:
    """needs_version: as a target that is published to does. Raises InputError, saying what is allowed."""
    scheme, rest = _split_scheme(text)
    if scheme != DIRECTORY:
        rest = rest.removeprefix("//")
        if "@" in rest.partition("/")[0]:  # not echoed: it may hold a password
            raise InputError(f"{scheme}: a place must not hold a user or a password (an @ before the first /)")
    path, slash, last = rest.rpartition("/")
    name, colon, version = last.partition(":")
    place = path or ("/" if slash and scheme == DIRECTORY else "")
    if not place or "\0" in text:
        raise InputError(f"{text!r} names no place: it must be {FORM}")
    if not is_name(name):
        raise InputError(f"{text!r}: the name is {name!r}, {NAME_RULE}")
    if scheme == OCI and not is_host(place.partition("/")[0]):
        raise InputError(f"{text!r}: the registry is {place.partition('/')[0]!r}, must be HOST or HOST:PORT")
    if needs_version and not colon:
        raise InputError(f"{text!r} has no version: it must be {FORM}")
    return Reference(scheme, place, name, Version.parse(version) if colon else None)


def is_name(text: str) -> bool:
    return len(text) <= MAX_NAME_LENGTH and _NAME.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """Whether it is a host's name or address, with or without a port."""
    match = _HOST.fullmatch(text) if len(text) <= MAX_HOST_LENGTH else None
    return match is not None and (match[1] is None or 0 < int(match[1]) <= MAX_PORT)


def is_loopback(host: str) -> bool:
    """Whether a host, with or without a port, is this machine by its name."""
    return _LOOPBACK.fullmatch(host) is not None


def _split_scheme(text: str) -> tuple[str, str]:
    """A scheme's rest has a slash, so that in `./deep:1.0.0` and `releases/deep:1.0.0` there is none."""
    match = _SCHEME.fullmatch(text)
    if match is None or "/" not in match[2]:
        return DIRECTORY, text
    return match[1], match[2]
