"""Environment variables in the paths of a recipe: `$NAME` or `${NAME}`, so that a recipe holds no path of one machine."""

from __future__ import annotations

import logging
import os
import re
from functools import cache

from compress.errors import RecipeError

DEFAULTS = {"SQUEEZE_DATA": "../shared/data"}  # the image folders that the project's own figures are measured on
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", re.ASCII)


def is_url(text: str) -> bool:
    return "://" in text


@cache
def _tell_default(name: str) -> None:
    """Once a process, on stderr unless the caller configured logging."""
    logging.getLogger(__name__).warning("%s is not set: %s is taken", name, DEFAULTS[name])


def expand(text: str, *, field: str) -> str:
    """Raises RecipeError, naming the recipe's field, for a variable that is not set, or empty, and has no default."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if found := os.environ.get(name):
            return found
        if name not in DEFAULTS:
            raise RecipeError(f"{field}: {text}: the environment variable {name} is not set, or empty")
        _tell_default(name)
        return DEFAULTS[name]

    return _VARIABLE.sub(value, text)
