"""The folder of a finished run that nobody ran: a SqueezeNet of a few thousand weights for digits, rounded to steps, with its
ledger, its checkpoints and its file. For tests of what reads such a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_ledger import row

from compress import checkpoint
from compress.artifact import reader, writer
from compress.data.digits import CONVENTION, N_TEST, held_out_images
from compress.data.sets import measuring_set
from compress.layer import Layer, RawTensor, SharedLayer
from compress.ledger import ledger
from compress.measure.fidelity import logits
from compress.models.squeezenet import SqueezeNet
from compress.recipe import Recipe, Source, SqueezeNetSpec
from compress.stage_arrays import SENSITIVITY, from_layers, sha256

NAME, RUN_ID = "tiny", "tiny-0123abcd"
SPEC = SqueezeNetSpec(
    classes=10,
    in_channels=1,
    dropout=0.0,
    base_e=16,
    incr_e=16,
    freq=1,
    squeeze_ratio=0.25,
    n_fires=1,
    conv1_channels=16,
    conv1_stride=1,
    conv10_relu=False,
    pool_after=(1,),
)
CLASSES = [f"digit {i}" for i in range(10)]
VOID = {"meta", "link", "img", "br", "input", "hr"}


def write_run(folder: Path, *, step: float = 0.8, measures_sensitivity: bool = True, classes: list[str] = CLASSES) -> Path:
    """step: of the levels, in standard deviations of a layer's weights. measures_sensitivity: as a recipe with `rate` does."""
    folder.mkdir(parents=True)
    before = uncompressed()
    metadata = {
        "architecture": {"name": "squeezenet"} | SPEC.compact(),
        "classes": classes,
        "encoder": "tests",
        "input": CONVENTION.to_metadata(),
    }
    layers = [_layer(name, array, step) for name, array in before.items()]
    writer.write(folder / f"{NAME}.sqz", layers, metadata)
    stages = folder / "stages"
    checkpoint.save(stages, "baseline", "a key", checkpoint.Checkpoint(before, {}))
    sensitivity = {SENSITIVITY + layer.name: np.array(10.0 ** (i % 4)) for i, layer in enumerate(layers) if len(layer.shape) == 4}
    arrays = from_layers(layers) | (sensitivity if measures_sensitivity else {})
    second = "quantize" if measures_sensitivity else "share"
    checkpoint.save(stages, second, "another key", checkpoint.Checkpoint(arrays, {}))
    described = {"name": NAME, "model": SPEC.model_dump(), "weights": "weights.pt", "classes": classes}
    recipe = Recipe.model_validate(described | {"data": {"tune": "digits", "test": "digits"}})
    (folder / "recipe.json").write_text(json.dumps(recipe.model_dump(mode="json")))
    ledger.write(folder / "ledger.csv", rows(folder / f"{NAME}.sqz", before, second))
    return folder


@cache
def uncompressed() -> dict[str, Any]:
    net = SqueezeNet(SPEC)
    net.init_weights(torch.Generator().manual_seed(0))
    pixels, _ = held_out_images()
    head = net.eval().classifier[1]
    with torch.no_grad():
        head.bias -= logits(net, pixels, CONVENTION).mean(0)  # or every picture is taken for the same class
    return {name: tensor.detach().numpy() for name, tensor in net.state_dict().items()}


def rows(file: Path, before: Mapping[str, Any], second: str) -> list[ledger.Row]:
    """From the uncompressed net over two stages to the file, and the file on a set without labels."""
    artifact = reader.read(file)
    n = sum(array.size for array in before.values())
    digest = measuring_set([Source(source="digits")], CONVENTION, CLASSES, 10, field="data.test").digest
    common = {"run_id": RUN_ID, "parameters": n, "n": N_TEST, "teacher_sha256": sha256(dict(before)), "test_set_sha256": digest}
    size = artifact.size_bytes
    sizes = {"baseline": 4 * n + 900, second: size + 40, "fixed": size + 40, "tune": size - 7}
    made = [row(stage=stage, size_bytes=n_bytes, **common) for stage, n_bytes in sizes.items()]
    final = common | {"size_bytes": size, "artifact_sha256": artifact.sha256}
    unlabelled = {"top1": None, "top5": None, "top1_drop": None, "drop_interval": None, "test_set_sha256": "12" * 32}
    unlabelled |= {"test_set": "agreement on 200 crops; not accuracy", "n": 200, "agreement": 0.75}
    return [*made, row(stage="encode", **final), row(stage="report crops", **(final | unlabelled))]


def _layer(name: str, array: Any, step: float) -> Layer:
    if array.ndim < 2:
        return RawTensor(name, array.astype(np.float16))
    width = np.float32(step * array.std())
    return SharedLayer(name, array.shape, np.rint(array / width).astype(np.int32), step=width)


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages with an empty SVG for each plot: drawing takes most of their time."""
    monkeypatch.setattr("compress.report.page.inline", lambda plot: "<svg></svg>")


class Html(HTMLParser):
    """A page, read: its tags must nest. texts: by the tag that they are in; attributes: (tag, name, value)."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.feed(page.decode().replace("<wbr>", ""))  # it may stand within a name
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, *pair) for pair in attrs] or [(tag, "", None)]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, *pair) for pair in attrs] or [(tag, "", None)]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1], data.strip()))

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _, _ in self.attributes}

    def values(self, name: str) -> list[str]:
        """Of an attribute, wherever it is."""
        return [value or "" for _, found, value in self.attributes if found == name]

    def text(self) -> str:
        return " ".join(text for _, text in self.texts)


def check_self_contained(page: bytes) -> Html:
    """What must hold of every page: nothing is asked for, nothing runs, ids are unique, links lead somewhere in it."""
    html = Html(page)
    assert not html.tags & {"script", "iframe", "object", "embed", "base", "form"}
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert ("meta", "content", policy) in html.attributes
    ids = html.values("id")
    assert len(ids) == len(set(ids))
    for value in html.values("href") + html.values("xlink:href") + html.values("src"):
        assert value.startswith("data:") or (value[0] == "#" and value[1:] in ids), value
    assert not [name for _, name, _ in html.attributes if name.startswith("on")]
    head = page.decode().partition("<body>")[0]
    assert "url(" not in head and "@import" not in head
    return html
