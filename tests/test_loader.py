"""Batches: every picture once an epoch, the same for any number of workers, ranks, micro-batches and interruptions."""

import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import flat, noise, png, stored, write_folder, write_shard

from compress.convention import InputConvention
from compress.data import digits, loader
from compress.data.loader import Batch, Loader
from compress.data.training import TrainingSet, training_set
from compress.errors import InputError
from compress.recipe import Augment, Source, Train

CONVENTION = InputConvention("RGB", 1.0, (0.5,) * 3, (0.25,) * 3, size=8, resize=10)
N = 12  # pictures in a shard, each with a label of its own


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    """Only to be read."""
    path = tmp_path_factory.mktemp("wds") / "a.tar"
    return write_shard(path, {f"{i:02}": (noise(i, (24 + i, 24)), i) for i in range(N)})


def of(place, n_classes=N, **options):
    return training_set([Source(source=place, **options)], CONVENTION, None, n_classes)


@pytest.fixture(scope="module")
def training(shard):
    return of(f"shards:{shard}")


def load(training, batch_size=5, *, rank=0, world=1, seed=0, **options):
    return Loader(training, Train(epochs=1, batch_size=batch_size, **options), seed=seed, rank=rank, world=world)


def steps(loaded, epoch=0, first=0, side=lambda step: 8):
    return list(loaded.steps(epoch, first, side))


def numbered(n):
    """A set whose pictures tell which they are: the four pixels of picture i are its bytes."""
    pixels = np.arange(n, dtype="<u4").view(np.uint8).reshape(n, 2, 2, 1)
    return TrainingSet(f"{n} numbers", "", None, np.arange(n, dtype=np.int64), "L", 2, fixed=pixels)


def numbers(batches):
    """Those of the pictures that count, and that they are what their labels say."""
    found = []
    for batch in batches:
        n = len(batch.labels)
        assert batch.pixels.shape == (n, 2, 2, 1) and batch.factors.shape == (3, n) and batch.weights.shape == (n,)
        is_one = batch.weights.bool()
        found += batch.pixels.numpy().reshape(n, 4).view("<u4").ravel()[is_one.numpy()].tolist()
        assert batch.labels[is_one].tolist() == found[len(found) - int(is_one.sum()) :]
        assert not batch.pixels[~is_one].any() and batch.skipped == ()
    return found


def same(one, other):
    """Whether two lists of steps are the same to the bit."""
    flat_one, flat_other = ([(n, batch) for n, batches in each for batch in batches] for each in (one, other))
    return len(flat_one) == len(flat_other) and all(
        n == m
        and all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("pixels", "labels", "weights", "factors"))
        and a.skipped == b.skipped
        for (n, a), (m, b) in zip(flat_one, flat_other, strict=True)
    )


