"""AlexNet as torchvision has it (Krizhevsky 2014, "One weird trick", arXiv 1404.5997): the net that SqueezeNet is compared with.

State-dict keys are torchvision's, so `torchvision.models.alexnet` weights load as they are. In a recipe:
`model: {name: alexnet}`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from compress.recipe import AlexNetSpec


class AlexNet(nn.Module):
    """(b, 3, h, w) images, normalised -> (b, classes) logits. 61,100,840 parameters at 1000 classes.

    Five convolutions in `features`, three linear layers in `classifier`; 9 in 10 parameters are in the first two of these.
    """

    def __init__(self, spec: AlexNetSpec) -> None:
        super().__init__()
        self.spec = spec
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
            nn.Dropout(p=spec.dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(p=spec.dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, spec.classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))  # (b, 256, 6, 6)
        return self.classifier(torch.flatten(x, 1))

    def init_weights(self, generator: torch.Generator) -> None:
        """Kaiming normal by the number of inputs (He et al. 2015), which keeps the scale through the ReLUs; biases zero. The last
        layer is normal with std 0.01, as in the paper of AlexNet."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                if module is self.classifier[-1]:
                    nn.init.normal_(module.weight, std=0.01, generator=generator)
                else:
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
