import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from compress.errors import TrainingDiverged
from compress.quantize.sensitivity import sensitivities


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)).eval()


def batches(n=64, seed=1):
    x = torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))
    return itertools.cycle(x.split(16))


NAMES = ["0.weight", "2.weight"]


def test_it_predicts_what_noise_in_a_layer_costs():
    """KL(net || net with noise of standard deviation s in a layer) is about s^2 / 2 times the layer's weights' sensitivities."""
    found = sensitivities(net(), NAMES, batches(2000), 2000)
    x = torch.cat(list(itertools.islice(batches(2000), 125)))
    generator = torch.Generator().manual_seed(2)
    for name in NAMES:
        total, noise = 0.0, 0.01
        for _ in range(40):
            noisy = net()
            weight = noisy.get_parameter(name)
            with torch.no_grad():
                weight += noise * torch.randn(weight.shape, generator=generator)
                outputs = [F.log_softmax(each(x), 1) for each in (noisy, net())]
                total += float(F.kl_div(*outputs, reduction="batchmean", log_target=True))
        assert total / 40 == pytest.approx(noise**2 / 2 * weight.numel() * found[name], rel=0.2)


def test_it_leaves_the_net_as_it_was():
    frozen = net().requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in frozen.state_dict().items()}
    assert sensitivities(frozen, NAMES, batches(), 20) == sensitivities(frozen, NAMES, batches(), 20)
    assert all(torch.equal(tensor, before[name]) for name, tensor in frozen.state_dict().items())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in frozen.parameters())


def test_a_layer_that_nothing_depends_on_has_the_smallest_sensitivity():
    dead = net()
    with torch.no_grad():
        dead[0].bias.fill_(-100.0)
    found = sensitivities(dead, [*NAMES, "2.bias"], batches(), 8)
    assert 0 < found["0.weight"] == pytest.approx(1e-9 * found["2.bias"])


def test_outputs_that_are_not_finite_are_refused():
    broken = net()
    with torch.no_grad():
        broken[2].bias[0] = float("nan")
    with pytest.raises(TrainingDiverged, match="outputs are not finite"):
        sensitivities(broken, NAMES, batches(), 8)


def test_a_net_that_ignores_its_input_and_its_weights_is_refused():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 4)

        def forward(self, x):
            return 0 * self.fc(x)

    with pytest.raises(TrainingDiverged, match="depend on no weight"):
        sensitivities(Constant(), ["fc.weight"], batches(), 8)