# --- which pictures --------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    n=st.integers(1, 40),
    batch_size=st.integers(1, 40),
    micro=st.none() | st.integers(1, 40),
    world=st.sampled_from([1, 2, 3, 5]),
    epoch=st.integers(0, 3),
)
def test_every_picture_is_drawn_once_an_epoch(n, batch_size, micro, world, epoch):
    batch_size = min(batch_size, n)
    micro = min(micro, batch_size) if micro else None
    ranks = [load(numbered(n), batch_size, micro_batch=micro, rank=rank, world=world) for rank in range(world)]
    made = [steps(each, epoch) for each in ranks]
    whole = ranks[0].batches(epoch)
    assert {each.n_steps for each in ranks} == {len(whole)} == {-(-n // batch_size)}
    seen = []
    for of_each, indices in zip(zip(*made, strict=True), whole, strict=True):
        assert {n_images for n_images, _ in of_each} == {len(indices)}
        drawn = [numbers(batches) for _, batches in of_each]
        together = list(chain.from_iterable(drawn))
        assert sorted(together) == sorted(indices.tolist())
        assert max(map(len, drawn)) - min(map(len, drawn)) <= 1  # ranks have as much to do
        for _, batches in of_each:
            assert batches and all(len(batch.labels) <= (micro or batch_size) for batch in batches)
        seen += together
    assert sorted(seen) == list(range(n))
    assert [len(indices) for indices in whole[:-1]] == [batch_size] * (len(whole) - 1)


@pytest.mark.parametrize(("batch_size", "world", "micro", "sizes"), [
    (7, 1, None, [[7]]),
    (7, 1, 3, [[3, 3, 1]]),
    (7, 2, 3, [[3, 1], [3]]),
    (7, 3, 2, [[2, 1], [2], [2]]),
    (2, 3, 2, [[1], [1], [1]]),
])  # fmt: skip
def test_micro_batches_are_cut_from_a_ranks_part(batch_size, world, micro, sizes):
    for rank in range(world):
        n_images, batches = steps(load(numbered(20), batch_size, micro_batch=micro, rank=rank, world=world))[0]
        assert n_images == batch_size and [len(batch.labels) for batch in batches] == sizes[rank]


def test_the_order_is_another_each_epoch_and_for_each_seed():
    orders = [np.concatenate(load(numbered(50), seed=seed).batches(epoch)).tolist() for seed in (0, 1) for epoch in range(4)]
    assert len({tuple(order) for order in orders}) == 8 and all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] == np.concatenate(load(numbered(50), 13).batches(0)).tolist()  # cut otherwise, the same order


def test_a_rank_without_a_picture_goes_along_with_a_black_one_that_does_not_count():
    last = [steps(load(numbered(11), 5, rank=rank, world=3))[-1] for rank in range(3)]
    assert [n_images for n_images, _ in last] == [1, 1, 1]
    assert [[batch.weights.tolist() for batch in batches] for _, batches in last] == [[[1]], [[0]], [[0]]]
    (black,) = last[2][1]
    assert not black.pixels.any() and black.labels.tolist() == [0] and (black.factors == 1).all() and black.skipped == ()


def test_a_batch_larger_than_the_set_is_refused():
    with pytest.raises(InputError, match=r"^train\.batch_size is 6, data\.train has 5 images; at most those$"):
        load(numbered(5), 6)
    assert load(numbered(5), 5).n_steps == 1 and load(numbered(5), 2).n_steps == 3 and load(numbered(5), 2).n_images == 5


# --- what they become ------------------------------------------------------------------------------------------------


def by_label(made, side=8):
    """label -> (pixels, factors) of each picture of an epoch."""
    found = {}
    for _, batches in made:
        for batch in batches:
            assert batch.pixels.shape[1:] == (side, side, 3) and batch.pixels.dtype == torch.uint8
            assert batch.labels.dtype == torch.int64 and batch.weights.dtype == batch.factors.dtype == torch.float32
            for j, label in enumerate(batch.labels.tolist()):
                if batch.weights[j]:
                    assert label not in found
                    found[label] = (batch.pixels[j].numpy(), batch.factors[:, j].numpy())
    assert sorted(found) == list(range(N))
    return found


def assert_same_pictures(one, other):
    for label in range(N):
        np.testing.assert_array_equal(one[label][0], other[label][0])
        np.testing.assert_array_equal(one[label][1], other[label][1])


@pytest.mark.parametrize("crop", ["resized", "plain"])
def test_a_picture_depends_on_seed_epoch_and_place_alone(training, crop):
    """Not on the batch, the micro-batch, the ranks, or what was drawn before."""
    augment = Augment(crop=crop, jitter=0.3)
    expected = by_label(steps(load(training, augment=augment), epoch=1))
    for batch_size, micro, world in ((12, None, 1), (1, None, 1), (7, 2, 2), (4, 1, 3), (5, None, 5)):
        ranks = [load(training, batch_size, micro_batch=micro, rank=rank, world=world, augment=augment) for rank in range(world)]
        made = [each for rank in ranks for each in steps(rank, epoch=1)]
        assert_same_pictures(by_label(made), expected)
    for i in range(N):
        rng = np.random.default_rng((0, 1, i))
        pixels, factors = training.example(i, 8, augment, rng)
        np.testing.assert_array_equal(expected[i][0], pixels)
        np.testing.assert_array_equal(expected[i][1], factors)
    for options in ({"epoch": 0}, {"epoch": 2}):
        other = by_label(steps(load(training, augment=augment), **options))
        assert not any(np.array_equal(other[i][0], expected[i][0]) for i in range(N))
    other = by_label(steps(load(training, augment=augment, seed=1), epoch=1))
    assert not any(np.array_equal(other[i][0], expected[i][0]) for i in range(N))


def test_ranks_together_have_the_batch_of_one_process(training):
    alone = steps(load(training, 7))
    ranks = [steps(load(training, 7, rank=rank, world=3)) for rank in range(3)]
    for step, (n_images, batches) in enumerate(alone):
        (whole,) = batches
        parts = [batch for rank in ranks for batch in rank[step][1]]
        order = [
            label for part in parts for label, weight in zip(part.labels.tolist(), part.weights.tolist(), strict=True) if weight
        ]
        assert sorted(order) == sorted(whole.labels.tolist()) and len(order) == n_images
        for part in parts:
            for j in part.weights.nonzero().flatten().tolist():
                place = whole.labels.tolist().index(int(part.labels[j]))
                assert torch.equal(part.pixels[j], whole.pixels[place]) and torch.equal(
                    part.factors[:, j], whole.factors[:, place]
                )


def test_crops_grow_from_step_to_step(training):
    asked = []

    def side(step):
        asked.append(step)
        return (8, 16, 24)[step]

    for first in (0, 1):
        asked.clear()
        made = steps(load(training), first=first, side=side)
        assert asked == [0, 1, 2][first:]
        assert [batches[0].pixels.shape[1:3] for _, batches in made] == [(8, 8), (16, 16), (24, 24)][first:]


def test_digits_have_their_own_side():
    training = training_set([Source(source="digits")], digits.CONVENTION, None, 10)
    made = steps(load(training, 500), side=lambda step: 128)
    assert [batches[0].pixels.shape for _, batches in made] == [(500, 8, 8, 1), (500, 8, 8, 1), (437, 8, 8, 1)]
    levels = sum(int(batch.pixels.sum()) for _, batches in made for batch in batches)
    assert levels == int(training.fixed.sum(dtype=np.int64))


# --- interruptions and workers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_is_the_same_for_any_workers_and_from_any_step(training, monkeypatch, workers):
    monkeypatch.setattr("compress.data.loader.n_cores", lambda: 2)
    augment = Augment(jitter=0.4)
    expected = [steps(load(training, micro_batch=2, augment=augment), epoch) for epoch in range(3)]
    assert len(expected[0]) == 3
    loaded = load(training, micro_batch=2, workers=workers, augment=augment)
    for epoch, first in ((0, 0), (1, 0), (2, 2), (1, 1), (0, 3)):
        assert same(steps(loaded, epoch, first), expected[epoch][first:])
    begun = loaded.steps(0, 0, lambda step: 8)
    assert same([next(begun)], expected[0][:1])  # and the rest is never asked for, as when the last step is in mid-epoch
    del begun
    assert same(steps(loaded, 2), expected[2])
    assert len(multiprocessing.active_children()) == workers  # the same ones for all epochs
    del loaded
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [0, 1])
def test_a_pass_draws_nothing_from_torch(training, workers):
    """Dropout does: a run that goes on in mid-epoch would drop others than one that was never stopped."""
    torch.manual_seed(3)
    before = torch.get_rng_state()
    loaded = load(training, workers=workers)
    for epoch in range(2):
        steps(loaded, epoch)
        assert torch.equal(torch.get_rng_state(), before)


