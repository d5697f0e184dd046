"""The sets of a recipe together: what is trained on is measured on nowhere, and what is measured on was trained on."""

import pytest
from image_files import noise, write_folder, write_shard

from compress.convention import InputConvention
from compress.data import digits, pictures
from compress.data.splits import splits
from compress.errors import InputError
from compress.recipe_file import check

CONVENTION = InputConvention("RGB", 1.0, (0.5,) * 3, (0.25,) * 3, size=8, resize=10)
CLASSES = ["ant", "bee", "cat"]


def write(path, images):
    """images: "class/name" -> seed of its noise."""
    return f"folder:{write_folder(path, {f'{name}.png': noise(seed) for name, seed in images.items()})}"


@pytest.fixture
def train(tmp_path):
    return write(tmp_path / "set" / "train", {"ant/0": 0, "ant/1": 1, "bee/0": 2, "bee/1": 3})


@pytest.fixture
def test(tmp_path):
    return write(tmp_path / "set" / "val", {"ant/0": 10, "bee/0": 11})


def made(allow_overlap=False, classes=CLASSES, **data):
    fields = {"name": "x", "model": {"classes": 3}, "weights": "scratch", "train": {"epochs": 1, "batch_size": 2}, "data": data}
    fields |= {"classes": classes} if classes else {}
    return splits(check(fields), CONVENTION, 3, allow_overlap=allow_overlap)


def refusal(**options):
    with pytest.raises(InputError) as refused:
        made(**options)
    return str(refused.value)


def test_nothing_is_trained_on_without_a_train_section(train, test):
    recipe = check({"name": "x", "model": {"classes": 3}, "classes": CLASSES, "data": {"tune": train, "test": test}})
    found = splits(recipe, CONVENTION, 3, allow_overlap=False)
    assert found.training is None and list(found.overlaps.values()) == [0]


def test_what_is_tuned_on_is_trained_on_where_nothing_else_is_named(train, test, monkeypatch):
    """And its pictures are read once."""
    load, asked = pictures.load, []
    monkeypatch.setattr(
        pictures, "load", lambda source, *args, **options: asked.append(source.source) or load(source, *args, **options)
    )
    for data in ({"tune": train, "test": test}, {"train": train, "tune": train, "test": test}):
        asked.clear()
        found = made(**data)
        assert len(found.training) == 4 and found.training.labels.tolist() == [0, 0, 1, 1]
        assert asked == [train, test] and list(found.overlaps.values()) == [0]


def test_what_is_trained_on_may_be_another_set_than_what_is_tuned_on(train, test):
    found = made(train=train, tune="bundled", test=test)
    assert found.training.description == "set/train: 4 images of 2 classes"
    assert found.tuning.description == "random crops of 16 bundled photographs; no labels"


def test_digits():
    fields = {"name": "x", "model": {"classes": 10, "in_channels": 1}, "weights": "scratch", "train": {"epochs": 1}}
    found = splits(check(fields | {"data": {"tune": "digits", "test": "digits"}}), digits.CONVENTION, 10, allow_overlap=False)
    assert len(found.training) == 1437 and len(found.test.pixels) == 360 and found.overlaps == {}


# --- classes ---------------------------------------------------------------------------------------------------------


def test_classes_that_are_measured_on_and_never_trained_on_are_named(train, test, tmp_path):
    write(tmp_path / "set" / "val", {"cat/0": 12})
    assert refusal(tune=train, test=test) == "set/val: 1 of its classes are not in data.train: cat"
    other = write(tmp_path / "other", {"bee/0": 20, "cat/0": 21})
    clean = write(tmp_path / "clean", {"bee/0": 22})
    assert refusal(tune=train, test=clean, report=[clean, other]) == "other: 1 of its classes are not in data.train: cat"
    assert made(tune=train, test=clean).training is not None  # a class that is trained on need not be measured on


def test_classes_without_names_are_told_by_their_index(train, tmp_path):
    one = write_shard(tmp_path / "wds" / "a.tar", {"0": (noise(30), 0), "1": (noise(31), 2)})
    other = write_shard(tmp_path / "held" / "a.tar", {"0": (noise(32), 1), "1": (noise(33), 0)})
    message = refusal(tune=f"shards:{one}", test=f"shards:{other}", classes=None)
    assert message == "held: 1 of its classes are not in data.train: 1"


def test_a_class_of_which_nothing_is_taken_is_not_trained_on(train, test):
    data = {"source": train, "leave_out": ["bee/0.png", "bee/1.png"]}
    assert refusal(tune=data, test=test) == "data.train: its 2 pictures are of one class; training needs two at least"


def test_a_set_without_labels_is_of_no_class(train):
    found = made(tune=train, test="bundled")
    assert found.test.labels is None and found.training is not None


# --- pictures in two sets --------------------------------------------------------------------------------------------


def test_pictures_that_are_trained_and_measured_on_are_refused(train, tmp_path):
    test = write(tmp_path / "set" / "val", {"ant/copy": 1, "bee/0": 11})
    message = refusal(train=train, tune="bundled", test=test)
    lines = message.splitlines()
    assert lines[0] == "pictures are used twice" and len(lines) == 4
    assert lines[1] == f"  {tmp_path}/set/train/ant/1.png  and  {tmp_path}/set/val/ant/copy.png  (correlation 1.000)"
    assert lines[2] == "1 pictures of data.train are in set/val too, which is measured on"
    assert list(made(train=train, tune="bundled", test=test, allow_overlap=True).overlaps.values()) == [1]


def test_a_picture_that_is_trained_and_tuned_on_is_counted_once(train, tmp_path):
    test = write(tmp_path / "set" / "val", {"ant/copy": 0, "bee/copy": 3})
    data = {"train": train, "tune": {"source": train, "take_every": 2}, "test": test}
    message = refusal(**data)
    assert "2 pictures of data.train are in set/val too" in message and "1 pictures of data.tune are in set/val too" in message
    assert list(made(**data, allow_overlap=True).overlaps.values()) == [2]


def test_pictures_that_nobody_looked_at_are_compared_with_nothing_and_that_is_told(train, tmp_path):
    """No number of pictures that are in both, for it is not known; and nothing is refused for it."""
    test = write(tmp_path / "set" / "val", {"ant/copy": 0, "bee/copy": 3})
    unchecked = {"source": train, "check": False}
    report = write(tmp_path / "report", {"ant/0": 50, "bee/0": 51})
    found = made(train=unchecked, tune="bundled", test=test, report=[report])
    assert len(found.training) == 4 and found.overlaps == {} and found.training.fingerprints.names == ()
    other = write(tmp_path / "other", {"ant/0": 40, "bee/0": 41})
    assert made(train=[unchecked, other], tune="bundled", test=test).overlaps == {}  # some of them were looked at
    data = {"train": unchecked, "tune": train, "test": test}  # of those that are tuned on it is known
    assert "2 pictures of data.tune are in set/val too" in refusal(**data)
    assert list(made(**data, allow_overlap=True).overlaps.values()) == [2]
