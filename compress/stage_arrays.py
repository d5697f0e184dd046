"""What a stage hands on: numpy arrays by name, as a checkpoint holds them, and the layers of the container that they are.

A tensor is under its state-dict name; a shared one is two arrays, `indices:NAME` and `codebook:NAME` or `step:NAME`; `mask:NAME`
says which weights were pruned, `sensitivity:NAME` how much the outputs mind an error in them, `latent:NAME` what the
indices are the rounding of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from compress.errors import RecipeError, TrainingDiverged
from compress.layer import Layer, RawTensor, SharedLayer
from compress.run_folder import Arrays

INDICES, CODEBOOK, STEP, MASK, SENSITIVITY, LATENT = "indices:", "codebook:", "step:", "mask:", "sensitivity:", "latent:"


def from_layers(layers: Iterable[Layer]) -> Arrays:
    """Raw and shared layers as arrays, in their order."""
    arrays: Arrays = {}
    for layer in layers:
        if isinstance(layer, RawTensor):
            arrays[layer.name] = layer.array
        else:
            arrays[INDICES + layer.name] = layer.indices
            if layer.codebook is not None:
                arrays[CODEBOOK + layer.name] = layer.codebook
            else:
                arrays[STEP + layer.name] = np.array(layer.step, np.float32)
    return arrays


def shared_layers(arrays: Arrays) -> dict[str, SharedLayer]:
    """The shared layers among the arrays; empty for a stage that shares nothing."""
    names = [key.removeprefix(INDICES) for key in arrays if key.startswith(INDICES)]
    return {name: _shared_layer(name, arrays) for name in names}


def _shared_layer(name: str, arrays: Arrays) -> SharedLayer:
    indices = arrays[INDICES + name]
    if STEP + name in arrays:
        return SharedLayer(name, indices.shape, indices, step=np.float32(arrays[STEP + name]))
    return SharedLayer(name, indices.shape, indices, codebook=arrays[CODEBOOK + name])


def dense(arrays: Arrays) -> Arrays:
    """Every tensor under its state-dict name, in the arrays' order: a shared one as the values that it stands for. Masks and
    what else is only for the next stage are left out."""
    shared = shared_layers(arrays)
    tensors: Arrays = {}
    for key, array in arrays.items():
        if key.startswith(INDICES):
            name = key.removeprefix(INDICES)
            tensors[name] = shared[name].values()
        elif not key.startswith((CODEBOOK, STEP, MASK, SENSITIVITY, LATENT)):
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
