"""How this process asks the system for memory."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc, malloc.h
KEPT_BYTES = 1 << 30
LARGEST_BEFORE_2_35 = 1 << 25  # glibc refused a larger M_MMAP_THRESHOLD: half of a heap, on 64 bits


@cache
def keep_freed_memory() -> bool:
    """Tell glibc to keep what is freed, up to a gigabyte, for the next activations: else each large one is mapped, cleared by the
    kernel and given back, in every layer of every step, which takes a fifth to a third of the time. Once a process; results do
    not change. Returns whether this system has glibc's switch."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has no such function
        return False
    kept = mallopt(M_MMAP_THRESHOLD, KEPT_BYTES) or mallopt(M_MMAP_THRESHOLD, LARGEST_BEFORE_2_35)
    return bool(kept) and bool(mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))
