"""What a stage hands on: numpy arrays by name, as a checkpoint holds them, and the layers of the container that they are.

A tensor is under its state-dict name; a shared one is two arrays, `indices:NAME` and `codebook:NAME`; `mask:NAME` says which
weights were pruned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from compress.errors import RecipeError, TrainingDiverged
from compress.layer import Layer, RawTensor, SharedLayer
from compress.run_folder import Arrays

INDICES, CODEBOOK, MASK = "indices:", "codebook:", "mask:"


def from_layers(layers: Iterable[Layer]) -> Arrays:
    """Raw and shared layers as arrays, in their order. Steps are not held: no stage makes them."""
    arrays: Arrays = {}
    for layer in layers:
        if isinstance(layer, RawTensor):
            arrays[layer.name] = layer.array
        else:
            assert layer.codebook is not None
            arrays[INDICES + layer.name], arrays[CODEBOOK + layer.name] = layer.indices, layer.codebook
    return arrays


def shared_layers(arrays: Arrays) -> dict[str, SharedLayer]:
    """The shared layers among the arrays; empty for a stage that shares nothing."""
    names = [key.removeprefix(INDICES) for key in arrays if key.startswith(INDICES)]
    return {
        name: SharedLayer(name, arrays[INDICES + name].shape, arrays[INDICES + name], codebook=arrays[CODEBOOK + name])
        for name in names
    }


def dense(arrays: Arrays) -> Arrays:
    """Every tensor under its state-dict name, in the arrays' order: a shared one as the values that it stands for. Masks are
    left out."""
    shared = shared_layers(arrays)
    tensors: Arrays = {}
    for key, array in arrays.items():
        if key.startswith(INDICES):
            name = key.removeprefix(INDICES)
            tensors[name] = shared[name].values()
        elif not key.startswith((CODEBOOK, MASK)):
            tensors[key] = array
    return tensors


def raw_tensor(name: str, array: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> RawTensor:
    """As the file stores it: integers as int64, floats as dtype. Raises RecipeError where the dtype cannot hold a value,
    TrainingDiverged for one that is NaN or infinite: no weights that are read have any."""
    if array.dtype.kind != "f":
        return RawTensor(name, array.astype("<i8"))
    if not np.isfinite(array).all():
        n_bad = int(np.count_nonzero(~np.isfinite(array)))
        raise TrainingDiverged(f"{name} holds {n_bad} values that are NaN or infinite; lower the learning rates")
    with np.errstate(over="ignore"):
        stored = array.astype(dtype)
    if not np.isfinite(stored).all():
        raise RecipeError(f"encode.bias: {name} has a value of {np.abs(array).max():g}, more than {dtype} holds; use float32")
    return RawTensor(name, stored)


def sha256(tensors: Arrays) -> str:
    """SHA-256 of a state dict: names, shapes and values as float32 (integers as int64), in the dict's order."""
    digest = hashlib.sha256()
    for name, array in tensors.items():
        digest.update(f"{name} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array, "<f4" if array.dtype.kind == "f" else "<i8").tobytes())
    return digest.hexdigest()
