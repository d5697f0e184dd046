"""Seeds of one point, as one."""

import math
from dataclasses import replace

import pytest
from test_explore_results import result

from compress.explore.means import over_seeds


def of(index, seed, top1, **changes):
    fields = {"seed": seed, "model.squeeze_ratio": 0.5} | changes.pop("fields", {})
    label = changes.pop("label", f"seed {seed}, squeeze_ratio 0.5")
    about = {"fp32_top1": top1 + 0.02, "n": 400, "fields": fields, "label": label}
    return result(index, 100 + index, top1, **about | changes)


def test_points_that_differ_in_their_seed_alone_are_one():
    other = of(1, 0, 0.9, fields={"model.squeeze_ratio": 0.25}, label="seed 0, squeeze_ratio 0.25")
    mean, alone = over_seeds([of(0, 0, 0.70), other, of(2, 1, 0.72), of(5, 2, 0.77)])
    assert mean.label == "squeeze_ratio 0.5" and mean.name == "0, 2, 5" and mean.n_failed == 0
    assert mean.size_bytes == pytest.approx(307 / 3)
    assert mean.top1.value == pytest.approx(0.73)
    # the sample's standard deviation over the root of their number: squares .0009 + .0001 + .0016 over 2, and over 3
    assert mean.top1.error == pytest.approx(math.sqrt(0.0026 / 2 / 3))
    assert mean.fp32_top1.value == pytest.approx(0.75) and mean.fp32_top1.error == pytest.approx(mean.top1.error)
    assert mean.drop.value == pytest.approx(0.02) and mean.drop.error == pytest.approx(0, abs=1e-12)
    assert alone.label == "seed 0, squeeze_ratio 0.25" and alone.results == (other,)


def test_the_error_of_a_single_seed_is_that_of_its_images():
    [mean] = over_seeds([of(0, 0, 0.8, drop_interval=0.0196)])
    assert mean.top1.error == pytest.approx(math.sqrt(0.8 * 0.2 / 400))
    assert mean.drop.value == pytest.approx(0.02) and mean.drop.error == pytest.approx(0.01)


def test_points_without_a_file_are_counted():
    failed = replace(of(1, 1, 0.5), size_bytes=None, top1=None, fp32_top1=None, n=None, error="no")
    [mean] = over_seeds([of(0, 0, 0.7), failed])
    assert mean.n_failed == 1 and mean.name == "0" and mean.top1.value == pytest.approx(0.7)
    [none] = over_seeds([failed])
    assert none.n_failed == 1 and none.size_bytes is none.top1 is none.fp32_top1 is none.drop is None


def test_a_label_of_its_own_is_kept():
    [mean] = over_seeds([of(0, 0, 0.7, label="mine"), of(1, 1, 0.7, label="mine")])
    assert mean.label == "mine"
    seeds = [result(i, 1, 0.5, fields={"seed": i}, label=f"seed {i}") for i in range(2)]
    assert [mean.label for mean in over_seeds(seeds)] == ["as the recipe"]


def test_points_that_differ_in_a_table_are_two():
    tables = [result(i, 1, 0.5, fields={"prune.density": {"a": density}}) for i, density in enumerate((0.1, 0.2))]
    assert len(over_seeds(tables)) == 2
