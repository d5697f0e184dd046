"""Environment variables in the paths of a recipe: `$NAME` or `${NAME}`, so that a recipe holds no path of one machine."""

from __future__ import annotations

import os
import re

from compress.errors import RecipeError

DEFAULTS = {"SQUEEZE_DATA": "../shared/data"}  # the image folders that the project's own figures are measured on
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", re.ASCII)


def is_url(text: str) -> bool:
    return "://" in text


def expand(text: str, *, field: str) -> str:
    """Raises RecipeError, naming the recipe's field, for a variable that is not set, or empty, and has no default."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        found = os.environ.get(name) or DEFAULTS.get(name)
        if found is None:
            raise RecipeError(f"{field}: {text}: the environment variable {name} is not set, or empty")
        return found

    return _VARIABLE.sub(value, text)
