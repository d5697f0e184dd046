"""Semantic versions (semver.org 2.0.0), by its own grammar, less build metadata: two versions that differ in that alone are
equally new, and a tag of an OCI registry cannot hold its `+`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from compress.errors import InputError

MAX_LENGTH = 95  # an OCI tag has at most 128 characters, and a claim adds 33 (places/oci_claims.py)
_NUMBER = r"(?:0|[1-9][0-9]*)"
_IDENTIFIER = rf"(?:{_NUMBER}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION = re.compile(rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?")


@dataclass(frozen=True, order=True)
class Version:
    """Ordered by precedence. identifiers: of a pre-release, numbers before words; none of a release, which is newer."""

    major: int
    minor: int
    patch: int
    is_release: bool
    identifiers: tuple[tuple[bool, int, str], ...]
    text: str = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> Version:
        """Raises InputError for what is no MAJOR.MINOR.PATCH or MAJOR.MINOR.PATCH-PRERELEASE."""
        match = _VERSION.fullmatch(text) if len(text) <= MAX_LENGTH else None
        if match is None:
            hint = "; build metadata (+...) is not taken" if "+" in text else ""
            raise InputError(f"{text[:120]!r} is not a version: it must be like 1.2.0 or 1.2.0-rc.1 (semver.org){hint}")
        major, minor, patch, prerelease = match.groups()
        parts = prerelease.split(".") if prerelease else []
        identifiers = tuple((False, int(part), "") if part.isdigit() else (True, 0, part) for part in parts)
        return cls(int(major), int(minor), int(patch), not identifiers, identifiers, text)

    def __str__(self) -> str:
        return self.text


def known(text: str) -> Version | None:
    """None for what is no version, such as another tool's tag."""
    try:
        return Version.parse(text)
    except InputError:
        return None
