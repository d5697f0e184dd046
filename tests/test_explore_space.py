"""Spaces: which points they have, in which order, and what is refused before anything runs."""

import sys

import pytest
from explore_points import SPACE, dumped, points_of, write_space

from compress import recipe_file
from compress.errors import SpaceError
from compress.explore import process, space
from compress.models.describe import describe


def test_a_grid_is_every_combination_the_last_field_fastest(tmp_path):
    points = points_of(tmp_path)
    assert [point.index for point in points] == [0, 1, 2, 3]
    values = [(point.recipe.model.squeeze_ratio, point.recipe.quantize.bits) for point in points]
    assert values == [(0.125, 2), (0.125, 3), (0.25, 2), (0.25, 3)]
    assert [point.label for point in points][:2] == ["squeeze_ratio 0.125, bits 2", "squeeze_ratio 0.125, bits 3"]
    assert {point.recipe.name for point in points} == {"tiny"} and {point.recipe.train.epochs for point in points} == {1}


def test_points_one_by_one_come_first(tmp_path):
    points = points_of(tmp_path, SPACE + "points:\n  - {prune: null}\n  - {model.bypass: simple, seed: 3}\n")
    assert len(points) == 6 and points[0].recipe.prune is None
    assert points[1].recipe.model.bypass == "simple" and points[1].recipe.seed == 3 and points[1].label == "bypass simple, seed 3"
    assert points[2].fields == {"model.squeeze_ratio": 0.125, "quantize.bits": 2}


def test_a_point_that_is_listed_may_have_a_label_which_is_no_field(tmp_path):
    text = SPACE.partition("grid")[0]
    listed = "points:\n  - {label: as it is}\n  - {prune: null}\n  - {seed: 1, label: b}\n"
    named, unnamed, same = points_of(tmp_path, text + listed)
    assert named.label == "as it is" and named.fields == {} and "label" not in dumped(named)
    assert unnamed.label == "prune None" and (same.label, same.fields) == ("b", {"seed": 1})
    [plain] = points_of(tmp_path, text + "points: [{}]\n")
    assert plain.label == "as the recipe" and plain.recipe == named.recipe


def test_a_point_is_the_recipe_that_set_makes(tmp_path):
    """To the digest, which is what runs are known by; and again when it was written to a file."""
    point = points_of(tmp_path)[3]
    changes = ("name=tiny", "train.epochs=1", "prune.tune.steps=5", "quantize.tune.steps=5")
    same = recipe_file.load("digits", (*changes, "model.squeeze_ratio=0.25", "quantize.bits=3"))
    assert point.recipe == same and point.recipe.digest() == same.digest()
    assert recipe_file.check(dumped(point)).digest() == same.digest()


def test_the_recipe_may_lie_beside_the_space(tmp_path):
    (tmp_path / "mine.yaml").write_text(recipe_file.find("digits").read_text())
    points = points_of(tmp_path, SPACE.replace("recipe: digits", "recipe: mine.yaml"))
    assert points[0].recipe.digest() == points_of(tmp_path)[0].recipe.digest()


def test_a_small_number_is_read_again_as_a_number(tmp_path, monkeypatch):
    """YAML takes 1e-05, which is what JSON and repr write, for a word."""
    [point] = points_of(tmp_path, "name: a\nrecipe: digits\npoints: [{quantize.tune.learning_rate: 0.00001}]\n")
    place = process.Place(tmp_path, 1, "cpu")
    (tmp_path / process.LOGS).mkdir()
    monkeypatch.setattr(process, "command", lambda recipe, _: [sys.executable, "-c", "raise SystemExit(2)"])
    process.run_point((point, None), place)
    assert recipe_file.load(str(place.recipe(point))).digest() == point.recipe.digest()


