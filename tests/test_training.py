"""Training sets: which pictures, what each becomes, and what happens to those that cannot be read."""

import hashlib
from itertools import product

import numpy as np
import pytest
from image_files import flat, noise, png, stored, write_folder, write_shard
from PIL import Image, TiffImagePlugin

from compress.convention import InputConvention
from compress.data import augment, digits, pictures, preprocess
from compress.data.training import keep_decoded, training_set
from compress.errors import ImageError, InputError
from compress.recipe import Augment, Source

SMALL = InputConvention("RGB", 1.0, (0.5,) * 3, (0.25,) * 3, size=8, resize=10)
GREY = InputConvention("L", 1.0, (0.5,), (0.25,), size=8, resize=10)
CLASSES = ["ant", "bee", "cat"]
PLAIN, RESIZED = Augment(crop="plain", mirror=False), Augment(mirror=False)
EXIF_ORIENTATION = 0x0112


def sources(*places, **options):
    return [Source(source=place, **options) if isinstance(place, str) else place for place in places]


def made(*places, convention=SMALL, names=CLASSES, n_classes=3, loaded=None, **options):
    return training_set(sources(*places, **options), convention, names, n_classes, loaded=loaded)


def refusal(*places, error=InputError, **options):
    with pytest.raises(error) as refused:
        made(*places, **options)
    return str(refused.value)


def example(training, i=0, side=8, augment=RESIZED, seed=0):
    return training.example(i, side, augment, np.random.default_rng(seed))


def of_one(path, image, convention=SMALL):
    """A set that begins with one picture, and has one of another class, as a set must."""
    write_folder(path, {"ant/it.png": image, "bee/other.png": flat(0)})
    return made(f"folder:{path}", convention=convention, names=None, n_classes=2)


@pytest.fixture
def folder(tmp_path):
    images = {"ant/b.png": noise(0), "ant/a.png": noise(1, (50, 40)), "cat/c.png": noise(2, (40, 60))}
    return f"folder:{write_folder(tmp_path / 'set', images)}"


@pytest.fixture
def shard(tmp_path):
    return f"shards:{write_shard(tmp_path / 'wds' / 'a.tar', {'0': (noise(3), 2), '1': (noise(4), 1)})}"


# --- a set -----------------------------------------------------------------------------------------------------------


def test_a_folder_is_a_set(folder, tmp_path):
    training = made(folder)
    assert len(training) == 3 and training.labels.tolist() == [0, 0, 2] and training.labels.dtype == np.int64
    assert [training.name(i) for i in range(3)] == [f"{tmp_path}/set/{name}" for name in ("ant/a.png", "ant/b.png", "cat/c.png")]
    assert training.description == "set: 3 images of 2 classes" and (training.mode, training.resize) == ("RGB", 10)
    assert training.fingerprints.names == tuple(training.name(i) for i in range(3))
    np.testing.assert_array_equal(training.open(0), noise(1, (50, 40)))


def test_sources_are_one_set_in_their_order(folder, shard):
    both = made(folder, shard)
    assert (
        both.labels.tolist() == [0, 0, 2, 2, 1] and both.description == "set: 3 images of 2 classes + wds: 2 images of 2 classes"
    )
    np.testing.assert_array_equal(both.open(3), noise(3))
    assert both.name(4).endswith("a.tar/1") and both.fingerprints.names == tuple(both.name(i) for i in range(5))
    with pytest.raises(IndexError):
        both.name(5)


def test_the_digest_is_of_pictures_labels_and_their_order(folder, shard, tmp_path):
    digests = [
        made(folder).digest,
        made(shard).digest,
        made(folder, shard).digest,
        made(shard, folder).digest,
        made(folder, names=["cat", "bee", "ant"]).digest,  # the same pictures with other labels
        made(folder, check=False).digest,
        made(folder, leave_out=("b.png",)).digest,
    ]
    assert len(set(digests)) == len(digests) and all(len(digest) == 64 for digest in digests)
    (tmp_path / "set").rename(tmp_path / "moved")
    assert made(f"folder:{tmp_path}/moved").digest == digests[0]
    write_folder(tmp_path / "moved", {"ant/a.png": noise(99)})
    assert made(f"folder:{tmp_path}/moved").digest != digests[0]


