import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compress.quantize.uniform import Coarseness, base_steps, entropy_bits, levels


@pytest.mark.parametrize(("dead_zone", "expected"), [(0.0, [-2, -1, 0, 0, 1, 2]), (0.2, [-1, 0, 0, 0, 0, 2])])
def test_levels_round_towards_zero_by_the_dead_zone(dead_zone, expected):
    weight = torch.tensor([-1.6, -0.6, -0.4, 0.4, 0.6, 1.75])
    assert levels(weight, 1.0, dead_zone).tolist() == expected
    assert levels(weight * 0.5, 0.5, dead_zone).tolist() == expected


def test_the_gradient_passes_the_rounding():
    weight = torch.tensor([0.3, -1.2], requires_grad=True)
    (levels(weight, 0.5, 0.1) * 0.5 * torch.tensor([2.0, 3.0])).sum().backward()
    assert weight.grad.tolist() == [2.0, 3.0]


def test_entropy_by_hand():
    assert entropy_bits(torch.tensor([0.0, 0, 1, 1])) == 4
    assert entropy_bits(torch.tensor([-2.0, 0, 1, 3])) == 8
    assert entropy_bits(torch.zeros(5)) == 0


def test_steps_fall_with_the_root_of_the_sensitivity():
    assert base_steps({"a": 4.0, "b": 0.25}) == {"a": 0.5, "b": 2.0}


def weights():
    generator = torch.Generator().manual_seed(0)
    return {"a": torch.randn(400, generator=generator), "b": 3 * torch.randn(100, 9, generator=generator)}


@given(st.floats(30, 700))
def test_the_coarseness_has_the_entropy_that_is_asked_for(n_bytes):
    grid = Coarseness(weights(), {"a": 1.0, "b": 2.0}, 0.1)
    coarseness = grid.at(n_bytes, 1.0)
    assert grid.entropy_bytes(coarseness) <= n_bytes < grid.entropy_bytes(coarseness * 0.98) + 3


def test_the_coarsest_steps_leave_two_percent_of_each_layer():
    grid = Coarseness(weights(), {"a": 1.0, "b": 2.0}, 0.1)
    steps = grid.steps(grid.at(0.0, 1.0))
    for name, weight in weights().items():
        kept = int((levels(weight, steps[name], 0.1) != 0).sum())
        assert kept == math.ceil(0.02 * weight.numel())


def test_the_finest_steps_stay_within_the_coders_levels():
    grid = Coarseness(weights(), {"a": 1.0, "b": 2.0}, 0.0)
    steps = grid.steps(1e-12)
    assert all(levels(weight, steps[name], 0.0).abs().max() <= 4095 for name, weight in weights().items())


def test_a_layer_of_zeros_has_a_step():
    grid = Coarseness({"a": torch.zeros(10)}, {"a": 1.0}, 0.0)
    assert 0 < grid.steps(1.0)["a"] < math.inf and grid.entropy_bytes(1.0) == 0