def test_more_workers_than_cores_are_told_and_not_started(training, monkeypatch, caplog):
    monkeypatch.setattr("compress.data.loader.n_cores", lambda: 1)
    with caplog.at_level(logging.WARNING):
        loaded = load(training, workers=5)
    assert caplog.messages == ["train.workers: 5 asked for, this process may use 1 cores; 1 are used"]
    assert loaded._loader.num_workers == 1 and same(steps(loaded), steps(load(training)))
    caplog.clear()
    assert load(training, workers=1)._loader.num_workers == 1 and load(training)._loader.num_workers == 0
    assert caplog.messages == []


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="who sent a signal is known on Linux alone")
def test_workers_outlive_signals_that_are_not_from_their_parent(training):
    """Ctrl-C goes to every process of a terminal, and a cluster's SIGTERM to every one of a job."""
    loaded = load(training, 1, workers=1)
    made = loaded.steps(0, 0, lambda step: 8)
    found = [next(made)]
    (worker,) = multiprocessing.active_children()
    for name in ("INT", "TERM", "TERM"):
        subprocess.run(["kill", f"-{name}", str(worker.pid)], check=True)
    found += made
    assert same(found, steps(load(training, 1))) and worker.is_alive()
    worker.terminate()
    worker.join(20)
    assert worker.exitcode == 0


