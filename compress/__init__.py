"""squeeze-compress: prune, share and encode a neural network into one small file, with an honest ledger.

compress.load("x.sqz")      a ready torch module, with .preprocess
compress.decode("x.sqz")    {name: float32 array}, without torch
compress.read("x.sqz")      codebooks, indices, raw tensors, metadata
compress.run("deep")        a recipe, from start to file
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


def run(recipe: str | Path | Mapping[str, Any], *, overrides: tuple[str, ...] = (), **options: Any) -> RunResult:
    """Run a recipe: a path, the bare name of one that ships in the package, or its fields as a mapping.

    overrides: "field=value" strings that change a recipe from a file. options: as for compress.pipeline.run (runs, device,
    fresh, allow_overlap, watcher). Raises CompressError.
    """
    from compress import recipe_file
    from compress.pipeline import run as run_recipe

    if isinstance(recipe, Mapping):
        if overrides:
            raise ValueError("overrides change a recipe from a file; change the mapping itself")
        return run_recipe(recipe_file.check(recipe), **options)
    return run_recipe(recipe_file.load(recipe, overrides), **options)
