import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.recipe import Train
from compress.train.schedule import GROWN, crop_side, rate_factor


def rates(n_steps, **settings):
    return [rate_factor(Train(iterations=n_steps, **settings), step, n_steps) for step in range(n_steps)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [1, 0.75, 0.5, 0.25]),
        ({"schedule": "poly", "power": 2.0}, [1, 0.5625, 0.25, 0.0625]),
        ({"schedule": "poly", "power": 0.5}, [1, 0.866025, 0.707107, 0.5]),
        ({"schedule": "cosine"}, [1, 0.853553, 0.5, 0.146447]),
        ({"warmup": 0.5}, [0.5, 1, 1, 0.5]),
        ({"warmup": 0.25, "schedule": "cosine"}, [1, 1, 0.75, 0.25]),
        ({"warmup": 0.99}, [0.25, 0.5, 0.75, 1]),  # rounded to all of the steps
        ({"warmup": 0.1}, [1, 0.75, 0.5, 0.25]),  # rounded to none
    ],
)
def test_rates(settings, expected):
    assert rates(4, **settings) == pytest.approx(expected, abs=1e-6)


def test_a_run_of_one_step_has_the_full_rate():
    assert [rates(1, schedule=name) for name in ("linear", "poly", "cosine")] == [[1], [1], [1]]


@given(st.integers(1, 300), st.floats(0, 0.999), st.sampled_from(["linear", "poly", "cosine"]))
def test_a_rate_rises_then_falls_and_is_never_0(n_steps, warmup, schedule):
    found = rates(n_steps, warmup=warmup, schedule=schedule)
    peak = found.index(max(found))
    assert min(found) > 0 and max(found) <= 1
    assert found[: peak + 1] == sorted(found[: peak + 1]) and found[peak:] == sorted(found[peak:], reverse=True)


def sides(first, last, n_steps):
    settings = Train(iterations=n_steps, first_crop=first)
    return [crop_side(settings, last, step, n_steps) for step in range(n_steps)]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (None, 160, [160] * 10),
        (160, 160, [160] * 10),
        (227, 160, [160] * 10),
        (128, 160, [128, 128, 144, 144, 144, 144, 160, 160, 160, 160]),
        (96, 227, [96, 112, 128, 160, 176, 192, 208, 227, 227, 227]),
        (155, 160, [155] * 7 + [160] * 3),  # less than a step of 16 apart
    ],
)
def test_crop_sides(first, last, expected):
    assert sides(first, last, 10) == expected


@given(st.integers(8, 512), st.integers(8, 512), st.integers(1, 200))
def test_crops_grow_to_the_last_side(first, last, n_steps):
    found = sides(first, last, n_steps)
    assert found == sorted(found)
    assert all(side == last or (side < last and (side - first) % 16 == 0) for side in found)
    assert all(side == last for step, side in enumerate(found) if step >= GROWN * n_steps)
