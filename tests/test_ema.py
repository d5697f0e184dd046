import pytest
import torch
from torch import nn

from compress.train.ema import RunningMean


def filled(value):
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    for tensor in net.state_dict().values():
        tensor.fill_(value)
    return net


def test_by_hand():
    mean = RunningMean(filled(0), 0.25)
    mean.update(filled(1), 1)  # decay 2/11
    assert mean.tensors["0.weight"].flatten().tolist() == pytest.approx([9 / 11] * 4)
    mean.update(filled(2), 2)  # decay 3/12, which is the last
    mean.update(filled(3), 3)
    assert mean.tensors["0.weight"].flatten().tolist() == pytest.approx([0.25 * (0.25 * 9 / 11 + 0.75 * 2) + 0.75 * 3] * 4)


def test_buffers_are_averaged_and_counters_copied():
    mean = RunningMean(filled(0), 0.5)
    mean.update(filled(7), 100)
    assert mean.tensors["1.running_var"].tolist() == [3.5, 3.5]
    assert mean.tensors["1.num_batches_tracked"].item() == 7


def test_it_is_a_net_of_its_own():
    net = filled(1).train()
    mean = RunningMean(net, 0.5)
    with torch.no_grad():
        net[0].weight.fill_(9)
    assert mean.net[0].weight.unique().tolist() == [1]
    assert not mean.net.training and net.training
    assert not any(parameter.requires_grad for parameter in mean.net.parameters())
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert mean.tensors["0.weight"].data_ptr() == mean.net[0].weight.data_ptr()


def test_a_constant_stays():
    net = filled(0.1)
    mean = RunningMean(net, 0.999)
    for step in range(1, 50):
        mean.update(net, step)
    assert all(torch.equal(mean.tensors[name], tensor) for name, tensor in net.state_dict().items())
