"""Metadata: a small JSON object in one spelling only, so that the same facts are the same bytes on every machine.

Canonical: UTF-8, keys sorted by code point, no space, no key twice, no NaN or infinity, strings escaped only where JSON
must, numbers as Python's repr writes them, at most 65,536 bytes and 16 levels deep.
What the keys mean is not the container's business: architecture, classes, input convention, digests (docs/FORMAT.md).
"""

from __future__ import annotations

import json
from typing import Any

from compress.artifact.layout import MAX_METADATA_SIZE
from compress.errors import CorruptArtifact, InputError

MAX_DEPTH = 16


def pack(metadata: dict[str, Any]) -> bytes:
    try:
        text = canonical(metadata)
        # what a reader gets back must be what was given: no tuple, no integer key
        if json.loads(text) != metadata or not isinstance(metadata, dict):
            raise ValueError("not a JSON object of strings, numbers, lists and objects")
        check_depth(metadata)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"metadata: {error}") from error
    if len(text) > MAX_METADATA_SIZE:
        raise InputError(f"metadata takes {len(text):,} bytes, at most {MAX_METADATA_SIZE:,} are allowed")
    return text


def parse(data: bytes) -> dict[str, Any]:
    try:
        metadata = json.loads(data.decode("utf-8"))
        check_depth(metadata)
        spelling = canonical(metadata)
    except (ValueError, RecursionError) as error:
        raise CorruptArtifact(f"metadata: {error}") from error
    if not isinstance(metadata, dict):
        raise CorruptArtifact(f"metadata: a JSON {type(metadata).__name__}, must be an object")
    if spelling != data:
        raise CorruptArtifact("metadata: not in canonical form (sorted keys, none twice, no spaces)")
    return metadata


def canonical(value: object) -> bytes:
    """The one spelling. Raises TypeError or ValueError for what JSON cannot hold."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def check_depth(value: object, depth: int = 1) -> None:
    """Raises ValueError for more than MAX_DEPTH levels."""
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            check_depth(item, depth + 1)
