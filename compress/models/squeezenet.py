"""SqueezeNet from its metaparameters (Iandola et al. 2016, arXiv 1602.07360: section 3, table 1, section 5 and figure 2).

State-dict keys are torchvision's, so a file made here loads into `torchvision.models.squeezenet1_1` as it is. The
metaparameters are the recipe's `SqueezeNetSpec`, and the same fields describe the net in a .sqz file's metadata.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from compress.recipe import SqueezeNetSpec


class Fire(nn.Module):
    """Squeeze to few channels by 1x1, expand by 1x1 and 3x3, concatenate (section 3.2).

    bypass: "none"; "identity" adds the input to the output; "conv" adds a 1x1 convolution of it (section 6).
    """

    def __init__(self, in_channels: int, squeeze: int, expand1x1: int, expand3x3: int, bypass: str = "none") -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeeze, 1)
        self.squeeze_activation: nn.Module = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze, expand1x1, 1)
        self.expand1x1_activation: nn.Module = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze, expand3x3, 3, padding=1)
        self.expand3x3_activation: nn.Module = nn.ReLU(inplace=True)
        out_channels = expand1x1 + expand3x3
        self.bypass: nn.Module | None = None
        if bypass != "none":
            self.bypass = nn.Identity() if bypass == "identity" else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        s = self.squeeze_activation(self.squeeze(x))  # (b, s1x1, h, w)
        expanded = torch.cat(
            [self.expand1x1_activation(self.expand1x1(s)), self.expand3x3_activation(self.expand3x3(s))], 1
        )  # (b, e1x1 + e3x3, h, w)
        return expanded if self.bypass is None else expanded + self.bypass(x)


class SqueezeNet(nn.Module):
    """(b, in_channels, h, w) images, normalised -> (b, classes) logits.

    conv1, max pools and Fire modules in `features`; dropout, conv10, ReLU and global average in `classifier`.
    """

    def __init__(self, spec: SqueezeNetSpec) -> None:
        super().__init__()
        self.spec = spec
        layers: list[nn.Module] = [
            nn.Conv2d(spec.in_channels, spec.conv1_channels, spec.conv1_kernel, spec.conv1_stride),
            nn.ReLU(inplace=True),
        ]
        in_channels = spec.conv1_channels
        for i in range(spec.n_fires + 1):  # 0 is conv1, i is the i-th Fire module: fire{i + 1} in the paper
            if i:
                squeeze, e1x1, e3x3 = spec.fire_widths(i - 1)
                same_width = in_channels == e1x1 + e3x3
                bypass = "identity" if same_width and spec.bypass != "none" else "none"
                if spec.bypass == "complex" and not same_width:
                    bypass = "conv"
                layers.append(Fire(in_channels, squeeze, e1x1, e3x3, bypass))
                in_channels = e1x1 + e3x3
            if i in spec.pool_after:
                layers.append(nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Dropout(p=spec.dropout),
            nn.Conv2d(in_channels, spec.classes, 1, padding=spec.conv10_padding),
            nn.ReLU(inplace=True) if spec.conv10_relu else nn.Identity(),
            nn.AdaptiveAvgPool2d((1, 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(self.classifier(self.features(x)), 1)

    def init_weights(self, generator: torch.Generator) -> None:
        """Xavier uniform, conv10 normal with std 0.01, biases zero (the authors' solver and net definition)."""
        conv10 = self.classifier[1]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                if module is conv10:
                    nn.init.normal_(module.weight, std=0.01, generator=generator)
                else:
                    nn.init.xavier_uniform_(module.weight, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
