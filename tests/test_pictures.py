import gzip
import hashlib
import os
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_files import flat, noise, png, stored, write_folder, write_shard
from PIL import Image

from compress.data import pictures
from compress.data.pictures import Encoded, list_folder, list_shards, load, short_name, taken
from compress.data.shards import samples
from compress.errors import ImageError, InputError, RecipeError
from compress.recipe import Source


@pytest.fixture
def folder(tmp_path):
    images = {"ant/b.png": flat(10), "ant/a.png": flat(20), "bee/c.PNG": flat(200), "ant/notes.txt": b"not a picture"}
    return write_folder(tmp_path / "set", images)


def of_folder(folder, mode="RGB", **options):
    return load(Source(source=f"folder:{folder}", **options), mode, field="data.test")


def of_shards(pattern, mode="RGB", **options):
    return load(Source(source=f"shards:{pattern}", **options), mode, field="data.test")


def refusal(read, *arguments, error=InputError, **options):
    with pytest.raises(error) as refused:
        read(*arguments, **options)
    return str(refused.value)


def names(found):
    return ["/".join(item.name.split("/")[-2:]) for item in found.items]


# --- a folder --------------------------------------------------------------------------------------------------------


def test_pictures_come_in_the_order_of_their_paths(folder):
    found = of_folder(folder)
    assert names(found) == ["ant/a.png", "ant/b.png", "bee/c.PNG"] and found.folders == ("ant", "bee")
    assert [item.category for item in found.items] == ["ant", "ant", "bee"]
    assert [found.open(i).getpixel((0, 0))[0] for i in range(3)] == [20, 10, 200]
    assert [places.tolist() for places in found.by_category()] == [[0, 1], [2]]
    assert (found.name, found.n_skipped) == ("set", 0)
    assert found.description() == "set: 3 images of 2 classes, 1 other files left alone"
    assert found.fingerprints.names == tuple(item.name for item in found.items)
    assert found.fingerprints.thumbnails.shape == (3, 576)


@pytest.mark.parametrize(("mode", "pixel"), [("RGB", (255, 0, 0)), ("L", 76)])
def test_pictures_are_in_the_mode_asked_for(tmp_path, mode, pixel):
    write_folder(tmp_path, {"a/red.png": Image.new("RGB", (8, 8), "red")})
    found = of_folder(tmp_path, mode)
    assert found.mode == found.open(0).mode == mode and found.open(0).getpixel((0, 0)) == pixel


def test_what_is_hidden_is_not_a_picture(folder):
    """.git, .DS_Store, and the ._a.png that another system's archive leaves beside a.png."""
    write_folder(folder, {".thumbnails/a.png": flat(0), "ant/._a.png": b"\0\5\x16\7", ".DS_Store": b""})
    assert names(of_folder(folder)) == ["ant/a.png", "ant/b.png", "bee/c.PNG"]


def test_links_to_pictures_and_classes_are_followed(folder, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "cat").symlink_to(folder / "ant")
    found = of_folder(linked)
    assert names(found) == ["cat/a.png", "cat/b.png"] and found.folders == ("cat",)


@pytest.mark.skipif(os.name == "nt", reason="names are bytes on POSIX alone")
def test_a_name_that_is_not_utf8_is_a_name(tmp_path):
    write_folder(tmp_path, {"a/ok.png": flat(1)})
    try:
        Path(os.fsdecode(bytes(tmp_path) + b"/a/\xff.png")).write_bytes(png(flat(2)))
    except OSError:
        pytest.skip("this file system allows UTF-8 only")
    assert len(of_folder(tmp_path).items) == 2 and len(of_folder(tmp_path).digest) == 64


def test_a_variable_in_the_path_is_replaced_and_not_told(folder, monkeypatch):
    monkeypatch.setenv("SETS", str(folder.parent))
    assert of_folder("$SETS/set").description() == "set: 3 images of 2 classes, 1 other files left alone"
    monkeypatch.setenv("SETS", str(folder))
    assert of_folder("$SETS").description() == "$SETS: 3 images of 2 classes, 1 other files left alone"


