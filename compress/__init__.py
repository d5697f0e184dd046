"""squeeze-compress: prune, share and encode a neural network into one small file, with an honest ledger.

compress.load("x.sqz")      a ready torch module, with .preprocess
compress.decode("x.sqz")    {name: float32 array}, without torch
compress.read("x.sqz")      codebooks, indices, raw tensors, metadata
compress.run("deep")        a recipe, from start to file
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from compress.artifact.reader import read as read
    from compress.artifact.tensors import decode as decode
    from compress.export.load import load as load
    from compress.pipeline import RunResult

__version__ = metadata.version("squeeze-compress")
__all__ = ["decode", "load", "read", "run"]

_HOMES = {"load": "compress.export.load", "decode": "compress.artifact.tensors", "read": "compress.artifact.reader"}


def __getattr__(name: str) -> Any:
    """Import on first use: reading a file must not cost a torch, and `--help` must not cost numpy."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'compress' has no attribute {name!r}")


def run(recipe: str | Path, *, overrides: tuple[str, ...] = (), **options: Any) -> RunResult:
    """Run a recipe: a path, or the bare name of one that ships in the package. overrides: "field=value" strings.

    options: as for compress.pipeline.run (runs, device, fresh, watcher). Raises CompressError.
    """
    from compress.pipeline import run as run_recipe
    from compress.recipe_file import load as load_recipe

    return run_recipe(load_recipe(recipe, overrides), **options)
