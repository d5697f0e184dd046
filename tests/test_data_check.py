import io
import json
from contextlib import redirect_stdout

import numpy as np
import pytest
import yaml
from image_files import flat, noise, png, write_folder, write_shard
from PIL import Image

from compress.data.check import check
from compress.data.facts import UNUSUAL
from compress.display.data_check import data_check
from compress.errors import InputError
from compress.recipe import Input


def write(folder, seed, names):
    return write_folder(folder, {name: noise(seed + i) for i, name in enumerate(names)})


@pytest.fixture
def train(tmp_path):
    return write(tmp_path / "train", 0, ["ant/a.png", "ant/b.png", "bee/c.png", "bee/d.png"])


@pytest.fixture
def test(tmp_path):
    return write(tmp_path / "test", 100, ["ant/e.png", "bee/f.png"])


def report(train, test=None, size=8, **options):
    train, test = (f"folder:{each}" if each and not isinstance(each, str) else each for each in (train, test))
    return check(train, test, size=size, **options)


def shown(found):
    out = io.StringIO()
    with redirect_stdout(out):
        data_check(found)
    return out.getvalue()


def problems(found):
    return [each.text for each in found.problems]


def test_a_set_with_nothing_wrong(train, test):
    found = report(train, test)
    assert found.problems == found.notes == () and found.overlap.same == found.overlap.near == ()
    assert (found.train.n_images, found.test.n_images) == (4, 2)
    alone = report(train)
    assert alone.problems == () and alone.test is alone.overlap is None and alone.train == found.train


# --- one set ---------------------------------------------------------------------------------------------------------


def test_classes_without_images(train):
    (train / "cat").mkdir()
    write_folder(train, {"dog/a.png": b"x", "dog/b.png": b"y"})
    empty, damaged = report(train).problems
    assert empty.text == f"folder:{train}: 2 classes without images" and empty.details == ("cat", "dog: 2 damaged")
    assert damaged.text == f"folder:{train}: 2 of 6 pictures cannot be decoded; a run refuses more than 1%"
    assert damaged.details[0] == f"{train}/dog/a.png: cannot be decoded as an image: no format that Pillow knows"


def test_one_percent_of_damaged_pictures_is_a_problem_that_a_run_accepts(tmp_path):
    write_folder(tmp_path, {f"{i % 2}/{i}.png": b"x" if i == 7 else flat(i) for i in range(100)})
    assert problems(report(tmp_path)) == [f"folder:{tmp_path}: 1 of 100 pictures cannot be decoded"]


def test_one_class(tmp_path):
    found = report(write(tmp_path, 0, ["ant/a.png", "ant/b.png"]))
    assert problems(found) == [f"folder:{tmp_path}: one class only, ant"]


def test_no_images_at_all(tmp_path, test):
    (tmp_path / "train" / "ant").mkdir(parents=True)
    (tmp_path / "train" / "bee").mkdir()
    for found in (report(tmp_path / "train"), report(tmp_path / "train", test)):
        assert problems(found) == [f"folder:{tmp_path}/train: 2 classes without images"] and found.input is None
    assert problems(report(test, tmp_path / "train")) == [f"folder:{tmp_path}/train: 2 classes without images"]


def test_copies_in_two_classes_are_a_problem_and_in_one_a_note(train):
    write_folder(train, {"ant/z.png": noise(0), "bee/z.png": noise(1), "bee/zz.png": noise(1)})
    found = report(train)
    assert problems(found) == [f"folder:{train}: 1 picture in more than one class, byte for byte"]
    assert found.problems[0].details == (f"{train}/ant/b.png (ant) = {train}/bee/z.png (bee) = {train}/bee/zz.png (bee)",)
    assert [note.text for note in found.notes] == [f"folder:{train}: 1 picture more than once in a class, byte for byte"]
    assert found.notes[0].details == (f"{train}/ant/a.png = {train}/ant/z.png",)


def test_unusual_pictures_are_a_note(train):
    write_folder(train, {"ant/g.png": noise(7).convert("L"), "bee/g.png": noise(8).convert("L"), "bee/dot.png": flat(3, (1, 1))})
    found = report(train)
    assert found.problems == () and found.train.unusual == {"grey": 2, "one_pixel": 1, "enlarged": 1}
    assert found.notes[0].text == f"folder:{train}: unusual pictures"
    assert found.notes[0].details == tuple(f"{n} {UNUSUAL[kind]}" for kind, n in found.train.unusual.items())


def test_shards(tmp_path):
    write_shard(tmp_path / "a.tar", {"a": (noise(0), 1), "b": (noise(1), 2), "c": (noise(1), 1), "d": (b"x", 3)})
    found = report(f"shards:{tmp_path}/a.tar")
    assert [each.details for each in found.problems] == [
        ("3: 1 damaged",),
        (f"{tmp_path}/a.tar/d: cannot be decoded as an image: no format that Pillow knows",),
        (f"{tmp_path}/a.tar/b (2) = {tmp_path}/a.tar/c (1)",),
    ]


