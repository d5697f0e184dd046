"""What a finished stage leaves in the run folder: its tensors (safetensors) and its facts (JSON). No pickle.

A checkpoint is known by its key, a digest of all that the stage depends on; one with another key is not used. The JSON is
written last, with a digest of both files: of a save that was interrupted nothing is used, and the stage is run again.
"""

from __future__ import annotations

import errno
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from compress.atomic import write_atomically
from compress.errors import RunFolderError


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """arrays: by name, any dtype that safetensors holds, in an order that is kept. facts: JSON."""

    arrays: dict[str, npt.NDArray[Any]]
    facts: dict[str, Any]


def key_of(*parts: Any) -> str:
    """SHA-256 of JSON values: what a stage's result depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def save(folder: Path, stage: str, key: str, checkpoint: Checkpoint) -> None:
    """Raises RunFolderError where the folder cannot be written; where there is no room for the tensors, what was there stays."""
    arrays = {name: np.asarray(array, order="C") for name, array in checkpoint.arrays.items()}
    data = safetensors.numpy.save(arrays)
    facts = {"key": key, "names": list(arrays), "facts": checkpoint.facts}
    facts["sha256"] = _digest(data, facts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{stage}.safetensors", data)
        write_atomically(folder / f"{stage}.json", json.dumps(facts, indent=1).encode())
    except OSError as error:
        needed = f"; {len(data):,} bytes are needed" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        reason = f"{error.strerror or error}{needed}"
        raise RunFolderError(f"{folder}: the checkpoint {stage} cannot be written: {reason}") from error


def load(folder: Path, stage: str, key: str) -> Checkpoint | None:
    """The checkpoint of a finished stage, or None where there is none with this key, or where it is damaged."""
    try:
        saved = json.loads((folder / f"{stage}.json").read_bytes())
        data = (folder / f"{stage}.safetensors").read_bytes()
    except (OSError, ValueError):
        return None
    if not isinstance(saved, dict) or saved.get("key") != key or saved.pop("sha256", None) != _digest(data, saved):
        return None
    arrays = safetensors.numpy.load(data)
    return Checkpoint({name: arrays[name] for name in saved["names"]}, saved["facts"])


def _digest(data: bytes, facts: dict[str, Any]) -> str:
    """SHA-256 of the tensors' file and of the rest of the JSON: damage to either is seen."""
    return hashlib.sha256(data + json.dumps(facts, sort_keys=True).encode()).hexdigest()