def test_no_point_changes_another(tmp_path):
    """Fields of a section that the recipe does not have, and tables."""
    text = "name: a\nrecipe: digits\npoints:\n  - {target.max_bytes: 5}\n  - {prune.density: {'*': 0.5}}\n  - {seed: 9}\n"
    points = points_of(tmp_path, text)
    assert points[0].recipe.target.max_bytes == 5
    assert points[1].recipe.prune.density == {"*": 0.5}
    assert points[2].recipe.prune.density != {"*": 0.5} and points[2].recipe.target == recipe_file.load("digits").target


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"space.yaml: a space is a mapping of fields, this is empty"),
        ("name: a\nrecipe: digits\n", "needs a grid, points, or a search"),
        ("name: a\nrecipe: digits\ngrid: {seed: []}\n", "grid.seed: has no value"),
        ("name: a\nrecipe: digits\ngrid: {seed: [1, 1]}\n", "grid.seed: names a value twice"),
        ("name: a\nrecipe: digits\ngird: {seed: [1]}\n", r"space.yaml:3: unknown field gird; did you mean grid\?"),
        ("name: A b\nrecipe: digits\ngrid: {seed: [1]}\n", r"space.yaml:1: name: "),
        ("name: a\ngrid: {seed: [1]}\n", "recipe is missing"),
        ("name: a\nrecipe: none\ngrid: {seed: [1]}\n", "space.yaml: recipe: none: no such file, and no shipped recipe"),
        ("name: a\nrecipe: digits\ngrid: {seed: [1, -1]}\n", r"space.yaml: point 1 \(seed=-1\): seed: must be greater"),
        ("name: a\nrecipe: digits\ngrid: {model.squeze_ratio: [0.5]}\n", r"model.squeze_ratio; did you mean squeeze_ratio\?"),
        (
            "name: a\nrecipe: digits\ngrid: {model.pct3x3: [0.5, 0.001]}\n",
            r"point 1 \(model.pct3x3=0.001\): model: Fire module 1 has \(16, 64, 0\) filters, each must be at least 1",
        ),
        ("name: a\nrecipe: digits\npoints: [{}, {}]\n", "point 1 .*: is the same recipe as point 0"),
        ("name: a\nrecipe: digits\npoints: [{name: b}]\n", r"point 0 \(name=b\): name is that of the space"),
        ("name: a\nrecipe: digits\nset: {name: b}\npoints: [{}]\n", "space.yaml: set: name is that of the space"),
        (
            "name: a\nrecipe: digits\npoints: [{seed: 1}, {label: 3}]\n",
            r"points.1.label: must be a text of 1 to 60 .*, was 3",
        ),
        ("name: a\nrecipe: digits\npoints: [{label: ''}]\n", r"points.0.label: must be a text"),
        (f"name: a\nrecipe: digits\npoints: [{{label: {61 * 'x'}}}]\n", r"points.0.label: must be a text"),
        ("name: a\nrecipe: digits\ngrid: {label: [a, b]}\n", "point 0 .*unknown field label"),
        ("name: a\nrecipe: digits\npoints: [{model..bits: 1}]\n", r"'model..bits' must be the name of a field"),
    ],
)
def test_refusals(tmp_path, text, message):
    with pytest.raises(SpaceError, match=message):
        points_of(tmp_path, text)


def test_many_points_are_asked_for(tmp_path):
    grid = f"{{seed: {list(range(101))}, quantize.bits: {list(range(1, 101))}}}"
    path = write_space(tmp_path, f"name: a\nrecipe: digits\ngrid: {grid}\n")
    found = space.load(path)
    assert found.n_points == 10_100
    with pytest.raises(SpaceError, match=r"space.yaml: 10,100 points, more than 10,000 need --yes"):
        space.points(found, path)


def test_a_missing_file(tmp_path):
    with pytest.raises(SpaceError, match=r"none.yaml: cannot be read: No such file"):
        space.load(tmp_path / "none.yaml")


def test_spaces_that_ship_are_no_recipes():
    assert not [name for name in recipe_file.shipped() if name.startswith(recipe_file.SPACE)]


FIGURE_3 = {  # parameters at 1000 classes, of the points whose counts are known
    "squeeze-ratio": {0.125: 1_248_424, 0.25: 1_967_080, 0.375: 2_685_736, 0.5: 3_404_392, 0.75: 4_841_704, 1.0: 6_279_016},
    "3x3-share": {0.01: 1_478_248, 0.5: 3_404_392, 0.99: 5_330_536},
    "bypass": {"none": 1_248_424, "simple": 1_248_424, "complex": 1_589_672},
}


@pytest.mark.parametrize("name", FIGURE_3)
def test_the_shipped_spaces_are_the_papers_nets(name, monkeypatch):
    monkeypatch.setenv("SQUEEZE_DATA", "/nowhere")
    path = space.find(name)
    points = space.points(space.load(path), path)
    found = {}
    for point in points:
        assert point.recipe.model.classes == 10 and point.recipe.target is None and point.recipe.quantize is not None
        [value] = (value for name, value in point.fields.items() if name != "seed")
        found[value] = describe(point.recipe.model.model_copy(update={"classes": 1000}), 224).parameters
    assert {value: found[value] for value in FIGURE_3[name]} == FIGURE_3[name]