def test_a_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("UNSET", raising=False)
    message = refusal(of_folder, "$UNSET/set", error=RecipeError)
    assert message == "data.test: $UNSET/set: the environment variable UNSET is not set, or empty"


def test_a_folder_that_is_not_there_is_named(tmp_path):
    assert refusal(of_folder, tmp_path / "none") == f"data.test: {tmp_path}/none: no such folder"
    (tmp_path / "file.txt").touch()
    assert refusal(of_folder, tmp_path / "file.txt") == f"data.test: {tmp_path}/file.txt: not a folder"


def test_a_folder_without_classes_says_what_is_expected(tmp_path):
    expected = f"data.test: {tmp_path}: no sub-folders; expected {tmp_path}/<class>/<picture>.jpg"
    assert refusal(of_folder, tmp_path) == expected
    write_folder(tmp_path, {"a.png": flat(0)})
    assert refusal(of_folder, tmp_path) == expected


@pytest.mark.parametrize("inside", [{}, {"a.txt": b""}, {"deeper/a.txt": b""}, {"deeper/.a.png": flat(0)}])
def test_a_class_without_pictures_is_named(folder, inside):
    (folder / "cat").mkdir()
    write_folder(folder / "cat", inside)
    expected = f"data.test: {folder}/cat: a class without pictures; it may hold .bmp, .gif, .jpeg, .jpg, .png,"
    assert refusal(of_folder, folder).startswith(expected)


def test_pictures_at_any_depth_are_of_the_class(folder):
    write_folder(folder, {"ant/deep/er/d.png": flat(1), "ant/z.gif": flat(2)})
    found = of_folder(folder)
    assert names(found) == ["ant/a.png", "ant/b.png", "er/d.png", "ant/z.gif", "bee/c.PNG"]
    assert [item.category for item in found.items] == ["ant"] * 4 + ["bee"]


def test_files_that_are_not_taken_are_counted(folder):
    write_folder(folder, {"stray.png": flat(1), "bee/deep/c.heic": b"x", "ant/.hidden": b"x"})
    found = of_folder(folder)
    assert (len(found.items), found.n_others) == (3, 3)  # the picture of no class, the other format, and the notes


def test_a_class_that_is_a_link_to_nothing_is_named(folder):
    """In alphabetical order, every class after it would have the wrong index."""
    (folder / "bat").symlink_to(folder / "gone")
    assert refusal(of_folder, folder) == f"data.test: {folder}/bat: a link to nothing"


def test_a_place_that_is_from_the_environment_is_named_as_the_recipe_has_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PICTURES", str(tmp_path))
    assert refusal(of_folder, "$PICTURES/none") == f"data.test: folder:$PICTURES/none: {tmp_path}/none: no such folder"


def test_the_home_folder_is_known(monkeypatch, folder):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert names(of_folder(f"~/{folder.name}")) == names(of_folder(folder))


def test_a_class_that_may_not_be_listed_is_named(folder, monkeypatch):
    listed = Path.iterdir

    def iterdir(path):
        if path.name == "bee":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert refusal(of_folder, folder) == f"data.test: {folder}/bee: cannot be listed: Permission denied"


# --- shards ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shards(tmp_path):
    write_shard(tmp_path / "wds" / "train-0.tar", {"a": (flat(10), 7), "x/b": (flat(20), 0)})
    write_shard(tmp_path / "wds" / "train-1.tar", {"a": (flat(200), 7)})
    return tmp_path / "wds"


@pytest.mark.parametrize("pattern", ["train-*.tar", "train-{0,1}.tar", "train-{0..1}.tar"])
def test_samples_come_as_they_are_stored(shards, pattern):
    found = of_shards(shards / pattern)
    assert [item.name.removeprefix(f"{shards}/") for item in found.items] == ["train-0.tar/a", "train-0.tar/x/b", "train-1.tar/a"]
    assert [item.category for item in found.items] == [7, 0, 7] and found.folders == ()
    assert [places.tolist() for places in found.by_category()] == [[0, 2], [1]]
    assert [found.open(i).getpixel((0, 0))[0] for i in range(3)] == [10, 20, 200]
    assert found.name == "wds" and found.description() == "wds: 3 images of 2 classes"


