"""The test images that a net gets most wrong, side by side: each with its class, the net's, and the probability of its class.

Pictures are read again where they were: a file, or a sample of a shard that is a file here. One that is gone is a grey tile.
"""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from compress.data.preprocess import open_bytes, open_image
from compress.data.shards import samples
from compress.errors import ImageError, InputError
from compress.plots.figure import matplotlib
from compress.plots.labels import one_line, percent, readable, shorten
from compress.plots.log import Predictions

TILE, GAP, MARGIN = 180, 18, 24  # pixels
TEXT_HEIGHT, LINE, HEADER = 40, 18, 84
MAX_COLUMNS = 10
LINES_OF_A_NAME = 6
GREY, INK, PALE, WRONG, RIGHT = "#d9d9d9", "#202020", "#6b6b6b", "#b3261e", "#2e7d32"

Font = ImageFont.FreeTypeFont


def contact_sheet(predictions: Predictions, n_images: int, title: str) -> bytes:
    """The PNG of the n_images whose class has the least probability, the worst first."""
    places = worst(predictions, n_images)
    names = readable(predictions.classes)
    pictures = load([predictions.names[i] for i in places])
    n_columns = min(MAX_COLUMNS, math.ceil(math.sqrt(1.4 * len(places))))
    n_columns = max(n_columns, min(3, len(predictions.labels)))  # the heading needs its width
    n_rows = math.ceil(len(places) / n_columns)
    width = 2 * MARGIN + n_columns * (TILE + GAP) - GAP
    sheet = Image.new("RGB", (width, HEADER + n_rows * (TILE + TEXT_HEIGHT + GAP) + MARGIN - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    small, bold = _font("DejaVuSans.ttf", 12), _font("DejaVuSans-Bold.ttf", 12)
    _heading(draw, predictions, len(places), title, width - 2 * MARGIN)
    for n, (i, picture) in enumerate(zip(places, pictures, strict=True)):
        x, y = MARGIN + n % n_columns * (TILE + GAP), HEADER + n // n_columns * (TILE + TEXT_HEIGHT + GAP)
        if isinstance(picture, str):
            _grey_tile(draw, x, y, predictions.names[i] or f"image {i}", picture, small)
        else:
            shown = fit(picture)
            sheet.paste(shown, (x + (TILE - shown.width) // 2, y + (TILE - shown.height) // 2))
        label, predicted = int(predictions.labels[i]), int(predictions.predicted[i])
        probability = percent(predictions.probabilities[i])
        room = TILE - small.getlength(probability) - 6
        draw.text((x, y + TILE + 4), _cut(names[label], bold, room), INK, bold)
        draw.text((x + TILE, y + TILE + 4), probability, INK, small, anchor="ra")
        colour = RIGHT if predicted == label else WRONG
        draw.text((x, y + TILE + 4 + LINE), _cut(f"→ {names[predicted]}", small, TILE), colour, small)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def worst(predictions: Predictions, n_images: int) -> list[int]:
    """Places of the images whose class has the least probability, the worst first; of equal ones the earlier."""
    return predictions.probabilities.argsort(kind="stable")[:n_images].tolist()


def load(names: Sequence[str | None]) -> list[Image.Image | str]:
    """The picture of each name, or why it cannot be shown. Every shard is read once, and only as far as it is needed."""
    found: list[Image.Image | str] = []
    of_shard: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))  # shard -> key -> places
    for i, name in enumerate(names):
        if name is None:
            found.append("its file is not known")
        elif _is_file(Path(name)):
            found.append(_decoded(name))
        else:
            found.append("not found here")
            slashes = [place for place, character in enumerate(name) if character == "/"]
            end = next((place for place in slashes if _is_file(Path(name[:place]))), None)
            if end is not None:
                of_shard[name[:end]][name[end + 1 :]].append(i)
    for shard_name, keys in of_shard.items():
        for key, data in _from_shard(shard_name, set(keys)).items():
            for i in keys[key]:
                found[i] = _decoded(f"{shard_name}/{key}", data)
    return found


def fit(picture: Image.Image) -> Image.Image:
    """Scaled to fill a tile, whole. What is enlarged keeps its pixels visible."""
    scale = TILE / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, a folder that may not be entered
        return False


def _decoded(name: str, data: bytes | None = None) -> Image.Image | str:
    try:
        return open_image(name) if data is None else open_bytes(data, name)
    except ImageError:
        return "cannot be decoded"


def _from_shard(shard: str, keys: set[str]) -> dict[str, bytes]:
    """The stored pictures of these samples; of a shard that is damaged, those before the damage."""
    found: dict[str, bytes] = {}
    try:
        for sample in samples(shard):
            if sample.key in keys:
                found[sample.key] = sample.image
            if len(found) == len(keys):
                break
    except InputError:
        pass
    return found


def _heading(draw: ImageDraw.ImageDraw, predictions: Predictions, n: int, title: str, room: int) -> None:
    bold, small = _font("DejaVuSans-Bold.ttf", 15), _font("DejaVuSans.ttf", 12)
    total = len(predictions.labels)
    draw.text((MARGIN, 16), _cut(one_line(title), bold, room), INK, bold)
    what = f"the {n:,} of {total:,} images whose class has the least probability" if n < total else f"all {total:,} images"
    draw.text((MARGIN, 38), _cut(f"{what}: {one_line(predictions.test_set)}", small, room), PALE, small)
    draw.text((MARGIN, 56), _cut("true class, its probability  → predicted class", small, room), PALE, small)


def _grey_tile(draw: ImageDraw.ImageDraw, x: int, y: int, name: str, reason: str, font: Font) -> None:
    """The end of the name, which tells most, on as many lines as there is room for."""
    draw.rectangle((x, y, x + TILE - 1, y + TILE - 1), GREY)
    lines = [""]
    for character in one_line(name):
        if font.getlength(lines[-1] + character) > TILE - 16:
            lines.append("")
        lines[-1] += character
    if len(lines) > LINES_OF_A_NAME:
        lines = ["…", *lines[-LINES_OF_A_NAME:]]
    for n, line in enumerate([*lines, "", reason]):
        draw.text((x + 8, y + 8 + n * LINE), line, PALE if line == reason else INK, font)


def _cut(text: str, font: Font, room: float) -> str:
    """As much of a text as fits in so many pixels."""
    n = len(text)
    while n > 1 and font.getlength(shorten(text, n)) > room:
        n -= 1
    return shorten(text, n)


def _font(file: str, size: int) -> Font:
    """Of matplotlib's own, so that a sheet is the same everywhere."""
    path = Path(matplotlib().get_data_path(), "fonts", "ttf", file)
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