def test_a_step_of_many_micro_batches_does_not_run_out_of_open_files(training):
    resource = pytest.importorskip("resource")  # not on Windows
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    many = numbered(200)
    loaded = load(many, 200, micro_batch=1, workers=1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(200, len(os.listdir("/dev/fd")) + 100), hard))  # noqa: PTH208
    try:
        ((n_images, batches),) = steps(loaded)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert n_images == len(batches) == 200 and sorted(numbers(batches)) == list(range(200))


def test_what_workers_get_can_be_sent_to_a_new_process(training):
    """As on systems without fork; pictures that are kept in memory are not sent."""
    made = load(training)._loader.dataset
    key = loader.Key(1, 8, (3, 7))
    one, other = made[key], pickle.loads(pickle.dumps(made))[key]
    assert same([(2, [one])], [(2, [other])])


def test_decoded_pictures_are_kept_where_workers_share_them(training, monkeypatch):
    def is_kept(**options):
        return load(training, **options)._loader.dataset._training.decoded is not None

    assert is_kept() and is_kept(workers=1) and not is_kept(cache_gb=0.0)
    monkeypatch.setattr(loader, "USES_FORK", False)
    assert is_kept() and not is_kept(workers=1)


def test_a_batch_keeps_its_reasons_when_it_is_copied():
    batch = Batch(torch.ones(1, 2, 2, 3, dtype=torch.uint8), torch.tensor([4]), torch.zeros(1), torch.ones(3, 1), ("gone",))
    copied = batch.clone()
    assert same([(1, [batch])], [(1, [copied])])
    copied.pixels.zero_()
    assert batch.pixels.all()


# --- pictures that cannot be read ------------------------------------------------------------------------------------


def read_anew(training, **options):
    return by_place(steps(load(training, len(training), cache_gb=0.0, **options)), training)


def by_place(made, training):
    """(weights, labels, pixels) in the order of the set, and the reasons."""
    order = np.concatenate(load(training, len(training)).batches(0))
    ((_, (batch,)),) = made
    back = torch.from_numpy(np.argsort(order))
    return batch.weights[back].tolist(), batch.labels[back].tolist(), batch.pixels[back], batch.skipped


