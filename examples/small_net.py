"""A net of your own and its training, in plain torch: own_net.py compresses it. Nothing here knows of compress."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from sklearn.datasets import load_digits
from torch import Tensor, nn


def small_net() -> nn.Module:
    first = [nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
    second = [nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(32 * 4 * 4, 10))  # 16 x 16 pixels, ten classes


def write_digits(folder: Path) -> None:
    for i, (pixels, label) in enumerate(zip(*load_digits(return_X_y=True), strict=True)):  # (64,) of 0..16; 0..9
        path = folder / ("train" if i % 5 else "val") / str(label) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels.reshape(8, 8) * 255 / 16).astype(np.uint8)).save(path)


def load_pictures(folder: Path) -> tuple[Tensor, Tensor]:
    """(n, 1, 16, 16) float32 in 0..1, and (n,) labels: the place of the sub-folder's name in alphabetical order."""
    paths = sorted(folder.glob("*/*.png"))
    grey = [ImageOps.fit(Image.open(path).convert("L"), (16, 16), Image.Resampling.BILINEAR) for path in paths]
    _, labels = np.unique([path.parent.name for path in paths], return_inverse=True)
    return torch.from_numpy(np.stack(grey))[:, None] / 255, torch.from_numpy(labels)


def train(net: nn.Module, x: Tensor, y: Tensor) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=0.003)
    for batch in torch.randint(len(x), (300, 64)):  # 300 batches of 64 pictures
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
        optimizer.step()
