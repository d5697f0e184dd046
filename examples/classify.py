"""Classify a picture with the 1000-class ImageNet SqueezeNet in artifacts/deep.sqz, a file of under half a megabyte.

    python examples/classify.py [PICTURE ...]     without one: the cup of coffee that scikit-image carries

Shows compress.load: the file gives a torch module in eval mode, with `preprocess` and `class_names`.
Prints the five likeliest classes of each picture, with their probabilities.
"""

import sys
from pathlib import Path

import torch

import compress
from compress.data import bundled

FILE = Path(__file__).parent.parent / "artifacts" / "deep.sqz"


def main() -> None:
    net = compress.load(FILE)
    print(f"{FILE.name}: {FILE.stat().st_size:,} bytes")
    coffee = bundled.paths({"coffee.png": bundled.TEST["coffee.png"]})  # a photograph that the net was not tuned on
    for picture in map(Path, sys.argv[1:] or coffee):
        x = net.preprocess(picture)  # (1, 3, 227, 227): decoded, upright, resized, centre crop, normalised
        with torch.inference_mode():
            probabilities = net(x).softmax(1)[0]  # (1000,)
        best = probabilities.topk(5)
        print(picture.name)
        for probability, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            print(f"  {probability:6.1%}  {net.class_names[index]}")


if __name__ == "__main__":
    main()