def test_pictures_that_are_loaded_already_are_not_read_again(folder, shard, monkeypatch):
    loaded = {source: pictures.load(source, "RGB", field="data.tune") for source in sources(folder)}
    expected = made(folder, shard).digest
    load = pictures.load
    asked = []
    monkeypatch.setattr(pictures, "load", lambda source, *args, **options: asked.append(source) or load(source, *args, **options))
    assert made(folder, shard, loaded=loaded).digest == expected and asked == sources(shard)


def test_damaged_pictures_are_skipped_before_training_and_keep_the_others_in_place(tmp_path):
    images = {f"ant/{i:03}.png": flat(i) for i in range(99)} | {"bee/0.png": flat(200)}
    place = write_folder(tmp_path / "set", images | {"ant/040.png": b"no picture"})
    training = made(f"folder:{place}")
    assert len(training) == 99 and training.name(40).endswith("ant/041.png")
    assert training.labels.tolist() == [0] * 98 + [1] and "1 that cannot be decoded skipped" in training.description


def test_digits_are_a_set_that_is_never_changed():
    training = made("digits", convention=digits.CONVENTION, names=None, n_classes=10)
    pixels, labels = digits.training_pixels()
    assert len(training) == 1437 and training.fingerprints is None and training.description == "1437 digits, training part"
    np.testing.assert_array_equal(training.labels, labels)
    assert training.digest == hashlib.sha256(pixels.tobytes() + labels.astype("<i8").tobytes()).hexdigest()
    assert training.name(7) == "digit 7"
    for settings in (RESIZED, PLAIN, Augment(jitter=0.9)):
        pixels_of_one, factors = example(training, 7, side=32, augment=settings)
        np.testing.assert_array_equal(pixels_of_one, pixels[7])
        assert factors.tolist() == [1, 1, 1]


# --- refused ---------------------------------------------------------------------------------------------------------


def test_pictures_without_labels_are_refused(folder, tmp_path):
    place = f"shards:{write_shard(tmp_path / 'a.tar', {'0': (noise(0), None), '1': (noise(1), None)})}"
    assert refusal(place) == f"data.train: {place}: its pictures have no labels, which training needs"
    assert refusal(folder, place) == f"data.train.1: {place}: its pictures have no labels, which training needs"
    write_shard(tmp_path / "a.tar", {"0": (noise(0), 1), "1": (noise(1), None)})
    assert refusal(place) == f"data.train: {place}: 1 of 2 samples have no label; the first: {tmp_path}/a.tar/1"


def test_one_class_alone_is_refused(tmp_path):
    place = f"folder:{write_folder(tmp_path / 'set', {'bee/0.png': noise(0), 'bee/1.png': noise(1)})}"
    assert refusal(place) == "data.train: its 2 pictures are of one class; training needs two at least"
    other = f"folder:{write_folder(tmp_path / 'other', {'bee/0.png': noise(2)})}"
    assert refusal(place, other) == "data.train: its 3 pictures are of one class; training needs two at least"
    more = f"folder:{write_folder(tmp_path / 'more', {'ant/0.png': noise(3)})}"
    assert made(place, more).labels.tolist() == [1, 1, 0]


@pytest.mark.parametrize("check", [True, False])
def test_an_empty_class_is_refused(folder, tmp_path, check):
    (tmp_path / "set" / "bee").mkdir()
    assert refusal(folder, check=check).startswith(
        f"data.train: {tmp_path}/set/bee: a class without pictures; it may hold .bmp, "
    )


@pytest.mark.parametrize("check", [True, False])
def test_classes_and_labels_that_the_net_does_not_have_are_refused(folder, tmp_path, check):
    message = refusal(folder, names=["ant", "bee", "dog"], check=check)
    assert message.startswith(f"data.train: {folder}: 1 of 2 sub-folders are not classes of the net: cat; its classes are ant, ")
    place = f"shards:{write_shard(tmp_path / 'b.tar', {'0': (noise(0), 0), '1': (noise(1), 3)})}"
    assert refusal(place, check=check) == f"data.train: {place}: labels span 0 to 3, the net has classes 0 to 2"


def test_digits_are_for_nets_that_take_them():
    message = refusal("digits")
    assert message == "data.train: digits are L images of 8 x 8 pixels, the net takes RGB of 8 x 8"


