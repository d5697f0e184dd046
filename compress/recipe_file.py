"""Recipes as YAML files: found, read, overridden, checked. Every error names the file, the line, the field, the value and what
is allowed."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from compress import yaml_file
from compress.errors import RecipeError
from compress.recipe import AlexNetSpec, EntryError, FactorySpec, Recipe, Source, SqueezeNetSpec

MAX_RECIPE_BYTES = 1 << 20
SPACE = "explore-"  # begins the names of files that ship beside the recipes and are spaces of them
# pydantic names the kind among the fields; a user does not
KINDS_OF_MODEL = (SqueezeNetSpec.__name__, AlexNetSpec.__name__, FactorySpec.__name__)


def shipped() -> dict[str, Path]:
    """The recipes that come with the package, by bare name."""
    return {path.stem: path for path in _shipped_files() if not path.stem.startswith(SPACE)}


def shipped_spaces() -> dict[str, Path]:
    """The spaces of recipes that come with the package, by bare name."""
    return {path.stem.removeprefix(SPACE): path for path in _shipped_files() if path.stem.startswith(SPACE)}


def _shipped_files() -> list[Path]:
    """From the wheel, or from pipelines/ in a checkout."""
    for folder in (Path(str(resources.files("compress"))) / "recipes", Path(__file__).parent.parent / "pipelines"):
        if paths := sorted(folder.glob("*.yaml"), key=lambda path: path.stem) if folder.is_dir() else []:
            return paths
    return []


def find(recipe: str) -> Path:
    """The file that `run RECIPE` means: a path, or the bare name of a shipped recipe."""
    if Path(recipe).is_file():
        return Path(recipe)
    names = shipped()
    if recipe in names:
        return names[recipe]
    raise RecipeError(f"{recipe}: no such file, and no shipped recipe has that name; shipped: {', '.join(names) or 'none'}")


def load(recipe: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read, override and check a recipe. overrides: "field=value" strings, the value in YAML.

    Raises RecipeError, with the line, for anything that is not a valid recipe.
    """
    path = find(str(recipe))
    fields, where = _read(path)
    for override in overrides:
        _override(fields, where, override)
    return check(fields, where, path)


def read(recipe: str | Path) -> dict[str, Any]:
    """The fields of a recipe as its file has them, not checked. Raises RecipeError for a file that is missing or no YAML."""
    return _read(find(str(recipe)))[0]


def _read(path: Path) -> tuple[dict[str, Any], dict[tuple[str, ...], str]]:
    """The fields of a file, and where each is."""
    try:
        if path.stat().st_size > MAX_RECIPE_BYTES:
            raise RecipeError(f"{path}: {path.stat().st_size:,} bytes, a recipe has at most {MAX_RECIPE_BYTES:,}")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from error
    return _parse(text, path)


def check(fields: Mapping[str, Any], where: Mapping[tuple[str, ...], str] | None = None, source: str | Path = "recipe") -> Recipe:
    """Validate a mapping. where: field path -> "file:line", for the messages."""
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        raise RecipeError("\n".join(_describe(e, where or {}, source) for e in error.errors())) from None


def sources(values: Iterable[str]) -> tuple[Source, ...]:
    """The image sources of a command's --data options. Raises RecipeError for what is none."""
    found = []
    for value in values:
        try:
            found.append(Source(source=value))
        except ValidationError:
            if not value.isprintable():
                raise RecipeError(f"--data {value!r}: a path that is not text in UTF-8") from None
            raise RecipeError(f"--data {value}: must be bundled, digits, folder:PATH or shards:GLOB") from None
    return tuple(found)


def _parse(text: str, path: Path) -> tuple[dict[str, Any], dict[tuple[str, ...], str]]:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        yaml_file.check_nodes(node, str(path), what="a recipe", error=RecipeError)
        fields = yaml_file.values(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise RecipeError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(fields, dict):
        raise RecipeError(
            f"{path}: a recipe is a mapping of fields, this is {type(fields).__name__ if text.strip() else 'empty'}"
        )
    where: dict[tuple[str, ...], str] = {}
    assert node is not None  # a mapping was loaded from it
    try:
        _lines(node, (), path, where)
    except RecursionError as error:
        raise RecipeError(f"{path}: not valid YAML: an alias that holds itself") from error
    return fields, where


def _lines(node: yaml.Node, prefix: tuple[str, ...], path: Path, where: dict[tuple[str, ...], str]) -> None:
    """Note the line of every field; refuse a field that is given twice, which YAML itself lets pass."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            field = (*prefix, str(key.value))
            if field in where:
                raise RecipeError(f"{path}:{key.start_mark.line + 1}: {'.'.join(field)} is given twice")
            where[field] = f"{path}:{key.start_mark.line + 1}"
            _lines(value, field, path, where)


def _override(fields: dict[str, Any], where: dict[tuple[str, ...], str], override: str) -> None:
    name, equals, value = override.partition("=")
    if not equals or not name:
        raise RecipeError(f"--set {override}: write it as field=value, for instance --set quantize.bits=5")
    keys = tuple(name.strip().split("."))
    target = fields
    for key in keys[:-1]:
        if not isinstance(target.get(key), dict):
            target[key] = {}
        target = target[key]
    try:
        target[keys[-1]] = yaml_file.values(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"--set {override}: the value is not valid YAML") from error
    for field in [field for field in where if field[: len(keys)] == keys]:
        del where[field]  # what the file said there is gone
    where[keys] = f"--set {override}"


def _describe(error: Any, where: Mapping[tuple[str, ...], str], source: str | Path) -> str:
    """One line for one pydantic error: where, which field, what it must be, what it was."""
    loc, value = tuple(str(part) for part in error["loc"] if part not in KINDS_OF_MODEL), error["input"]
    refused = error.get("ctx", {}).get("error")
    if isinstance(refused, EntryError):
        loc, value = (*loc, str(refused.pattern)), value[refused.pattern]
    known = max((loc[:n] for n in range(len(loc) + 1) if loc[:n] in where), key=len, default=())
    place = where.get(known, str(source))
    field = ".".join(loc) or "recipe"
    if error["type"] == "extra_forbidden":
        allowed = _fields_at(tuple(str(part) for part in error["loc"][:-1]))
        close = difflib.get_close_matches(loc[-1], allowed, n=1)
        hint = f"did you mean {close[0]}?" if close else f"allowed: {', '.join(allowed)}"
        return f"{place}: unknown field {field}; {hint}"
    if error["type"] == "missing":
        return f"{place}: {field} is missing"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("should", "must")
    got = "" if isinstance(value, dict) else f", got {value!r}"
    hint = "; YAML takes 1e-3 for a word, write 1.0e-3" if error["type"] == "float_type" and _is_number(value) else ""
    return f"{place}: {field}: {message}{got}{hint}"


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        return False


def _fields_at(loc: tuple[str, ...]) -> list[str]:
    """The field names allowed at a place in the recipe."""
    models: list[type[BaseModel]] = [Recipe]
    for part in loc:
        if part in KINDS_OF_MODEL:
            models = [model for model in models if model.__name__ == part]
        elif not part.isdigit():  # a place in a list is of the same kind as the list
            models = [
                m for model in models if part in model.model_fields for m in _models_in(model.model_fields[part].annotation)
            ]
    return [field for model in models for field in model.model_fields]


def _models_in(annotation: object) -> list[type[BaseModel]]:
    """The sections that a field's type names, inside unions, lists and Annotated."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
