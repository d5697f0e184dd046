import hashlib
from collections import Counter
from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from image_files import flat, noise, png, write_folder, write_shard
from PIL import Image

from compress.convention import CAFFE, TORCHVISION, InputConvention
from compress.data import bundled, sets
from compress.data.overlap import near_duplicates
from compress.data.preprocess import normalise
from compress.data.sets import measuring_set, tuning_set
from compress.errors import InputError
from compress.recipe import Source

SMALL = InputConvention("RGB", 1.0, (0.5,) * 3, (0.25,) * 3, size=8, resize=10)
GREY = InputConvention("L", 1.0, (0.5,), (0.25,), size=8, resize=10)
CLASSES = ["ant", "bee", "cat"]


def sources(*places, **options):
    return [Source(source=place, **options) if isinstance(place, str) else place for place in places]


def tuned(*places, min_area=0.2, convention=SMALL, crop=8, **options):
    return tuning_set(sources(*places, **options), crop, min_area, convention)


def measured(*places, convention=SMALL, names=CLASSES, n_classes=3, field="data.test", **options):
    return measuring_set(sources(*places, **options), convention, names, n_classes, field=field)


def refusal(read, *places, **options):
    with pytest.raises(InputError) as refused:
        read(*places, **options)
    return str(refused.value)


@pytest.fixture
def folder(tmp_path):
    """Two classes of the three, one with two pictures and one with one."""
    images = {"ant/b.png": noise(0), "ant/a.png": noise(1), "bee/c.png": noise(2)}
    return f"folder:{write_folder(tmp_path / 'set', images)}"


@pytest.fixture
def shard(tmp_path):
    return f"shards:{write_shard(tmp_path / 'wds' / 'a.tar', {'0': (noise(3), 2), '1': (noise(4), 0), '2': (noise(5), 2)})}"


@pytest.fixture
def without_labels(tmp_path):
    return f"shards:{write_shard(tmp_path / 'plain' / 'a.tar', {'0': (noise(6), None), '1': (noise(7), None)})}"


# --- a measuring set -------------------------------------------------------------------------------------------------


def test_a_folder_has_pixels_labels_and_a_digest(tmp_path):
    images = {"ant/b.png": flat(10), "ant/a.png": flat(20), "cat/c.png": flat(200)}
    found = measured(f"folder:{write_folder(tmp_path / 'set', images)}")
    assert found.pixels.shape == (3, 8, 8, 3) and found.pixels.dtype == torch.uint8
    assert found.labels.tolist() == [0, 0, 2] and found.labels.dtype == torch.int64
    assert found.pixels.float().mean((1, 2, 3)).tolist() == [20, 10, 200]
    assert (found.name, found.description) == ("set", "set: 3 images of 2 classes, with labels")
    assert len(found.fingerprints.names) == 3
    expected = hashlib.sha256(found.pixels.numpy().tobytes() + np.array([0, 0, 2], "<i8").tobytes()).hexdigest()
    assert found.digest == expected == measured(f"folder:{tmp_path}/set").digest


def test_pictures_are_scaled_and_cropped_in_the_middle(tmp_path):
    image = Image.new("RGB", (40, 20), "blue")
    image.paste("red", (10, 0, 30, 20))  # the middle 20 x 20
    folder = write_folder(tmp_path / "set", {"ant/a.png": image})
    assert measured(f"folder:{folder}").pixels.unique(dim=2).tolist() == [[[[255, 0, 0]]] * 8]


def test_shards_have_their_own_labels(shard):
    found = measured(shard)
    assert found.labels.tolist() == [2, 0, 2] and found.labels.dtype == torch.int64
    assert (found.name, found.description) == ("wds", "wds: 3 images of 2 classes, with labels")


def test_shards_without_labels_can_be_measured_on(without_labels):
    found = measured(without_labels)
    assert found.labels is None and found.description == "plain: 2 images, without labels"
    assert found.digest == hashlib.sha256(found.pixels.numpy().tobytes()).hexdigest()


def test_other_labels_have_another_digest(tmp_path):
    write_shard(tmp_path / "a.tar", {"0": (noise(0), 1)})
    before = measured(f"shards:{tmp_path}/a.tar")
    write_shard(tmp_path / "a.tar", {"0": (noise(0), 2)})
    after = measured(f"shards:{tmp_path}/a.tar")
    assert torch.equal(before.pixels, after.pixels) and before.digest != after.digest


