"""What a stage cost: seconds and peak memory. What made it: versions and device."""

from __future__ import annotations

import platform
import sys
from importlib import metadata


def peak_memory_bytes() -> int:
    """The most memory this process has had resident since it started."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kibibytes


def versions() -> str:
    """The versions that a result depends on, as the ledger shows them."""
    packages = ("squeeze-compress", "torch", "numpy", "numba")
    return "; ".join(f"{name} {metadata.version(name)}" for name in packages) + f"; python {platform.python_version()}"
