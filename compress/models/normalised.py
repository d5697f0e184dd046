"""BatchNorm after every convolution but a last one and those of a bypass, for training; folded away at its end.

The published nets have none, and SqueezeNet trains poorly from scratch on small sets. In eval mode a BatchNorm is a scale and a
shift of the convolution before it, so the net that is left is the published one (models/batchnorm.py).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from compress.models.batchnorm import fold
from compress.models.built_in import BuiltIn, build
from compress.models.squeezenet import Fire, SqueezeNet

LEAST_DIVISOR = 0.1  # of a channel, in standard deviations before its ReLU and in mean ones: a rare one is not blown up


def add_batchnorm(net: BuiltIn) -> None:
    """In place: BatchNorm, then ReLU, where a ReLU was. Names of the convolutions stay."""
    for i, layer in enumerate(net.features):
        if isinstance(layer, nn.Conv2d):
            net.features[i + 1] = _normalised(layer)
    for fire in net.features:
        if isinstance(fire, Fire):
            fire.squeeze_activation = _normalised(fire.squeeze)
            fire.expand1x1_activation = _normalised(fire.expand1x1)
            fire.expand3x3_activation = _normalised(fire.expand3x3)


@torch.no_grad()
def start_as_identity(net: SqueezeNet, x: Tensor) -> None:
    """Let a net of known weights compute, in eval mode, what it did before it had BatchNorms; in train mode nearly so.

    x: (b, c, h, w), the net's input. Each BatchNorm takes the statistics of what it is given for x as its own, and the standard
    deviation and the mean of these as its factor and its shift. Then the scales are evened out, which changes nothing computed
    either: every filter gives a variance of 1, every channel after its ReLU a root mean square of about 1, and the weights that
    read a channel are as much larger as it became smaller (Nagel et al. 2019, arXiv 1906.04721, section 4.1). Without that a
    net for pixels of 0 to 255 has factors in the hundreds, and does not train; and the size of a weight now says what it does.
    In place; the net is left in eval mode.
    """
    rms: dict[nn.Module, Tensor] = {}

    def take(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
        variance, mean = torch.var_mean(inputs[0].float(), (0, 2, 3))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.bias.copy_(mean)
        norm.weight.copy_((variance + norm.eps).sqrt())
        rms[norm] = inputs[0].float().relu().square().mean((0, 2, 3)).sqrt()

    hooks = [module.register_forward_pre_hook(take) for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    try:
        net.eval()(x)
    finally:
        for hook in hooks:
            hook.remove()
    _even_out(net, rms)


def _even_out(net: SqueezeNet, rms: Mapping[nn.Module, Tensor]) -> None:
    """rms: of each BatchNorm's channels, after the ReLU. What a bypass adds up keeps its scale."""
    is_summed = net.spec.bypass != "none"
    divisors = torch.ones(net.spec.in_channels, device=next(net.parameters()).device)  # of the channels that a layer reads
    for module in net.features:
        if isinstance(module, nn.Conv2d):
            divisors = _even_out_layer(module, net.features[1], divisors, None if is_summed else rms)
        elif isinstance(module, Fire):
            inner = _even_out_layer(module.squeeze, module.squeeze_activation, divisors, rms)
            expanded = (module.expand1x1, module.expand1x1_activation), (module.expand3x3, module.expand3x3_activation)
            divisors = torch.cat([_even_out_layer(*each, inner, None if is_summed else rms) for each in expanded])
    conv10 = net.classifier[1]
    assert isinstance(conv10, nn.Conv2d)
    conv10.weight.mul_(divisors.view(1, -1, 1, 1))


def _even_out_layer(conv: nn.Conv2d, activation: nn.Module, divisors: Tensor, rms: Mapping[nn.Module, Tensor] | None) -> Tensor:
    """divisors: of the channels that come in. Returns those of the channels that go out: 1 without rms."""
    assert isinstance(activation, nn.Sequential)
    norm = activation[0]
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
    std, mean = (norm.running_var + norm.eps).sqrt(), norm.running_mean.clone()
    out = torch.ones_like(std) if rms is None else torch.maximum(rms[norm], LEAST_DIVISOR * torch.maximum(std, rms[norm].mean()))
    conv.weight.mul_(divisors.view(1, -1, 1, 1)).div_(std.view(-1, 1, 1, 1))
    if conv.bias is not None:
        conv.bias.div_(std)
    norm.running_mean.div_(std)
    norm.running_var.div_(std.square())
    norm.weight.copy_((norm.running_var + norm.eps).sqrt() * std / out)
    norm.bias.copy_(mean / out)
    return out


def folded(net: BuiltIn) -> dict[str, Tensor]:
    """The state dict of the net without BatchNorm that computes the same in eval mode (to rounding: 1e-4 of the logits)."""
    plain = build(net.spec).state_dict()
    state = fold(net).state_dict()
    assert state.keys() == plain.keys(), f"not folded: {sorted(state.keys() - plain.keys())}"
    return {name: state[name] for name in plain}


def _normalised(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(conv.out_channels), nn.ReLU(inplace=True))