def test_shards_of_a_url_are_the_same_set(shards):
    fs = fsspec.filesystem("memory")
    for path in sorted(shards.iterdir()):
        fs.pipe(f"/there/wds/{path.name}", path.read_bytes())
    found = of_shards("memory://there/wds/train-*.tar")
    fs.rm("/", recursive=True)
    assert found.digest == of_shards(shards / "train-*.tar").digest and found.description() == "wds: 3 images of 2 classes"


def test_samples_without_labels_are_of_no_class(tmp_path):
    write_shard(tmp_path / "wds" / "a.tar", {"a": (flat(1), None), "b": (flat(2), None)})
    found = of_shards(tmp_path / "wds" / "a.tar")
    assert found.description() == "wds: 2 images" and [places.tolist() for places in found.by_category()] == [[0, 1]]


def test_a_shard_that_is_cut_is_named_wherever_it_is_cut(shards):
    whole = (shards / "train-0.tar").read_bytes()
    for end in range(100, 8 * 512, 300):  # four members of one block each, with their headers
        (shards / "train-0.tar").write_bytes(whole[:end])
        message = refusal(of_shards, shards / "train-*.tar")
        assert message.startswith(f"data.test: {shards}/train-0.tar: "), (end, message)


def test_shards_that_are_not_there_are_named(tmp_path):
    assert refusal(of_shards, tmp_path / "*.tar") == f"data.test: {tmp_path}/*.tar: no shard matches"
    assert refusal(of_shards, tmp_path / "a.tar") == f"data.test: {tmp_path}/a.tar: no such shard"


def compressed(tar):
    path = tar.with_suffix(".tgz")
    path.write_bytes(gzip.compress(tar.read_bytes()))
    return path


def test_more_than_memory_should_hold_is_refused(shards, monkeypatch):
    """Of shards that must be held in memory: those that are compressed, or not on a local disk."""
    advice = "copy the shards to a local disk, uncompressed, or name fewer of them"
    monkeypatch.setattr(pictures, "MAX_SHARD_BYTES", 100)
    path = compressed(shards / "train-0.tar")
    assert refusal(list_shards, str(path)) == f"{path}: over 0 GiB of pictures; {advice}"
    fsspec.filesystem("memory").pipe("/there/a.tar", (shards / "train-0.tar").read_bytes())
    url = "memory://there/a.tar"
    assert refusal(list_shards, url) == f"{url}: over 0 GiB of pictures; {advice}"
    fsspec.filesystem("memory").rm("/", recursive=True)
    assert len(list_shards(f"{shards}/*.tar")) == 3  # read where they are


def test_plain_local_shards_are_read_in_place_and_others_are_held(shards, tmp_path):
    plain = sorted(samples(f"{shards}/*.tar"), key=lambda sample: (sample.shard, sample.key))
    held = compressed(shards / "train-0.tar")
    fsspec.filesystem("memory").pipe("/there/a.tar", (shards / "train-0.tar").read_bytes())
    remote = list_shards("memory://there/a.tar") + list_shards("filecache::memory://there/a.tar")
    fsspec.filesystem("memory").rm("/", recursive=True)
    in_place, in_memory = list_shards(f"{shards}/*.tar"), list_shards(str(held))
    assert [item.read() for item in in_place] == [sample.image for sample in plain]
    first_two = [sample.image for sample in plain[:2]]
    assert [item.read() for item in in_memory] == first_two and [item.read() for item in remote] == first_two * 2
    held.unlink()
    for tar in shards.glob("*.tar"):
        tar.unlink()
    assert [item.read() for item in in_memory] == first_two  # of a .tgz nothing is read twice
    with pytest.raises(FileNotFoundError):
        in_place[0].read()


def test_shards_are_read_in_place_from_another_working_directory(shards, monkeypatch, tmp_path):
    monkeypatch.chdir(shards)
    found = of_shards("train-*.tar")
    monkeypatch.chdir(tmp_path)
    assert [found.open(i).getpixel((0, 0))[0] for i in range(3)] == [10, 20, 200]


