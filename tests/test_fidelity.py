import math

import numpy as np
import pytest
import torch
from torch import nn

from compress.convention import InputConvention
from compress.data.preprocess import normalise
from compress.measure.fidelity import Fidelity, at_chance_level, compare, logits, paired_interval, right_in_top

REFERENCE = torch.tensor([[2.0, 0, 0], [0, 2, 0], [0, 0, 2], [2, 0, 0]])  # top-1: 0 1 2 0
OUTPUTS = torch.tensor([[2.0, 0, 0], [2, 0, 0], [0, 0, 2], [0, 2, 0]])  # top-1: 0 0 2 1


def test_agreement_by_hand():
    fidelity = compare(OUTPUTS, REFERENCE, None)
    assert (fidelity.n, fidelity.agreement) == (4, 0.5)
    assert fidelity.top1 is fidelity.top5 is fidelity.top1_drop is fidelity.drop_interval is None


def test_kl_by_hand():
    # where they differ, the outputs are those of the reference with two classes exchanged: KL = (p - q) (log p - log q)
    p, q = math.e**2 / (math.e**2 + 2), 1 / (math.e**2 + 2)
    assert compare(OUTPUTS, REFERENCE, None).mean_kl == pytest.approx((0 + 2 * (p - q) * 2 + 0) / 4, rel=1e-5)


def test_kl_is_of_the_reference_not_the_other_way_round():
    reference, outputs = torch.tensor([[0.8, 0.2]]).log(), torch.tensor([[0.5, 0.5]]).log()
    expected = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    assert compare(outputs, reference, None).mean_kl == pytest.approx(expected, rel=1e-5)


def test_equal_outputs_lose_nothing():
    fidelity = compare(REFERENCE, REFERENCE.clone(), torch.tensor([0, 1, 2, 1]))
    assert fidelity.agreement == 1 and fidelity.mean_kl == 0
    assert (fidelity.top1, fidelity.top1_drop, fidelity.drop_interval) == (0.75, 0, 0)


def test_equal_answers_are_not_equal_nets():
    """No image changed, of four: that says little of the next one."""
    fidelity = compare(REFERENCE, REFERENCE + 7, torch.tensor([0, 1, 2, 1]))  # a constant changes no softmax
    assert fidelity.agreement == 1 and abs(fidelity.mean_kl) < 1e-6 and fidelity.top1_drop == 0
    assert fidelity.drop_interval == pytest.approx(1.959964 / 6)  # sqrt(0.5 + 0.5) / (4 + 2)


def test_the_paired_interval_by_hand():
    labels = torch.tensor([0, 1, 2, 1])  # reference right: 1 1 1 0; outputs right: 1 0 1 1
    fidelity = compare(OUTPUTS, REFERENCE, labels)
    assert (fidelity.top1, fidelity.top5) == (0.75, 1.0)  # three classes: top-5 is all of them
    assert fidelity.top1_drop == 0  # one lost, one won
    assert fidelity.drop_interval == pytest.approx(1.959964 * math.sqrt(1.5 + 1.5) / 6)


@pytest.mark.parametrize("lost", [0.0, 0.02, 0.2, 1.0])
def test_the_paired_interval_covers_the_difference(lost):
    """Of 2,000 sets of 100 images, at least 93% hold the true difference in their interval, also where little changes."""
    rng = np.random.default_rng(0)
    counts = rng.multinomial(100, [lost, (1 - lost) / 20, (1 - lost) * 19 / 20], size=2000) / 100
    covered = [abs(b - c - (lost - (1 - lost) / 20)) <= paired_interval(b, c, 100) for b, c, _ in counts]
    assert np.mean(covered) >= 0.93


def test_on_many_images_the_interval_is_the_plain_one():
    lost = np.repeat([1.0, -1, 0], [3000, 2000, 15000])
    assert paired_interval(0.15, 0.10, 20000) == pytest.approx(1.959964 * lost.std(ddof=1) / math.sqrt(20000), rel=1e-3)


def test_an_image_of_weight_two_counts_as_two():
    labels, weights = torch.tensor([0, 1, 2, 1]), torch.tensor([2.0, 1, 1, 1])
    twice = torch.tensor([0, 0, 1, 2, 3])
    weighted = compare(OUTPUTS, REFERENCE, labels, weights)
    repeated = compare(OUTPUTS[twice], REFERENCE[twice], labels[twice])
    for name in ("agreement", "mean_kl", "top1", "top5", "top1_drop"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name))
    assert weighted.n == 4 and weighted.drop_interval > repeated.drop_interval  # four images know less than five
    assert weighted.drop_interval == pytest.approx(paired_interval(0.2, 0.2, 25 / 7))


def test_the_sign_of_the_drop():
    worse = compare(torch.tensor([[0.0, 1], [0, 1]]), torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([0, 1]))
    assert (worse.top1_drop, worse.top1) == (0.5, 0.5)


def test_one_image_has_no_interval():
    assert compare(REFERENCE[:1], REFERENCE[:1], torch.tensor([0])).drop_interval is None


def test_top_k_by_hand():
    outputs = torch.tensor([[5.0, 4, 3, 2, 1, 0, -1]]).expand(7, 7)
    labels = torch.arange(7)
    assert right_in_top(outputs, labels, 1).tolist() == [True] + [False] * 6
    assert right_in_top(outputs, labels, 5).tolist() == [True] * 5 + [False] * 2
    assert compare(outputs, outputs, labels).top5 == pytest.approx(5 / 7)


def test_of_equal_logits_the_first_is_the_answer():
    """As argmax says it, by which nets agree; a dead output gives the same logit to every class."""
    dead = torch.zeros(10, 10)
    assert right_in_top(dead, torch.arange(10), 1).tolist() == [True] + [False] * 9
    assert right_in_top(dead, torch.arange(10), 5).tolist() == [True] * 5 + [False] * 5
    assert (dead.argmax(1) == 0).all()


def test_logits_are_those_of_the_normalised_images_in_batches_of_any_size():
    convention = InputConvention("RGB", 1.0, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), size=4, resize=4)
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).eval()
    pixels = torch.randint(0, 256, (7, 4, 4, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = net(normalise(pixels, convention)).detach()
    for batch_size in (1, 3, 64):
        outputs = logits(net, pixels, convention, batch_size=batch_size)
        torch.testing.assert_close(outputs, expected)
        assert not outputs.requires_grad and outputs.dtype == torch.float32


@pytest.mark.parametrize(("n_right", "chance"), [(0, True), (4, True), (5, False), (60, False)])
def test_chance_level(n_right, chance):
    """Of 100 images and 100 classes a guess is right once on average, and more than 4 times in one of 100 sets at most."""
    found = Fidelity(100, 1.0, 0.0, top1=n_right / 100)
    assert at_chance_level(found, 100) is chance
    assert not at_chance_level(Fidelity(100, 1.0, 0.0), 100)
