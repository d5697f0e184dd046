"""A YAML file read with the line of every field, and what pydantic has against its fields as messages that name file and line.

Before its values are made it is looked through for what YAML lets pass and nobody means: aliases that multiply into millions of
values, numbers of base 60 and 8.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from compress.errors import InputError

MAX_BYTES = 1 << 20
MAX_VALUES = 100_000  # keys too, each alias counted as what it stands for: a kilobyte of aliases can stand for billions
MAX_NUMBER_LENGTH = 40  # characters
SHOWN = 200  # characters of a value in a message
_NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
_BASE_60, _BASE_8 = re.compile(r".*:.*"), re.compile(r"[-+]?0[0-7_]+")  # of YAML 1.1: 1:00:00 is 3600, 01000 is 512

Lines = dict[tuple[str, ...], int]  # the line of each field, by the keys that lead to it
Model = TypeVar("Model", bound=BaseModel)


def load(path: Path, model: type[Model], *, what: str, error: type[InputError]) -> Model:
    """A file checked by `model`. what: it is called in messages ("a limits file"). Raises `error`, with the line."""
    try:
        if (size_bytes := path.stat().st_size) > MAX_BYTES:
            raise error(f"{path}: {size_bytes:,} bytes, {what} has at most {MAX_BYTES:,}")
        text = path.read_text(encoding="utf-8")
    except OSError as cause:
        raise error(f"{path}: cannot be read: {cause.strerror or cause}") from cause
    except UnicodeDecodeError as cause:
        raise error(f"{path}: cannot be read: {cause}") from cause
    return parse(text, str(path), model, what=what, error=error)


def parse(text: str, name: str, model: type[Model], *, what: str, error: type[InputError]) -> Model:
    """As load, for a file in memory. name: what errors call it."""
    fields, lines = _fields(text, name, what, error)
    try:
        return model.model_validate(fields)
    except ValidationError as refused:
        raise error("\n".join(_describe(each, lines, name, model) for each in refused.errors())) from None


def check_nodes(node: yaml.Node | None, name: str, *, what: str, error: type[InputError]) -> None:
    """Of a file that is composed and not yet constructed. Raises `error` for too many values, for an alias that holds itself,
    and, with the line, for a number that is not written in base 10."""
    try:
        n = 0 if node is None else _n_values(node, {}, name, error)
    except RecursionError as cause:  # what is nested too deep was not composed
        raise error(f"{name}: not valid YAML: an alias that holds itself") from cause
    if n > MAX_VALUES:
        raise error(f"{name}: more than {MAX_VALUES:,} values with those that aliases stand for, {what} has at most that many")


def values(text: str) -> Any:
    """What a text in YAML says. Raises yaml.YAMLError, ValueError or RecursionError, and nothing else."""
    try:
        return yaml.safe_load(text)
    except (AttributeError, IndexError, KeyError) as error:  # PyYAML of `!!timestamp soon`, `!!int ''`, `!!bool maybe`
        raise yaml.YAMLError("a value is not of its tag") from error


def _n_values(node: yaml.Node, sizes: dict[int, int], name: str, error: type[InputError]) -> int:
    """At most MAX_VALUES + 1. sizes: of the nodes that were counted, by their id, so that an alias is not walked again."""
    if id(node) not in sizes:
        children: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            children = node.value
        elif isinstance(node, yaml.MappingNode):
            children = [each for pair in node.value for each in pair]
        elif node.tag in _NUMBERS:
            _check_number(node, name, error)
        sizes[id(node)] = min(1 + sum(_n_values(child, sizes, name, error) for child in children), MAX_VALUES + 1)
    return sizes[id(node)]


def _check_number(node: yaml.Node, name: str, error: type[InputError]) -> None:
    place, text = f"{name}:{node.start_mark.line + 1}", str(node.value)
    if len(text) > MAX_NUMBER_LENGTH:
        raise error(f"{place}: a number of {len(text):,} characters, at most {MAX_NUMBER_LENGTH} are allowed")
    base = 60 if _BASE_60.fullmatch(text) else 8 if _BASE_8.fullmatch(text) else 10
    if base != 10:
        raise error(f"{place}: {text} is a number of base {base} in YAML: write it in base 10, or in quotes where it is a text")


def _fields(text: str, name: str, what: str, error: type[InputError]) -> tuple[dict[str, Any], Lines]:
    lines: Lines = {}
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        check_nodes(node, name, what=what, error=error)
        fields = values(text)
        if not isinstance(fields, dict):
            found = type(fields).__name__ if text.strip() else "empty"
            raise error(f"{name}: {what} is a mapping of fields, this is {found}")
        _note_lines(node, (), lines, name, error)
    except (yaml.YAMLError, ValueError) as cause:
        mark = getattr(cause, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise error(f"{name}{line}: not valid YAML: {getattr(cause, 'problem', None) or cause}") from cause
    except RecursionError as cause:
        raise error(f"{name}: not valid YAML: nested too deep") from cause
    return fields, lines


def _note_lines(node: yaml.Node | None, prefix: tuple[str, ...], lines: Lines, name: str, error: type[InputError]) -> None:
    """The line of every field; refuses a field that is given twice, which YAML itself lets pass."""
    if isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            lines[(*prefix, str(i))] = value.start_mark.line + 1
            _note_lines(value, (*prefix, str(i)), lines, name, error)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            field = (*prefix, str(key.value))
            if field in lines:
                raise error(f"{name}:{key.start_mark.line + 1}: {'.'.join(field)} is given twice")
            lines[field] = key.start_mark.line + 1
            _note_lines(value, field, lines, name, error)


def _describe(error: Any, lines: Lines, name: str, model: type[BaseModel]) -> str:
    """One line for one pydantic error: where, which field, what it must be, what it was."""
    loc = tuple(str(part) for part in error["loc"] if not str(part).startswith("["))  # pydantic's, and tags of unions: no fields
    known = max((loc[:n] for n in range(len(loc) + 1) if loc[:n] in lines), key=len, default=None)
    place = name if known is None else f"{name}:{lines[known]}"
    if error["type"] == "extra_forbidden":
        allowed = _fields_at(model, error["loc"][:-1])
        close = difflib.get_close_matches(loc[-1], allowed, n=1)
        return f"{place}: unknown field {'.'.join(loc)}; " + (
            f"did you mean {close[0]}?" if close else f"allowed: {', '.join(allowed)}"
        )
    field = ".".join(loc) or "the file"
    if error["type"] == "missing":
        return f"{place}: {field} is missing"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("should", "must")
    shown = repr(error["input"])
    got = "" if isinstance(error["input"], Mapping) else f", got {shown if len(shown) <= SHOWN else shown[:SHOWN] + '...'}"
    return f"{place}: {field}: {message}{got}"


def _fields_at(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """The names of the fields that are allowed at a place."""
    models = [model]
    for part in loc:
        inner = [each.model_fields[str(part)].annotation for each in models if str(part) in each.model_fields]
        models = [found for annotation in inner for found in _models_in(annotation)] or models  # a key of a table: stay
    return [field for each in models for field in each.model_fields]


def _models_in(annotation: object) -> list[type[BaseModel]]:
    """The models that a field's type names, inside unions, tables, lists and Annotated."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
