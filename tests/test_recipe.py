import json
import re

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from compress import recipe, recipe_file
from compress.errors import RecipeError
from compress.recipe import Recipe, SqueezeNetSpec
from compress.recipe_file import check

# --- per_layer -------------------------------------------------------------------------------------------------------

LAYERS = ["features.0", "features.3.squeeze", "features.3.expand3x3", "classifier.1"]


def test_one_number_goes_to_every_layer():
    assert recipe.per_layer(0.5, LAYERS, field="f") == dict.fromkeys(LAYERS, 0.5)


def test_the_first_pattern_that_matches_wins():
    table = {"features.0": 1.0, "*.expand3x3": 0.25, "features.*": 0.5, "*": 0.75}
    assert list(recipe.per_layer(table, LAYERS, field="f").values()) == [1.0, 0.5, 0.25, 0.75]


def test_the_order_of_patterns_is_part_of_the_digest():
    """The first match wins, so another order is another run; the order of other fields is not."""
    tables = [dict(items) for items in ([("*", 0.9), ("c", 0.1)], [("c", 0.1), ("*", 0.9)])]
    assert tables[0] == tables[1]
    for section, field, more in (("prune", "density", {}), ("quantize", "rate_weight", {"bits": 4, "assignment": "reassign"})):
        one, other = (check({"name": "x", section: {field: table, **more}}).digest() for table in tables)
        assert one != other
    assert check({"seed": 1, "name": "x"}).digest() == check({"name": "x", "seed": 1}).digest()


def test_tuning_crops_are_as_large_as_what_the_net_takes():
    assert check({"name": "x"}).crop == 128
    own = {"name": "x", "input": {"size": 96, "resize": 112}}
    assert check(own).crop == 96 and check(own | {"data": {"crop": 64}}).crop == 64


def test_a_layer_without_a_pattern_is_named():
    with pytest.raises(RecipeError, match=r"^prune.density: no pattern matches layer classifier.1; patterns are features\.\*$"):
        recipe.per_layer({"features.*": 0.5}, LAYERS, field="prune.density")


def test_a_pattern_without_a_layer_is_named():
    with pytest.raises(RecipeError, match=r"^quantize.bits: pattern 'fire2\.\*' matches no layer; layers are features.0, "):
        recipe.per_layer({"fire2.*": 4, "*": 5}, LAYERS, field="quantize.bits")


def test_a_pattern_that_another_hides_is_no_error():
    assert recipe.per_layer({"*": 4, "features.0": 5}, LAYERS, field="f") == dict.fromkeys(LAYERS, 4)


# --- SqueezeNetSpec --------------------------------------------------------------------------------------------------


def test_versions_have_their_own_defaults():
    old, new = SqueezeNetSpec(version="1.0"), SqueezeNetSpec()
    assert (old.conv1_channels, old.conv1_kernel, old.pool_after) == (96, 7, (0, 3, 7))
    assert (new.conv1_channels, new.conv1_kernel, new.pool_after) == (64, 3, (0, 2, 4))
    assert SqueezeNetSpec(version="1.0", conv1_kernel=5).conv1_kernel == 5


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"version": "1.0"},
        {"version": "1.0", "bypass": "complex", "classes": 10},
        {"pool_after": ()},
        {"squeeze_ratio": 0.75},
        {"version": "1.0", "conv1_channels": 64, "conv10_padding": 1},
        {"in_channels": 1, "n_fires": 2, "pool_after": (1,), "conv10_relu": False},
    ],
)
def test_compact_names_what_differs_and_gives_the_spec_back(fields):
    spec = SqueezeNetSpec(**fields)
    compact = json.loads(json.dumps(spec.compact()))  # as a file's metadata brings it back
    assert compact.keys() == {"version", *fields}
    assert SqueezeNetSpec(**compact) == spec


@pytest.mark.parametrize("pool_after", [(0, 9), (-1,), (2, 2)])
def test_a_pool_where_there_is_no_module_is_refused(pool_after):
    with pytest.raises(ValidationError, match="pool_after must name places from 0 to 8"):
        SqueezeNetSpec(pool_after=pool_after)


def test_fire_widths_follow_the_metaparameters():
    spec = SqueezeNetSpec()
    assert [spec.fire_widths(i) for i in (0, 1, 2, 7)] == [(16, 64, 64), (16, 64, 64), (32, 128, 128), (64, 256, 256)]
    assert SqueezeNetSpec(squeeze_ratio=0.5, pct3x3=0.01).fire_widths(0) == (64, 127, 1)


# --- JSON Schema -----------------------------------------------------------------------------------------------------

SCHEMA = recipe.json_schema(recipe.Recipe)


def accepts(schema, value):
    """The part of JSON Schema that pydantic writes, judged by hand: jsonschema is no dependency."""
    if "$ref" in schema:
        return accepts(SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], value)
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return any(accepts(option, value) for option in schema[several])
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "null": type(None)}
    kinds["boolean"] = bool
    if not isinstance(value, kinds[schema["type"]]) or (isinstance(value, bool) and schema["type"] != "boolean"):
        return False
    if isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        return set(schema.get("required", [])) <= value.keys() and all(
            accepts(known[k], v) if k in known else accepts(others, v) if isinstance(others, dict) else others
            for k, v in value.items()
        )
    if isinstance(value, list):
        return all(accepts(schema["items"], v) for v in value)
    if isinstance(value, str):
        allowed = schema.get("enum", [schema.get("const", value)])
        return value in allowed and re.search(schema.get("pattern", ""), value) is not None
    return (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and not value <= schema.get("exclusiveMinimum", value - 1)
        and not value >= schema.get("exclusiveMaximum", value + 1)
    )


@pytest.mark.parametrize("name", recipe_file.shipped())
def test_the_schema_accepts_the_shipped_recipes(name):
    assert accepts(SCHEMA, yaml.safe_load(recipe_file.shipped()[name].read_text()))


@pytest.mark.parametrize(
    "change",
    [{"sede": 1}, {"seed": "1"}, {"seed": -1}, {"seed": True}, {"name": "../x"}, {"prune": {"method": "all"}},
     {"prune": {"density": 1.5, "tune": {"steps": 1, "learning_rate": 1}}}, {"weights_sha256": "x"}, {"data": {"tune": "x"}}],
)  # fmt: skip
def test_the_schema_refuses_what_the_check_refuses(change):
    tune = {"steps": 1, "learning_rate": 0.1}
    fields = {"name": "tiny", "prune": {"density": 0.5, "tune": tune}, "quantize": {"bits": 4, "tune": tune}}
    assert accepts(SCHEMA, fields) and not accepts(SCHEMA, fields | change)
    with pytest.raises(RecipeError):
        recipe_file.check(fields | change)


def test_the_schema_describes_every_field():
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    json.dumps(SCHEMA, allow_nan=False)
    sections = {"Recipe": Recipe, **{name: getattr(recipe, name) for name in SCHEMA["$defs"]}}
    assert sections.keys() == {
        *("Recipe", "SqueezeNetSpec", "AlexNetSpec", "FactorySpec", "Input", "Source", "Data"),
        *("Train", "Augment", "Distill", "Dsd", "Sparse", "Tune", "Svd", "Prune", "Quantize", "Rate", "Encode", "Target"),
    }
    for name, section in sections.items():
        described = SCHEMA if name == "Recipe" else SCHEMA["$defs"][name]
        assert issubclass(section, BaseModel) and list(described["properties"]) == list(section.model_fields)
        assert described["additionalProperties"] is False
        required = [field for field, info in section.model_fields.items() if info.is_required()]
        assert described.get("required", []) == required
