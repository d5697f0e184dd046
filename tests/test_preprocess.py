import contextlib
import io
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from compress.convention import CAFFE, TORCHVISION, InputConvention
from compress.data.preprocess import Preprocess, centre_crop, normalise, open_bytes, open_image, to_pixels
from compress.errors import ImageError

RED, GREEN, BLACK, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 0), (255, 255, 255)
ADOBE = b"Adobe\0\x64\0\0\0\0"  # of a JPEG's APP14 segment, without its last byte: which transform was made


def saved(tmp_path, image, name="picture.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def png(width, colour_type, bits, row, *chunks):
    """A PNG of one row, by hand: Pillow writes neither 16 bits a channel nor a transparent colour of 2, 4 or 16 bits."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, bits, colour_type, 0, 0, 0))
    body = b"".join(chunk(*each) for each in chunks) + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + body


def tiff(bits, row, *, photometric=1, sample_format=1, order="<"):
    """A grey TIFF of one row of four pixels, by hand. photometric: value of black is 0 where 1. sample_format: 3 is float."""
    offset = 8 + 2 + 12 * 10 + 4
    shorts = {258: bits, 259: 1, 262: photometric, 277: 1, 339: sample_format}
    longs = {256: 4, 257: 1, 273: offset, 278: 1, 279: len(row)}
    fields = {tag: struct.pack(order + "HHIHH", tag, 3, 1, value, 0) for tag, value in shorts.items()}
    fields |= {tag: struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in longs.items()}
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(fields))
    return head + b"".join(data for _, data in sorted(fields.items())) + bytes(4) + row


def colours(image):
    assert image.mode == "RGB"
    return [image.getpixel((x, 0)) for x in range(image.width)]


def noise(height, width):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


# --- opening ---------------------------------------------------------------------------------------------------------


STORED = np.array([[10, 20, 30], [40, 50, 60]], np.uint8)
UPRIGHT = {  # EXIF orientation -> STORED as it is shown (EXIF 2.32, section 4.6.4: where row 0 and column 0 belong)
    1: [[10, 20, 30], [40, 50, 60]],  # top, left
    2: [[30, 20, 10], [60, 50, 40]],  # top, right
    3: [[60, 50, 40], [30, 20, 10]],  # bottom, right
    4: [[40, 50, 60], [10, 20, 30]],  # bottom, left
    5: [[10, 40], [20, 50], [30, 60]],  # left, top
    6: [[40, 10], [50, 20], [60, 30]],  # right, top
    7: [[60, 30], [50, 20], [40, 10]],  # right, bottom
    8: [[30, 60], [20, 50], [10, 40]],  # left, bottom
}


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["png", "tif", "webp", "jpg"])
def test_a_photograph_is_turned_upright(tmp_path, orientation, kind):
    side = 16  # of a dot: a whole block of JPEG, so that no colour bleeds
    image = Image.fromarray(STORED.repeat(side, 0).repeat(side, 1)).convert("RGB")
    options = {"webp": {"lossless": True}, "jpg": {"quality": 100}}.get(kind, {})
    grey = np.asarray(open_image(saved(tmp_path, image, f"p.{kind}", exif=turned(orientation), **options), "L"))
    shown = np.array(UPRIGHT[orientation])
    assert grey.shape == (shown.shape[0] * side, shown.shape[1] * side)
    assert np.abs(grey[side // 2 :: side, side // 2 :: side].astype(int) - shown).max() <= (1 if kind == "jpg" else 0)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("mode", ["L", "LA", "P", "I;16"])
def test_pictures_of_every_depth_are_turned(tmp_path, orientation, mode):
    image = Image.fromarray(STORED)
    image = Image.fromarray(STORED.astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    assert np.asarray(open_image(saved(tmp_path, image, exif=turned(orientation)), "L")).tolist() == UPRIGHT[orientation]


def test_a_picture_that_is_open_already_is_turned_once(tmp_path):
    grey = InputConvention("L", 255.0, (0.0,), (1.0,), size=2, resize=2)
    path = saved(tmp_path, Image.fromarray(STORED[:, :2]), exif=turned(6))
    for picture in (path, Image.open(path), ImageOps.exif_transpose(Image.open(path)), open_image(path)):
        assert Preprocess(grey)(picture).round().tolist() == [[[[40.0, 10.0], [50.0, 20.0]]]]


def test_grey_becomes_three_equal_channels(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)))
    rgb = np.asarray(open_image(path))
    assert rgb.shape == (3, 4, 3) and (rgb == np.arange(12).reshape(3, 4, 1)).all()


def test_colour_becomes_grey_for_a_grey_net(tmp_path):
    image = open_image(saved(tmp_path, Image.new("RGB", (2, 2), GREEN)), "L")
    assert image.mode == "L" and image.getpixel((0, 0)) == 150  # 0.587 * 255


INK = {(0, 255, 255, 0): RED, (255, 0, 255, 0): GREEN, (0, 0, 0, 0): WHITE, (0, 0, 0, 255): BLACK, (0, 0, 0, 128): (127,) * 3}


def close(pixel, expected, tolerance=3):
    return max(abs(a - b) for a, b in zip(pixel, expected, strict=True)) <= tolerance


@pytest.mark.parametrize(("ink", "colour"), INK.items())
def test_cmyk_tiff(tmp_path, ink, colour):
    assert open_image(saved(tmp_path, Image.new("CMYK", (2, 2), ink), "p.tif")).getpixel((1, 1)) == colour


@pytest.mark.parametrize(("ink", "colour"), INK.items())
def test_cmyk_jpeg(tmp_path, ink, colour):
    """Pillow writes them as Adobe does: inverted (255 is no ink), with an APP14 segment that says that nothing is transformed."""
    path = saved(tmp_path, Image.new("CMYK", (8, 8), ink), "p.jpg", quality=95)
    data = path.read_bytes()
    assert data.count(ADOBE) == 1 and data[data.index(ADOBE) + len(ADOBE)] == 0
    assert close(open_image(path).getpixel((4, 4)), colour)


@pytest.mark.parametrize(("ink", "colour"), INK.items())
def test_ycck_jpeg(tmp_path, ink, colour):
    """Photoshop's usual CMYK: the inverted inks are turned into YCbCr beside K. Here the samples are made by hand."""
    cyan, magenta, yellow, key = ink
    y, cb, cr = Image.new("RGB", (1, 1), (cyan, magenta, yellow)).convert("YCbCr").getpixel((0, 0))  # "R" = 255 - (255 - C)
    stored = Image.new("CMYK", (8, 8), (255 - y, 255 - cb, 255 - cr, key))  # Pillow inverts what it writes
    path = saved(tmp_path, stored, "p.jpg", quality=100)
    data = bytearray(path.read_bytes())
    data[data.index(ADOBE) + len(ADOBE)] = 2  # the transform: YCCK
    path.write_bytes(data)
    assert close(open_image(path).getpixel((4, 4)), colour)


@pytest.mark.parametrize("kind", ["jpg", "tif"])
def test_ycbcr(tmp_path, kind):
    image = Image.new("YCbCr", (8, 8), (76, 85, 255))  # red, as JFIF has it
    options = {"compression": "jpeg"} if kind == "tif" else {}
    assert close(open_image(saved(tmp_path, image, f"p.{kind}", quality=100, **options)).getpixel((4, 4)), RED)


def test_rgb_jpeg_without_a_transform(tmp_path):
    path = saved(tmp_path, Image.new("RGB", (8, 8), (200, 100, 50)), "p.jpg", quality=100, keep_rgb=True)
    assert close(open_image(path).getpixel((4, 4)), (200, 100, 50))


def test_a_palette(tmp_path):
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 1, 2, 3])
    image.putdata([1, 0, 2])
    for kind in ("png", "gif", "bmp", "tif"):
        assert colours(open_image(saved(tmp_path, image, f"p.{kind}"))) == [GREEN, RED, (1, 2, 3)]


