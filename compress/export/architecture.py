"""The net that a file's metadata describe, as metaparameters. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from compress.errors import CorruptArtifact
from compress.recipe import AlexNetSpec, BuiltInSpec, SqueezeNetSpec


def architecture(metadata: Mapping[str, Any], source: str) -> BuiltInSpec:
    """The metaparameters in a file's metadata. Raises CorruptArtifact where they are missing or not valid."""
    described = metadata.get("architecture")
    if not isinstance(described, dict) or described.get("name") not in ("squeezenet", "alexnet"):
        raise CorruptArtifact(f"{source}: metadata.architecture is {described!r}; this version builds squeezenet and alexnet")
    fields = {key: value for key, value in described.items() if key not in ("channels", "svd")}
    try:
        if fields["name"] == "alexnet":
            return AlexNetSpec.model_validate(fields)
        del fields["name"]
        return SqueezeNetSpec.model_validate(fields)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise CorruptArtifact(f"{source}: metadata.architecture: {problems}") from None


def svd_ranks(described: object, source: str) -> dict[str, int]:
    """The layers that the file has as products of two, with their rank. described: metadata.architecture."""
    ranks = described.get("svd", {}) if isinstance(described, dict) else {}
    if not isinstance(ranks, dict) or not all(type(rank) is int for rank in ranks.values()):
        raise CorruptArtifact(f"{source}: metadata.architecture.svd is {ranks!r}, must give layers their rank")
    return ranks
