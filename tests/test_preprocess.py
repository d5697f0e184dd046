import contextlib
import io

import numpy as np
import pytest
import torch
from PIL import Image

from compress.convention import CAFFE, TORCHVISION, InputConvention
from compress.data.preprocess import Preprocess, centre_crop, normalise, open_image, to_pixels
from compress.errors import ImageError

RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)


def saved(tmp_path, image, name="picture.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def noise(height, width):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


# --- opening ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("orientation", "corner"), [(1, "top left"), (3, "bottom right"), (6, "top right"), (8, "bottom left")])
def test_a_photograph_is_turned_upright(tmp_path, orientation, corner):
    image = Image.new("RGB", (4, 2), WHITE)
    image.putpixel((0, 0), RED)
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = open_image(saved(tmp_path, image, exif=exif))
    assert turned.size == ((4, 2) if orientation in (1, 3) else (2, 4))
    x, y = ("right" in corner) * (turned.width - 1), ("bottom" in corner) * (turned.height - 1)
    assert turned.getpixel((x, y)) == RED


def test_grey_becomes_three_equal_channels(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)))
    rgb = np.asarray(open_image(path))
    assert rgb.shape == (3, 4, 3) and (rgb == np.arange(12).reshape(3, 4, 1)).all()


def test_colour_becomes_grey_for_a_grey_net(tmp_path):
    image = open_image(saved(tmp_path, Image.new("RGB", (2, 2), GREEN)), "L")
    assert image.mode == "L" and image.getpixel((0, 0)) == 150  # 0.587 * 255


def test_cmyk_is_converted(tmp_path):
    image = open_image(saved(tmp_path, Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "p.jpg", quality=95))
    red, green, blue = image.getpixel((4, 4))
    assert image.mode == "RGB" and red > 245 and green < 10 and blue < 10


def test_a_palette_with_a_transparent_colour_lies_on_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putdata([0, 1])
    opened = open_image(saved(tmp_path, image, "p.png", transparency=1))
    assert [opened.getpixel((x, 0)) for x in (0, 1)] == [RED, WHITE]


@pytest.mark.parametrize(("mode", "clear", "half"), [("RGBA", (0, 0, 0, 0), (0, 255, 0, 128)), ("LA", (0, 0), (0, 128))])
def test_an_alpha_channel_lies_on_white(tmp_path, mode, clear, half):
    image = Image.new(mode, (2, 1), clear)
    image.putpixel((1, 0), half)
    opened = open_image(saved(tmp_path, image))
    assert opened.getpixel((0, 0)) == WHITE
    assert opened.getpixel((1, 0)) == ((127, 255, 127) if mode == "RGBA" else (127, 127, 127))


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.array([[0, 255, 32768, 65535]], np.uint16)))
    assert np.asarray(open_image(path, "L")).tolist() == [[0, 1, 128, 255]]
    assert open_image(path).mode == "RGB"


def test_one_bit_images_open(tmp_path):
    image = open_image(saved(tmp_path, Image.new("1", (2, 2), 1)))
    assert image.mode == "RGB" and image.getpixel((0, 0)) == WHITE


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_what_is_no_image_is_refused_by_its_path(tmp_path, data):
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"bad.png: cannot be decoded as an image: "):
        open_image(path)


@pytest.mark.parametrize("name", ["missing.png", "."])
def test_a_missing_file_and_a_folder_are_refused(tmp_path, name):
    with pytest.raises(ImageError, match="cannot be decoded as an image: "):
        open_image(tmp_path / name)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_truncated_image_is_refused(tmp_path, kind):
    whole = io.BytesIO()
    noise(40, 50).save(whole, kind)
    path = tmp_path / "cut.img"
    for share in (0.1, 0.5, 0.9):
        path.write_bytes(whole.getvalue()[: int(share * len(whole.getvalue()))])
        with pytest.raises(ImageError, match=r"cut.img: cannot be decoded as an image"):
            open_image(path)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of some damage and decodes the rest
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "AVIF"])
def test_a_damaged_image_opens_or_is_refused_by_name(tmp_path, kind):
    whole, rng, path = io.BytesIO(), np.random.default_rng(0), tmp_path / "damaged.img"
    exif = Image.Exif()
    exif[0x0112] = 6
    try:
        noise(20, 30).save(whole, kind, **({"exif": exif} if kind in ("PNG", "JPEG", "WEBP", "TIFF") else {}))
    except (KeyError, OSError):
        pytest.skip(f"this Pillow does not write {kind}")
    for _ in range(40):
        damaged = bytearray(whole.getvalue())
        for place in rng.integers(0, min(400, len(damaged)), size=6):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(ImageError):  # anything else that a decoder raises would fail here
            assert open_image(path).mode == "RGB"


