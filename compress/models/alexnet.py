"""AlexNet as torchvision has it (Krizhevsky 2014, "One weird trick", arXiv 1404.5997): the net that SqueezeNet is compared with.

State-dict keys are torchvision's, so `torchvision.models.alexnet` weights load as they are. A recipe takes it as a net of the
user's own: `model.factory: compress.models.alexnet:alexnet`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SMALLEST_SIDE = 63  # pixels: leaves one pixel after the last pool; 224 as published


class AlexNet(nn.Module):
    """(b, 3, h, w) images, normalised -> (b, classes) logits. 61,100,840 parameters at 1000 classes.

    Five convolutions in `features`, three linear layers in `classifier`; 9 in 10 parameters are in the first two of these.
    """

    def __init__(self, classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))  # changes nothing at 224 pixels
        self.classifier = nn.Sequential(
            nn.Dropout(p=dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))  # (b, 256, 6, 6)
        return self.classifier(torch.flatten(x, 1))


def alexnet() -> AlexNet:
    """The published net, 1000 classes, weights as torch draws them: for `model.factory`, with `model.weights` naming a file."""
    return AlexNet()