def test_a_shard_that_was_written_anew_is_never_read_as_another_picture(shards):
    """Of the same size, its pictures in another order: at each place there is a whole picture, with another label."""
    bmp = [stored(flat(level), "BMP") for level in (10, 20)]
    write_shard(shards / "train-0.tar", {"a": (bmp[0], 7), "b": (bmp[1], 0)})
    found = of_shards(shards / "train-0.tar")
    write_shard(shards / "train-0.tar", {"b": (bmp[1], 0), "a": (bmp[0], 7)})
    for i, key in enumerate("ab"):
        expected = f"{shards}/train-0.tar/{key}: cannot be read: its shard is another than when it was listed"
        assert refusal(found.open, i, error=ImageError) == expected
    write_shard(shards / "train-0.tar", {"a": (bmp[0], 7), "b": (bmp[1], 0)})
    os.utime(shards / "train-0.tar", (0, 0))  # the same bytes at another time are the same shard
    assert found.open(1).getpixel((0, 0))[0] == 20


@pytest.mark.parametrize("n_bytes", [0, 600, 1600])
def test_a_shard_that_was_cut_after_it_was_listed_is_named(shards, n_bytes):
    found = of_shards(shards / "train-0.tar")
    path = shards / "train-0.tar"
    path.write_bytes(path.read_bytes()[:n_bytes])
    assert refusal(found.open, 1, error=ImageError).startswith(f"{path}/x/b: cannot be read: its shard is another")


# --- damaged pictures ------------------------------------------------------------------------------------------------


def damaged(tmp_path, n, n_damaged):
    """n pictures, the last n_damaged of which are cut in the middle, after the head."""
    whole = png(noise(0, (8, 8)))
    files = {f"a/{i:04}.png": whole[:-40] if i >= n - n_damaged else whole for i in range(n)}
    return write_folder(tmp_path / "set", files)


@pytest.mark.parametrize(("n", "n_damaged"), [(100, 1), (199, 1), (200, 2)])
def test_up_to_one_percent_are_skipped_and_counted(tmp_path, n, n_damaged):
    found = of_folder(damaged(tmp_path, n, n_damaged))
    assert found.n_skipped == n_damaged and len(found.items) == len(found.fingerprints.names) == n - n_damaged
    assert found.description() == f"set: {n - n_damaged} images of 1 classes, {n_damaged} that cannot be decoded skipped"
    assert names(found)[-1] == f"a/{n - n_damaged - 1:04}.png"


@pytest.mark.parametrize(("n", "n_damaged"), [(99, 1), (199, 2), (1, 1), (3, 3)])
def test_over_one_percent_are_an_error_that_names_the_first(tmp_path, n, n_damaged):
    folder = damaged(tmp_path, n, n_damaged)
    message = refusal(of_folder, folder)
    assert message.startswith(
        f"data.test: {folder}: {n_damaged} of {n} pictures cannot be decoded, at most 1% are skipped; "
        f"the first: {folder}/a/{n - n_damaged:04}.png: cannot be decoded as an image: "
    )


def test_damaged_pictures_in_shards_are_counted_too(tmp_path):
    write_shard(tmp_path / "a.tar", {f"{i:03}": (b"no picture" if i == 50 else flat(i), 0) for i in range(100)})
    assert of_shards(tmp_path / "a.tar").n_skipped == 1
    write_shard(tmp_path / "b.tar", {"000": (b"no picture", 0), "001": (flat(0), 0)})
    assert f"1 of 2 pictures cannot be decoded, at most 1% are skipped; the first: {tmp_path}/b.tar/000: " in refusal(
        of_shards, tmp_path / "b.tar"
    )


def unreadable(monkeypatch, name):
    read = Path.read_bytes

    def read_bytes(path):
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)


def test_a_picture_that_may_not_be_read_counts_as_damaged(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "set", {f"a/{i:04}.png": flat(i) for i in range(100)})
    unreadable(monkeypatch, "0007.png")
    assert of_folder(folder).n_skipped == 1
    (folder / "a" / "0000.png").unlink()
    assert refusal(of_folder, folder).endswith(f"the first: {folder}/a/0007.png: cannot be read: Permission denied")


