import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from compress.data import bundled, overlap, pictures
from compress.data.overlap import Fingerprints, Pair, imagenet_file, near_duplicates, thumbnail
from compress.recipe import Source


def marks(**images):
    return Fingerprints(tuple(images), np.stack([thumbnail(image) for image in images.values()]))


def patches(seed, size=(320, 240)):
    """A picture of 24 x 24 grey patches."""
    levels = np.random.default_rng(seed).integers(0, 256, (24, 24), np.uint8)
    return Image.fromarray(levels).resize(size, Image.Resampling.NEAREST)


GRAVEL_CROPPED = ("bundled/gravel.png", "cropped")  # no larger forms: its thumbnail changes with every pixel that it moves


@pytest.fixture(scope="module")
def photographs():
    """All bundled photographs by name, and their fingerprints."""
    names = {**bundled.TUNE, **bundled.TEST}
    images, _, found = bundled.load(names, "RGB")
    return images, found


# --- thumbnails ------------------------------------------------------------------------------------------------------


def test_a_thumbnail_is_what_is_correlated():
    """The product of two is the correlation coefficient of the 24 x 24 pictures."""
    one, other = patches(0, (24, 24)), patches(1, (24, 24))
    expected = np.corrcoef(np.asarray(one, float).ravel(), np.asarray(other, float).ravel())[0, 1]
    assert thumbnail(one).shape == (576,) and thumbnail(one).dtype == np.float32
    assert float(thumbnail(one) @ thumbnail(other)) == pytest.approx(expected, abs=1e-5)
    assert thumbnail(one).sum() == pytest.approx(0, abs=1e-4) and float(thumbnail(one) @ thumbnail(one)) == pytest.approx(1)
    assert float(thumbnail(one) @ thumbnail(Image.eval(one, lambda level: 255 - level))) == pytest.approx(-1)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (24, 24), (300, 200)])
def test_a_flat_picture_is_like_nothing(size):
    white, black = Image.new("L", size, 255), Image.new("RGB", size)
    assert not thumbnail(white).any() and not thumbnail(black).any()
    assert near_duplicates(marks(a=white, b=black), marks(c=white, d=black)) == []


