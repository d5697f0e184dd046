"""Seeds of one point, as one."""

import math
from dataclasses import replace

import pytest
from test_explore_results import result

from compress.explore.means import front, n_seeds, over_seeds


def of(index, seed, top1, **changes):
    fields = {"seed": seed, "model.squeeze_ratio": 0.5} | changes.pop("fields", {})
    label = changes.pop("label", f"seed {seed}, squeeze_ratio 0.5")
    about = {"fp32_top1": top1 + 0.02, "n": 400, "fields": fields, "label": label}
    return result(index, 100 + index, top1, **about | changes)


def test_points_that_differ_in_their_seed_alone_are_one():
    other = of(1, 0, 0.9, fields={"model.squeeze_ratio": 0.25}, label="seed 0, squeeze_ratio 0.25")
    mean, alone = over_seeds([of(0, 0, 0.70), other, of(2, 1, 0.72), of(5, 2, 0.77)])
    assert mean.label == "squeeze_ratio 0.5" and [found.index for found in mean.results] == [0, 2, 5]
    assert mean.size_bytes == pytest.approx(307 / 3)
    assert mean.top1.value == pytest.approx(0.73)
    # the sample's standard deviation over the root of their number: squares .0009 + .0001 + .0016 over 2, and over 3
    assert mean.top1.error == pytest.approx(math.sqrt(0.0026 / 2 / 3))
    assert mean.fp32_top1.value == pytest.approx(0.75) and mean.fp32_top1.error == pytest.approx(mean.top1.error)
    assert mean.drop.value == pytest.approx(0.02) and mean.drop.error == pytest.approx(0, abs=1e-12)
    assert alone.label == "seed 0, squeeze_ratio 0.25" and alone.results == (other,)


def test_the_spread_of_seeds_is_pooled_over_the_points():
    """Two seeds that happen to agree are no better known than others: (2 * .0004 + 1 * 0) over 3 degrees of freedom."""
    many = [of(i, i, top1) for i, top1 in enumerate((0.70, 0.72, 0.74))]
    fields, label = {"model.squeeze_ratio": 0.25}, "seed {}, squeeze_ratio 0.25"
    two = [of(3 + i, i, 0.6, fields=fields, label=label.format(i)) for i in range(2)]
    one = of(6, 0, 0.5, fields={"model.squeeze_ratio": 0.125}, label="seed 0, squeeze_ratio 0.125")
    spread = math.sqrt(0.0008 / 3)
    found = over_seeds([*many, *two, one])
    assert [mean.top1.error for mean in found] == pytest.approx([spread / math.sqrt(n) for n in (3, 2, 1)])
    assert n_seeds(found) == (1, 3)


def test_the_error_of_a_single_seed_is_that_of_its_images():
    [mean] = over_seeds([of(0, 0, 0.8, drop_interval=0.0196)])
    assert mean.top1.error == pytest.approx(math.sqrt(0.8 * 0.2 / 400))
    assert mean.drop.value == pytest.approx(0.02) and mean.drop.error == pytest.approx(0.01)


def test_a_point_that_was_chosen_twice_counts_once():
    [mean] = over_seeds([of(0, 0, 0.8), of(3, 0, 0.8)])
    assert [found.index for found in mean.results] == [0] and mean.top1.error == pytest.approx(math.sqrt(0.8 * 0.2 / 400))


def test_points_without_a_file_have_no_figures():
    failed = replace(of(1, 1, 0.5), size_bytes=None, top1=None, fp32_top1=None, n=None, error="no")
    [mean] = over_seeds([of(0, 0, 0.7), failed])
    assert [found.index for found in mean.results] == [0] and mean.top1.value == pytest.approx(0.7)
    [none] = over_seeds([failed])
    assert none.results == () and none.size_bytes is none.top1 is none.fp32_top1 is none.drop is None


def test_the_front():
    """Smaller or better than every other; of equal ones, the first."""
    figures = [
        (300, 0.8),
        (100, 0.5),
        (200, 0.4),  # larger and worse than 1
        (300, 0.7),  # as large as 0, and worse
        (200, 0.6),
        (400, 0.8),  # larger than 0, and no better
        (100, 0.5),
        (50, None),  # not measured
        (None, None),
    ]
    found = [result(i, *each, fields={"quantize.bits": i}, label=f"bits {i}") for i, each in enumerate(figures)]
    assert [mean.label for mean in front(over_seeds(found))] == ["bits 1", "bits 4", "bits 0"]
    assert front([]) == []


def test_a_lucky_seed_makes_no_front():
    small = [result(i, 100, top1, fields={"seed": i, "a": 1}, label=f"seed {i}, a 1") for i, top1 in enumerate((0.5, 0.6))]
    large = [result(i, 200, top1, fields={"seed": i, "a": 2}, label=f"seed {i}, a 2") for i, top1 in enumerate((0.44, 0.62))]
    assert [mean.label for mean in front(over_seeds([*small, *large]))] == ["a 1"]


def test_a_label_of_its_own_is_kept():
    [mean] = over_seeds([of(0, 0, 0.7, label="mine"), of(1, 1, 0.7, label="mine")])
    assert mean.label == "mine"
    seeds = [result(i, 1, 0.5, fields={"seed": i}, label=f"seed {i}") for i in range(2)]
    assert [mean.label for mean in over_seeds(seeds)] == ["as the recipe"]


def test_points_that_differ_in_a_table_are_two():
    tables = [result(i, 1, 0.5, fields={"prune.density": {"a": density}}) for i, density in enumerate((0.1, 0.2))]
    assert len(over_seeds(tables)) == 2