def test_a_folder_or_a_dead_link_that_is_called_a_picture_counts_as_damaged(folder):
    (folder / "ant" / "d.png").mkdir()
    assert f"1 of 4 pictures cannot be decoded, at most 1% are skipped; the first: {folder}/ant/d.png: " in refusal(
        of_folder, folder
    )
    (folder / "ant" / "d.png").rmdir()
    (folder / "ant" / "e.png").symlink_to(folder / "gone.png")
    assert refusal(of_folder, folder).endswith(f"{folder}/ant/e.png: cannot be read: No such file or directory")


def test_a_picture_that_has_another_size_than_when_it_was_looked_at_is_named(folder):
    found = of_folder(folder)
    assert found.sizes == ((16, 12),) * 3
    write_folder(folder, {"ant/a.png": flat(20, (12, 16)), "ant/b.png": flat(99)})
    expected = f"{folder}/ant/a.png: is 12 x 16 pixels, was 16 x 12"
    assert refusal(found.open, 0, error=ImageError) == expected
    assert found.open(1).getpixel((0, 0))[0] == 99  # another picture of the same size is not known from the one before
    assert of_folder(folder, check=False).open(0).size == (12, 16)


def test_a_picture_that_goes_away_later_is_named(folder):
    found = of_folder(folder)
    (folder / "ant" / "a.png").unlink()
    assert refusal(found.open, 0, error=ImageError) == f"{folder}/ant/a.png: cannot be read: No such file or directory"


# --- check: false ----------------------------------------------------------------------------------------------------


def test_unchecked_pictures_are_not_decoded_and_have_no_fingerprints(tmp_path, monkeypatch):
    """Every one of them is damaged, and nobody looks."""
    folder = damaged(tmp_path, 5, 5)
    monkeypatch.setattr(pictures, "_look", None)
    found = of_folder(folder, check=False)
    assert len(found.items) == 5 and found.sizes is None and found.n_skipped == 0
    assert found.fingerprints.names == () and found.fingerprints.thumbnails.shape == (0, 576)
    assert found.description() == "set: 5 images of 1 classes"
    assert refusal(found.open, 3, error=ImageError).startswith(f"{folder}/a/0003.png: cannot be decoded as an image: ")


def test_unchecked_pictures_are_those_of_the_checked_source(folder, shards):
    for read, place in ((of_folder, folder), (of_shards, shards / "*.tar")):
        checked, unchecked = (read(place, check=check) for check in (True, False))
        assert [(item.name, item.category) for item in unchecked.items] == [(i.name, i.category) for i in checked.items]
        assert (unchecked.folders, unchecked.mode, unchecked.n_others) == (checked.folders, checked.mode, checked.n_others)
        assert [np.asarray(unchecked.open(i)).tolist() for i in range(3)] == [
            np.asarray(checked.open(i)).tolist() for i in range(3)
        ]
        assert len(read(place, check=False, take_every=2).items) == 2


def test_the_digest_of_unchecked_pictures_is_of_names_and_classes(folder, tmp_path):
    before = of_folder(folder, check=False).digest
    assert before != of_folder(folder).digest and len(before) == 64
    folder.rename(tmp_path / "moved")
    assert of_folder(tmp_path / "moved", check=False).digest == before
    (tmp_path / "moved" / "ant" / "a.png").rename(tmp_path / "moved" / "bee" / "a.png")
    assert of_folder(tmp_path / "moved", check=False).digest != before


@pytest.mark.parametrize("check", [True, False])
def test_what_is_missing_is_refused_whether_pictures_are_checked_or_not(folder, check):
    (folder / "cat").mkdir()
    assert f"data.test: {folder}/cat: a class without pictures" in refusal(of_folder, folder, check=check)
    (folder / "cat").rmdir()
    assert refusal(of_folder, folder, check=check, leave_out=("a.png", "b.png", "c.PNG")).endswith("none is left")
    assert refusal(of_folder, folder / "none", check=check).endswith("no such folder")


# --- the digest ------------------------------------------------------------------------------------------------------


def test_the_digest_is_of_names_classes_and_bytes(folder):
    expected = "".join(
        f"{path.name} {path.parent.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for path in (folder / "ant" / "a.png", folder / "ant" / "b.png", folder / "bee" / "c.PNG")
    )
    assert of_folder(folder).digest == hashlib.sha256(expected.encode()).hexdigest()


