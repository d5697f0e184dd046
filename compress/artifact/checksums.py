"""CRC-32C (Castagnoli: polynomial 0x1EDC6F41 reflected, initial value and final xor 0xFFFFFFFF) and SHA-256."""

import hashlib
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

with warnings.catch_warnings():
    # where the wheel has no compiled code it warns, and is slow but right
    warnings.simplefilter("ignore", RuntimeWarning)
    import google_crc32c

PIECE = 1 << 16  # items of an array at a time


def crc32c(data: bytes, before: int = 0) -> int:
    """before: the checksum of the bytes that come before `data`."""
    return int(google_crc32c.extend(before, data))


def indices_crc32c(indices: npt.NDArray[np.int32]) -> int:
    """Of a layer's decoded integers: int32, little-endian, C order."""
    return array_crc32c(np.ascontiguousarray(indices, "<i4"))


def array_crc32c(array: npt.NDArray[Any]) -> int:
    """Of the array's bytes in C order, copied a piece at a time."""
    flat, computed = array.reshape(-1), 0
    for start in range(0, len(flat), PIECE):
        computed = crc32c(flat[start : start + PIECE].tobytes(), computed)
    return computed


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
