import numpy as np
import pytest
import tiny_net
import torch
from PIL import Image

import compress
from compress.errors import CorruptArtifact, ImageError, InputError
from compress.export.predict import predict


@pytest.fixture
def file(tmp_path):
    return tiny_net.write(tmp_path / "net.sqz")


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / name for name in ("a.png", "b.jpg", "grey.png")]
    for path, shape in zip(paths, [(20, 30, 3), (16, 16, 3), (18, 40)], strict=True):
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(path)
    return paths


def test_the_classes_are_those_of_the_loaded_net(file, pictures):
    net = compress.load(file)
    found = predict(file, pictures, top=2)
    assert [path for path, _ in found] == pictures
    for path, guesses in found:
        probabilities = net(net.preprocess(path)).softmax(1)[0]
        order = probabilities.argsort(descending=True).tolist()[:2]
        assert [guess.index for guess in guesses] == order
        assert [guess.name for guess in guesses] == [tiny_net.CLASSES[i] for i in order]
        torch.testing.assert_close(torch.tensor([guess.probability for guess in guesses]), probabilities[order])


def test_top_is_at_most_the_number_of_classes(file, pictures):
    [(_, guesses)] = predict(file, pictures[:1], top=5)
    assert len(guesses) == 3 and sum(guess.probability for guess in guesses) == pytest.approx(1)


def test_without_names_the_index_is_the_name(tmp_path, pictures):
    file = tiny_net.write(tmp_path / "nameless.sqz", classes=None)
    [(_, guesses)] = predict(file, pictures[:1], top=3)
    assert [guess.name for guess in guesses] == [str(guess.index) for guess in guesses]


def test_a_grey_net_takes_colour_pictures(tmp_path, pictures):
    architecture = {**tiny_net.ARCHITECTURE, "in_channels": 1}
    file = tiny_net.write(tmp_path / "grey.sqz", tiny_net.grey_layers(), input=tiny_net.GREY_INPUT, architecture=architecture)
    assert len(predict(file, pictures, top=1)) == 3


def test_a_bad_picture_is_named(file, pictures, tmp_path):
    bad = tmp_path / "bad.png"
    for data in (b"", b"no picture", pictures[0].read_bytes()[:60]):
        bad.write_bytes(data)
        with pytest.raises(ImageError, match=r"bad.png: cannot be decoded as an image: "):
            predict(file, [pictures[0], bad], top=1)
    with pytest.raises(ImageError, match=r"none.png: cannot be decoded"):
        predict(file, [tmp_path / "none.png"], top=1)
    with pytest.raises(ImageError, match="cannot be decoded"):
        predict(file, [tmp_path], top=1)


def test_a_bad_file_is_named(pictures, tmp_path):
    with pytest.raises(InputError, match=r"none.sqz: cannot be read"):
        predict(tmp_path / "none.sqz", pictures, top=1)
    with pytest.raises(CorruptArtifact, match=r"a.png: not a .sqz file"):
        predict(pictures[0], pictures, top=1)
