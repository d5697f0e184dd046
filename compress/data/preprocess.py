"""From a picture to the tensor that a net takes: decode, short side to `resize`, centre crop to `size`, normalise."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from compress.convention import InputConvention
from compress.errors import ImageError

MAX_PIXELS = 1 << 28
LONGEST_ASPECT = 4


def open_image(path: str | Path, mode: str = "RGB") -> Image.Image:
    """Decode a picture whole, upright (EXIF) and in `mode` ("RGB" or "L"). Raises ImageError with the path and the reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ImageError(f"{path}: {image.width} x {image.height} pixels, at most {MAX_PIXELS:,} are decoded")
                return _to_mode(ImageOps.exif_transpose(image), mode)
    except ImageError:
        raise
    except Exception as error:  # a damaged picture raises whatever its decoder raises, by format
        raise ImageError(f"{path}: cannot be decoded as an image: {error}") from error


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith(("I;16", "I")):  # 16-bit grey: Pillow would clip it at 255
        grey = np.asarray(image, np.float64) / 65535.0
        image = Image.fromarray((grey.clip(0, 1) * 255).round().astype(np.uint8))
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA"):  # on white, as a viewer shows it
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


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
    return (x * convention.scale - mean) / std


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
        image = open_image(image, mode) if isinstance(image, str | Path) else _to_mode(image, mode)
        crop = centre_crop(image, resize=self.convention.resize, size=self.convention.size)
        return normalise(to_pixels(crop)[None], self.convention)

    def __repr__(self) -> str:
        return f"Preprocess({self.convention})"
