"""atheris on the recipe loader: any text is a recipe, or is refused by a RecipeError.

    python torture/fuzz_recipe.py --executions 1000000 --seconds 300

An input is the text of a YAML file and, after a byte of zero, an override as of `--set`.
"""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import fuzzing

with fuzzing.instrument("compress"):
    from compress import recipe_file
    from compress.errors import RecipeError

from pydantic import BaseModel

from compress.recipe import Recipe

WORK = Path(tempfile.mkdtemp(prefix="fuzz-recipe-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
TAGS = ["int", "float", "bool", "null", "timestamp", "binary", "set", "omap", "pairs", "str", "seq", "map"]
YAML_WORDS = ["<<: ", "*a", "&a ", "? ", "- ", ": ", "|\n", ">\n", "---\n", "...\n", "%YAML 1.1\n", *"{}[]='~\"\0\t"]
YAML_WORDS += ["2001-01-01", ".inf", ".nan", "1e9999", "0x", "0b1", "1:30", "\\ud800", "\\U0010ffff", "null", "true"]
YAML_WORDS += [f"!!{tag}" for tag in TAGS]


def target(data: bytes) -> None:
    text, _, override = data.partition(b"\0")
    path = WORK / "recipe.yaml"
    path.write_bytes(text)
    try:
        recipe_file.load(path, [override.decode("utf-8", "replace")] if override else [])
    except RecipeError as error:
        str(error)


def seeds() -> list[bytes]:
    """The recipes that ship, without their comments, some with an override."""
    texts = []
    for path in recipe_file.shipped().values():
        lines = path.read_text(encoding="utf-8").splitlines()
        lines = [line for line in lines if line.strip() and not line.strip().startswith("#")]
        texts.append("\n".join(lines).encode())
        starts = [i for i, line in enumerate(lines) if not line.startswith(" ")]  # a section each: small inputs are fast
        texts += ["\n".join(lines[a:b]).encode() for a, b in pairwise([*starts, len(lines)])]
    overrides = [b"quantize.bits=5", b"train={epochs: 3}", b"model.a.b=[1, 2]", b"prune.sparsity=null"]
    return texts + [texts[0] + b"\0" + override for override in overrides] + [b"model: !!int ''\n", b"? [a]\n: &a [*a]\n"]


def field_names(model: type[BaseModel]) -> set[str]:
    found = set(model.model_fields)
    for name in model.model_fields:
        for inner in recipe_file._models_in(model.model_fields[name].annotation):
            found |= field_names(inner)
    return found


if __name__ == "__main__":
    fuzzing.main("recipe", seeds(), target, words=[*YAML_WORDS, *sorted(f"{name}: " for name in field_names(Recipe))])