def changes(image):
    """How the same photograph is found elsewhere: name -> picture."""
    stored = io.BytesIO()
    image.save(stored, "JPEG", quality=30)
    margin = (round(image.width * 0.01), round(image.height * 0.01))
    return {
        "half": image.resize((image.width // 2, image.height // 2)),
        "64 pixels": image.resize((64, 64)),
        "larger": image.resize((image.width * 2, image.height * 2)),
        "squeezed": image.resize((image.width, image.height // 2)),
        "recompressed": Image.open(stored),
        "grey": image.convert("L"),
        "brighter": image.point(lambda level: min(255, round(level * 1.3))),
        "cropped": image.crop((*margin, image.width - margin[0], image.height - margin[1])),
    }


def test_a_changed_copy_of_a_photograph_is_found(photographs):
    images, found = photographs
    for name, image in list(zip(found.names, images, strict=True))[::3]:
        copies = marks(**changes(image))
        pairs = near_duplicates(copies, found)
        assert {(pair.tuned, pair.measured) for pair in pairs} == {
            (change, name) for change in copies.names if (name, change) != GRAVEL_CROPPED
        }


def test_different_photographs_are_not_found(photographs):
    """Not even the two of a stereo pair, which correlate by .79."""
    _, found = photographs
    assert [(pair.tuned, pair.measured) for pair in near_duplicates(found, found)] == [
        (name, name) for name in sorted(found.names)
    ]


def test_what_is_bundled_to_tune_on_is_not_bundled_to_measure_on():
    assert near_duplicates(bundled.load(bundled.TUNE, "RGB")[2], bundled.load(bundled.TEST, "RGB")[2]) == []


# --- pairs -----------------------------------------------------------------------------------------------------------


def test_pairs_are_sorted_by_likeness_and_then_by_name():
    base, noise = patches(0), np.random.default_rng(1).normal(0, 15, (240, 320))
    near = Image.fromarray(
        np.clip(np.asarray(base, float) + np.kron(noise[::10, ::10], np.ones((10, 10))), 0, 255).astype(np.uint8)
    )
    pairs = near_duplicates(marks(c=near, b=base, a=base, other=patches(5)), marks(y=patches(6), x=base))
    assert [(pair.tuned, pair.measured) for pair in pairs] == [("a", "x"), ("b", "x"), ("c", "x")]
    assert pairs[0].correlation == pairs[1].correlation == pytest.approx(1, abs=1e-5)
    assert 0.9 < pairs[2].correlation < 0.999
    assert all(pair.correlation <= 1 for pair in pairs)


def test_a_tuned_picture_is_named_once_with_the_one_that_it_is_most_like():
    base = patches(0)
    nearly = base.copy()
    nearly.paste(0, (0, 0, 60, 40))
    assert len(near_duplicates(marks(a=base), marks(x=nearly))) == 1
    (pair,) = near_duplicates(marks(a=base), marks(x=nearly, y=base, z=nearly))
    assert (pair.tuned, pair.measured) == ("a", "y")


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 30), st.integers(0, 99))
def test_blocks_change_nothing(n_tuned, n_measured, block, seed):
    """Against each two compared by themselves. Thumbnails near each other: about half of the pairs are duplicates."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=576)

    def some(n):
        rows = centre + rng.uniform(0, 0.6, (n, 1)) * rng.normal(size=(n, 576))
        rows -= rows.mean(1, keepdims=True)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    tuned, measured = some(n_tuned), some(n_measured)
    expected = {i: int(np.argmax(measured @ row)) for i, row in enumerate(tuned) if (measured @ row).max() > 0.9}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "_BLOCK", block)
        pairs = near_duplicates(
            Fingerprints(tuple(map(str, range(n_tuned))), tuned), Fingerprints(tuple(map(str, range(n_measured))), measured)
        )
    assert {int(pair.tuned): int(pair.measured) for pair in pairs} == expected
    assert [pair.correlation for pair in pairs] == sorted((pair.correlation for pair in pairs), reverse=True)


def test_sets_of_pictures_that_all_look_alike_take_little_memory():
    """Digits on white, for instance: 5,000 x 500 pairs would be as many objects."""
    alike = thumbnail(patches(0))
    pairs = near_duplicates(
        Fingerprints(tuple(f"t{i:04}" for i in range(5_000)), np.tile(alike, (5_000, 1))),
        Fingerprints(tuple(f"m{i}" for i in range(500)), np.tile(alike, (500, 1))),
    )
    assert len(pairs) == 5_000 and pairs[0].tuned == "t0000"


def test_joined_fingerprints_keep_their_names_with_their_thumbnails():
    joined = Fingerprints.join([marks(a=patches(0), b=patches(1)), marks(c=patches(2))])
    assert joined.names == ("a", "b", "c") and joined.thumbnails.shape == (3, 576)
    assert [pair.tuned for pair in near_duplicates(joined, marks(x=patches(2)))] == ["c"]


# --- ImageNet's file names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("/data/train/n01440764/n01440764_10026.JPEG", "n01440764_10026"),
        ("n01440764_10026_tench.jpg", "n01440764_10026"),
        ("/data/val/n01440764/ILSVRC2012_val_00000293.JPEG", "ILSVRC2012_val_00000293"),
        ("ILSVRC2012_val_00000293_n01440764.JPEG", "ILSVRC2012_val_00000293"),
        ("/data/train-0000.tar/n01440764_10026", "n01440764_10026"),
        ("s3://bucket/train-0000.tar/n01440764/n01440764_10026", "n01440764_10026"),
        ("n01440764/10026.JPEG", None),
        ("n01440764_tench.JPEG", None),
        ("n01440764_10026/picture.jpg", None),
        ("train-0000.tar/000123", None),
        ("n014407641_10026.JPEG", None),
    ],
)
def test_the_imagenet_file_is_read_from_the_name(name, file):
    assert imagenet_file(name) == file


def test_pictures_of_one_imagenet_file_are_one_whatever_they_look_like():
    tuned = Fingerprints(("a/n01440764_1.JPEG", "a/n01440764_2.JPEG", "a/other.jpg"), np.zeros((3, 576), np.float32))
    measured = Fingerprints(
        ("b/n01440764_11.jpg", "b/n01440764_2_tench.jpg", "c/n01440764_2.png", "b/other.jpg"), np.zeros((4, 576), np.float32)
    )
    (pair,) = near_duplicates(tuned, measured)
    assert pair == Pair("a/n01440764_2.JPEG", "b/n01440764_2_tench.jpg", 0.0, same_file=True)
    assert str(pair) == "a/n01440764_2.JPEG  and  b/n01440764_2_tench.jpg  (same ImageNet file name, correlation 0.000)"
    assert str(Pair("a.jpg", "b.jpg", 0.91234)) == "a.jpg  and  b.jpg  (correlation 0.912)"


# --- real sets -------------------------------------------------------------------------------------------------------

DATA = Path(os.environ.get("SQUEEZE_DATA", "../shared/data"))


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is missing: set SQUEEZE_DATA to the folder of ImageNet images")
def test_the_samples_that_are_tuned_on_are_not_in_broad250():
    tuned = pictures.load(Source(source=f"folder:{DATA}/imagenet-samples", leave_out_every=5), "RGB", field="tune").fingerprints
    measured = pictures.load(Source(source=f"folder:{DATA}/imagenet-broad250"), "RGB", field="test").fingerprints
    assert (len(tuned.names), len(measured.names)) == (397, 250)
    assert near_duplicates(tuned, measured) == []
