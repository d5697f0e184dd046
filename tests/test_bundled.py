import hashlib
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from compress.convention import CAFFE, TORCHVISION
from compress.data import bundled, sets
from compress.data.overlap import thumbnail
from compress.errors import MissingDependency
from compress.recipe import Source

SMALL = replace(TORCHVISION, size=16, resize=16)


def test_what_is_measured_on_is_never_tuned_on():
    assert len(bundled.TUNE) == 16 and len(bundled.TEST) == 5
    assert not bundled.TUNE.keys() & bundled.TEST.keys()
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in bundled.paths(bundled.TUNE | bundled.TEST)]
    assert len(set(digests)) == 21  # nor under another name


@pytest.mark.parametrize("names", [bundled.TUNE, bundled.TEST])
def test_every_photograph_exists_and_opens(names):
    found = bundled.paths(names)
    assert [path.name for path in found] == sorted(names)
    images, digest, marks = bundled.load(names, "RGB")
    assert all(image.mode == "RGB" and min(image.size) >= 100 for image in images)
    assert digest == bundled.load(names, "RGB")[1] and len(digest) == 64
    assert marks.names == tuple(f"bundled/{name}" for name in sorted(names))
    assert all(np.array_equal(thumbnail(image), mark) for image, mark in zip(images, marks.thumbnails, strict=True))


def test_photographs_are_grey_for_a_grey_net():
    grey, digest, marks = bundled.load(bundled.TEST, "L")
    colour, digest_of_colour, marks_of_colour = bundled.load(bundled.TEST, "RGB")
    assert all(np.array_equal(one, other.convert("L")) for one, other in zip(grey, colour, strict=True))
    assert digest != digest_of_colour
    np.testing.assert_array_equal(marks.thumbnails, marks_of_colour.thumbnails)


def test_a_missing_package_and_a_missing_photograph_are_named():
    with pytest.raises(
        MissingDependency, match=r"package no_such_package is not installed: pip install 'squeeze-compress\[train\]'"
    ):
        bundled.paths({"a.png": ("no_such_package", "data")})
    with pytest.raises(MissingDependency, match=r"no_such.png is missing from the installed skimage"):
        bundled.paths({"no_such.png": ("skimage", "data")})


def measuring_set(convention):
    return sets.measuring_set([Source(source="bundled")], convention, None, 1000, field="data.test")


def tuning_set(convention, crop=24):
    return sets.tuning_set([Source(source="bundled")], crop, 0.05, convention)


def test_the_measuring_set_is_fixed():
    first, again = measuring_set(SMALL), measuring_set(SMALL)
    assert first.pixels.shape == (200, 16, 16, 3) and first.pixels.dtype == torch.uint8 and first.labels is None
    assert torch.equal(first.pixels, again.pixels)
    assert first.digest == again.digest == hashlib.sha256(first.pixels.numpy().tobytes()).hexdigest()
    assert first.description == "agreement on 200 bundled crops of 5 photographs that were not tuned on; not accuracy"
    assert first.name == "bundled" and first.fingerprints.names == tuple(f"bundled/{name}" for name in sorted(bundled.TEST))


def test_the_measuring_set_has_the_nets_input_size():
    measuring = measuring_set(TORCHVISION)
    assert measuring.pixels.shape == (200, 227, 227, 3)
    per_crop = measuring.pixels.float().flatten(1).std(1)
    assert float((per_crop > 5).float().mean()) > 0.9  # pictures, not flat patches


def test_batches_repeat_by_seed_and_are_finite():
    tuning = tuning_set(TORCHVISION)
    first, again = (list(islice(tuning.batches(3, 7), 2)) for _ in range(2))
    other = next(tuning.batches(3, 8))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[0], other)
    for x in first:
        assert x.shape == (3, 3, 24, 24) and x.dtype == torch.float32 and x.isfinite().all()
        pixels = x * torch.tensor(TORCHVISION.std).view(1, 3, 1, 1) + torch.tensor(TORCHVISION.mean).view(1, 3, 1, 1)
        assert pixels.min() > -1e-5 and pixels.max() < 1 + 1e-5
    assert "no labels" in tuning.description and len(tuning.digest) == 64


def test_batches_are_in_the_convention_asked_for():
    torchvision = next(tuning_set(TORCHVISION).batches(3, 7))
    caffe = next(tuning_set(CAFFE).batches(3, 7))
    pixels = torchvision * torch.tensor(TORCHVISION.std).view(1, 3, 1, 1) + torch.tensor(TORCHVISION.mean).view(1, 3, 1, 1)
    expected = pixels.flip(1) * 255 - torch.tensor(CAFFE.mean).view(1, 3, 1, 1)
    torch.testing.assert_close(caffe, expected, atol=1e-3, rtol=0)


def test_the_digest_is_of_the_pixels():
    digest = bundled.load(bundled.TEST, "RGB")[1]
    expected = hashlib.sha256(b"".join(np.asarray(Image.open(p).convert("RGB")).tobytes() for p in bundled.paths(bundled.TEST)))
    assert digest == expected.hexdigest() != bundled.load(bundled.TUNE, "RGB")[1]
