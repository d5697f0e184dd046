import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compress.convention import InputConvention
from compress.data.folder import measuring_set, pictures
from compress.errors import ImageError, InputError

SMALL = InputConvention("RGB", 1.0, (0.5,) * 3, (0.25,) * 3, size=8, resize=10)
CLASSES = {"ant": 0, "bee": 1}


@pytest.fixture
def folder(tmp_path):
    for name, level in (("ant/b.png", 10), ("ant/a.png", 20), ("bee/c.JPG", 200)):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 12), (level,) * 3).save(path)
    (tmp_path / "set" / "ant" / "notes.txt").write_text("not a picture")
    return tmp_path / "set"


def test_pictures_come_in_the_order_of_their_paths(folder):
    assert [str(path.relative_to(folder)) for path in pictures(folder)] == ["ant/a.png", "ant/b.png", "bee/c.JPG"]


def test_a_measuring_set_has_pixels_labels_and_a_digest(folder):
    images = measuring_set(folder, CLASSES, SMALL)
    assert images.pixels.shape == (3, 8, 8, 3) and images.pixels.dtype == measuring_set(folder, CLASSES, SMALL).pixels.dtype
    assert images.labels.tolist() == [0, 0, 1]
    assert images.pixels[:2, 0, 0, 0].tolist() == [20, 10]
    assert images.digest == measuring_set(folder, CLASSES, SMALL).digest and len(images.digest) == 64
    assert images.description == "set: 3 images of 2 classes, with labels"


def test_other_pictures_have_another_digest(folder):
    before = measuring_set(folder, CLASSES, SMALL).digest
    Image.new("RGB", (16, 12), "red").save(folder / "ant" / "a.png")
    assert measuring_set(folder, CLASSES, SMALL).digest != before


def test_a_grey_net_gets_one_channel(folder):
    grey = InputConvention("L", 1.0, (0.5,), (0.25,), size=8, resize=10)
    assert measuring_set(folder, CLASSES, grey).pixels.shape == (3, 8, 8, 1)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="none: no such folder"):
        pictures(tmp_path / "none")


def test_an_empty_folder_says_what_is_expected(tmp_path):
    (tmp_path / "ant").mkdir()
    with pytest.raises(InputError, match=r"no pictures; expected .*/<class>/<picture>\.jpg"):
        pictures(tmp_path)


def test_a_class_that_the_net_does_not_have_is_named(folder):
    with pytest.raises(InputError, match="1 sub-folders are not classes of the net: bee"):
        measuring_set(folder, {"ant": 0}, SMALL)


def test_a_corrupt_picture_is_named(folder):
    (folder / "bee" / "d.png").write_bytes(b"\x89PNG and no more")
    with pytest.raises(ImageError, match=r"d\.png: cannot be decoded"):
        measuring_set(folder, CLASSES, SMALL)


DATA = Path(os.environ.get("SQUEEZE_DATA", "../shared/data"))


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is missing: set SQUEEZE_DATA to the folder of ImageNet images")
def test_imagenet_folders_map_to_imagenet_indices():
    wnids = (DATA / "imagenet-wnids.txt").read_text().split()
    images = measuring_set(DATA / "imagenet-broad250", {wnid: i for i, wnid in enumerate(wnids)}, SMALL)
    assert len(images.pixels) == 250 and len(np.unique(images.labels)) == 131
