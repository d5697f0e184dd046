"""limits.yaml: what each artifact may be, as frozen pydantic models. docs/GATE.md has its fields.

Units are such that a number in another unit is refused, or fails: shares are at most 1, so that a percentage is no share; a
drop is in points, so that a share given there is a hundred times stricter than meant, never looser.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from compress import yaml_file
from compress.errors import LimitsError
from compress.recipe.data import Sources
from compress.recipe.section import Section

SUFFIX = ".sqz"
WHAT = "a limits file"
MOST_BYTES = 1 << 40
MOST_PERCENT = 1000
NO_TEACHER = "none"  # of `measure`: the uncompressed net is not kept
_PERCENT = re.compile(r"(\d{1,4}(?:\.\d{1,6})?) ?%", re.ASCII)


def is_name(name: str) -> bool:
    """Whether limits may name an artifact so: a file beside them."""
    return name.endswith(SUFFIX) and "/" not in name and "\\" not in name and name.isprintable()


def _check_growth(value: Any) -> Any:
    is_bytes = type(value) is int and 0 <= value <= MOST_BYTES
    percent = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if not is_bytes and not (percent and Decimal(percent[1]) <= MOST_PERCENT):
        raise ValueError(
            f"must be a whole number of bytes from 0 to {MOST_BYTES:,}, or a percentage such as 0.5%, at most {MOST_PERCENT}%"
        )
    return value


def _number_or_table(is_allowed: Callable[[float], bool], allowed: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        entries = value if isinstance(value, Mapping) else {"": value}
        named = all(isinstance(name, str) for name in entries)
        if not entries or not named or not all(type(v) in (int, float) and is_allowed(v) for v in entries.values()):
            got = f", got {dict(value)}" if isinstance(value, Mapping) else ""
            raise ValueError(f"must be {allowed}, or a table of such numbers by the names of test sets{got}")
        return value

    return check


_is_share = BeforeValidator(_number_or_table(lambda v: 0 <= v <= 1, "a share in [0, 1]"))
_is_drop = BeforeValidator(_number_or_table(lambda v: -100 <= v <= 100 and math.isfinite(v), "points in [-100, 100]"))
Shares = Annotated[float | dict[str, float], _is_share]
Points = Annotated[float | dict[str, float], _is_drop]


def _check_name(name: str) -> str:
    if not is_name(name):
        raise ValueError(f"must be the name of a {SUFFIX} file beside the limits file, without a folder")
    return name


class Measure(Section):
    """A set that `check --measure` runs the artifact on again, and what it is compared with: as the options of `eval`."""

    set: Sources = Field(description="an image source or a list of them, as data.test of a recipe; taken together")
    teacher: str | None = Field(
        default=None,
        description="the uncompressed net's weights, as `weights` of a recipe; none: they are not kept, top-1 alone is measured",
    )
    teacher_sha256: str | None = Field(default=None, description="of the teacher's file; a URL needs it")
    model: str | None = Field(default=None, description="package.module:function, for a file of one's own net")

    @model_validator(mode="after")
    def _no_digest_of_nothing(self) -> Measure:
        if self.teacher == NO_TEACHER and self.teacher_sha256 is not None:
            raise ValueError(f"teacher_sha256: is the digest of a file, and teacher is {NO_TEACHER}")
        return self


class ArtifactLimits(Section):
    """What one artifact may be. A limit that is left out is not judged; at least one is needed."""

    max_bytes: int | None = Field(default=None, gt=0, le=MOST_BYTES, description="of the file, by stat")
    max_growth: Annotated[int | str, BeforeValidator(_check_growth)] | None = Field(
        default=None, description="against the baseline of --against: bytes, or a percentage of the old size"
    )
    min_top1: Shares | None = Field(default=None, description="share; of every labelled set in the ledger, or by its name")
    min_agreement: Shares | None = Field(default=None, description="share; with the uncompressed net, of every set or by name")
    max_drop: Points | None = Field(default=None, description="points of top-1; of every labelled set, or by its name")
    max_seconds: float | None = Field(default=None, gt=0, description="of the run that made it, all its stages")
    measure: tuple[Measure, ...] = Field(default=(), strict=False, description="sets for --measure")

    @model_validator(mode="after")
    def _some_limit(self) -> ArtifactLimits:
        if all(getattr(self, field) is None for field in LIMITS):
            raise ValueError(f"holds no limit; at least one of {', '.join(LIMITS)} is needed")
        return self


LIMITS = ("max_bytes", "max_growth", "min_top1", "min_agreement", "max_drop", "max_seconds")


class Limits(Section):
    artifacts: dict[Annotated[str, AfterValidator(_check_name)], ArtifactLimits] = Field(
        min_length=1, description="by the name of the file, which lies beside the limits file"
    )


def load(path: Path) -> Limits:
    """Raises LimitsError, with the line, for a file that is missing or not valid."""
    return yaml_file.load(path, Limits, what=WHAT, error=LimitsError)


def parse(text: str, name: str) -> Limits:
    return yaml_file.parse(text, name, Limits, what=WHAT, error=LimitsError)


def allowed_growth_bytes(max_growth: int | str, old_bytes: int) -> int:
    """What a limit of growth comes to, for a file that had old_bytes. Rounded down."""
    if isinstance(max_growth, int):
        return max_growth
    found = _PERCENT.fullmatch(max_growth)
    assert found is not None  # checked at the edge
    return int(old_bytes * Decimal(found[1]) / 100)