def test_a_palette_with_an_alpha_of_its_own_lies_on_white(tmp_path):
    path = tmp_path / "p.png"  # index 0 is opaque red, 1 is clear, 2 is half blue; tRNS may be shorter than the palette
    palette = (b"PLTE", bytes([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])), (b"tRNS", bytes([255, 0, 128]))
    path.write_bytes(png(4, 3, 2, bytes([0b00_01_10_11]), *palette))
    assert colours(open_image(path)) == [RED, WHITE, (127, 127, 255), (9, 9, 9)]


def test_a_palette_beside_an_alpha_channel_lies_on_white(tmp_path):
    image = Image.new("PA", (2, 1))
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((0, 0), (1, 255))
    image.putpixel((1, 0), (1, 0))
    assert colours(open_image(saved(tmp_path, image, "p.tif"))) == [RED, WHITE]


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


def u16(*values, order=">"):
    return struct.pack(f"{order}{len(values)}H", *values)


@pytest.mark.parametrize(
    ("bits", "row", "transparent", "shown"),
    [
        (1, [0b0101_0000], 0, [255, 255, 255, 255]),
        (1, [0b0101_0000], 1, [0, 255, 0, 255]),
        (2, [0b00_01_10_11], 1, [0, 255, 170, 255]),
        (4, [0x03, 0x4F], 3, [0, 255, 68, 255]),
        (8, [0, 7, 8, 255], 7, [0, 255, 8, 255]),
        (16, u16(0, 255, 32768, 65535), 32768, [0, 1, 255, 255]),
    ],
)
def test_a_transparent_grey_of_any_depth_lies_on_white(tmp_path, bits, row, transparent, shown):
    path = tmp_path / "p.png"
    path.write_bytes(png(4, 0, bits, bytes(row), (b"tRNS", u16(transparent))))
    assert np.asarray(open_image(path, "L")).tolist() == [shown]
    path.write_bytes(png(4, 0, bits, bytes(row)))  # without tRNS
    assert np.asarray(open_image(path, "L")).tolist() == [
        {1: [0, 255, 0, 255], 2: [0, 85, 170, 255], 4: [0, 51, 68, 255], 8: row, 16: [0, 1, 128, 255]}[bits]
    ]


