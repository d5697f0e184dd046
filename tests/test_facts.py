import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_files import flat, noise, png, write_folder, write_shard
from PIL import Image

from compress.data.facts import ClassCount, Copies, Size, look_through
from compress.data.overlap import near_duplicates
from compress.data.pictures import list_folder
from compress.errors import InputError, RecipeError


def look(source, *, size=8, resize=None, fingerprints=False, advance=lambda n_done, n: None):
    source = source if isinstance(source, str) else f"folder:{source}"
    return look_through(source, field="train", resize=resize or size, size=size, fingerprints=fingerprints, advance=advance)


def facts(source, **options):
    return look(source, **options).facts


def refusal(source, error=InputError):
    with pytest.raises(error) as refused:
        look(source)
    return str(refused.value)


def stored(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_by_hand(width, height, bits, colour_type, row=b""):
    """Pillow writes neither 16 bits a channel nor a head without its pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress((b"\0" + row) * height)) + chunk(b"IEND", b"")


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


# --- classes ---------------------------------------------------------------------------------------------------------


def test_images_of_a_class_are_counted(tmp_path):
    write_folder(tmp_path, {"ant/a.png": noise(0), "ant/b.png": noise(1), "bee/c.png": noise(2), "bee/d.png": b"x", "notes": b""})
    found = facts(tmp_path)
    assert found.classes == (ClassCount("ant", 2, 0), ClassCount("bee", 1, 1))
    assert (found.n_images, found.n_others, found.source) == (3, 1, f"folder:{tmp_path}")


def test_an_empty_class_and_one_of_damaged_pictures_are_classes(tmp_path):
    write_folder(tmp_path, {"ant/a.png": noise(0), "bee/c.png": b"x", "cat/notes.txt": b""})
    (tmp_path / "dog").mkdir()
    assert facts(tmp_path).classes == (
        ClassCount("ant", 1, 0),
        ClassCount("bee", 0, 1),
        ClassCount("cat", 0, 0),
        ClassCount("dog", 0, 0),
    )


def test_a_set_without_a_picture(tmp_path):
    (tmp_path / "ant").mkdir()
    found = facts(tmp_path, fingerprints=True)
    assert (found.n_images, found.sizes, found.mean, found.std) == (0, (), None, None)


def test_the_labels_of_shards_are_in_the_order_of_their_numbers(tmp_path):
    write_shard(tmp_path / "a.tar", {"a": (noise(0), 10), "b": (noise(1), 9), "c": (noise(2), None), "d": (b"x", 9)})
    found = facts(f"shards:{tmp_path}/*.tar")
    assert found.classes == (ClassCount(9, 1, 1), ClassCount(10, 1, 0), ClassCount(None, 1, 0))
    assert found.n_others == 0 and found.damaged[0].name == f"{tmp_path}/a.tar/d"


def test_the_pictures_are_those_that_a_run_takes(tmp_path):
    """Links are followed, hidden files are not seen, a folder that is called a picture is one; all in the same order."""
    files = ["b/z.png", "b/deep/er/d.png", "b/deep.png", "b/.hidden.png", "b/.git/x.png", "a/é.JPG", "a/notes.txt", "a/x/y.heic"]
    write_folder(tmp_path / "set", dict.fromkeys(files, b"x"))
    write_folder(tmp_path / "set", {"stray.png": b"x", "b/album.png/inner.png": b"x", ".hidden/a.png": b"x"})
    (tmp_path / "set" / "b" / "link").symlink_to(tmp_path / "set" / "a")
    (tmp_path / "set" / "b" / "dead.png").symlink_to(tmp_path / "none")
    expected, n_others = list_folder(tmp_path / "set")
    found = facts(tmp_path / "set")
    assert [each.name for each in found.damaged] == [item.name for item in expected] and len(expected) == 7
    assert found.n_others == n_others == 5
    reasons = {Path(each.name).name: each.reason for each in found.damaged}
    assert reasons["z.png"] == "cannot be decoded as an image: no format that Pillow knows"
    assert reasons["dead.png"] == "cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "{0}: no such folder"),
        (lambda path: path.touch(), "{0}: not a folder"),
        (lambda path: path.mkdir(), "{0}: no sub-folders; expected {0}/<class>/<picture>.jpg"),
        (lambda path: write_folder(path, {"a.png": flat(0)}), "{0}: no sub-folders; expected {0}/<class>/<picture>.jpg"),
        (lambda path: (write_folder(path, {"a/a.png": flat(0)}) / "b").symlink_to("gone"), "{0}/b: a link to nothing"),
    ],
)
def test_a_folder_that_cannot_be_used_is_named(tmp_path, make, message):
    make(tmp_path / "set")
    assert refusal(tmp_path / "set") == f"train: {message.format(tmp_path / 'set')}"
    if message != "{0}: not a folder":  # what a run says
        with pytest.raises(InputError, match=f"^{message.format(tmp_path / 'set')}$"):
            list_folder(tmp_path / "set")


@pytest.mark.parametrize("place", ["", "ant", "ant/deep"])
def test_a_folder_that_may_not_be_listed_is_named(tmp_path, monkeypatch, place):
    write_folder(tmp_path, {"ant/deep/a.png": flat(0)})
    listed = os.scandir

    def scandir(path):
        if str(path) == str(tmp_path / place):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    def iterdir(path):
        with scandir(path) as entries:
            return iter([path / entry.name for entry in entries])

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert refusal(tmp_path) == f"train: {tmp_path / place}: cannot be listed: Permission denied"


@pytest.mark.parametrize("source", ["digits", "bundled", "folder:", "pets", "shards"])
def test_other_sources_are_refused(source):
    assert refusal(source) == f"train: {source}: must be folder:PATH or shards:GLOB"


def test_a_variable_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("SETS", str(tmp_path))
    write_folder(tmp_path / "set", {"a/a.png": flat(0)})
    assert facts("folder:$SETS/set").n_images == 1
    assert refusal("folder:$SETS/none") == f"train: folder:$SETS/none: {tmp_path}/none: no such folder"
    monkeypatch.delenv("SETS")
    assert "the environment variable SETS is not set" in refusal("folder:$SETS/set", RecipeError)


def test_shards_that_are_not_there_are_named(tmp_path):
    assert refusal(f"shards:{tmp_path}/*.tar") == f"train: {tmp_path}/*.tar: no shard matches"


# --- pictures --------------------------------------------------------------------------------------------------------


def test_the_smallest_the_median_and_the_largest(tmp_path):
    sizes = [(30, 10), (20, 20), (8, 9), (11, 30)]
    write_folder(tmp_path, {f"a/{i}.png": noise(i, size) for i, size in enumerate(sizes)})
    assert facts(tmp_path).sizes == tuple(Size(*sizes[i], f"{tmp_path}/a/{i}.png") for i in (2, 0, 1))


def test_damaged_pictures_are_told_with_their_reason(tmp_path):
    huge = png_by_hand(20_000, 20_000, 1, 0)
    files = {"a/0.png": png(noise(0))[:-500], "a/1.jpg": b"", "a/2.png": huge, "a/3.png": noise(3)}
    write_folder(tmp_path, files)
    found = facts(tmp_path)
    assert [Path(each.name).name for each in found.damaged] == ["0.png", "1.jpg", "2.png"] and found.n_images == 1
    assert found.damaged[0].reason.startswith("cannot be decoded as an image: ") and "truncated" in found.damaged[0].reason
    assert found.damaged[1].reason == "cannot be decoded as an image: no format that Pillow knows"
    assert "400000000 pixels" in found.damaged[2].reason


def test_copies_are_told_with_their_classes(tmp_path):
    write_folder(tmp_path, {"a/0.png": noise(0), "a/1.png": noise(0), "b/2.png": noise(0), "b/3.png": noise(3), "b/4.png": b"x"})
    write_folder(tmp_path, {"a/5.png": b"x"})  # damaged ones are told as that
    [copies] = facts(tmp_path).copies
    assert copies == Copies(tuple(f"{tmp_path}/{name}.png" for name in ("a/0", "a/1", "b/2")), ("a", "a", "b"))


GREY = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
RGB = noise(0, (16, 16))


@pytest.mark.parametrize(
    ("name", "data", "kinds"),
    [
        ("rgb.png", png(RGB), []),
        ("grey.png", png(GREY), ["grey"]),
        ("bilevel.png", png(GREY.convert("1")), ["grey"]),
        ("palette.gif", stored(RGB.quantize(16), "GIF"), ["palette"]),
        ("ink.jpg", stored(RGB.convert("CMYK"), "JPEG"), ["cmyk"]),
        ("deep.png", png(Image.fromarray(np.full((16, 16), 40_000, np.uint16))), ["grey", "deep"]),
        ("float.tif", stored(Image.fromarray(np.full((16, 16), 0.5, np.float32)), "TIFF"), ["grey", "deep"]),
        ("deep_rgb.png", png_by_hand(16, 16, 16, 2, bytes(16 * 6)), ["deep"]),
        ("transparent.png", png(RGB.convert("RGBA")), ["transparent"]),
        ("deep_transparent_grey.png", png_by_hand(16, 16, 16, 4, bytes(16 * 4)), ["grey", "deep", "transparent"]),
        ("upright.jpg", stored(RGB, "JPEG", exif=turned(1)), []),
        ("turned.jpg", stored(RGB, "JPEG", exif=turned(6)), ["turned"]),
        ("turned.png", stored(RGB, "PNG", exif=turned(3)), ["turned"]),
        ("turned.tif", stored(RGB, "TIFF", exif=turned(8)), ["turned"]),
        ("dot.png", png(noise(0, (1, 1))), ["one_pixel", "enlarged"]),
        ("line.png", png(noise(0, (20_000, 1))), ["one_pixel", "narrow", "enlarged"]),
        ("at_the_limit.png", png(noise(0, (64, 16))), []),
        ("narrow.png", png(noise(0, (65, 16))), ["narrow"]),
        ("small.png", png(noise(0, (16, 7))), ["enlarged"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusual_pictures_are_counted(tmp_path, name, data, kinds):
    write_folder(tmp_path, {f"a/{name}": data})
    found = facts(tmp_path)
    assert not found.damaged and found.unusual == dict.fromkeys(kinds, 1)


def test_very_large_pictures_are_counted(tmp_path, monkeypatch):
    write_folder(tmp_path, {"a/a.png": noise(0, (16, 16)), "a/b.png": noise(1, (16, 17)), "b/c.png": noise(1, (40, 30))})
    monkeypatch.setattr("compress.data.facts.VERY_LARGE", 256)
    assert facts(tmp_path).unusual == {"very_large": 2}


def test_a_turned_picture_has_its_upright_size(tmp_path):
    write_folder(tmp_path, {"a/a.jpg": stored(noise(0, (24, 16)), "JPEG", exif=turned(6))})
    assert (facts(tmp_path).sizes[0].width, facts(tmp_path).sizes[0].height) == (16, 24)


# --- the mean and the std --------------------------------------------------------------------------------------------


def test_mean_and_std_by_hand(tmp_path):
    """Half of all pixels are (255, 0, 51), half are (0, 0, 153): .2 and .6 of blue, .4 +- .2."""
    write_folder(tmp_path, {"a/a.png": Image.new("RGB", (8, 8), (255, 0, 51)), "b/b.png": Image.new("RGB", (9, 8), (0, 0, 153))})
    found = facts(tmp_path, size=8)
    assert found.mean == pytest.approx((0.5, 0, 0.4), abs=1e-15) and found.std == pytest.approx((0.5, 0, 0.2), abs=1e-15)


def test_mean_and_std_are_of_the_centre_crop(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[2:6, 2:6] = 255
    pixels[2:4, 2:6, 0] = 0
    write_folder(tmp_path, {"a/a.png": Image.fromarray(pixels)})
    found = facts(tmp_path, size=4, resize=8)
    assert (found.mean, found.std) == ((0.5, 1, 1), (0.5, 0, 0))


def test_mean_and_std_are_numpys(tmp_path):
    images = [noise(i, (8, 8)) for i in range(5)]
    write_folder(tmp_path, {f"a/{i}.png": image for i, image in enumerate(images)})
    levels = np.concatenate([np.asarray(image, np.float64).reshape(-1, 3) for image in images]) / 255
    found = facts(tmp_path, size=8)
    np.testing.assert_allclose(found.mean, levels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.std, levels.std(0), rtol=1e-12)


def test_a_flat_set_has_a_std_of_exactly_zero(tmp_path):
    write_folder(tmp_path, {f"a/{i}.png": flat(77) for i in range(7)})
    assert facts(tmp_path, size=31).std == (0, 0, 0)


# --- what another set is compared with -------------------------------------------------------------------------------


def test_fingerprints_are_made_where_they_are_asked_for(tmp_path):
    write_folder(tmp_path, {"a/a.png": noise(0), "a/b.png": b"x", "a/c.png": noise(2), "a/d.png": noise(0)})
    seen = look(tmp_path, fingerprints=True)
    names = tuple(f"{tmp_path}/a/{name}.png" for name in "acd")
    assert seen.fingerprints.names == names and seen.fingerprints.thumbnails.shape == (3, 576)
    assert len(near_duplicates(seen.fingerprints, seen.fingerprints)) == 3
    assert sorted(seen.files.values()) == [(names[0], names[2]), (names[1],)]
    assert look(tmp_path).fingerprints.names == ()


@pytest.mark.parametrize("n_cpus", [1, 7])
def test_the_number_of_threads_changes_nothing(tmp_path, monkeypatch, n_cpus):
    write_folder(tmp_path, {f"{i % 3}/{i}.png": b"x" if i % 7 == 0 else noise(i % 10, (16, 8 + i)) for i in range(40)})
    expected = facts(tmp_path)
    monkeypatch.setattr("compress.data.facts.n_cores", lambda: n_cpus)
    assert facts(tmp_path) == expected


def test_how_far_it_is_is_told(tmp_path):
    write_folder(tmp_path, {"a/a.png": noise(0), "a/b.png": b"x", "b/c.png": noise(2)})
    told = []
    look(tmp_path, advance=lambda n_done, n: told.append((n_done, n)))
    assert told == [(1, 3), (2, 3), (3, 3)]
