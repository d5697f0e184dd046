"""A .sqz file as a page that classifies pictures in the browser: static files, no framework, nothing sent anywhere."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from compress.artifact.reader import Artifact, read_bytes, read_file
from compress.atomic import write_atomically
from compress.data.classes import IMAGENET, imagenet_names
from compress.errors import InputError
from compress.export import runtime

KEPT = "sqz.wasm"  # a folder that has it was written here before


@dataclass(frozen=True)
class WebPage:
    """What was written. sizes: bytes of each file: what a browser fetches."""

    path: Path
    sizes: dict[str, int]

    @property
    def total_bytes(self) -> int:
        return sum(self.sizes.values())

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"path": str(self.path), "total_bytes": self.total_bytes}


def to_web(path: Path, output: Path) -> WebPage:
    """Write the page into the folder `output`, which is new, empty, or one that was written here before.

    The runtime is native/web/sqz.wasm, built ahead. Raises InputError for a net that it does not run, and for a folder that holds
    something else.
    """
    data = read_file(path)
    artifact = read_bytes(data)
    described = artifact.metadata.get("architecture")
    if not isinstance(described, dict) or described.get("name") != "squeezenet":
        raise InputError(f"{path}: metadata.architecture: the runtime runs squeezenet, this is {described!r}")
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file; a page is a folder")
    if output.is_dir() and any(output.iterdir()) and not (output / KEPT).is_file():
        raise InputError(f"{output}: holds other files; name a new folder, or an empty one")
    web = runtime.folder() / "web"
    words = {"title": escape(path.stem), "about": escape(f"A SqueezeNet in {len(data):,} bytes.")}
    made = {
        "index.html": Template((web / "index.html").read_text(encoding="utf-8")).substitute(words).encode(),
        "page.js": (web / "page.js").read_bytes(),
        "sqz.wasm": (web / "sqz.wasm").read_bytes(),
        "classes.json": json.dumps(_names(artifact), ensure_ascii=False, separators=(",", ":")).encode(),
        "model.sqz": data,
    }
    output.mkdir(parents=True, exist_ok=True)
    for file, content in made.items():
        write_atomically(output / file, content)
    return WebPage(output, {file: len(content) for file, content in made.items()})


def _names(artifact: Artifact) -> list[str]:
    """Of the classes: numbers where there are none."""
    classes = artifact.metadata.get("classes")
    if classes == IMAGENET:
        return list(imagenet_names())
    return [str(name) for name in classes] if isinstance(classes, list) else []
