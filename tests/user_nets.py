"""Nets as a user would write them, and factories of them: small, deterministic, for images of 3 x 16 x 16 and four classes.

BatchNorms have statistics as after training, not (0, 1); each logit has mean 0 and standard deviation 3 over `images`.
A recipe or a test names them "user_nets:small_resnet".
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

CLASSES = 4
SIDE = 16  # pixels


def images(n: int, seed: int = 0) -> Tensor:
    """(n, 3, 16, 16): noise around a colour of the image's own, so that nets that average over pixels tell images apart."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, SIDE, SIDE, generator=generator) + 2 * torch.randn(n, 3, 1, 1, generator=generator)


class Block(nn.Module):
    """Two 3x3 convolutions around which the input goes; a 1x1 convolution on its way where the shape changes (He et al. 2015)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)  # called twice
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class SmallResNet(nn.Module):
    """The last BatchNorm comes after a sum, so it cannot be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = Block(8, 8, 1)
        self.layer2 = Block(8, 16, 2)
        self.norm = nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.bn1(self.conv1(x)).relu()))  # (b, 16, 8, 8)
        return self.fc(self.norm(x).mean((2, 3)))


class Patches(nn.Module):
    """Layers that cannot be compressed: a transposed convolution, a bare parameter, an embedding, LayerNorm, an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.down = nn.Conv2d(8, 12, 4, stride=4)
        self.scale = nn.Parameter(torch.ones(12))
        self.place = nn.Embedding(16, 12)
        self.register_buffer("places", torch.arange(16))
        self.norm = nn.LayerNorm(12)
        self.lstm = nn.LSTM(12, 10, batch_first=True)
        self.head = nn.Linear(10, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(self.up(self.stem(x)))  # (b, 12, 4, 4)
        x = self.norm(x.flatten(2).transpose(1, 2) * self.scale + self.place(self.places))  # (b, 16, 12)
        return self.head(self.lstm(x)[0][:, -1])


def small_resnet() -> nn.Module:
    return _deterministic(SmallResNet)


def depthwise() -> nn.Module:
    """Depthwise 3x3, pointwise 1x1, each with BatchNorm (MobileNet, Howard et al. 2017)."""

    def make() -> nn.Module:
        layers: list[nn.Module] = [nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6()]
        for n_in, n_out, stride in ((8, 16, 1), (16, 24, 2)):
            layers += [nn.Conv2d(n_in, n_in, 3, stride, 1, groups=n_in, bias=False), nn.BatchNorm2d(n_in), nn.ReLU6()]
            layers += [nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU6()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, CLASSES))

    return _deterministic(make)


def mlp() -> nn.Module:
    def make() -> nn.Module:
        first = [nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU()]
        second = [nn.Dropout(), nn.Linear(16, 12), nn.BatchNorm1d(12), nn.ReLU()]
        return nn.Sequential(*first, *second, nn.Linear(12, CLASSES))

    return _deterministic(make)


def with_lstm_or_layernorm() -> nn.Module:
    return _deterministic(Patches)


def _deterministic(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        net = make()
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(std=0.3)
                module.running_mean.normal_(std=0.3)
                module.running_var.uniform_(0.3, 2)
                module.num_batches_tracked.fill_(100)
        head = [module for module in net.modules() if isinstance(module, nn.Linear)][-1]
        logits = net.eval()(images(256))  # (256, classes)
        gain = 3 / logits.std(0)
        head.weight.mul_(gain[:, None])
        head.bias.sub_(logits.mean(0)).mul_(gain)
    return net.train()
