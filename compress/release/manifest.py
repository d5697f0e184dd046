"""What a release says of its file: a small JSON object in one spelling only, which is what is signed (docs/RELEASE.md).

Canonical as the container's metadata is: UTF-8, sorted keys, no spaces, no key twice. At most 1,000,000 bytes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError, field_validator

from compress.artifact.metadata import canonical, check_depth
from compress.artifact.reader import Artifact
from compress.errors import InputError, NotTrusted, ReleaseError
from compress.ledger.ledger import Row
from compress.release.reference import NAME_RULE, is_name
from compress.release.version import Version

if TYPE_CHECKING:
    from compress.release.reference import Reference

FORMAT = 1
MAX_BYTES = 1_000_000
MAX_FILE_BYTES = 1 << 32
_TIME = "%Y-%m-%dT%H:%M:%SZ"

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Cell = str | int | float | None


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class FileFacts(_Part):
    sha256: Sha256
    size_bytes: int = Field(gt=0, le=MAX_FILE_BYTES)


class RecipeFacts(_Part):
    name: str
    sha256: Sha256


class Manifest(_Part):
    """architecture, input, classes, recipe, parent_sha256: as the file's own metadata has them, None where it has not.

    ledger: the rows of the ledger that are about this file, by column; none where there was no ledger. tool: what published it.
    """

    format: int = Field(ge=FORMAT, le=FORMAT)  # a Literal would take true
    name: str
    version: str
    file: FileFacts
    architecture: dict[str, JsonValue] | None
    input: dict[str, JsonValue] | None
    classes: str | list[str] | None
    ledger: list[dict[str, Cell]]
    recipe: RecipeFacts | None
    parent_sha256: Sha256 | None
    tool: str
    time: str

    @field_validator("name")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not is_name(value):
            raise ValueError(NAME_RULE)
        return value

    @field_validator("version")
    @classmethod
    def _is_version(cls, value: str) -> str:
        try:
            return Version.parse(value).text
        except InputError as error:
            raise ValueError(str(error)) from error

    @field_validator("time")
    @classmethod
    def _is_utc(cls, value: str) -> str:
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value, re.ASCII):
            raise ValueError("must be UTC, like 2026-01-31T12:00:00Z")
        datetime.strptime(value, _TIME)  # raises ValueError for the 31st of February
        return value

    def to_bytes(self) -> bytes:
        return canonical(self.model_dump())


def of(artifact: Artifact, *, name: str, version: Version, rows: Sequence[Row], tool: str) -> Manifest:
    """The manifest of a file that was decoded and checked. rows: of the ledger, about this file. tool: name and version of
    what publishes it.

    Raises InputError where the file's metadata are not what a manifest can hold, or SOURCE_DATE_EPOCH is no time.
    """
    about = artifact.metadata
    facts = {
        "format": FORMAT,
        "name": name,
        "version": version.text,
        "file": {"sha256": artifact.sha256, "size_bytes": artifact.size_bytes},
        **{key: about.get(key) for key in ("architecture", "input", "classes", "recipe", "parent_sha256")},
        "ledger": [asdict(row) for row in rows],
        "tool": tool,
        "time": _now(),
    }
    try:
        manifest = Manifest.model_validate(facts)
        data = manifest.to_bytes()
    except (ValidationError, ValueError) as error:
        raise InputError(f"{name}: no manifest can be made of the file's metadata: {_reason(error)}") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{name}: its manifest takes {len(data):,} bytes, at most {MAX_BYTES:,} are allowed")
    return manifest


def parse(data: bytes, *, where: object) -> Manifest:
    """where: for messages. Raises ReleaseError for anything but the canonical bytes of a manifest."""
    if len(data) > MAX_BYTES:
        raise ReleaseError(f"{where}: its manifest takes over {MAX_BYTES:,} bytes")
    try:
        value: Any = json.loads(data.decode("utf-8"))
        check_depth(value)
        if canonical(value) != data:
            raise ValueError("not in canonical form (sorted keys, none twice, no spaces)")
        if isinstance(value, dict) and isinstance(value.get("format"), int) and value["format"] > FORMAT:
            raise ValueError(f"format {value['format']}, this version reads {FORMAT}")
        return Manifest.model_validate(value)
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"{where}: not a manifest: {_reason(error)}") from error


def parse_of(data: bytes, reference: Reference) -> Manifest:
    """As parse. Raises NotTrusted for a manifest of another name or version than the reference's."""
    manifest = parse(data, where=reference)
    if (manifest.name, manifest.version) != (reference.name, str(reference.version)):
        raise NotTrusted(f"{reference}: replaced: its manifest is of {manifest.name}:{manifest.version}")
    return manifest


def sha256_of(data: bytes) -> str | None:
    """The digest of the file that a manifest says it is of, which nothing vouches for; None of what is no manifest."""
    try:
        return parse(data, where="").file.sha256
    except ReleaseError:
        return None


def _reason(error: Exception) -> str:
    """Of pydantic's errors the first, by its field, which is quoted: an unknown one is whatever the manifest calls it."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"{repr(field) if field else 'the whole'}: {first['msg']}"


def _now() -> str:
    """SOURCE_DATE_EPOCH where it is set, so that the same release gives the same bytes."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        return datetime.now(UTC).strftime(_TIME)
    try:
        return datetime.fromtimestamp(int(epoch), UTC).strftime(_TIME)
    except (ValueError, OverflowError, OSError) as error:
        raise InputError(f"SOURCE_DATE_EPOCH is {epoch!r}, must be seconds since 1970") from error