def test_the_digest_is_not_of_the_place(folder, tmp_path):
    before = measured(folder).digest
    (tmp_path / "set").rename(tmp_path / "moved")
    assert measured(f"folder:{tmp_path}/moved").digest == before


def test_sets_are_measured_on_together(folder, shard):
    one, other, both = measured(folder), measured(shard), measured(folder, shard)
    assert torch.equal(both.pixels, torch.cat([one.pixels, other.pixels])) and both.labels.tolist() == [0, 0, 1, 2, 0, 2]
    assert both.name == "set+wds" and both.description == f"{one.description} + {other.description}"
    assert both.fingerprints.names == one.fingerprints.names + other.fingerprints.names
    assert both.digest not in (one.digest, other.digest) and both.digest == measured(folder, shard).digest


def test_bundled_photographs_and_shards_without_labels_are_measured_on_together(without_labels):
    both = measured(without_labels, "bundled")
    assert both.labels is None and len(both.pixels) == 202 and both.name == "plain+bundled"


@pytest.mark.parametrize("other", ["bundled", "without_labels"])
def test_sets_with_and_without_labels_are_not_measured_on_together(folder, shard, other, request):
    """The accuracy that the ledger should have would be missing, and nothing would say why."""
    place = other if other == "bundled" else request.getfixturevalue(other)
    assert refusal(measured, folder, place, shard) == (
        f"data.test: {place}: pictures without labels, and the others have some; measure them apart, "
        "for accuracy is of pictures with labels"
    )


def test_a_sample_without_a_label_among_others_is_named(tmp_path):
    write_shard(tmp_path / "a.tar", {"0": (noise(0), 1), "1": (noise(1), None), "2": (noise(2), None)})
    place = f"shards:{tmp_path}/a.tar"
    assert refusal(measured, place) == f"data.test: {place}: 2 of 3 samples have no label; the first: {tmp_path}/a.tar/1"


@pytest.mark.parametrize(("labels", "span"), [((0, 3), "0 to 3"), ((999, 5), "5 to 999")])
def test_labels_that_are_no_class_of_the_net_are_refused(tmp_path, labels, span):
    write_shard(tmp_path / "a.tar", {str(i): (noise(i), label) for i, label in enumerate(labels)})
    place = f"shards:{tmp_path}/a.tar"
    assert refusal(measured, place) == f"data.test: {place}: labels span {span}, the net has classes 0 to 2"
    assert measured(place, names=None, n_classes=1000).labels.tolist() == list(labels)


def test_folders_that_are_no_classes_of_the_net_are_named_with_the_field(folder, shard):
    message = refusal(measured, shard, folder, names=["ant", "wasp", "cat"], field="data.report.2")
    assert message.startswith(f"data.report.2.1: {folder}: 1 of 2 sub-folders are not classes of the net: bee; its classes are")
    message = refusal(measured, folder, names=None)
    assert message.startswith(f"data.test: {folder}: 2 sub-folders (ant, bee), and the net has 3 classes without names")


def test_a_class_of_which_nothing_is_taken_keeps_its_index(tmp_path):
    """The folder's classes in alphabetical order are the net's: bee is 1, also where no ant is left."""
    place = f"folder:{write_folder(tmp_path / 'set', {'ant/a.png': noise(0), 'bee/b.png': noise(1), 'cat/c.png': noise(2)})}"
    for names in (None, CLASSES):
        assert measured(place, names=names, leave_out=("a.png",)).labels.tolist() == [1, 2]
        assert measured(place, names=names, take_every=2).labels.tolist() == [0, 2]


def test_a_class_whose_one_picture_is_damaged_keeps_its_index(tmp_path):
    images = {f"bee/{i:03}.png": flat(i) for i in range(99)} | {"ant/a.png": b"no picture"}
    found = measured(f"folder:{write_folder(tmp_path / 'set', images)}", names=None, n_classes=2)
    assert set(found.labels.tolist()) == {1}
    assert found.description == "set: 99 images of 1 classes, 1 that cannot be decoded skipped, with labels"