def test_damaged_pictures_are_refused_unless_nobody_looks(tmp_path):
    place = f"folder:{write_folder(tmp_path / 'set', {'ant/a.png': b'no picture', 'bee/b.png': flat(9)})}"
    assert "1 of 2 pictures cannot be decoded, at most 1% are skipped" in refusal(place)
    training = made(place, check=False)
    assert len(training) == 2 and training.fingerprints.names == ()
    with pytest.raises(ImageError, match=r"ant/a\.png: cannot be decoded as an image"):
        example(training, 0)
    assert example(training, 1)[0].mean() == 9


# --- an example ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [RESIZED, PLAIN, Augment(jitter=0.4)])
def test_an_example_depends_on_its_generator_alone(folder, settings):
    training = made(folder)
    first, factors = example(training, 1, augment=settings, seed=5)
    example(training, 0, augment=settings, seed=6)
    again, same = example(made(folder), 1, augment=settings, seed=5)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(factors, same)
    assert not np.array_equal(first, example(training, 1, augment=settings, seed=7)[0])


def turned(orientation):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    image = Image.new("RGB", (40, 20), "blue")
    image.paste("red", (0, 0, 20, 20))  # the left half; of 6 the upper one, as it is shown
    return stored(image, "JPEG", exif=exif, quality=95, subsampling=0)


def deep_grey():
    return stored(Image.fromarray(np.full((20, 20), 0x8080, np.uint16)), "PNG")


def palette_with_transparency():
    image = Image.new("P", (20, 20), 1)
    image.putpalette([0, 0, 0, 128, 128, 128])
    return stored(image, "PNG", transparency=0)


