import json
import re

import pytest
from processes import TINY

from compress.checkpoint import key_of
from compress.errors import RunFolderError
from compress.folder_lock import LOCK
from compress.recipe_file import check
from compress.subject import subject
from compress.teacher import Teacher
from compress.training_folder import FACTS, OPERATIONAL, training_facts, training_folder


def opened(*arguments, **options):
    with training_folder(*arguments, **options):
        pass


HAS_CONTENT = {"seed": 0, "train": {"learning_rate": 0.1, "ema": None}, "images": {"sha256": "a"}}


class Images:
    description, digest = "1437 digits", "d1"


def facts(teacher=None, images=Images, **changes):
    recipe = check(TINY | changes | {"train": TINY["train"] | changes.get("train", {})})
    return training_facts(recipe, subject(recipe), images, teacher)


# --- what a training is known by ------------------------------------------------------------------------------------------


def test_the_key_of_a_recipe_stays():
    """A field of `model`, `input` or `train` that a later version adds must be left out of the facts where it has its default:
    else every training of before is done again."""
    assert key_of(facts()) == "adafaee558bfc6106cd349430671461edca5f44711bd4792376fc8e62ae0fa18"


@pytest.mark.parametrize(
    "changes",
    [
        {"prune": {"density": 0.5}},
        {"quantize": {"bits": 4}, "target": {"max_bytes": 9000}},
        {"encode": {"coder": "huffman"}},
        {"name": "other"},
        {"data": TINY["data"] | {"report": "digits"}},
        {"train": {name: 7 for name in OPERATIONAL if name.endswith(("every", "keep", "workers"))}},
        {"train": {"max_skipped": 0.5, "compile": True, "cache_gb": 0.0}},
    ],
)
def test_what_does_not_change_the_weights_is_no_part_of_it(changes):
    assert facts(**changes) == facts()


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"seed": 1}, "seed"),
        ({"train": {"learning_rate": 0.2}}, "train"),
        ({"train": {"micro_batch": 5}}, "train"),
        ({"train": {"sparse": {"density": 0.1}}}, "train"),
        ({"model": TINY["model"] | {"dropout": 0.1}}, "model"),
        ({"classes": [str(i) for i in range(10)]}, "classes"),
        ({"input": {"channels": "L", "mean": [0.5], "std": [0.5], "size": 8, "resize": 8}}, "input"),
    ],
)
def test_what_changes_the_weights_is(changes, where):
    changed = facts(**changes)
    assert where in [name for name, value in changed.items() if value != facts()[name]]


def test_the_order_of_a_table_of_densities_counts():
    table = {"*.squeeze": 0.5, "features.*": 0.2, "*": 1.0}
    keys = {
        key_of(facts(train={"sparse": {"density": dict(pairs)}}))
        for pairs in (table.items(), sorted(table.items()), table.items())
    }
    assert len(keys) == 2


def test_images_and_the_teacher_are_known_by_their_content():
    class Others(Images):
        digest = "d2"

    assert key_of(facts(images=Others)) != key_of(facts())
    keys = {key_of(facts(teacher)) for teacher in (None, Teacher(None, "a"), Teacher(None, "b"))}
    assert len(keys) == 3


# --- the folder -----------------------------------------------------------------------------------------------------------


def test_a_new_folder_holds_the_facts(tmp_path):
    folder = tmp_path / "runs" / "x"
    opened(folder, HAS_CONTENT)
    assert sorted(path.name for path in folder.iterdir()) == [LOCK, FACTS]
    assert json.loads((folder / FACTS).read_text()) == HAS_CONTENT
    (folder / "train").mkdir()
    for must_exist in (False, True):
        opened(folder, HAS_CONTENT, must_exist=must_exist)
    assert (folder / "train").exists()
    opened(folder, HAS_CONTENT, fresh=True)
    assert sorted(path.name for path in folder.iterdir()) == [LOCK, FACTS]


@pytest.mark.parametrize(
    ("must_exist", "end"), [(False, "--fresh drops it"), (True, "without --resume this recipe has a folder of its own")]
)
def test_another_training_is_refused_with_every_difference(tmp_path, must_exist, end):
    opened(tmp_path / "x", HAS_CONTENT)
    now = {"seed": 0, "train": {"learning_rate": 0.2, "ema": 0.9}, "images": {"sha256": "a"}, "classes": ["n" * 9] * 30}
    with pytest.raises(RunFolderError) as refused:
        opened(tmp_path / "x", now, must_exist=must_exist)
    first, *differences, last = str(refused.value).splitlines()
    assert first == f"{tmp_path / 'x'}: trains with other settings; there, in the recipe:" and last == end
    assert differences[1:] == ["  train.ema: the default, 0.9", "  train.learning_rate: 0.1, 0.2"]
    assert re.fullmatch(r'  classes: the default, \["nnnnnnnnn", .{60,120}\.\.\.', differences[0])


def test_a_table_of_densities_is_the_same_training_when_it_is_read_again(tmp_path):
    table = facts(train={"sparse": {"density": {"features.0": 1.0, "*": 0.25}}})
    opened(tmp_path / "x", table)
    opened(tmp_path / "x", table)
    other = facts(train={"sparse": {"density": {"*": 0.25, "features.0": 1.0}}})
    with pytest.raises(RunFolderError, match=r"train\.sparse\.density"):
        opened(tmp_path / "x", other)


def test_only_a_training_run_can_be_resumed(tmp_path):
    """And what else is there is left alone."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "precious").touch()
    with pytest.raises(RunFolderError, match=r"x: no training run is there: training.json is missing$"):
        opened(tmp_path / "x", HAS_CONTENT, must_exist=True)
    with pytest.raises(RunFolderError, match=r"none: no training run is there"):
        opened(tmp_path / "none", HAS_CONTENT, must_exist=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["x", "precious"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[1, 2]", b"null"])
def test_damaged_facts(tmp_path, content):
    opened(tmp_path / "x", HAS_CONTENT)
    (tmp_path / "x" / FACTS).write_bytes(content)
    with pytest.raises(RunFolderError, match=r"x/training.json: is damaged: .*; without it the run cannot go on: ") as told:
        opened(tmp_path / "x", HAS_CONTENT)
    assert "--fresh" in str(told.value)
    opened(tmp_path / "x", HAS_CONTENT, fresh=True)


@pytest.mark.parametrize("place", ["way", "way/x"])
@pytest.mark.parametrize("fresh", [False, True])
def test_a_file_in_the_way(tmp_path, place, fresh):
    (tmp_path / "way").write_text("precious")
    with pytest.raises(RunFolderError, match=rf"{place}: cannot be used: (Not a directory|File exists)"):
        opened(tmp_path / place, HAS_CONTENT, fresh=fresh)
    assert (tmp_path / "way").read_text() == "precious"
