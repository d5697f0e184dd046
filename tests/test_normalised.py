import pytest
import torch
from tiny_training import new_net, spec
from torch import nn
from torch.nn import functional as F

from compress.models import normalised
from compress.models.normalised import add_batchnorm, folded, start_as_identity
from compress.models.squeezenet import SqueezeNet

BYPASSES = {"none": {}, "simple": {"freq": 2}, "complex": {}}  # of equal widths a bypass is the identity, else a convolution


def trained(bypass):
    """A few steps on noise, so that no BatchNorm has the statistics and factors of a new one."""
    net = new_net(batchnorm=True, bypass=bypass, dropout=0.5, n_fires=3, **BYPASSES[bypass]).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        x, labels = torch.randn(16, 1, 8, 8, generator=generator) * 3 + 1, torch.randint(10, (16,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(net(x), labels).backward()
        optimizer.step()
    with torch.no_grad():
        net.classifier[1].weight.mul_(20)  # outputs that differ
    return net


@pytest.mark.parametrize("bypass", BYPASSES)
def test_folded_it_is_the_published_net_with_the_same_outputs(bypass):
    net = trained(bypass)
    plain = SqueezeNet(net.spec)
    state = folded(net)
    assert list(state) == list(plain.state_dict())
    plain.load_state_dict(state)
    x = torch.randn(32, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, found = net.eval()(x), plain.eval()(x)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_folding_leaves_the_net_as_it_is():
    net = trained("complex")
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    folded(net)
    assert net.training and all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("bypass", BYPASSES)
def test_a_batchnorm_follows_every_convolution_but_the_last_and_a_bypass(bypass):
    net = SqueezeNet(spec(bypass=bypass, n_fires=3, **BYPASSES[bypass]))
    plain = list(net.state_dict())
    add_batchnorm(net)
    widths = [module.num_features for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    convolutions = [
        module.out_channels
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d) and not name.startswith("classifier") and not name.endswith("bypass")
    ]
    assert widths == convolutions and len(widths) == 10
    assert [name for name in net.state_dict() if name in plain] == plain


def test_a_batchnorm_that_would_be_lost_is_not_folded_in_silence(monkeypatch):
    monkeypatch.setattr(normalised, "fold", lambda net: net)
    with pytest.raises(AssertionError, match=r"^not folded: \['features.1.0.bias'"):
        folded(new_net(batchnorm=True))


@pytest.mark.parametrize("bypass", BYPASSES)
def test_it_starts_as_the_net_without_them(bypass):
    plain = new_net(bypass=bypass, n_fires=3, **BYPASSES[bypass]).eval()
    net = new_net(batchnorm=True, bypass=bypass, n_fires=3, **BYPASSES[bypass])
    for each in (plain, net):
        each.features[0].weight.data *= 50  # as of a net for other inputs: far from what a new BatchNorm expects
    x = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    other = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    start_as_identity(net, x)
    with torch.no_grad():
        torch.testing.assert_close(net(other), plain(other), rtol=1e-4, atol=1e-4)
        means = net.train()(x)  # with the statistics of the batch itself, which are the same
        torch.testing.assert_close(means, plain(x), rtol=0.05, atol=0.02)


@pytest.mark.parametrize("bypass", BYPASSES)
def test_the_scales_are_evened_out(bypass):
    """Filters of variance 1, and channels of one size but where a bypass adds them."""
    net = new_net(batchnorm=True, bypass=bypass, n_fires=3, **BYPASSES[bypass])
    net.features[0].weight.data *= 50
    start_as_identity(net, torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    seen, sizes = [], []
    for name, module in net.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].var((0, 2, 3))))
        if name.endswith("squeeze_activation" if bypass != "none" else "activation"):
            module.register_forward_hook(lambda _, inputs, output: sizes.append(output.square().mean((0, 2, 3)).sqrt()))
    with torch.no_grad():
        net(torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(1)))
    variances, rms = torch.cat(seen), torch.cat(sizes)
    assert variances.min() > 0.5 and variances.max() < 2
    assert rms.median() > 0.5 and rms.max() < 2


def test_a_channel_that_is_silent_stays_so():
    net = new_net(batchnorm=True)
    net.features[0].weight.data[0] = 0
    net.features[0].bias.data[0] = -1
    x = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    start_as_identity(net, x)
    state = folded(net)
    assert all(tensor.isfinite().all() for tensor in state.values())
    assert -100 < state["features.0.bias"][0] < 0 and not state["features.0.weight"][0].any()