def test_samples_without_labels(tmp_path):
    write_shard(tmp_path / "a.tar", {"a": (noise(0), 1), "b": (noise(1), 2), "c": (noise(1), None)})
    found = report(f"shards:{tmp_path}/a.tar")
    assert found.problems[0].text == f"shards:{tmp_path}/a.tar: 1 of 3 images have no label"
    assert found.problems[1].details == (f"{tmp_path}/a.tar/b (2) = {tmp_path}/a.tar/c (no label)",)
    assert "(no label)       1" in shown(found)


# --- the input -------------------------------------------------------------------------------------------------------


def test_the_input_is_one_of_a_recipe(tmp_path):
    write_folder(tmp_path, {"a/a.png": Image.new("RGB", (8, 8), (255, 0, 51)), "b/b.png": Image.new("RGB", (8, 8), (0, 1, 153))})
    found = report(tmp_path, size=6)
    expected = {"channels": "RGB", "size": 6, "resize": 6, "mean": [0.5, 0.002, 0.4], "std": [0.5, 0.002, 0.2]}
    assert found.input == expected
    line = shown(found).splitlines()[-1]
    assert line == "input: {channels: RGB, size: 6, resize: 6, mean: [0.5, 0.002, 0.4], std: [0.5, 0.002, 0.2]}"
    assert yaml.safe_load(line)["input"] == expected
    assert Input.model_validate(expected).std == (0.5, 0.002, 0.2)
    assert report(tmp_path, size=6, resize=8).input["resize"] == 8


def test_the_input_is_of_the_training_set(train, tmp_path):
    test = write_folder(tmp_path / "test", {"ant/a.png": flat(0), "bee/b.png": flat(255)})
    found = report(train, test)
    assert found.input == report(train).input and found.test.mean == (0.5,) * 3


def test_pictures_without_contrast_have_no_input(tmp_path):
    write_folder(tmp_path, {"a/a.png": flat(51), "b/b.png": flat(51, (9, 9))})
    found = report(tmp_path)
    assert found.input is None and problems(found) == [f"folder:{tmp_path}: the crops have no contrast: std [0.0, 0.0, 0.0]"]
    assert "input:" not in shown(found)


# --- two sets --------------------------------------------------------------------------------------------------------


def test_the_problems_of_both_sets_are_told(train, test):
    (train / "bee" / "c.png").write_bytes(b"x")
    (test / "ant" / "e.png").write_bytes(b"x")
    texts = problems(report(train, test))
    assert texts[0].startswith(f"folder:{train}: 1 of 4 pictures cannot be decoded")
    assert texts[1:] == [
        f"folder:{test}: 1 class without images",
        f"folder:{test}: 1 of 2 pictures cannot be decoded; a run refuses more than 1%",
    ]


def test_classes_of_one_set_only(train, test):
    write(train, 50, ["cat/a.png"])
    write(test, 60, ["dog/a.png", "emu/a.png"])
    found = report(train, test)
    assert problems(found) == [f"2 classes of folder:{test} that folder:{train} does not have"]
    assert found.problems[0].details == ("dog", "emu")
    assert [note.text for note in found.notes] == [f"1 class of folder:{train} that folder:{test} does not have"]
    assert found.notes[0].details == ("cat",)


def test_names_and_numbers_of_classes_are_not_compared(train, tmp_path):
    write_shard(tmp_path / "a.tar", {"a": (noise(50), 0), "b": (noise(51), 1)})
    found = report(train, f"shards:{tmp_path}/a.tar")
    assert found.problems == () and "are not compared" in found.notes[0].text and len(found.notes) == 1


def test_labels_of_shards_are_compared(tmp_path):
    write_shard(tmp_path / "a.tar", {"a": (noise(0), 0), "b": (noise(1), 1)})
    write_shard(tmp_path / "b.tar", {"a": (noise(2), 0), "b": (noise(3), 2), "c": (noise(4), None)})
    found = report(f"shards:{tmp_path}/a.tar", f"shards:{tmp_path}/b.tar")
    assert [each.details for each in found.problems] == [(), ("2",)] and [each.details for each in found.notes] == [("1",)]


def test_pictures_in_both_sets(train, test):
    smaller = noise(2, (480, 400)).resize((240, 200))
    write_folder(train, {"ant/big.png": noise(2, (480, 400)), "ant/flat.png": flat(9)})
    write_folder(test, {"ant/small.png": smaller, "bee/copy.png": noise(0), "bee/flat.png": flat(9)})
    found = report(train, test)
    assert [(each.train, each.test) for each in found.overlap.same] == [
        ((f"{train}/ant/a.png",), (f"{test}/bee/copy.png",)),
        ((f"{train}/ant/flat.png",), (f"{test}/bee/flat.png",)),  # the same file, though a flat picture is like no other
    ]
    [pair] = found.overlap.near
    assert (pair.tuned, pair.measured) == (f"{train}/ant/big.png", f"{test}/ant/small.png") and pair.correlation > 0.9
    same, near = found.problems
    assert same.text.startswith("2 pictures in both sets, byte for byte; a run refuses them, ")
    assert same.details[0] == f"{train}/ant/a.png = {test}/bee/copy.png"
    assert near.text.startswith("1 picture of the training set much like one of the test set; ")
    assert near.details == (str(pair),)


