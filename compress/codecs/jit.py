"""numba.njit for the kernels: compiled for one signature at import, kept in numba's cache where there is one.

A kernel gets arrays that its wrapper has made (contiguous, writable, of the signature's type). numba checks no bounds, so a
kernel that reads a stream checks its own, returns where it stopped, and the wrapper raises. Kernels count in int64, because
uint64 with a signed integer is float64 in numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def jit(signature: str) -> Callable[[Kernel], Kernel]:
    def compiled(function: Kernel) -> Kernel:
        kernel: Any
        try:
            kernel = numba.njit(signature, cache=True, nogil=True)(function)
        except (RuntimeError, OSError) as error:
            # No folder to keep the cache in ("cannot cache function ...: no locator available"), or the folder is full.
            if not isinstance(error, OSError) and "cannot cache" not in str(error):
                raise
            kernel = numba.njit(signature, nogil=True)(function)
        return kernel

    return compiled
