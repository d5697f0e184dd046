"""Images a second of the training loop, beside a plain PyTorch loop (fp32, contiguous) of the same net, images and batch.

    python benchmarks/train.py [--side 160] [--batch-size 64]

Each measurement is a process of its own, ours and the peer's alternately; the median, least and most of the rounds are printed.
Ours is the whole loop: loader, normalisation, log, checkpoint. The peer is handed normalised tensors.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from compress.convention import TORCHVISION
from compress.data.loader import Loader
from compress.data.training import TrainingSet
from compress.errors import TrainingInterrupted
from compress.models.memory import keep_freed_memory
from compress.models.normalised import add_batchnorm
from compress.models.squeezenet import SqueezeNet
from compress.recipe import SqueezeNetSpec, Train
from compress.train.loop import train
from compress.train.setting import Setting

ROUNDS = 5
WARM, TIMED = 4, 16  # steps
SPEC = SqueezeNetSpec(version="1.1", classes=10, conv10_relu=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--one", choices=["ours", "plain"], help=argparse.SUPPRESS)
    parser.add_argument("--batchnorm", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        measure = ours if args.one == "ours" else plain
        print(measure(args.side, args.batch_size, args.batchnorm))
        return
    threads = torch.get_num_threads()
    print(
        f"SqueezeNet v1.1, 10 classes, batch {args.batch_size} at {args.side} px, {threads} threads; images/s, median of {ROUNDS}"
    )
    for batchnorm in (False, True):
        rates: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(ROUNDS):
            for name, found in rates.items():
                command = [
                    sys.executable,
                    __file__,
                    "--one",
                    name,
                    "--side",
                    str(args.side),
                    "--batch-size",
                    str(args.batch_size),
                ]
                output = subprocess.run(command + ["--batchnorm"] * batchnorm, capture_output=True, text=True, check=True)
                found.append(float(output.stdout))
        print("with BatchNorm" if batchnorm else "as published, without BatchNorm")
        for name, found in rates.items():
            print(f"  {name:<6}{np.median(found):8.1f}  ({min(found):.1f} to {max(found):.1f})")
        ratios = [a / b for a, b in zip(rates["ours"], rates["plain"], strict=True)]
        print(f"  ratio {np.median(ratios):8.2f}  ({min(ratios):.2f} to {max(ratios):.2f})")


def plain(side: int, batch_size: int, batchnorm: bool) -> float:
    net = new_net(batchnorm)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    x, labels = torch.randn(batch_size, 3, side, side), torch.randint(10, (batch_size,))
    times = []
    for _ in range(WARM + TIMED):
        optimizer.zero_grad()
        F.cross_entropy(net(x), labels).backward()
        optimizer.step()
        times.append(time.perf_counter())
    return batch_size * TIMED / (times[-1] - times[WARM - 1])


def ours(side: int, batch_size: int, batchnorm: bool) -> float:
    keep_freed_memory()
    rng = np.random.default_rng(0)
    n = 2 * batch_size
    pixels = rng.integers(0, 256, (n, side, side, 3), np.uint8)
    training = TrainingSet("noise", "", None, rng.integers(0, 10, n), "RGB", side, fixed=pixels)
    settings = Train(iterations=10_000, batch_size=batch_size, optimizer="sgd", checkpoint_every=10_000)
    return images_per_second(training, settings, side, new_net(batchnorm))


def images_per_second(training: TrainingSet, settings: Train, side: int, net: torch.nn.Module) -> float:
    """Of the loop, after its first steps."""
    times = []

    class Clock:
        def step(self, step: int, n_steps: int, loss: float, note: str) -> None:
            times.append(time.perf_counter())

        def line(self, text: str) -> None: ...

    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(settings, TORCHVISION, side, 0, torch.device("cpu"), Path(folder), "benchmark", stop_after=WARM + TIMED)
        with contextlib.suppress(TrainingInterrupted):
            train(net, Loader(training, settings, seed=0), setting, Clock())
    return settings.batch_size * TIMED / (times[-1] - times[WARM - 1])


def new_net(batchnorm: bool) -> SqueezeNet:
    torch.manual_seed(0)
    net = SqueezeNet(SPEC)
    net.init_weights(torch.Generator().manual_seed(0))
    if batchnorm:
        add_batchnorm(net)
    return net.train()


if __name__ == "__main__":
    main()