def test_a_set_with_itself(train):
    found = report(train, train)
    assert len(found.overlap.same) == 4 and found.overlap.near == () and len(found.problems) == 1


def test_a_test_set_that_is_missing_is_named(train, tmp_path):
    with pytest.raises(InputError, match=f"^test: {tmp_path}/none: no such folder$"):
        report(train, tmp_path / "none")


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_the_text(train, tmp_path):
    write_folder(train, {"[red]:cat:/x.png": b"x", "notes.txt": b""})
    test = write(tmp_path / "test", 100, ["ant/e.png", "cat/f.png"])
    lines = shown(report(train, test)).splitlines()
    assert [line.split() for line in lines[:5]] == [
        ["class", "images", "damaged", "test", "images", "damaged"],
        ["[red]:cat:", "0", "1", "-"],  # neither markup nor an emoji
        ["ant", "2", "1"],
        ["bee", "2", "-"],
        ["cat", "-", "1"],
    ]
    assert lines[5:7] == [
        f"train: folder:{train}: 4 images, 3 classes, 1 other files left alone",
        "train: every picture: 48 x 40 pixels",
    ]
    assert lines[7].startswith("train: mean 0.") and lines[8] == f"test: folder:{test}: 2 images, 2 classes"
    headings = [line.split(": ")[0] for line in lines[11:] if not line.startswith("  ")]
    assert headings == ["problem"] * 3 + ["note", "input"]


def test_the_text_of_one_set(tmp_path):
    write_folder(tmp_path, {"a/a.png": noise(0, (2000, 8)), "a/b.png": noise(0, (9, 9)), "b/c.png": noise(0, (30, 40))})
    lines = shown(report(tmp_path)).splitlines()
    assert [line.split() for line in lines[:3]] == [["class", "images", "damaged"], ["a", "2"], ["b", "1"]]
    assert lines[4:7] == [
        f"smallest picture: 9 x 9 pixels, {tmp_path}/a/b.png",
        "median picture: 30 x 40 pixels",
        f"largest picture: 2,000 x 8 pixels, {tmp_path}/a/a.png",
    ]
    assert "no problems" in lines and lines[-1].startswith("input: ")


def test_many_classes_are_summed_up(tmp_path):
    write_folder(tmp_path, {f"{c:02}/{i}.png": flat(c + i) for c in range(30) for i in range(c // 10 + 1)})
    assert shown(report(tmp_path)).splitlines()[1].split() == ["00", "1"]
    write_folder(tmp_path, {f"x/{i}.png": flat(i) for i in range(12)})
    lines = shown(report(tmp_path)).splitlines()
    assert lines[0] == f"folder:{tmp_path}: 72 images, 31 classes"
    assert lines[1:4] == [
        "fewest images: 1 (00), 1 (01), 1 (02)",
        "median of a class: 2 images",
        "most images: 3 (28), 3 (29), 12 (x)",
    ]


def test_the_first_details_are_shown_and_all_are_in_json(train):
    write_folder(train, {f"ant/x{i:02}.png": bytes([i]) for i in range(13)})
    found = report(train)
    lines = shown(found).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("problem: "))
    assert lines[start + 10].startswith(f"  {train}/ant/x09.png: ") and lines[start + 11] == "  and 3 more (--json has them all)"
    assert len(found.to_json()["train"]["damaged"]) == 13


def test_names_that_no_terminal_shows(train):
    write_folder(train, {"ant/a\x1b[31m\n.png": b"x"})
    (train / "\udcff").mkdir()
    text = shown(report(train))
    assert "\x1b" not in text and "ant/a\\x1b[31m\\n.png" in text and "\\udcff" in text


def test_json(train, test):
    write_folder(train, {"ant/z.png": noise(100), "ant/deep.png": Image.fromarray(np.full((9, 9), 9, np.uint16))})
    write_folder(train, {"bee/z.png": png(noise(9))[:99]})
    facts = json.loads(json.dumps(report(train, test).to_json(), allow_nan=False))
    assert facts.keys() == {"train", "test", "overlap", "input", "problems", "notes"}
    assert facts["train"]["classes"][0] == {"name": "ant", "n_images": 4, "n_damaged": 0}
    assert facts["train"]["sizes"][0] == {"width": 9, "height": 9, "name": f"{train}/ant/deep.png"}
    assert facts["train"]["unusual"] == {"grey": 1, "deep": 1} and len(facts["train"]["mean"]) == 3
    assert facts["overlap"] == {"same": [{"train": [f"{train}/ant/z.png"], "test": [f"{test}/ant/e.png"]}], "near": []}
    assert len(facts["problems"]) == 2 and facts["problems"][0].keys() == {"text", "details"}
