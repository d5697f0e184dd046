import math

import pytest

from compress.errors import TrainingDiverged
from compress.train.guards import StuckAtChance, diverged, is_hopeless

CHANCE = math.log(10)


def look(guard, steps, loss, guessing=CHANCE):
    """The step at which it raises; None where it does not."""
    for step in steps:
        try:
            guard.look(step, loss, guessing)
        except TrainingDiverged:
            return step
    return None


@pytest.mark.parametrize(
    ("n_steps", "warmup", "step"), [(300, 0.0, 300), (3000, 0.0, 300), (10_000, 0.0, 1000), (10_000, 0.2, 2800), (299, 0.5, None)]
)
def test_a_net_at_chance_is_told_after_the_warm_up_and_not_before(n_steps, warmup, step):
    assert look(StuckAtChance(n_steps, warmup), range(1, n_steps + 1), CHANCE) == step


def test_what_to_try():
    guard = StuckAtChance(300, 0.0)
    assert look(guard, range(1, 300), 2.301) is None
    with pytest.raises(TrainingDiverged) as raised:
        guard.look(300, 2.301, CHANCE)
    assert str(raised.value) == (
        "train: after 300 steps the loss is 2.301, guessing gives 2.303: the net learns nothing; try train.batchnorm: true, a "
        "learning_rate of a third, a longer warmup, or model.conv10_relu: false (with few classes an output that dies is never "
        "learned)"
    )


def test_a_net_that_learns_is_let_go_on():
    assert look(StuckAtChance(1000, 0.0), range(1, 1001), 0.98 * CHANCE) is None


def test_it_looks_at_a_hundred_steps_once():
    guard = StuckAtChance(1000, 0.0)
    assert look(guard, range(1, 201), CHANCE) is None  # before the window
    assert look(guard, range(201, 301), 0.9 * CHANCE) is None
    assert look(guard, range(301, 1001), CHANCE) is None  # it has learned once, and is not looked at again


@pytest.mark.parametrize(("resumed_after", "step"), [(0, 300), (250, 350), (700, 800), (950, None)])
def test_a_resumed_run_is_looked_at_too(resumed_after, step):
    assert look(StuckAtChance(1000, 0.0), range(resumed_after + 1, 1001), CHANCE) == step


def test_the_loss_of_guessing_is_what_it_is_compared_with():
    """With train.distill at a temperature a loss far above ln(classes) is no sign of a net that learns nothing."""
    assert look(StuckAtChance(300, 0.0), range(1, 301), 4.0, guessing=15.0) is None
    assert look(StuckAtChance(300, 0.0), range(1, 301), 15.0, guessing=15.0) == 300


@pytest.mark.parametrize(
    ("loss", "guessing", "hopeless"),
    [
        (math.nan, 2.3, True),
        (math.inf, 2.3, True),
        (1e6, 2.3, True),
        (1000.0, 2.3, False),
        (0.0, 0.0, False),
        (9999.0, 0.0, False),
    ],
)
def test_hopeless_losses(loss, guessing, hopeless):
    assert is_hopeless(loss, guessing) is hopeless


def test_where_it_diverged_and_what_to_try():
    advice = "lower train.learning_rate, give it a warmup, or set clip: 1"
    assert str(diverged("the loss is nan", 3, 80, None)) == f"train: the loss is nan at step 3 of 80; {advice}"
    found = str(diverged("the loss is nan", 3, 80, "features.0.weight"))
    assert found == f"train: the loss is nan at step 3 of 80, first in features.0.weight; {advice}"
