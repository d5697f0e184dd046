import hashlib
from itertools import islice

import numpy as np
import torch
from sklearn.datasets import load_digits

from compress.convention import InputConvention
from compress.data import digits, sets
from compress.data.preprocess import normalise
from compress.recipe import Source


def test_training_and_measuring_images_are_a_split_of_the_whole_set():
    train_pixels, train_labels, test_pixels, test_labels = digits._split()
    assert (len(train_pixels), len(test_pixels)) == (1437, 360)
    assert train_pixels.shape[1:] == (8, 8, 1) and train_pixels.dtype == torch.uint8
    loaded = load_digits()
    whole = {(*image.ravel().astype(int), label) for image, label in zip(loaded.images, loaded.target, strict=True)}

    def as_stored(pixels, labels):
        sixteenths = np.round(pixels.numpy().reshape(len(pixels), -1) * (16 / 255)).astype(int)
        return {(*image, label) for image, label in zip(sixteenths.tolist(), labels.tolist(), strict=True)}

    train, test = as_stored(train_pixels, train_labels), as_stored(test_pixels, test_labels)
    assert not train & test and train | test == whole
    assert set(test_labels.tolist()) == set(range(10))


def training_images():
    return normalise(torch.from_numpy(digits.training_pixels()[0]), digits.CONVENTION)


def test_training_pixels_are_the_training_part():
    pixels, labels = digits.training_pixels()
    assert pixels.shape == (1437, 8, 8, 1) and pixels.dtype == np.uint8
    assert labels.shape == (1437,) and labels.dtype == np.int64
    train_pixels, train_labels, _, _ = digits._split()
    np.testing.assert_array_equal(pixels, train_pixels.numpy())
    np.testing.assert_array_equal(labels, train_labels.numpy())


def test_training_images_are_normalised_by_the_convention():
    images = training_images()
    assert images.shape == (1437, 1, 8, 8)
    assert abs(float(images.mean())) < 0.01 and abs(float(images.std()) - 1) < 0.01


def measuring_set():
    return sets.measuring_set([Source(source="digits")], digits.CONVENTION, None, 10, field="data.test")


def test_the_measuring_set_is_fixed_and_labelled():
    first, again = measuring_set(), measuring_set()
    assert first.pixels.shape == (360, 8, 8, 1) and first.labels.shape == (360,)
    assert torch.equal(first.pixels, again.pixels) and first.digest == again.digest and len(first.digest) == 64
    assert first.name == "digits" and first.description == "360 digits, held out, with labels" and first.fingerprints is None
    pixels, labels = digits.held_out_images()
    assert torch.equal(first.pixels, pixels) and torch.equal(first.labels, labels)
    assert first.digest == hashlib.sha256(pixels.numpy().tobytes() + labels.numpy().astype("<i8").tobytes()).hexdigest()


def test_batches_are_training_images_and_repeat_by_seed():
    tuning = sets.tuning_set([Source(source="digits")], 128, 0.05, digits.CONVENTION)
    first, again = (torch.stack(list(islice(tuning.batches(16, 3), 2))) for _ in range(2))
    assert first.shape == (2, 16, 1, 8, 8) and torch.equal(first, again)
    assert not torch.equal(first[0], next(tuning.batches(16, 4)))
    known = {image.numpy().tobytes() for image in training_images()}
    assert all(image.numpy().tobytes() in known for image in first.flatten(0, 1))
    assert tuning.digest != measuring_set().digest and tuning.fingerprints is None
    assert tuning.description == "1437 digits, training part"


def test_tuning_images_are_in_the_convention_asked_for():
    plain = InputConvention("L", 16.0, (0.0,), (1.0,), size=8, resize=8)
    images, digest = digits.tuning_images(plain)
    assert images.shape == (1437, 1, 8, 8) and images.min() == 0 and images.max() == 16
    ours, same = digits.tuning_images(digits.CONVENTION)
    torch.testing.assert_close(ours, (images / 16 - 0.305) / 0.376)
    assert digest == same and torch.equal(ours, training_images())