@pytest.mark.parametrize(
    ("bits", "row"), [(8, bytes([1, 2, 3, 1, 2, 4])), (16, u16(0x0101, 0x0202, 0x0303, 0x0101, 0x0202, 0x0404))]
)
def test_a_transparent_colour_lies_on_white(tmp_path, bits, row):
    path = tmp_path / "p.png"
    path.write_bytes(png(2, 2, bits, row, (b"tRNS", u16(1, 2, 3) if bits == 8 else u16(0x0101, 0x0202, 0x0303))))
    assert colours(open_image(path)) == [WHITE, (1, 2, 4)]


@pytest.mark.parametrize(
    ("colour_type", "row", "shown"),
    [
        (2, u16(0, 0x8000, 0xFFFF, 0x1234, 0x0100, 0x00FF), [(0, 128, 255), (18, 1, 0)]),  # RGB: the upper byte
        (4, u16(0x8000, 0xFFFF, 0, 0), [(128, 128, 128), WHITE]),  # grey and alpha
        (6, u16(0x8000, 0, 0xFFFF, 0xFFFF, 0, 0, 0, 0), [(128, 0, 255), WHITE]),  # RGBA
    ],
)
def test_sixteen_bits_a_channel(tmp_path, colour_type, row, shown):
    (tmp_path / "p.png").write_bytes(png(2, colour_type, 16, row))
    assert colours(open_image(tmp_path / "p.png")) == shown


SIXTEEN = (0, 255, 32768, 65535)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("p.pgm", b"P5 4 1 65535\n" + u16(*SIXTEEN)),
        ("p.pgm", b"P5 4 1 4095\n" + u16(0, 16, 2048, 4095)),
        ("p.tif", tiff(16, u16(*SIXTEEN, order="<"))),
        ("p.tif", tiff(16, u16(*SIXTEEN), order=">")),
        ("p.tif", tiff(16, u16(65535, 65280, 32767, 0, order="<"), photometric=0)),  # 0 is white
        ("p.tif", tiff(12, bytes.fromhex("000010800fff"))),
        ("p.tif", tiff(32, struct.pack("<4I", *SIXTEEN))),
        ("p.tif", tiff(32, struct.pack("<4f", 0, 1 / 255, 0.502, 1), sample_format=3)),
        ("p.pfm", b"Pf 4 1 -1.0\n" + struct.pack("<4f", 0, 1 / 255, 0.502, 1)),
    ],
)
def test_deep_grey_is_scaled_not_clipped(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert np.asarray(open_image(tmp_path / name, "L")).tolist() == [[0, 1, 128, 255]]
    assert colours(open_image(tmp_path / name)) == [BLACK, (1, 1, 1), (128, 128, 128), WHITE]


@pytest.mark.parametrize("inverted", [False, True])
def test_eight_bit_grey_whose_zero_is_white(tmp_path, inverted):
    (tmp_path / "p.tif").write_bytes(tiff(8, bytes([0, 1, 128, 255]), photometric=0 if inverted else 1))
    assert np.asarray(open_image(tmp_path / "p.tif", "L")).tolist() == [[255, 254, 127, 0] if inverted else [0, 1, 128, 255]]


def test_sixteen_bit_png(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.array([SIXTEEN], np.uint16)))
    assert np.asarray(open_image(path, "L")).tolist() == [[0, 1, 128, 255]]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (struct.pack("<4f", 0, 1, 2, 255), r"mode F from 0 to 255, allowed 0 to 1"),
        (struct.pack("<4f", -0.5, 0, 0, 1), r"mode F from -0\.5 to 1, allowed 0 to 1"),
        (struct.pack("<4f", 0, float("nan"), 0, 1), r"mode F from nan to nan, allowed 0 to 1"),
        (struct.pack("<4i", 0, 1, 2, 65536), r"mode I from 0 to 65536, allowed 0 to 65535"),
        (struct.pack("<4i", 0, -1, 2, 3), r"mode I from -1 to 3, allowed 0 to 65535"),
    ],
)
def test_deep_grey_whose_white_is_not_known_is_refused(tmp_path, data, found):
    (tmp_path / "p.tif").write_bytes(tiff(32, data, sample_format=3 if "F" in found else 2))
    with pytest.raises(ImageError, match=r"p\.tif: pixels of " + found):
        open_image(tmp_path / "p.tif")


