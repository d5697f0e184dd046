"""How the images of a batch lie in memory: channels last where the net takes that, for convolutions are up to twice as fast."""

from __future__ import annotations

import torch
from torch import Tensor, nn

ONEDNN_BLOCK = 16  # channels


def memory_format(net: nn.Module, x: Tensor) -> torch.memory_format:
    """Channels last, which is the faster, unless the net does not take it (it views activations flat), or the backward pass
    of one of its layers would write past its memory: oneDNN's of a strided 1x1 convolution of few input channels (oneDNN
    issue 6035; 16 is the largest block it works in). x: a batch that the net takes."""
    for layer in net.modules():
        if not isinstance(layer, nn.Conv2d) or layer.kernel_size != (1, 1) or layer.stride == (1, 1):
            continue
        if layer.in_channels // layer.groups < ONEDNN_BLOCK:
            return torch.contiguous_format
    try:
        with torch.no_grad():
            net(x.contiguous(memory_format=torch.channels_last))
    except RuntimeError:
        return torch.contiguous_format
    return torch.channels_last