def test_the_digest_is_not_of_the_place(folder, tmp_path):
    before = of_folder(folder).digest
    folder.rename(tmp_path / "moved")
    assert of_folder(tmp_path / "moved").digest == before == of_folder(tmp_path / "moved", "L").digest


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "ant" / "a.png").write_bytes(png(flat(21))),
        lambda folder: (folder / "ant" / "a.png").rename(folder / "ant" / "d.png"),
        lambda folder: (folder / "ant" / "a.png").rename(folder / "bee" / "a.png"),
        lambda folder: (folder / "bee").rename(folder / "wasp"),
        lambda folder: (folder / "bee" / "d.png").write_bytes(png(flat(5))),
    ],
)
def test_other_pictures_have_another_digest(folder, change):
    before = of_folder(folder).digest
    change(folder)
    assert of_folder(folder).digest != before


@pytest.mark.parametrize("options", [{"take_every": 2}, {"leave_out_every": 2}, {"leave_out": ("a.png",)}])
def test_a_part_has_another_digest_than_the_whole(folder, options):
    assert of_folder(folder, **options).digest != of_folder(folder).digest


@pytest.mark.parametrize("n_cpus", [1, 7])
def test_the_number_of_threads_changes_nothing(tmp_path, monkeypatch, n_cpus):
    folder = damaged(tmp_path, 200, 2)
    expected = of_folder(folder)
    monkeypatch.setattr("compress.data.pictures.n_cores", lambda: n_cpus)
    found = of_folder(folder)
    assert found.digest == expected.digest and names(found) == names(expected)
    np.testing.assert_array_equal(found.fingerprints.thumbnails, expected.fingerprints.thumbnails)


# --- what is taken ---------------------------------------------------------------------------------------------------


def some(n):
    return [Encoded(f"/sets/a/{i}.png", "a", bytes) for i in range(n)]


def test_take_every_takes_what_leave_out_every_leaves_out():
    numbers = [item.name[8:-4] for item in taken(some(10), Source(source="folder:a", take_every=4), field="data.test")]
    assert numbers == ["0", "4", "8"]
    numbers = [item.name[8:-4] for item in taken(some(10), Source(source="folder:a", leave_out_every=4), field="data.test")]
    assert numbers == ["1", "2", "3", "5", "6", "7", "9"]


@given(st.integers(0, 60), st.integers(2, 70))
def test_the_two_parts_are_the_whole(n, every):
    items = some(n)
    one = taken(items, Source(source="folder:a", take_every=every), field="data.test")
    other = taken(items, Source(source="folder:a", leave_out_every=every), field="data.test")
    assert len(one) + len(other) == n and {id(item) for item in one + other} == {id(item) for item in items}
    assert taken(items, Source(source="folder:a"), field="data.test") == items


def test_a_damaged_picture_does_not_move_a_picture_to_the_other_part(tmp_path):
    """Or it would be tuned on and measured on as soon as one before it is damaged."""
    folder = write_folder(tmp_path / "set", {f"a/{i:04}.png": flat(i % 256) for i in range(300)})
    before = names(of_folder(folder, take_every=2))
    (folder / "a" / "0002.png").write_bytes(b"no picture")
    assert names(of_folder(folder, take_every=2)) == [name for name in before if name != "a/0002.png"]


def test_pictures_are_left_out_by_the_end_of_their_path(folder):
    write_folder(folder, {"bee/a.png": flat(1), "bee/aa.png": flat(2)})
    assert names(of_folder(folder, leave_out=("ant/a.png",))) == ["ant/b.png", "bee/a.png", "bee/aa.png", "bee/c.PNG"]
    assert names(of_folder(folder, leave_out=("a.png", "c.PNG"))) == ["ant/b.png", "bee/aa.png"]
    assert names(of_folder(folder, leave_out=(f"{folder}/bee/aa.png",))) == ["ant/a.png", "ant/b.png", "bee/a.png", "bee/c.PNG"]
    assert names(of_folder(folder, take_every=2, leave_out=("ant/a.png",))) == ["bee/a.png", "bee/c.PNG"]