def test_wordnet_ids_are_imagenets_indices(tmp_path):
    images = {"n02099601/a.png": noise(0), "n01440764/b.png": noise(1)}
    found = measured(f"folder:{write_folder(tmp_path / 'set', images)}", names=None, n_classes=1000)
    assert found.labels.tolist() == [0, 207]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda tmp_path: f"folder:{tmp_path}/none", "none: no such folder"),
        (lambda tmp_path: f"shards:{tmp_path}/*.tar", r"\*.tar: no shard matches"),
        (lambda tmp_path: "folder:$NO_SUCH_VARIABLE/a", "data.t...: .*: the environment variable NO_SUCH_VARIABLE is not set"),
    ],
)
def test_what_is_not_there_is_refused_by_both_kinds_of_set(tmp_path, make, message):
    for read in (tuned, measured):
        with pytest.raises(InputError, match=message):
            read(make(tmp_path))


# --- a grey net ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "shard", "bundled"])
def test_a_grey_net_gets_one_channel(kind, request):
    place = kind if kind == "bundled" else request.getfixturevalue(kind)
    found = measured(place, convention=GREY)
    assert found.pixels.shape[1:] == (8, 8, 1) and found.pixels.dtype == torch.uint8
    batch = next(tuned(place, convention=GREY).batches(4, 0))
    assert batch.shape == (4, 1, 8, 8) and batch.dtype == torch.float32
    assert normalise(found.pixels, GREY).shape[1:] == batch.shape[1:]


def test_a_grey_net_and_a_colour_net_see_the_same_pictures(folder):
    grey, colour = measured(folder, convention=GREY), measured(folder)
    of_colour = (colour.pixels.float() * torch.tensor([0.299, 0.587, 0.114])).sum(3, keepdim=True)  # ITU-R 601
    assert (grey.pixels.float() - of_colour).abs().max() <= 3 and torch.equal(grey.labels, colour.labels)


# --- batches ---------------------------------------------------------------------------------------------------------


