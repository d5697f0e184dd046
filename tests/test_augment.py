import numpy as np
import pytest
import torch
from PIL import Image

from compress.data import augment
from compress.data.augment import change_batch, random_crop

MIN_AREA = 0.05


def noise(width, height, mode="RGB"):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)).convert(mode)


@pytest.mark.parametrize("size", [(640, 427), (45, 300), (300, 45), (20, 20), (1, 50)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_crops_are_square_whatever_the_photograph(size, mode):
    image, rng = noise(*size, mode), np.random.default_rng(1)
    for _ in range(50):
        crop = random_crop(image, 16, MIN_AREA, rng)
        assert crop.shape == (16, 16, len(mode)) and crop.dtype == np.uint8


def test_a_grey_crop_is_the_crop_of_the_grey_picture():
    colour, grey = (random_crop(noise(90, 70, mode), 16, MIN_AREA, np.random.default_rng(4)) for mode in ("RGB", "L"))
    luma = colour @ np.array([0.299, 0.587, 0.114])  # ITU-R 601
    assert np.abs(luma - grey[:, :, 0]).max() < 2


def test_the_whole_picture_is_a_crop_where_that_is_the_least():
    image = Image.new("RGB", (50, 50), "red")
    image.paste("blue", (0, 0, 25, 50))
    crop = random_crop(image, 50, 1.0, np.random.default_rng(0))  # not square: at most MAX_ASPECT, and inside
    assert crop[:, :, 0].min() == 0 and crop[:, :, 0].max() == 255


def test_crops_repeat_by_seed():
    image = noise(100, 80)
    first, again = (random_crop(image, 32, MIN_AREA, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, random_crop(image, 32, MIN_AREA, np.random.default_rng(6)))


@pytest.mark.parametrize("min_area", [0.05, 0.3])
def test_crops_cover_a_share_of_the_photograph_between_the_limits(monkeypatch, min_area):
    boxes = []
    monkeypatch.setattr(Image.Image, "resize", lambda self, size, resample, box, reducing_gap: boxes.append(box) or noise(*size))
    image, rng = noise(1000, 800), np.random.default_rng(2)
    for _ in range(300):
        random_crop(image, 8, min_area, rng)
    left, top, right, bottom = np.array(boxes).T
    width, height = right - left, bottom - top
    assert left.min() >= 0 and top.min() >= 0 and right.max() <= 1000.001 and bottom.max() <= 800.001
    share = width * height / 800_000
    assert min_area * 0.999 <= share.min() < min_area * 1.4 and share.max() > 0.8
    assert (width / height).min() >= 0.999 / augment.MAX_ASPECT and (width / height).max() <= augment.MAX_ASPECT * 1.001


def batch(n=8, side=10):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_a_changed_batch_keeps_its_shape_and_range_and_repeats_by_seed():
    for seed in range(20):
        changed, again = (change_batch(batch(), np.random.default_rng(seed)) for _ in range(2))
        assert changed.shape == (8, 3, 10, 10) and changed.dtype == torch.float32
        assert changed.min() >= 0 and changed.max() <= 1
        assert torch.equal(changed, again)


def test_grey_batches_are_changed_too():
    grey = batch()[:, :1]
    changed = change_batch(grey.clone(), np.random.default_rng(0))
    assert changed.shape == (8, 1, 10, 10) and changed.min() >= 0 and changed.max() <= 1 and not torch.equal(changed, grey)


def test_about_half_of_the_images_are_mirrored(monkeypatch):
    monkeypatch.setattr(augment, "JITTER", 0.0)
    monkeypatch.setattr(augment, "CUTMIX_PROBABILITY", 0.0)
    x, n_mirrored = batch(200, 4), 0
    changed = change_batch(x.clone(), np.random.default_rng(0))
    for before, after in zip(x, changed, strict=True):
        is_mirrored = torch.allclose(after, before.flip(2), atol=1e-6)
        assert is_mirrored or torch.allclose(after, before, atol=1e-6)
        n_mirrored += is_mirrored
    assert 70 < n_mirrored < 130


def test_cutmix_pastes_one_rectangle_of_another_image(monkeypatch):
    monkeypatch.setattr(augment, "JITTER", 0.0)
    monkeypatch.setattr(augment, "CUTMIX_PROBABILITY", 1.0)
    plain = torch.arange(1, 7).view(6, 1, 1, 1).expand(6, 3, 20, 20) / 10  # each image has one value
    changed = change_batch(plain.clone(), np.random.default_rng(3))
    pasted = ~torch.isclose(changed, plain).all(1)  # (b, h, w); an image may get a piece of itself
    rows, columns = pasted.any(0).any(1).nonzero().flatten(), pasted.any(0).any(0).nonzero().flatten()
    for image, mask in zip(changed, pasted, strict=True):
        assert len(image.unique()) <= 2
        if mask.any():
            assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all() and mask.sum() == len(rows) * len(columns)
    assert pasted.any() and 4 <= len(rows) <= 14  # 0.2 to 0.7 of 20


def test_cutmix_leaves_half_of_the_batches_whole(monkeypatch):
    monkeypatch.setattr(augment, "JITTER", 0.0)
    plain = torch.arange(1, 7).view(6, 1, 1, 1).expand(6, 3, 8, 8) / 10
    whole = sum(torch.allclose(change_batch(plain.clone(), np.random.default_rng(seed)), plain) for seed in range(100))
    assert 30 < whole < 70
