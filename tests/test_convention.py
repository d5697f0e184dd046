import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from compress.convention import CAFFE, TORCHVISION, InputConvention, fold
from compress.data.preprocess import normalise
from compress.errors import CorruptArtifact

GREY = InputConvention("L", 1.0, (0.5,), (0.25,), size=8, resize=8)


def test_a_fold_that_a_person_can_check():
    trained = InputConvention("BGR", 10.0, (1.0, 2.0, 3.0), (1.0, 1.0, 1.0), size=8, resize=8)  # sees 10 p - mean
    wanted = InputConvention("RGB", 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 0.5), size=8, resize=8)  # sees p / std
    weight = np.array([1.0, 2.0, 4.0], np.float32).reshape(1, 3, 1, 1)  # of B, G, R
    folded, bias = fold(weight, np.array([0.5], np.float32), trained, wanted)
    # 1 (10 b - 1) + 2 (10 g - 2) + 4 (10 r - 3) + 0.5, with b = 0.5 x_b: 40 x_r + 20 x_g + 5 x_b - 16.5
    np.testing.assert_array_equal(folded.ravel(), [40, 20, 5])
    np.testing.assert_array_equal(bias, [-16.5])


@pytest.mark.parametrize("trained", [CAFFE, TORCHVISION, replace(CAFFE, channels="RGB", scale=2.0, std=(3.0, 4.0, 5.0))])
@pytest.mark.parametrize("wanted", [CAFFE, TORCHVISION, replace(TORCHVISION, channels="BGR")])
def test_a_folded_convolution_computes_the_same_function_of_the_pixels(trained, wanted):
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(4, 3, 3, 2)).astype(np.float32), rng.normal(size=4).astype(np.float32)
    folded = fold(weight, bias, trained, wanted)
    assert all(array.dtype == np.float32 for array in folded)
    pixels = torch.from_numpy(rng.integers(0, 256, (2, 9, 8, 3), np.uint8))

    def convolved(kernel, offset, convention):
        return F.conv2d(normalise(pixels, convention), torch.from_numpy(kernel), torch.from_numpy(offset), stride=2)

    before, after = convolved(weight, bias, trained), convolved(*folded, wanted)
    assert float((before - after).abs().max()) < 1e-5 * float(before.abs().max())


def test_folding_there_and_back_gives_the_weights_back():
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(size=(4, 3, 3, 3)).astype(np.float32), rng.normal(size=4).astype(np.float32)
    back = fold(*fold(weight, bias, CAFFE, TORCHVISION), TORCHVISION, CAFFE)
    np.testing.assert_allclose(back[0], weight, rtol=1e-6)
    np.testing.assert_allclose(back[1], bias, atol=1e-2)  # offsets of hundreds came and went


def test_the_same_convention_changes_nothing():
    weight, bias = np.array([[[[0.1]], [[0.2]], [[0.3]]]], np.float32), np.array([0.7], np.float32)
    folded, shifted = fold(weight, bias, TORCHVISION, TORCHVISION)
    np.testing.assert_array_equal(folded, weight)
    np.testing.assert_array_equal(shifted, bias)
    np.testing.assert_array_equal(fold(weight[:, :1], bias, GREY, GREY)[0], weight[:, :1])


@pytest.mark.parametrize(("trained", "wanted"), [(GREY, TORCHVISION), (CAFFE, GREY)])
def test_grey_does_not_fold_into_colour(trained, wanted):
    with pytest.raises(ValueError, match=f"{trained.channels} input cannot be folded into {wanted.channels}"):
        fold(np.zeros((1, len(trained.channels), 1, 1), np.float32), np.zeros(1, np.float32), trained, wanted)


@pytest.mark.parametrize("convention", [TORCHVISION, CAFFE, GREY])
def test_metadata_round_trip(convention):
    written = json.loads(json.dumps(convention.to_metadata()))
    assert InputConvention.from_metadata(written, "x.sqz") == convention


@pytest.mark.parametrize(
    "change",
    [{"channels": "RGBA"}, {"channels": "rgb"}, {"channels": 3}, {"channels": None}, {"scale": 0}, {"scale": -1}, {"scale": "x"},
     {"scale": 1e999}, {"mean": [0.5]}, {"mean": 0.5}, {"mean": None}, {"mean": [0, 0, float("nan")]}, {"std": [1, 1, 0]},
     {"std": []}, {"size": 0}, {"size": 300}, {"size": None}, {"size": float("inf")}, {"resize": 1 << 15}],
)  # fmt: skip
def test_metadata_that_makes_no_sense_is_refused(change):
    with pytest.raises(CorruptArtifact, match=r"^x.sqz: metadata.input is not an input convention"):
        InputConvention.from_metadata(TORCHVISION.to_metadata() | change, "x.sqz")


@pytest.mark.parametrize("fields", [{}, [], None, "RGB", 5])
def test_metadata_that_is_no_object_is_refused(fields):
    with pytest.raises(CorruptArtifact, match=r"^x.sqz: metadata.input"):
        InputConvention.from_metadata(fields, "x.sqz")


@pytest.mark.parametrize("field", ["channels", "scale", "mean", "std", "size", "resize"])
def test_every_field_is_needed(field):
    fields = TORCHVISION.to_metadata()
    del fields[field]
    with pytest.raises(CorruptArtifact, match=field):
        InputConvention.from_metadata(fields, "x.sqz")