def test_batches_repeat_by_seed_and_are_finite(folder, shard):
    tuning = tuned(folder, shard)
    first, again = (list(islice(tuning.batches(3, 7), 3)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[0], next(tuning.batches(3, 8)))
    for x in first:
        assert x.shape == (3, 3, 8, 8) and x.dtype == torch.float32 and x.isfinite().all()
        pixels = x * 0.25 + 0.5
        assert pixels.min() > -1e-5 and pixels.max() < 1 + 1e-5


def test_the_number_of_threads_changes_no_batch(folder, shard, monkeypatch):
    expected = next(tuned(folder, shard).batches(8, 1))
    for n_cpus in (1, 5):
        monkeypatch.setattr("compress.data.pictures.n_cores", lambda n_cpus=n_cpus: n_cpus)
        assert torch.equal(next(tuned(folder, shard).batches(8, 1)), expected)


def test_batches_are_in_the_convention_asked_for(folder):
    torchvision = next(tuned(folder, convention=TORCHVISION).batches(3, 7))
    caffe = next(tuned(folder, convention=CAFFE).batches(3, 7))
    pixels = torchvision * torch.tensor(TORCHVISION.std).view(1, 3, 1, 1) + torch.tensor(TORCHVISION.mean).view(1, 3, 1, 1)
    expected = pixels.flip(1) * 255 - torch.tensor(CAFFE.mean).view(1, 3, 1, 1)
    torch.testing.assert_close(caffe, expected, atol=1e-3, rtol=0)


def test_crops_are_of_the_size_and_the_area_asked_for(folder, monkeypatch):
    asked = []
    crop = sets.random_crop
    monkeypatch.setattr(sets, "random_crop", lambda *arguments: asked.append(arguments[1:3]) or crop(*arguments))
    assert next(tuned(folder, crop=24, min_area=0.7).batches(2, 0)).shape == (2, 3, 24, 24)
    assert asked == [(24, 0.7)] * 2


def drawn(tuning, n, monkeypatch):
    """How often each flat picture, by its level, is among n that are drawn."""
    levels = Counter()

    def crop(image, size, min_area, rng):
        levels[image.getpixel((0, 0))[0]] += 1
        return np.zeros((size, size, 3), np.uint8)

    monkeypatch.setattr(sets, "random_crop", crop)
    for _ in islice(tuning.batches(n // 10, 3), 10):
        pass
    assert levels.total() == n
    return levels


def is_likely(count, n, probability):
    """Within four standard deviations: one in 16,000 draws of a right sampler is not, and the seed is fixed."""
    return abs(count - n * probability) < 4 * (n * probability * (1 - probability)) ** 0.5


def test_each_class_is_drawn_as_often_and_each_of_its_pictures(tmp_path, monkeypatch):
    """Class ant has one picture, bee four, cat three."""
    images = {
        "ant/0.png": flat(0),
        **{f"bee/{i}.png": flat(i) for i in range(1, 5)},
        **{f"cat/{i}.png": flat(i) for i in (5, 6, 7)},
    }
    counts = drawn(tuned(f"folder:{write_folder(tmp_path / 'set', images)}"), 3000, monkeypatch)
    expected = {0: 1 / 3, **dict.fromkeys(range(1, 5), 1 / 12), **dict.fromkeys((5, 6, 7), 1 / 9)}
    assert all(is_likely(counts[level], 3000, p) for level, p in expected.items()), counts


def test_labels_of_shards_are_classes_that_are_drawn_as_often(tmp_path, monkeypatch):
    write_shard(tmp_path / "a.tar", {str(i): (flat(i), 7 if i else 3) for i in range(5)})
    counts = drawn(tuned(f"shards:{tmp_path}/a.tar"), 2000, monkeypatch)
    assert is_likely(counts[0], 2000, 1 / 2) and all(is_likely(counts[i], 2000, 1 / 8) for i in range(1, 5)), counts


def test_each_source_is_drawn_by_its_weight(tmp_path, monkeypatch):
    """However many pictures it has."""
    one = write_folder(tmp_path / "one", {"a/0.png": flat(0)})
    many = write_folder(tmp_path / "many", {f"{i}/{i}.png": flat(i) for i in range(1, 9)})
    tuning = tuned(Source(source=f"folder:{one}", weight=3), Source(source=f"folder:{many}", weight=0.5))
    counts = drawn(tuning, 3000, monkeypatch)
    assert is_likely(counts[0], 3000, 6 / 7), counts


def test_pictures_that_are_left_out_are_never_drawn(tmp_path, monkeypatch):
    place = f"folder:{write_folder(tmp_path / 'set', {f'a/{i}.png': flat(i) for i in range(6)})}"
    counts = drawn(tuned(place, leave_out=("1.png",), leave_out_every=3), 500, monkeypatch)
    assert set(counts) == {2, 4, 5}


# --- what a tuning set says of itself --------------------------------------------------------------------------------


def test_the_description_says_what_and_how_many(folder, shard):
    assert tuned(folder).description == "random crops of set: 3 images of 2 classes; no labels"
    assert tuned("bundled").description == "random crops of 16 bundled photographs; no labels"
    several = tuned(Source(source=folder, weight=2), Source(source="bundled", weight=0.5), Source(source=shard))
    of_each = "2 x set: 3 images of 2 classes + 0.5 x 16 bundled photographs + 1 x wds: 3 images of 2 classes"
    assert several.description == f"random crops of {of_each}; no labels"
    assert len(several.fingerprints.names) == 22


def test_damaged_pictures_are_counted_in_the_description(tmp_path):
    images = {f"a/{i:03}.png": flat(i) for i in range(99)} | {"a/099.png": b"no picture"}
    place = f"folder:{write_folder(tmp_path / 'set', images)}"
    assert tuned(place).description == "random crops of set: 99 images of 1 classes, 1 that cannot be decoded skipped; no labels"


def test_the_digest_is_of_the_pictures_and_of_how_they_are_drawn(folder, shard, tmp_path):
    digests = [
        tuned(folder).digest,
        tuned(folder, min_area=0.3).digest,
        tuned(folder, weight=2).digest,
        tuned(folder, take_every=2).digest,
        tuned(shard).digest,
        tuned(folder, shard).digest,
        tuned(shard, folder).digest,
        tuned(Source(source=folder, weight=2), shard).digest,
        tuned("bundled").digest,
        tuned(folder, "bundled").digest,
    ]
    assert len(set(digests)) == len(digests) and all(len(digest) == 64 for digest in digests)
    assert tuned(folder).digest == digests[0]
    (tmp_path / "set").rename(tmp_path / "moved")
    assert tuned(f"folder:{tmp_path}/moved").digest == digests[0]
    (tmp_path / "moved" / "ant" / "a.png").write_bytes(png(noise(99)))
    assert tuned(f"folder:{tmp_path}/moved").digest != digests[0]


def test_errors_name_the_source_among_several(folder):
    def leaves_out(field):
        return f"{field}: {folder}: leave_out names 'no.png', and no picture there ends so"

    wrong = Source(source=folder, leave_out=("no.png",))
    assert refusal(tuned, wrong) == leaves_out("data.tune")
    assert refusal(tuned, folder, wrong) == leaves_out("data.tune.1")
    assert refusal(measured, wrong) == leaves_out("data.test")
    assert refusal(measured, folder, wrong) == leaves_out("data.test.1")


# --- tuned and measured on -------------------------------------------------------------------------------------------


def test_the_two_parts_of_a_folder_share_no_picture(tmp_path):
    place = f"folder:{write_folder(tmp_path / 'set', {f'ant/{i}.png': noise(i) for i in range(9)})}"
    tuning, measuring = tuned(place, leave_out_every=3), measured(place, take_every=3)
    assert (len(tuning.fingerprints.names), len(measuring.pixels)) == (6, 3)
    assert near_duplicates(tuning.fingerprints, measuring.fingerprints) == []
    assert len(near_duplicates(tuned(place).fingerprints, measuring.fingerprints)) == 3


def test_a_copy_among_the_tuned_pictures_is_found_in_either_form(folder, tmp_path):
    """Smaller and in a shard, for a colour net; and the same for a grey one."""
    original = noise(9, (12, 10)).resize((480, 400), Image.Resampling.BICUBIC)
    write_folder(tmp_path / "set", {"ant/b.png": original})
    write_shard(tmp_path / "wds" / "a.tar", {"0": (noise(50), 0), "1": (original.resize((60, 50)), 0)})
    for convention in (SMALL, GREY):
        tuning = tuned(f"shards:{tmp_path}/wds/*.tar", convention=convention)
        (pair,) = near_duplicates(tuning.fingerprints, measured(folder, convention=convention).fingerprints)
        assert (pair.tuned, pair.measured) == (f"{tmp_path}/wds/a.tar/1", f"{tmp_path}/set/ant/b.png")


def test_bundled_photographs_are_checked_like_others(tmp_path):
    """Those that are measured on, in a folder to tune on; and the other way round."""
    images, _, _ = bundled.load(bundled.TEST, "RGB")
    write_folder(tmp_path / "test", {"ant/copy.png": images[0].resize((200, 150)), "ant/other.png": noise(0)})
    (pair,) = near_duplicates(tuned(f"folder:{tmp_path}/test").fingerprints, measured("bundled").fingerprints)
    assert (pair.tuned, pair.measured) == (f"{tmp_path}/test/ant/copy.png", f"bundled/{min(bundled.TEST)}")
    images, _, _ = bundled.load(bundled.TUNE, "RGB")
    write_folder(tmp_path / "tune", {"ant/copy.png": images[0].resize((200, 150))})
    (pair,) = near_duplicates(tuned("bundled").fingerprints, measured(f"folder:{tmp_path}/tune").fingerprints)
    assert (pair.tuned, pair.measured) == (f"bundled/{min(bundled.TUNE)}", f"{tmp_path}/tune/ant/copy.png")
    assert near_duplicates(tuned("bundled").fingerprints, measured("bundled").fingerprints) == []


def test_digits_are_a_split_and_are_not_compared():
    assert tuned("digits", convention=GREY).fingerprints is None
    assert measured("digits", convention=GREY, names=None, n_classes=10).fingerprints is None


def test_digits_are_for_nets_that_take_them():
    expected = "digits are L images of 8 x 8 pixels, the net takes RGB of 8 x 8"
    assert refusal(tuned, "digits") == f"data.tune: {expected}" and refusal(measured, "digits") == f"data.test: {expected}"
    large = InputConvention("L", 1.0, (0.5,), (0.25,), size=32, resize=32)
    assert refusal(measured, "digits", convention=large).endswith("the net takes L of 32 x 32")


def test_consecutive_batches_differ(folder):
    assert all(not torch.equal(a, b) for a, b in pairwise(islice(tuned(folder).batches(2, 0), 5)))
