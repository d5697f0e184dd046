"""Decoded tensors as a file that other tools read: .safetensors, .npz or .pt."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from compress.atomic import write_atomically
from compress.errors import InputError

SUFFIXES = (".safetensors", ".npz", ".pt")


def save(tensors: Mapping[str, npt.NDArray[Any]], path: Path) -> None:
    """Write atomically, in the format that the file's name says. Raises InputError for another name, or a failed write."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: tensors are written as {', '.join(SUFFIXES)}, not {path.suffix or 'a file without a suffix'}")
    try:
        write_atomically(path, _to_bytes(tensors, path.suffix))
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _to_bytes(tensors: Mapping[str, npt.NDArray[Any]], suffix: str) -> bytes:
    if suffix == ".safetensors":
        return safetensors.numpy.save({name: np.asarray(array, order="C") for name, array in tensors.items()})
    out = io.BytesIO()
    if suffix == ".npz":
        with zipfile.ZipFile(out, "w") as archive:  # not numpy.savez, which takes a tensor named "file" for its argument
            for name, array in tensors.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    else:
        import torch

        torch.save({name: torch.from_numpy(array) for name, array in tensors.items()}, out)
    return out.getvalue()