@pytest.mark.parametrize("workers", [0, 1])
def test_pictures_that_went_away_do_not_count_and_are_named(tmp_path, workers):
    images = {f"{name}/{i}.png": noise(i) for name in ("ant", "bee") for i in range(4)}
    folder = write_folder(tmp_path / "set", images)
    training = of(f"folder:{folder}", 2)
    _, _, expected, skipped = read_anew(training)
    assert skipped == ()
    (folder / "ant/1.png").unlink()
    path = folder / "bee/0.png"
    path.write_bytes(path.read_bytes()[:700])
    write_folder(folder, {"bee/2.png": flat(3, (40, 48))})
    weights, labels, pixels, skipped = read_anew(training, workers=workers)
    assert weights == [1, 0, 1, 1, 0, 1, 0, 1] and labels == [0, 0, 0, 0, 0, 1, 0, 1]
    for i in range(8):
        assert torch.equal(pixels[i], expected[i]) if weights[i] else not pixels[i].any()
    reasons = dict(reason.removeprefix(f"{folder}/").split(": ", 1) for reason in skipped)
    assert reasons.keys() == {"ant/1.png", "bee/0.png", "bee/2.png"}
    assert reasons["ant/1.png"] == "cannot be read: No such file or directory"
    assert reasons["bee/0.png"].startswith("cannot be decoded as an image: ")
    assert reasons["bee/2.png"] == "is 40 x 48 pixels, was 48 x 40"


def test_a_tar_that_is_written_anew_does_not_count_and_is_named(tmp_path):
    """Its pictures are as large, and in another order: each is a whole picture, of another label."""
    samples = {f"{i}": (stored(noise(i), "BMP"), i % 2) for i in range(4)}
    path = write_shard(tmp_path / "a.tar", samples)
    training = of(f"shards:{path}", 2)
    assert read_anew(training)[0] == [1] * 4
    write_shard(path, {key: samples[key] for key in ("1", "0", "2", "3")})
    weights, _, pixels, skipped = read_anew(training)
    assert weights == [0, 0, 1, 1] and not pixels[:2].any()
    assert sorted(skipped) == [f"{path}/{key}: cannot be read: its shard is another than when it was listed" for key in "01"]
    path.unlink()
    weights, _, _, skipped = read_anew(training)
    assert weights == [0] * 4 and all(reason.endswith("cannot be read: No such file or directory") for reason in skipped)


def test_pictures_that_were_never_looked_at_are_named_when_they_come(tmp_path):
    folder = write_folder(tmp_path / "set", {"ant/0.png": noise(0), "ant/1.png": b"no picture", "bee/0.png": noise(1)})
    training = of(f"folder:{folder}", 2, check=False)
    weights, _, _, skipped = read_anew(training)
    assert weights == [1, 0, 1]
    assert skipped == (f"{folder}/ant/1.png: cannot be decoded as an image: no format that Pillow knows",)


def test_pictures_that_are_kept_are_not_read_again(tmp_path):
    folder = write_folder(tmp_path / "set", {"ant/0.png": noise(0), "bee/0.png": noise(1), "bee/1.png": noise(2)})
    training = of(f"folder:{folder}", 2)
    (folder / "bee/1.png").write_bytes(png(noise(3))[:900])
    loaded = load(training, 3)  # decodes them
    (folder / "ant/0.png").unlink()
    weights, _, _, skipped = by_place(steps(loaded), training)
    assert weights == [1, 1, 0]
    assert len(skipped) == 1 and skipped[0].startswith(f"{folder}/bee/1.png: cannot be decoded as an image: ")


def test_a_picture_that_cannot_be_read_does_not_change_the_others(training, monkeypatch):
    expected = by_label(steps(load(training, cache_gb=0.0)))
    part = training.parts[0]
    items = list(part.items)

    def gone():
        raise OSError(5, "Input/output error")

    items[4] = replace(items[4], read=gone)
    broken = replace(training, parts=(replace(part, items=tuple(items)),))
    made = steps(load(broken, cache_gb=0.0))
    found = {int(label): batch.pixels[j] for _, batches in made for batch in batches
             for j, label in enumerate(batch.labels) if batch.weights[j]}  # fmt: skip
    assert sorted(found) == [i for i in range(N) if i != 4]
    assert all(np.array_equal(found[i], expected[i][0]) for i in found)
    assert [reason for _, batches in made for batch in batches for reason in batch.skipped] == [
        f"{items[4].name}: cannot be read: Input/output error"
    ]