UNUSUAL = {  # name -> file, grey level or None
    "one pixel": (png(Image.new("RGB", (1, 1), (128,) * 3)), 128),
    "wide": (png(flat(128, (20_000, 1))), 128),
    "high": (png(flat(128, (1, 20_000))), 128),
    "grey": (png(Image.new("L", (30, 20), 128)), 128),
    "grey and alpha": (png(Image.new("LA", (30, 20), (128, 255))), 128),
    "transparent": (png(Image.new("RGBA", (30, 20), (0, 0, 0, 0))), 255),
    "black and white": (png(Image.new("1", (30, 20), 1)), 255),
    "cmyk": (stored(Image.new("CMYK", (30, 20), (0, 0, 0, 127)), "JPEG"), 128),
    "palette": (palette_with_transparency(), 128),
    "16 bits": (deep_grey(), 128),
    "turned": (turned(6), None),
    "animated": (stored(flat(128), "GIF", save_all=True, append_images=[flat(9)]), 128),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_pictures_become_examples(tmp_path, name):
    data, level = UNUSUAL[name]
    for convention, settings, side in product((SMALL, GREY), (RESIZED, PLAIN, Augment(jitter=0.4)), (8, 33)):
        training = of_one(tmp_path / "set", data, convention)
        for each in (training, keep_decoded(training, 1.0)):
            pixels, factors = example(each, 0, side, settings, seed=side)
            assert pixels.shape == (side, side, len(training.mode)) and pixels.dtype == np.uint8
            assert factors.shape == (3,) and factors.dtype == np.float32
            assert level is None or np.abs(pixels.astype(int) - level).max() <= 1


@pytest.mark.parametrize(("orientation", "red"), [(1, "left"), (2, "right"), (3, "right"), (6, "top"), (8, "bottom")])
def test_pictures_are_upright(tmp_path, orientation, red):
    training = of_one(tmp_path / "set", turned(orientation))
    assert training.parts[0].sizes[0] == ((40, 20) if red in ("left", "right") else (20, 40))
    halves = {"left": (0, slice(0, 5)), "right": (0, slice(-5, None)), "top": (slice(0, 5), 0), "bottom": (slice(-5, None), 0)}
    pixels = np.asarray(training.open(0)).astype(int)
    assert (pixels[halves[red]][..., 0] > 200).all() and (pixels[halves[red]][..., 2] < 60).all()


def test_what_cannot_become_an_example_is_refused_by_name(tmp_path, monkeypatch):
    """Too many pixels, and values of which nobody knows what is white."""
    training = of_one(tmp_path / "set", noise(0, (50, 40)))
    monkeypatch.setattr(preprocess, "MAX_PIXELS", 1999)
    with pytest.raises(ImageError, match=r"ant/it\.png: 50 x 40 pixels, at most 1,999 are decoded"):
        example(training, 0)
    monkeypatch.undo()
    info = TiffImagePlugin.ImageFileDirectory_v2()
    image = Image.fromarray(np.full((40, 50), 3.0, np.float32))
    (tmp_path / "set" / "ant" / "it.png").write_bytes(stored(image, "TIFF", tiffinfo=info))
    with pytest.raises(ImageError, match=r"ant/it\.png: pixels of mode F from 3 to 3, allowed 0 to 1"):
        example(training, 0)


# --- crops -----------------------------------------------------------------------------------------------------------


def ramp(width, height):
    """The level is the column."""
    return Image.fromarray(np.broadcast_to(np.arange(width, dtype=np.uint8), (height, width)).copy()).convert("RGB")


def test_a_plain_crop_is_a_place_in_the_picture_with_its_short_side_scaled(tmp_path):
    """Of 200 x 80, short side to 10: a column of the crop is 8 columns of the picture. All places are drawn."""
    training = of_one(tmp_path / "set", ramp(200, 80))
    starts = []
    for seed in range(100):
        crop = example(training, 0, side=8, augment=PLAIN, seed=seed)[0][..., 0].astype(int)
        assert (np.abs(np.diff(crop[:, 1:-1], axis=1) - 8) <= 1).all() and (crop == crop[:1]).all()
        starts.append(crop[0, 0])
    assert min(starts) < 10 and max(starts) > 200 - 8 * 8 - 10


def test_a_plain_crop_that_is_as_large_as_the_picture_is_the_picture(tmp_path):
    image = noise(3, (10, 10))
    training = of_one(tmp_path / "set", image)
    np.testing.assert_array_equal(example(training, 0, side=10, augment=PLAIN)[0], image)
    assert example(training, 0, side=24, augment=PLAIN)[0].shape == (24, 24, 3)  # larger than resize: as large as it must be


def test_a_plain_crop_is_in_the_picture_whatever_the_sizes(monkeypatch):
    """The side over the scale, in floats, may be more than the short side: (13, 227) is such a pair."""
    boxes = []

    def resize(self, size, resample, box, reducing_gap):
        boxes.append((*box, *self.size))
        return Image.new("RGB", size)

    monkeypatch.setattr(Image.Image, "resize", resize)
    rng = np.random.default_rng(0)
    for short, side in [(13, 227), (29, 100), (45, 13), *product(range(1, 300, 7), (8, 24, 96, 128, 160, 224, 227, 256))]:
        for size in ((short, short), (short + 3, short), (short, 3 * short)):
            augment.shifted_crop(Image.new("L", size), side, min(side, 200), rng)
    left, top, right, bottom, width, height = np.array(boxes).T
    assert left.min() >= 0 and top.min() >= 0 and (right <= width).all() and (bottom <= height).all()
    np.testing.assert_allclose(right - left, bottom - top, rtol=1e-6)


@pytest.mark.parametrize("size", [(13, 13), (29, 31), (47, 47)])
def test_a_plain_crop_of_a_small_picture(size):
    for side in (8, 24, 48, 100, 227):
        crop = augment.shifted_crop(noise(0, size), side, 8, np.random.default_rng(0))
        assert crop.shape == (side, side, 3)


@pytest.mark.parametrize("min_area", [0.1, 0.6])
def test_a_resized_crop_has_the_area_that_the_recipe_says_of_small_pictures_too(tmp_path, monkeypatch, min_area):
    """Of 32 x 32 too: tuning crops are of 40 pixels at least."""
    training = of_one(tmp_path / "set", noise(0, (32, 32)))
    boxes = []
    resize = Image.Image.resize
    monkeypatch.setattr(
        Image.Image, "resize", lambda self, *args, **options: boxes.append(options["box"]) or resize(self, *args, **options)
    )
    for seed in range(200):
        example(training, 0, side=32, augment=Augment(min_area=min_area), seed=seed)
    left, top, right, bottom = np.array(boxes).T
    share = (right - left) * (bottom - top) / 32**2
    assert min_area * 0.99 <= share.min() < min_area * 1.3 and share.max() > 0.9


def test_half_of_the_examples_are_mirrored_where_the_recipe_says_so(tmp_path):
    training = of_one(tmp_path / "set", ramp(60, 60))
    n_mirrored = 0
    for seed in range(200):
        changed = example(training, 0, augment=Augment(crop="plain"), seed=seed)[0][0, :, 0].astype(int)
        kept = example(training, 0, augment=PLAIN, seed=seed)[0][0, :, 0].astype(int)
        assert (np.diff(kept) > 0).all()
        is_mirrored = changed[0] > changed[-1]
        np.testing.assert_array_equal(changed[::-1] if is_mirrored else changed, kept)
        n_mirrored += is_mirrored
    assert 70 < n_mirrored < 130


def test_factors_of_jitter_are_within_its_limits_and_differ(folder):
    training = made(folder)
    factors = np.array([example(training, 0, augment=Augment(jitter=0.3), seed=seed)[1] for seed in range(200)])
    assert factors.shape == (200, 3) and len(np.unique(factors)) > 590
    assert 0.7 <= factors.min() < 0.72 and 1.28 < factors.max() <= 1.3
    assert example(training, 0, augment=Augment(jitter=0.0))[1].tolist() == [1, 1, 1]


# --- pictures that went away -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: path.unlink(), "cannot be read: No such file or directory"),
        (lambda path: path.write_bytes(path.read_bytes()[:500]), "cannot be decoded as an image: "),
        (lambda path: path.write_bytes(b""), "cannot be decoded as an image: "),
        (lambda path: path.write_bytes(png(noise(1, (40, 50)))), "is 40 x 50 pixels, was 50 x 40"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read: Is a directory"),
    ],
)
def test_a_picture_that_changed_is_named_read_or_decoded_before(folder, tmp_path, change, reason):
    training = made(folder)
    kept = keep_decoded(training, 1.0)
    expected = [example(training, i) for i in range(3)]
    change(tmp_path / "set" / "ant" / "a.png")
    for each in (training, keep_decoded(training, 1.0)):
        with pytest.raises(ImageError) as refused:
            example(each, 0)
        assert str(refused.value).startswith(f"{tmp_path}/set/ant/a.png: {reason}")
        for i in (1, 2):
            np.testing.assert_array_equal(example(each, i)[0], expected[i][0])
    np.testing.assert_array_equal(example(kept, 0)[0], expected[0][0])  # decoded before it changed


