"""A .sqz file into a place, under a version that never changes: judged, decoded, described, signed, and then shown at once."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from compress.artifact.reader import named, read_bytes, read_file
from compress.errors import InputError, ReleaseError
from compress.ledger import ledger
from compress.ledger.ledger import Row
from compress.release import manifest as manifests
from compress.release import signature as signatures
from compress.release.keys import key_name, read_private
from compress.release.manifest import Manifest
from compress.release.places.place import TIMEOUT_S, Place, Stored, Upload, open_place

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from compress.gate.findings import Finding
    from compress.release.reference import Reference

LIMITS = "limits.yaml"
NO_LIMITS = f"not judged: no --limits, and no {LIMITS} beside the file; it was decoded and its checksums hold"
NO_ROWS = "no row of a ledger in the manifest: accuracy is not stated"
# Of a manifest published before, what may be otherwise in a new one of the same file without being worth a word.
_INCIDENTAL = {"time", "tool"}


@dataclass(frozen=True)
class Judging:
    """What the gate needs. limits: its file; where None, limits.yaml beside the file, and where there is none nothing is judged.
    against: a ledger or a git reference. allow_new: the file may be in no limits, and not in the baseline.

    ledger: of the rows that go into the manifest, and that the gate judges by; where None, ledger.csv beside the limits, or
    beside the file if there is one.
    """

    limits: Path | None = None
    against: str | None = None
    ledger: Path | None = None
    allow_new: bool = False


@dataclass(frozen=True)
class Published:
    """is_new: False where these bytes were published as this version before; nothing was changed then. manifest, stored: as
    they are in the place. findings: of the gate. notes: what the user should be told."""

    reference: Reference
    manifest: Manifest
    stored: Stored
    is_new: bool
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


def publish(
    file: Path,
    target: Reference,
    judging: Judging,
    *,
    tool: str,
    key: Path | None = None,
    plain_http: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> Published:
    """key: the private one to sign with. tool: name and version of this tool, as encoders write them. The target has a version.

    Raises GateFailed, or InputError where the gate could not judge; ArtifactError for a file that is not whole; ReleaseError
    where the version is there with other bytes, or another signature.
    """
    assert target.version is not None
    private = read_private(key) if key is not None else None
    with named(file):
        data = read_file(file)
    artifact = read_bytes(data, name=str(file))
    judging = _with_limits(file, judging)
    findings = _judge(file, judging, tool)
    if file.read_bytes() != data:
        raise InputError(f"{file}: was changed while it was judged")
    rows = _rows(file, artifact.sha256, judging)
    manifest = manifests.of(artifact, name=target.name, version=target.version, rows=rows, tool=tool).to_bytes()
    signature = signatures.sign(manifest, private) if private is not None else None
    place = open_place(target, to_publish=True, plain_http=plain_http, timeout_s=timeout_s)
    before = place.read(target.version)
    is_new = before is None and place.create(target.version, Upload(data, artifact.sha256, manifest, signature))
    stored = before or place.read(target.version)
    if stored is None:
        raise ReleaseError(f"{target}: was put there, and is not found there")
    there = manifests.parse(stored.manifest, where=target)
    _refuse_other(target, there, stored, manifests.parse(manifest, where=target), private)
    if before is not None:
        _check_file(place, target, there)
    notes = (*([] if judging.limits else [NO_LIMITS]), *([] if rows else [NO_ROWS]), *_differences(there, manifest, is_new))
    return Published(target, there, stored, is_new, findings, notes)


def _with_limits(file: Path, judging: Judging) -> Judging:
    """Those beside the file, where none are named; a link to nowhere is there, and the gate cannot read it."""
    beside = file.with_name(LIMITS)
    return replace(judging, limits=beside) if judging.limits is None and os.path.lexists(beside) else judging


def _judge(file: Path, judging: Judging, tool: str) -> tuple[Finding, ...]:
    """The gate's findings, of which none has failed. Raises what the gate ends with otherwise."""
    if judging.limits is None:
        for option, value in (("--against", judging.against), ("--allow-new", judging.allow_new)):
            if value not in (None, False):
                raise InputError(f"{option} needs --limits, or {LIMITS} beside {file}")
        return ()
    from compress.gate.check import check
    from compress.gate.findings import failure

    judged = check(
        judging.limits,
        [file],
        encoder=tool,
        ledger_file=judging.ledger,
        against=judging.against,
        allow_new=[file.name] if judging.allow_new else [],
    )
    findings = [each for each in judged if each.rule != "removed"]  # what else is gone, the build judges, not this file
    error = failure(findings)
    if error is not None:
        bad = [f"{each.rule}: {each.message}" for each in findings if each.verdict in ("failed", "could not judge")]
        raise type(error)(f"{file}: not published: {error}: {'; '.join(bad)}")
    return tuple(findings)


def _rows(file: Path, sha256: str, judging: Judging) -> list[Row]:
    """Those that were measured on these bytes. Raises InputError where a ledger was named that has none."""
    path = judging.ledger or (judging.limits or file).with_name("ledger.csv")
    if judging.ledger is None and not path.exists():
        return []
    rows = [row for row in ledger.read(path) if row.artifact_sha256 == sha256]
    if judging.ledger is not None and not rows:
        raise InputError(f"{path}: has no row of {file} (sha256 {sha256})")
    return rows


def _refuse_other(target: Reference, there: Manifest, stored: Stored, ours: Manifest, key: Ed25519PrivateKey | None) -> None:
    """Raises ReleaseError where what is there under this version is not what was to be published."""
    if (there.name, there.version, there.file) != (ours.name, ours.version, ours.file):
        raise ReleaseError(
            f"{target}: is published with other bytes: sha256 {there.file.sha256}, this file has {ours.file.sha256}; a version "
            "never changes: publish a new one"
        )
    if key is None:
        return
    signer = signatures.signer(stored.signature, where=target)
    if signer != key_name(key.public_key()):
        by = f"signed by {signer}" if signer else "not signed"
        raise ReleaseError(f"{target}: is published, {by}; a version never changes: publish a new one")
    signatures.check(stored.manifest, stored.signature, [key.public_key()], where=target)


def _check_file(place: Place, target: Reference, there: Manifest) -> None:
    """Raises ReleaseError where the file of a version that is there has been lost or damaged in the place. Nothing is asked for
    beyond its end, where an object store answers with an error."""
    digest, size_bytes = hashlib.sha256(), 0
    for piece in place.fetch(there.file.sha256, 0):
        digest.update(piece)
        size_bytes += len(piece)
        if size_bytes >= there.file.size_bytes:
            break
    if digest.hexdigest() != there.file.sha256:
        raise ReleaseError(f"{target}: is published, and its file there is damaged ({size_bytes:,} bytes came)")


def _differences(there: Manifest, ours: bytes, is_new: bool) -> list[str]:
    """What the manifest of an earlier publication says otherwise."""
    if is_new:
        return []
    before, now = there.model_dump(), manifests.parse(ours, where="").model_dump()
    names = [name for name in before if before[name] != now[name] and name not in _INCIDENTAL]
    return [f"what is published says otherwise of: {', '.join(names)}; a version never changes"] if names else []
