import pytest
import torch
from torch import nn

from compress.models.memory_format import memory_format


@pytest.mark.parametrize(
    ("conv", "expected"),
    [
        (nn.Conv2d(15, 8, 1, stride=2), torch.contiguous_format),
        (nn.Conv2d(32, 8, 1, stride=2, groups=4), torch.contiguous_format),
        (nn.Conv2d(16, 8, 1, stride=2), torch.channels_last),
        (nn.Conv2d(6, 8, 1), torch.channels_last),
        (nn.Conv2d(6, 8, 3, stride=2), torch.channels_last),
    ],
)
def test_channels_are_last_where_the_backward_pass_is_sound(conv, expected):
    """The first shape, channels last, corrupts the heap in oneDNN: memory that nobody sees until the process aborts."""
    assert memory_format(nn.Sequential(nn.ReLU(), conv), torch.zeros(2, conv.in_channels, 4, 4)) is expected


def test_channels_are_first_for_a_net_that_views_its_activations_flat():
    class Flat(nn.Module):
        def forward(self, x):
            return x.view(len(x), -1)

    net = nn.Sequential(nn.Conv2d(3, 4, 3), Flat(), nn.Linear(16, 2))
    assert memory_format(net, torch.zeros(2, 3, 4, 4)) is torch.contiguous_format
