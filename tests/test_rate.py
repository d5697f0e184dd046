import itertools

import numpy as np
import pytest
import torch
from torch import nn

from compress.artifact import writer
from compress.layer import RawTensor
from compress.quantize.error_feedback import error_feedback, input_moments
from compress.quantize.rate import RateQuantizer
from compress.recipe import Tune


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 5)).eval()


WEIGHTS = ["0.weight", "2.weight", "5.weight"]


def batches():
    generator = torch.Generator().manual_seed(1)
    while True:
        yield torch.randn(8, 3, 8, 8, generator=generator) + torch.randn(8, 3, 1, 1, generator=generator)


def size_of(quantized):
    raw = [RawTensor(name, tensor.numpy()) for name, tensor in quantized.others.items()]
    return len(writer.to_bytes([*quantized.layers.values(), *raw], {}))


def quantizer(max_bytes, feedback=None, **options):
    tensors = {name: tensor.clone() for name, tensor in net().state_dict().items()}
    return RateQuantizer(
        {name: tensors[name] for name in WEIGHTS},
        {"0.bias": tensors["0.bias"], "2.bias": tensors["2.bias"]},
        {"5.bias": tensors["5.bias"]},
        bases={"0.weight": 1.0, "2.weight": 1.5, "5.weight": 2.0},
        **{"dead_zone": 0.0, "bias_bits": 8, "size_of": size_of, "feedback": feedback or {}, "max_bytes": max_bytes} | options,
    )


@pytest.mark.parametrize("max_bytes", [700, 1000, 1800])
def test_the_file_is_as_large_as_it_may_be(max_bytes):
    n_bytes = size_of(quantizer(max_bytes).quantized())
    assert 0.98 * max_bytes < n_bytes <= max_bytes


def test_what_the_net_computes_with_is_what_the_layers_hold():
    made = quantizer(1000)
    layers, tensors = made.quantized().layers, made.tensors()
    assert set(layers) == {*WEIGHTS, "0.bias", "2.bias"} and set(tensors) == set(net().state_dict())
    for name, layer in layers.items():
        np.testing.assert_array_equal(layer.values(), tensors[name].detach().numpy())
    assert max(np.abs(layers["0.bias"].indices)) == 127
    np.testing.assert_allclose(layers["0.bias"].values(), net()[0].bias.detach(), atol=layers["0.bias"].step / 2)


def test_a_bias_of_zeros_and_few_bits():
    made = quantizer(1000, bias_bits=2)
    assert set(np.unique(made.quantized().layers["2.bias"].indices)) <= {-1, 0, 1}
    with torch.no_grad():
        zeros = RateQuantizer(
            {"w": torch.ones(4, 4)}, {"b": torch.zeros(3)}, {}, bases={"w": 1.0}, dead_zone=0.0, bias_bits=8,
            max_bytes=10_000, size_of=size_of, feedback={},
        )  # fmt: skip
    assert not zeros.quantized().layers["b"].values().any()


def test_a_target_that_cannot_be_met_leaves_the_smallest_file():
    made = quantizer(10)
    smallest = size_of(made.quantized())
    assert smallest > 10
    assert all(layer.n_nonzero >= 0.02 * layer.n_weights for layer in made.quantized().layers.values())
    assert smallest <= size_of(quantizer(smallest + 5).quantized())


def test_feedback_makes_the_outputs_nearer_at_the_same_size():
    teacher, x = net(), next(batches())
    moments = input_moments(net(), WEIGHTS, batches(), 64)
    errors = []
    for feedback in (error_feedback(dict(net().named_parameters()), moments), {}):
        made = quantizer(900, feedback)
        student = net()
        student.load_state_dict(made.tensors())
        errors.append((student(x) - teacher(x)).square().mean().item())
        assert 0.98 * 900 < size_of(made.quantized()) <= 900
    assert errors[0] < 0.8 * errors[1]


def test_tuning_brings_the_outputs_nearer_and_keeps_the_size():
    losses = []
    made = quantizer(900)
    tune = Tune(steps=60, learning_rate=0.02, batch_size=8)
    before = made.quantized().layers
    made.tune(net(), net(), tune, batches(), lambda step, steps, loss: losses.append(loss))
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    after = made.quantized().layers
    assert 0.98 * 900 < size_of(made.quantized()) <= 900
    assert any((after[name].indices != before[name].indices).any() for name in WEIGHTS)


def test_no_steps_change_nothing():
    made = quantizer(900)
    before = made.quantized()
    made.tune(net(), net(), Tune(steps=0, learning_rate=1.0), itertools.repeat(None), lambda *_: None)
    assert all((made.quantized().layers[name].indices == before.layers[name].indices).all() for name in before.layers)
    assert made.coarseness == before.coarseness
