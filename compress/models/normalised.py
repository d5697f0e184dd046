"""SqueezeNet with a BatchNorm after every convolution but the last and those of a bypass, for training; folded away at its end.

The published net has none, and trains poorly from scratch on small sets. In eval mode a BatchNorm is a scale and a shift of the
convolution before it, so the net that is left is the published one (models/batchnorm.py).
"""

from __future__ import annotations

from torch import Tensor, nn

from compress.models.batchnorm import fold
from compress.models.squeezenet import Fire, SqueezeNet


def add_batchnorm(net: SqueezeNet) -> None:
    """In place: BatchNorm, then ReLU, where a ReLU was. Names of the convolutions stay."""
    conv1 = net.features[0]
    assert isinstance(conv1, nn.Conv2d)
    net.features[1] = _normalised(conv1)
    for fire in net.features:
        if isinstance(fire, Fire):
            fire.squeeze_activation = _normalised(fire.squeeze)
            fire.expand1x1_activation = _normalised(fire.expand1x1)
            fire.expand3x3_activation = _normalised(fire.expand3x3)


def folded(net: SqueezeNet) -> dict[str, Tensor]:
    """The state dict of the net without BatchNorm that computes the same in eval mode (to rounding: 1e-4 of the logits)."""
    plain = SqueezeNet(net.spec).state_dict()
    state = fold(net).state_dict()
    assert state.keys() == plain.keys(), f"not folded: {sorted(state.keys() - plain.keys())}"
    return {name: state[name] for name in plain}


def _normalised(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(conv.out_channels), nn.ReLU(inplace=True))