# --- decoded pictures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("convention", [SMALL, GREY])
def test_decoded_pictures_give_the_same_examples(folder, shard, convention):
    training = made(folder, shard, convention=convention)
    kept = keep_decoded(training, 1.0)
    assert kept.decoded is not None and training.decoded is None and kept.digest == training.digest
    assert kept.decoded.pixels.nbytes == (48 * 40 * 3 + 50 * 40 + 40 * 60) * len(training.mode)
    for i, settings, seed in product(range(5), (RESIZED, PLAIN, Augment(jitter=0.5)), (0, 1)):
        read, decoded = (example(each, i, augment=settings, seed=seed) for each in (training, kept))
        np.testing.assert_array_equal(read[0], decoded[0])
        np.testing.assert_array_equal(read[1], decoded[1])
    assert [kept.name(i) for i in range(5)] == [training.name(i) for i in range(5)]


def test_decoded_pictures_are_kept_up_to_the_limit(folder):
    training = made(folder)
    n_bytes = (48 * 40 + 50 * 40 + 40 * 60) * 3
    assert keep_decoded(training, n_bytes / 1e9).decoded is not None
    for limit in (0.0, (n_bytes - 1) / 1e9):
        assert keep_decoded(training, limit) is training
    grey = made(folder, convention=GREY)
    assert keep_decoded(grey, n_bytes / 3 / 1e9).decoded is not None


def test_what_nobody_looked_at_and_digits_are_not_decoded_before(folder, shard):
    for training in (
        made(folder, check=False),
        made(folder, Source(source=shard, check=False)),
        made("digits", convention=digits.CONVENTION, names=None, n_classes=10),
    ):
        assert keep_decoded(training, 100.0) is training


@pytest.mark.parametrize("n_cpus", [1, 5])
def test_the_number_of_threads_that_decode_changes_nothing(folder, monkeypatch, n_cpus):
    training = made(folder)
    expected = keep_decoded(training, 1.0).decoded
    monkeypatch.setattr("compress.data.training.n_cores", lambda: n_cpus)
    np.testing.assert_array_equal(keep_decoded(training, 1.0).decoded.pixels, expected.pixels)