def test_what_the_overlap_check_names_can_be_left_out(shards):
    whole = of_shards(shards / "*.tar")
    for name in whole.fingerprints.names:
        assert name not in of_shards(shards / "*.tar", leave_out=(name,)).fingerprints.names
    assert len(of_shards(shards / "*.tar", leave_out=("train-1.tar/a",)).items) == 2


@pytest.mark.parametrize("ending", ["d.png", "A.png", "t/a.png", "ant", "ant/", "", "../ant/a.png", "*.png"])
def test_leaving_out_what_is_not_there_is_an_error(folder, ending):
    message = refusal(of_folder, folder, leave_out=("b.png", ending))
    assert message == f"data.test: folder:{folder}: leave_out names {ending!r}, and no picture there ends so"


def test_leaving_out_every_picture_is_an_error(folder):
    message = refusal(of_folder, folder, leave_out=("a.png", "b.png", "c.PNG"))
    assert message == f"data.test: folder:{folder}: of its 3 pictures none is left"
    (folder / "ant" / "b.png").unlink()
    (folder / "bee" / "c.PNG").unlink()
    (folder / "bee").rmdir()
    assert refusal(of_folder, folder, leave_out_every=2).endswith("of its 1 pictures none is left")


def test_a_class_of_which_nothing_is_taken_is_still_one_of_the_folders(folder):
    """Which index a class has is known from all of them."""
    found = of_folder(folder, leave_out=("a.png", "b.png"))
    assert found.folders == ("ant", "bee") and {item.category for item in found.items} == {"bee"}


def test_listing_decodes_nothing(folder):
    (folder / "ant" / "a.png").write_bytes(b"no picture")
    assert [item.read()[:4] for item in list_folder(folder)[0]] == [b"no p", b"\x89PNG", b"\x89PNG"]


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("/data/imagenet-val500", "imagenet-val500"),
        ("$SQUEEZE_DATA/imagenet-val500/", "imagenet-val500"),
        ("../imagenette160/val", "imagenette160/val"),
        ("/data/pets/Images/", "pets/Images"),
        ("val", "val"),
        ("a/", "a"),
        ("pets [2020]", "pets [2020]"),
        ("old.tar/pets", "pets"),
        ("$MY_SET", "$MY_SET"),
        (".", "pictures"),
        ("./", "pictures"),
        ("..", "pictures"),
        ("../..", "pictures"),
        ("/", "pictures"),
        ("C:\\Users\\someone\\pets", "pets"),
        ("C:\\pets\\train", "pets/train"),
        ("C:\\", "pictures"),
        ("D:/wds/train-*.tar", "wds"),
        ("$SQUEEZE_DATA/tiny-imagenet-wds/train-*.tar", "tiny-imagenet-wds"),
        ("/sets/wds/train-{0000..0009}.tar", "wds"),
        ("/sets/wds/train-{0..9}.tar.gz", "wds"),
        ("/sets/wds/{train,val}/*.tar", "wds"),
        ("/sets/pets/train/a.tgz", "pets/train"),
        ("{/home/someone/a,/home/other/b}.tar", "pictures"),
        ("*.tar", "pictures"),
        ("train.tar", "pictures"),
        ("s3://bucket/x/*.tar", "x"),
        ("s3://bucket/*.tar", "bucket"),
        ("s3://bucket/train-{0..9}.tar", "bucket"),
        ("simplecache::s3://bucket/x/a.tar", "x"),
        ("file:///home/someone/wds/*.tar", "wds"),
        ("https://user:secret@host:8080/x/a.tar", "x"),
        ("https://user:secret@host:8080/a.tar", "host"),
        ("https://host/x/a.tar?token=secret/2", "x"),
    ],
)
def test_a_name_is_of_the_set_and_not_of_the_machine(where, name):
    assert short_name(where) == name


@given(st.text(st.sampled_from("ab.:/\\*{},?$@~ "), max_size=20))
def test_every_path_gives_a_name_without_its_beginning(where):
    name = short_name(where)
    assert name and name.count("/") <= 1 and not name.startswith("/") and "\\" not in name
