import math

import numpy as np
import pytest
import tiny_net
from hypothesis import given
from hypothesis import strategies as st

from compress.artifact.inspect import inspect
from compress.artifact.reader import read
from compress.report.layer_facts import CodingTotals, layer_facts, order_0_entropy, relative_error, totals


@pytest.mark.parametrize(
    ("indices", "bits"), [([0], 0), ([3, 3], 0), ([0, 1], 1), ([-1, 0, 1, 2], 2), ([0, 0, 0, 5], 2 - 0.75 * math.log2(3))]
)
def test_known_entropy(indices, bits):
    assert order_0_entropy(np.array(indices, np.int32)) == pytest.approx(bits)


@given(st.lists(st.integers(-300, 300), min_size=1, max_size=200), st.randoms())
def test_entropy_knows_no_order_and_no_names(indices, random):
    shuffled = indices.copy()
    random.shuffle(shuffled)
    entropy = order_0_entropy(np.array(indices, np.int32))
    assert entropy == pytest.approx(order_0_entropy(np.array(shuffled, np.int32) * 3 - 7))
    assert 0 <= entropy <= math.log2(len(set(indices))) + 1e-9


def test_relative_error():
    before = np.array([3.0, 4.0], np.float32)
    assert relative_error(before, before) == 0
    assert relative_error(before, np.zeros(2, np.float32)) == 1
    assert relative_error(before, np.array([3.0, 3.0], np.float32)) == pytest.approx(0.2)
    assert relative_error(before, before[:1]) is None and relative_error(None, before) is None
    assert relative_error(np.zeros(2), before) is None


def test_facts_of_a_file(tmp_path):
    path = tiny_net.write(tmp_path / "net.sqz")
    artifact, rows = read(path), inspect(path)
    name = "features.0.weight"
    facts = layer_facts(artifact, rows, {name: artifact.layers[name].values() * 2}, {name: 0.5})
    assert [each.name for each in facts] == [f"{module}.weight" for module in tiny_net.SHAPES]
    first, second = facts[:2]
    layer = artifact.layers[name]
    assert first.density == layer.n_nonzero / layer.n_weights and first.n_values == 4
    assert first.relative_error == pytest.approx(0.5) and first.sensitivity == 0.5
    assert second.relative_error is None and second.sensitivity is None
    row = next(row for row in rows if row.name == name)
    assert first.bits_per_weight == row.bits_per_weight
    assert first.coded_bytes == row.size_bytes - row.table_bytes - row.codebook_bytes
    found = totals(facts)
    assert found == CodingTotals(
        sum(each.coded_bytes for each in facts), pytest.approx(sum(each.n_weights * each.entropy_bits for each in facts) / 8)
    )
    assert totals([]) is None
