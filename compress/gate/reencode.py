"""Encode a file's layers again, and see whether the same bytes come out: what is stored is what this encoder makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compress.artifact import reader
from compress.artifact.candidates import BEST
from compress.artifact.reader import Artifact, Contents
from compress.artifact.writer_settings import Settings, settings_of


@dataclass(frozen=True)
class Reencoded:
    """settings: that gave the same bytes, None where none did. different: the parts of the file that are others by `best`, for
    instance "features.0.weight: 310 bytes, stored 312"; none where it has settings."""

    settings: Settings | None
    different: tuple[str, ...] = ()


def reencode(data: bytes, artifact: Artifact) -> Reencoded:
    """data: a file; artifact: what it decodes to. A file does not say by which settings it was written: its block size is in the
    header, `best` is tried first, then every other. Raises InputError where its layers cannot be written at all."""
    contents = reader.parse(data, reader.NO_LIMIT)
    best = Settings(BEST, BEST, 1 << contents.header.block_log)
    again = best.write(artifact.layers, artifact.metadata)
    if again == data:
        return Reencoded(best)
    if (settings := settings_of(contents, artifact.layers)) is not None:
        return Reencoded(settings)
    return Reencoded(None, tuple(_differences(contents, reader.parse(again, reader.NO_LIMIT))))


def _differences(stored: Contents, again: Contents) -> Iterator[str]:
    """What of a file is other in another of the same layers."""
    payloads_stored, payloads_again = _payloads(stored), _payloads(again)
    for name, old in payloads_stored.items():
        new = payloads_again[name]
        if old != new:
            sizes = f"{len(new):,} bytes, stored {len(old):,}" if len(old) != len(new) else f"other bytes, {len(old):,} of them"
            yield f"{name}: {sizes}"
    head_stored, head_again = (each.data[: each.header.payload_offset] for each in (stored, again))
    if head_stored != head_again:
        yield f"header, metadata and table: {len(head_again):,} bytes, stored {len(head_stored):,}"


def _payloads(contents: Contents) -> dict[str, bytes]:
    """By layer, of all its blocks."""
    found = dict.fromkeys((record.name for record in contents.records), b"")
    for record, _, _, payload in contents.blocks():
        found[record.name] += payload
    return found
