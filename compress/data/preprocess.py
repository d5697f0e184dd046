"""From a picture to the tensor that a net takes: decode, short side to `resize`, centre crop to `size`, normalise."""

from __future__ import annotations

import io
import threading
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL import TiffImagePlugin as TiffTags
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor

from compress.convention import InputConvention
from compress.errors import ImageError

MAX_PIXELS = 1 << 28
LONGEST_ASPECT = 4
TIFF_WHITE_IS_ZERO = 0  # PhotometricInterpretation (TIFF 6.0, section 8); Pillow inverts 8-bit pictures, and no deeper ones
_WARNING_FILTERS = threading.Lock()  # they are one list for all threads, and pictures are decoded by several


def open_image(path: str | Path, mode: str = "RGB") -> Image.Image:
    """Decode a picture whole, upright (EXIF), on white, and in `mode` ("RGB" or "L"); of an animation, the first frame.

    Raises ImageError with the path and the reason.
    """
    return _decode(path, str(path), mode)


def open_bytes(data: bytes, name: str, mode: str = "RGB") -> Image.Image:
    """What open_image gives, of a picture's file in memory. name: what an ImageError calls it."""
    return _decode(io.BytesIO(data), name, mode)


def _decode(source: str | Path | io.BytesIO, name: str, mode: str) -> Image.Image:
    try:
        with _open(source) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(f"{name}: {image.width} x {image.height} pixels, at most {MAX_PIXELS:,} are decoded")
            return _as_shown(image, name, mode)
    except ImageError:
        raise
    except UnidentifiedImageError as error:  # its own message shows the address of an object in memory
        raise ImageError(f"{name}: cannot be decoded as an image: no format that Pillow knows") from error
    except Exception as error:  # a damaged picture raises whatever its decoder raises, by format
        raise ImageError(f"{name}: cannot be decoded as an image: {error}") from error


def _open(source: str | Path | io.BytesIO) -> Image.Image:
    """Read a picture's head. Pillow only warns of one that is very large; here it is refused."""
    with _WARNING_FILTERS, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(source)


def _as_shown(image: Image.Image, name: str, mode: str) -> Image.Image:
    """As a viewer shows it: upright, what is transparent on white, deep samples scaled to 8 bits; then in `mode`."""
    transparent, black_and_white = _transparent_colour(image), _black_and_white(image)  # known only before a turn
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):  # grey of more than 8 bits: Pillow would clip it at 255
        return _shallow(image, transparent, *black_and_white, name).convert(mode)
    if transparent is not None:
        image.info["transparency"] = transparent
    if transparent is not None or image.mode in ("RGBA", "RGBa", "LA", "PA"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def _transparent_colour(image: Image.Image) -> bytes | int | tuple[int, ...] | None:
    """The colour that is transparent, in the units of the decoded pixels.

    Pillow scales samples of 2, 4 and 16 bits to 8, but not the transparent colour of a PNG (its tRNS chunk). Of 16-bit
    RGB it keeps the upper byte, so every colour that shares the three upper bytes is transparent.
    """
    colour = image.info.get("transparency")
    stored = image.tile[0][3] if isinstance(image, PngImageFile) and image.tile else None
    if colour is not None and stored in ("L;2", "L;4"):
        return colour * (85 if stored == "L;2" else 17)
    if colour is not None and stored == "RGB;16B":
        return tuple(sample >> 8 for sample in colour)
    return colour


def _black_and_white(image: Image.Image) -> tuple[float, float]:
    """The values of black and of white in grey of more than 8 bits: 16 bits, a TIFF's 12, or a float from 0 to 1."""
    if image.mode == "F":
        return 0.0, 1.0
    if not isinstance(image, TiffImageFile):
        return 0.0, 65535.0
    bits = min(16, image.tag_v2.get(TiffTags.BITSPERSAMPLE, (16,))[0])
    white = float((1 << bits) - 1)
    return (white, 0.0) if image.tag_v2.get(TiffTags.PHOTOMETRIC_INTERPRETATION) == TIFF_WHITE_IS_ZERO else (0.0, white)


def _shallow(image: Image.Image, transparent: object, black: float, white: float, name: str) -> Image.Image:
    """Deep grey to 8 bits. Raises ImageError for values outside black..white: which of them is white is not known."""
    grey = np.array(image, np.float64)
    low, high = sorted((black, white))
    if not (low <= grey.min() and grey.max() <= high):  # NaN too
        found = f"from {grey.min():g} to {grey.max():g}"
        raise ImageError(f"{name}: pixels of mode {image.mode} {found}, allowed {low:g} to {high:g}")
    grey[grey == transparent] = white
    return Image.fromarray(((grey - black) / (white - black) * 255).round().astype(np.uint8))


def centre_crop(image: Image.Image, *, resize: int, size: int) -> Image.Image:
    """Short side to `resize` pixels (bilinear, antialiased), then the middle `size` x `size` pixels."""
    short = min(image.size)
    if max(image.size) > LONGEST_ASPECT * short:  # only the middle is seen: a picture of 1 x 100,000 is not scaled whole
        image = _middle(image, min(image.width, LONGEST_ASPECT * short), min(image.height, LONGEST_ASPECT * short))
    scale = resize / short
    width, height = max(size, round(image.width * scale)), max(size, round(image.height * scale))
    return _middle(image.resize((width, height), Image.Resampling.BILINEAR), size, size)


def _middle(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def normalise(pixels: Tensor, convention: InputConvention) -> Tensor:
    """(b, h, w, c) uint8 in RGB or L order -> (b, c, h, w) float32 as the convention says."""
    x = pixels.permute(0, 3, 1, 2).to(torch.float32) / 255
    if convention.channels == "BGR":
        x = x.flip(1)
    mean = torch.tensor(convention.mean, device=x.device).view(1, -1, 1, 1)
    std = torch.tensor(convention.std, device=x.device).view(1, -1, 1, 1)
    return ((x * convention.scale - mean) / std).contiguous()  # or a net that views its activations flat would fail


def to_pixels(image: Image.Image) -> Tensor:
    """(h, w, c) uint8."""
    array = np.array(image, np.uint8)
    return torch.from_numpy(array[:, :, None] if array.ndim == 2 else array)


class Preprocess:
    """What `compress.load` hangs on a net as `.preprocess`: a picture or its path -> (1, c, size, size) float32."""

    def __init__(self, convention: InputConvention) -> None:
        self.convention = convention

    def __call__(self, image: Image.Image | str | Path) -> Tensor:
        mode = "L" if self.convention.channels == "L" else "RGB"
        image = open_image(image, mode) if isinstance(image, str | Path) else _as_shown(image, "the picture", mode)
        crop = centre_crop(image, resize=self.convention.resize, size=self.convention.size)
        return normalise(to_pixels(crop)[None], self.convention)

    def __repr__(self) -> str:
        return f"Preprocess({self.convention})"
