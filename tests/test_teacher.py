"""The teacher of train.distill: a file, a function of the user's own, and what is refused."""

import hashlib

import pytest
import tiny_net
import torch
from processes import TINY
from torch import nn

from compress.errors import ArtifactError, InputError, RecipeError
from compress.recipe_file import check
from compress.subject import subject
from compress.teacher import teacher_of

INPUT = {"size": 16, "resize": 18}
RGB = {"model": {k: v for k, v in tiny_net.ARCHITECTURE.items() if k != "name"}, "input": INPUT}


# --- functions that a recipe names: "test_teacher:digits_net" ---------------------------------------------------------------


def digits_net(n_classes=10):
    """Takes images of 8 x 8 pixels and no others."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, n_classes))


def three_classes():
    return digits_net(3)


def fails():
    raise OSError("no weights")


def small_sides_only():
    """For sides of 16 and above."""
    return nn.Sequential(nn.Conv2d(3, 2, 16), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))


DATA = {"train": "folder:x", "tune": "bundled", "test": "folder:y", "crop": 16}


def found(teacher, base=TINY, **changes):
    fields = {"name": "x", "weights": "scratch", "data": DATA} | base | changes
    train = {"iterations": 2, "batch_size": 4, "distill": {"teacher": str(teacher)}}
    recipe = check(fields | {"train": train | changes.get("train", {})})
    return teacher_of(recipe, subject(recipe))


def refusal(error, *arguments, **changes):
    with pytest.raises(error) as refused:
        found(*arguments, **changes)
    return str(refused.value)


# --- what one is ------------------------------------------------------------------------------------------------------------


def test_a_recipe_without():
    recipe = check(TINY)
    assert teacher_of(recipe, subject(recipe)) is None
    plain = check({"name": "x"})
    assert teacher_of(plain, subject(plain)) is None


def test_a_function_of_the_users_own():
    """On digits, which are never cropped: data.crop does not count."""
    teacher = found("test_teacher:digits_net")
    assert not teacher.net.training and not any(p.requires_grad for p in teacher.net.parameters())
    torch.testing.assert_close(dict(teacher.net.state_dict()), dict(digits_net().state_dict()))
    assert teacher.sha256 == found("test_teacher:digits_net").sha256 and len(teacher.sha256) == 64


def test_a_file_whose_path_has_a_variable(tmp_path, monkeypatch):
    path = tiny_net.write(tmp_path / "net.sqz")
    monkeypatch.setenv("NETS", str(tmp_path))
    teacher = found("$NETS/net.sqz", RGB)
    assert teacher.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() == found(path, RGB).sha256
    assert not teacher.net.training and teacher.net(torch.zeros(1, 3, 16, 16)).shape == (1, 3)


# --- what is refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.onnx", "must be a .sqz file, or package.module:function"),
        ("test_teacher:none", "test_teacher (FILE) has no attribute 'none'"),
        ("no_such:net", "No module named 'no_such' in the working directory or installed"),
        ("test_teacher:fails", "raised OSError: no weights"),
        ("test_teacher:three_classes", "has 3 classes, the net of the recipe has 10"),
        ("test_teacher:small_sides_only", "the net does not take data.crop: 1 x 8 x 8: "),
    ],
)
def test_a_name_that_gives_no_teacher(name, message):
    told = refusal(RecipeError, name).replace(__file__, "FILE")
    assert told.startswith(f"train.distill.teacher: {name}: {message}")


def test_a_variable_that_is_not_set(monkeypatch):
    monkeypatch.delenv("NO_SUCH", raising=False)
    expected = "train.distill.teacher: $NO_SUCH/x.sqz: the environment variable NO_SUCH is not set, or empty"
    assert refusal(RecipeError, "$NO_SUCH/x.sqz") == expected


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        (RGB, {"model": RGB["model"] | {"classes": 4}}, "has 3 classes, the net of the recipe has 4"),
        (RGB, {"classes": ["cat", "owl", "dog"]}, "its classes are cat, dog, owl, those of the recipe cat, owl, dog"),
        (
            RGB,
            {"input": INPUT | {"mean": [0.5, 0.5, 0.5]}},
            "takes input.mean (0.485, 0.456, 0.406), the net of the recipe (0.5, 0.5, 0.5)",
        ),
        (RGB, {"input": INPUT | {"channels": "BGR"}}, "takes input.channels RGB, the net of the recipe BGR"),
        (RGB, {"input": INPUT | {"scale": 255.0}}, "takes input.scale 1.0, the net of the recipe 255.0"),
    ],
)
def test_a_file_of_another_task(tmp_path, base, changes, message):
    path = tiny_net.write(tmp_path / "net.sqz")
    assert refusal(RecipeError, path, base, **changes) == f"train.distill.teacher: {path}: {message}"


def test_a_file_that_folds_its_input_takes_torchvisions(tmp_path):
    path = tiny_net.write(tmp_path / "net.sqz", input=tiny_net.CAFFE_INPUT)
    assert found(path, RGB).net(torch.zeros(1, 3, 16, 16)).shape == (1, 3)
    assert "takes input.scale 1.0, the net of the recipe 255.0" in refusal(RecipeError, path, RGB, input=INPUT | {"scale": 255.0})


def test_the_first_crops_are_for_the_teacher_too():
    sizes = {"model": RGB["model"], "input": {"size": 24, "resize": 24}, "data": DATA | {"crop": 24}}
    message = refusal(RecipeError, "test_teacher:small_sides_only", RGB, **sizes, train={"first_crop": 12})
    assert message.startswith(
        "train.distill.teacher: test_teacher:small_sides_only: the net does not take train.first_crop: 3 x 12 x 12: "
    )
    found("test_teacher:small_sides_only", RGB, **sizes, train={"first_crop": 16})


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "x.sqz").write_bytes(b"SQZ?")
    refusal(ArtifactError, tmp_path / "x.sqz")
    assert "none.sqz" in refusal(InputError, tmp_path / "none.sqz")
