import pytest
import torch

from compress.errors import TrainingDiverged
from compress.models.squeezenet import SqueezeNet
from compress.train.classify import train


def stripes(n=96):
    """Three classes that a person can tell: horizontal stripes, vertical stripes, plain; a little noise."""
    labels = torch.arange(n) % 3
    bars = (torch.arange(8) % 2 * 2.0 - 1).expand(8, 8)
    patterns = torch.stack([bars.T, bars, torch.zeros(8, 8)])
    return patterns[labels][:, None] + 0.1 * torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(0)), labels


def trained(spec, seed=0, epochs=16, learning_rate=0.01, images=None, on_step=lambda *step: None):
    net = SqueezeNet(spec)
    net.init_weights(torch.Generator().manual_seed(0))
    made, labels = stripes()
    train(
        net,
        made if images is None else images,
        labels,
        epochs=epochs,
        batch_size=20,
        learning_rate=learning_rate,
        generator=torch.Generator().manual_seed(seed),
        on_step=on_step,
    )
    return net


def test_a_toy_set_is_learned(tiny_spec):
    told = []
    net = trained(tiny_spec, on_step=lambda *step: told.append(step))
    images, labels = stripes()
    with torch.no_grad():
        assert (net(images).argmax(1) == labels).float().mean() == 1
    assert not net.training
    assert [step[:2] for step in told] == [(i, 80) for i in range(1, 81)]  # 16 epochs of 5 batches, the last one short
    assert told[-1][2] < 0.2 < told[0][2]


def test_the_order_of_the_images_is_the_generators(tiny_spec):
    first, again, other = (trained(tiny_spec, seed, epochs=2).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_every_image_is_seen_once_an_epoch_and_the_rate_falls_to_zero(tiny_spec, monkeypatch):
    rates = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda self, *a, **k: (rates.append(self.param_groups[0]["lr"]), step(self, *a, **k))[1]
    )
    trained(tiny_spec, epochs=2, learning_rate=0.01)
    assert rates == pytest.approx([0.01 * (1 - i / 10) for i in range(10)])


def test_a_loss_that_is_not_finite_stops_the_training(tiny_spec):
    images, _ = stripes()
    with pytest.raises(TrainingDiverged, match=r"^train: the loss is nan at step 0 of 80; lower train.learning_rate$"):
        trained(tiny_spec, images=images * torch.nan)
