"""Does the loader keep up? Images a second of the training loop on photographs, beside the same loop on images that are there.

    python benchmarks/data.py [folder:$SQUEEZE_DATA/imagenette160/train] [--side 128] [--batch-size 64]

Ways to read: from the cache of decoded pictures (the default of a recipe), from the files with no worker and with one. Each
measurement is of so many steps, all ways alternately in one run; medians with least and most of the rounds. The last lines are of
the loader alone, with nobody training.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from train import images_per_second, new_net  # the benchmark beside this one

from compress.convention import TORCHVISION
from compress.data.loader import Loader
from compress.data.training import TrainingSet, training_set
from compress.models.memory import keep_freed_memory
from compress.recipe import Augment, Source, Train

ROUNDS = 5
LOADER_STEPS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="folder:$SQUEEZE_DATA/imagenette160/train")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--plain", action="store_true", help="without BatchNorm: a net that trains faster")
    args = parser.parse_args()
    keep_freed_memory()
    pictures = training_set((Source(source=args.source),), TORCHVISION, None, 10)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4 * args.batch_size, args.side, args.side, 3), np.uint8)
    synthetic = TrainingSet("noise", "", None, rng.integers(0, 10, len(pixels)), "RGB", args.side, fixed=pixels)
    shared = {
        "iterations": 10_000,
        "batch_size": args.batch_size,
        "optimizer": "sgd",
        "checkpoint_every": 10_000,
        "augment": Augment(jitter=0.3),
    }
    ways: dict[str, tuple[TrainingSet, Train]] = {
        "images that are there": (synthetic, Train(**shared)),
        "photographs, decoded once": (pictures, Train(**shared)),
        "photographs, from files": (pictures, Train(**shared, cache_gb=0)),
        "photographs, from files, 1 worker": (pictures, Train(**shared, cache_gb=0, workers=1)),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, (training, settings) in ways.items():
            rates[name].append(images_per_second(training, settings, args.side, new_net(not args.plain)))
    net = "as published" if args.plain else "with BatchNorm"
    print(f"SqueezeNet v1.1 {net}, batch {args.batch_size} at {args.side} px, {torch.get_num_threads()} threads")
    print(f"{pictures.description}; images/s of training, median of {ROUNDS}, and its share of the first line's")
    for name, found in rates.items():
        shares = [a / b for a, b in zip(found, rates["images that are there"], strict=True)]
        spread = f"({min(shares):.2f} to {max(shares):.2f})"
        print(f"  {name:<36}{np.median(found):8.1f}  ({min(found):.1f} to {max(found):.1f})  {np.median(shares):.2f} {spread}")
    for name, (training, settings) in ways.items():
        print(f"  the loader alone: {name:<36}{loader_alone(training, settings, args.side):8.1f}")


def loader_alone(training: TrainingSet, settings: Train, side: int) -> float:
    loader = Loader(training, settings, seed=0)
    times = [time.perf_counter()]
    while len(times) < LOADER_STEPS:
        for _ in loader.steps(len(times), 0, lambda step: side):
            times.append(time.perf_counter())
            if len(times) == LOADER_STEPS:
                break
    return settings.batch_size * (len(times) - 5) / (times[-1] - times[4])


if __name__ == "__main__":
    main()