def test_a_deep_picture_that_is_open_already_is_refused_too():
    with pytest.raises(ImageError, match="the picture: pixels of mode F from 0 to 255, allowed 0 to 1"):
        Preprocess(TORCHVISION)(Image.fromarray(np.array([[0, 255]], np.float32)))


@pytest.mark.parametrize("kind", ["png", "tif", "bmp", "pbm", "gif"])
def test_one_bit_images_open(tmp_path, kind):
    image = Image.new("1", (2, 1), 0)
    image.putpixel((1, 0), 1)
    assert colours(open_image(saved(tmp_path, image, f"p.{kind}"))) == [BLACK, WHITE]


@pytest.mark.parametrize("kind", ["gif", "webp", "png", "tif"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_of_an_animation_the_first_frame_is_seen(tmp_path, kind, mode):
    first, second = Image.new(mode, (8, 6), RED), Image.new(mode, (8, 6), GREEN)
    if mode == "RGBA":
        first.putpixel((0, 0), (0, 0, 0, 0))
    options = {"lossless": True} if kind == "webp" else {}
    path = saved(tmp_path, first, f"p.{kind}", save_all=True, append_images=[second], **options)
    with Image.open(path) as image:
        assert image.n_frames == 2
    seen = open_image(path)
    assert seen.size == (8, 6) and seen.getpixel((7, 5)) == RED
    assert seen.getpixel((0, 0)) == (WHITE if mode == "RGBA" else RED)


def test_of_an_apng_with_another_still_picture_that_one_is_seen(tmp_path):
    """What a viewer without animations shows (PNG, third edition, section 4.9)."""
    still, *frames = (Image.new("RGB", (4, 4), colour) for colour in ("blue", "red", "lime"))
    path = saved(tmp_path, still, "p.png", save_all=True, default_image=True, append_images=frames)
    assert open_image(path).getpixel((0, 0)) == (0, 0, 255)


# --- pictures in memory ------------------------------------------------------------------------------------------------


def test_bytes_and_a_path_give_the_same_picture(tmp_path):
    path = saved(tmp_path, noise(20, 30), exif=turned(6))
    for mode in ("RGB", "L"):
        in_memory = open_bytes(path.read_bytes(), "set.tar: 7", mode)
        assert in_memory.mode == mode and in_memory.size == (20, 30)
        assert in_memory.tobytes() == open_image(path, mode).tobytes()


@pytest.mark.parametrize(
    ("cut", "reason"), [(0, "no format that Pillow knows"), (4, "no format that Pillow knows"), (400, "image file is truncated")]
)
def test_bytes_that_are_no_picture_are_refused_by_their_name(tmp_path, cut, reason):
    data = saved(tmp_path, noise(20, 30)).read_bytes()
    with pytest.raises(ImageError, match=rf"^set\.tar: 7: cannot be decoded as an image: {reason}") as caught:
        open_bytes(data[:cut], "set.tar: 7")
    assert "0x" not in str(caught.value)  # a message is the same in every run


@pytest.fixture
def hasty_threads():
    """Threads take turns after every few instructions, so that a race is lost within a test."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hasty_threads")
@pytest.mark.filterwarnings("default")  # under "error" Pillow's warning is an error without preprocess, too
def test_several_threads_refuse_alike_and_leave_the_warning_filters_alone(tmp_path, monkeypatch):
    data, before = saved(tmp_path, noise(10, 10)).read_bytes(), list(warnings.filters)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 99)
    with ThreadPoolExecutor(8) as pool:
        messages = list(pool.map(lambda i: message(data, f"picture {i}"), range(400)))
    assert all("bomb" in each for each in messages) and warnings.filters == before


def message(data, name):
    try:
        open_bytes(data, name)
    except ImageError as error:
        return str(error)
    return "opened"


# --- pictures that are refused -----------------------------------------------------------------------------------------


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