def test_an_image_above_the_limit_is_refused_undecoded(tmp_path, monkeypatch):
    monkeypatch.setattr("compress.data.preprocess.MAX_PIXELS", 99)
    with pytest.raises(ImageError, match=r"picture.png: 10 x 10 pixels, at most 99 are decoded"):
        open_image(saved(tmp_path, noise(10, 10)))


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(ImageError, match=r"picture.png: cannot be decoded as an image: .*bomb"):
        open_image(saved(tmp_path, noise(10, 10)))


# --- short side and crop -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(512, 256), (256, 512), (100, 100), (640, 427), (31, 300), (256, 256)])
def test_the_crop_is_square_whatever_the_picture(size):
    assert centre_crop(Image.new("RGB", size), resize=256, size=227).size == (227, 227)


@pytest.mark.parametrize("turned", [False, True])
def test_the_crop_is_the_middle_of_the_resized_picture(turned):
    columns = np.repeat(np.arange(16, dtype=np.uint8)[None], 8, 0)  # 8 rows, 16 columns: each shows its place
    image = Image.fromarray(columns.T.copy() if turned else columns)
    cropped = np.asarray(centre_crop(image, resize=8, size=4))  # nothing is scaled: columns 6 to 9, rows 2 to 5
    assert (cropped == (np.arange(6, 10)[:, None] if turned else np.arange(6, 10))).all()


def test_the_short_side_becomes_resize():
    image = Image.new("RGB", (60, 20), "black")
    image.paste("white", (20, 0, 40, 20))  # the middle third
    assert (np.asarray(centre_crop(image, resize=40, size=36)) == 255).all()  # 120 x 40: columns 42 to 77 of white 40 to 79


# --- normalising -------------------------------------------------------------------------------------------------------


def test_torchvision_input_by_hand():
    pixels = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    expected = [(0 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    torch.testing.assert_close(normalise(pixels, TORCHVISION).flatten(), torch.tensor(expected))


def test_caffe_input_by_hand():
    pixels = torch.tensor([10, 20, 30], dtype=torch.uint8).view(1, 1, 1, 3)  # red, green, blue
    torch.testing.assert_close(normalise(pixels, CAFFE).flatten(), torch.tensor([30.0 - 104, 20.0 - 117, 10.0 - 123]))


def test_normalised_batches_have_channels_first():
    x = normalise(torch.zeros(2, 5, 7, 3, dtype=torch.uint8), TORCHVISION)
    assert x.shape == (2, 3, 5, 7) and x.dtype == torch.float32


def test_pixels_have_a_channel_axis():
    assert to_pixels(Image.new("L", (3, 2))).shape == (2, 3, 1)
    assert to_pixels(Image.new("RGB", (3, 2))).shape == (2, 3, 3)


# --- Preprocess --------------------------------------------------------------------------------------------------------


def test_a_path_and_a_picture_give_the_same_input(tmp_path):
    path = saved(tmp_path, noise(300, 400))
    preprocess = Preprocess(TORCHVISION)
    x = preprocess(path)
    assert x.shape == (1, 3, 227, 227)
    assert torch.equal(x, preprocess(str(path))) and torch.equal(x, preprocess(Image.open(path)))


def test_a_grey_net_takes_colour_pictures(tmp_path):
    grey = InputConvention("L", 1.0, (0.5,), (0.5,), size=8, resize=8)
    x = Preprocess(grey)(saved(tmp_path, Image.new("RGB", (20, 10), WHITE)))
    assert torch.equal(x, torch.ones(1, 1, 8, 8))


def test_it_says_what_it_does():
    assert "RGB" in repr(Preprocess(TORCHVISION)) and "size=227" in repr(Preprocess(TORCHVISION))


def test_a_very_long_picture_is_cropped_before_it_is_scaled():
    strip = Image.new("RGB", (100_000, 1), "red")
    strip.putpixel((50_000, 0), (0, 0, 255))
    crop = centre_crop(strip, resize=256, size=227)
    assert crop.size == (227, 227)
    assert crop.getpixel((200, 113))[2] > 200  # what was in the middle is there still
