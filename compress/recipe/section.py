"""What every part of a recipe is: a frozen pydantic model that refuses what it does not know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict


class EntryError(ValueError):
    """An entry of a table of layer patterns that is refused, so that the message can name its line and its value."""

    def __init__(self, message: str, pattern: object) -> None:
        super().__init__(message)
        self.pattern = pattern


def check_entries(value: Any, is_allowed: Callable[[Any], bool], allowed: str) -> Any:
    if isinstance(value, Mapping) and value:
        for pattern, setting in value.items():
            if not isinstance(pattern, str) or not is_allowed(setting):
                raise EntryError(allowed, pattern)
    elif not is_allowed(value):
        raise ValueError(allowed)
    return value


class Section(BaseModel):
    """A part of a recipe: unknown fields are refused, types are not converted, nothing changes after the check."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
