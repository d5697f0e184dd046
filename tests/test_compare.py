import json
import math
import subprocess
import sys

import numpy as np
import pytest
import tiny_net
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compress.artifact import writer
from compress.artifact.compare import compare, metadata_differences, value_difference
from compress.artifact.inspect import inspect
from compress.errors import CorruptArtifact, InputError
from compress.layer import RawTensor

FLOATS = arrays.arrays(np.float32, 6, elements=st.floats(width=32))  # NaN and infinity too
NAN, INF = math.nan, math.inf


def floats(*values):
    return np.array(values, np.float32)


def pair_of(tmp_path, layers_a, layers_b, **changes):
    a, b = tiny_net.write(tmp_path / "a.sqz", layers_a), tiny_net.write(tmp_path / "b.sqz", layers_b, **changes)
    return compare(a, b)


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "n_identical", "relative_rms", "max_abs"),
    [
        (floats(3, 4, 0, 0), floats(3, 4, 0, 0), 4, 0.0, 0.0),
        (floats(3, 4, 0, 0), floats(3, 3, 0, 0), 3, 0.2, 1.0),  # sqrt(1 / 25)
        (floats(3, 4, 0, 0), floats(0, 0, 0, 0), 2, 1.0, 4.0),
        (floats(0, 0), floats(0, 2), 1, None, 2.0),  # nothing to be relative to
        (floats(0, 0), floats(0, 0), 2, 0.0, 0.0),
        (floats(0, 0), floats(0, -0.0), 1, 0.0, 0.0),  # other bytes, the same number
        (floats(NAN, INF, 1), floats(NAN, INF, 1), 3, 0.0, 0.0),
        (floats(INF, 1), floats(INF, 2), 1, 0.0, 1.0),  # against an infinite rms
        (floats(INF, 1), floats(-INF, 1), 1, None, None),
        (floats(INF, 1), floats(NAN, 2), 0, None, None),
        (floats(1e38), floats(-1e38), 0, 2.0, 2 * float(np.float32(1e38))),  # no overflow
        (np.array([3, 4]), np.array([3, 3]), 1, 0.2, 1.0),
        (np.array(2**62), np.array(-(2**62)), 0, 2.0, 2.0**63),
    ],
)
def test_known_differences(a, b, n_identical, relative_rms, max_abs):
    found = value_difference(a, b)
    assert (found.n_weights, found.n_identical) == (a.size, n_identical)
    assert found.relative_rms == (None if relative_rms is None else pytest.approx(relative_rms))
    assert found.max_abs == max_abs
    assert found.identical == n_identical / a.size


@given(FLOATS, FLOATS)
def test_a_difference_is_none_only_with_itself(a, b):
    assert value_difference(a, a.copy()).identical == 1
    found, back = value_difference(a, b), value_difference(b, a)
    assert (found.n_identical, found.max_abs) == (back.n_identical, back.max_abs)
    assert (found.n_identical == found.n_weights) == (a.tobytes() == b.tobytes())
    json.dumps([found.relative_rms, found.max_abs], allow_nan=False)


@given(arrays.arrays(np.float32, (2, 3), elements=st.floats(-100, 100, width=32)), st.sampled_from([0.5, 2, -1, 4]))
def test_relative_rms_is_of_the_scale(a, factor):
    """b = factor * a, exactly, but where a subnormal is halved: rms(a - b) = |1 - factor| rms(a)."""
    a[np.abs(a) < 1e-30] = 0
    found = value_difference(a, a * np.float32(factor))
    assert found.relative_rms == pytest.approx(abs(1 - factor) if a.any() else 0)
    assert found.max_abs == pytest.approx(abs(1 - factor) * float(np.abs(a).max()))


# --- files -----------------------------------------------------------------------------------------------------------


def test_other_coders_are_other_bytes_and_the_same_tensors(tmp_path):
    a, b = tmp_path / "a.sqz", tmp_path / "b.sqz"
    writer.write(a, tiny_net.layers(), tiny_net.metadata())
    writer.write(b, tiny_net.layers(), tiny_net.metadata(), coder="stored", positions="gaps")
    found = compare(a, b)
    assert found.identical and found.same_input_convention and found.metadata == []
    assert found.a.sha256 != found.b.sha256
    assert {pair.outcome for pair in found.tensors} == {"identical"}
    weight = found.tensors[0]
    assert weight.b.codes == "stored" and weight.b.positions == "gaps/stored"
    assert weight.difference_bytes == weight.b.size_bytes - weight.a.size_bytes


def test_every_byte_is_in_a_part_and_every_tensor_has_its_row(tmp_path):
    found = pair_of(tmp_path, tiny_net.layers(), tiny_net.layers(seed=1))
    for file, side in ((found.a, "a"), (found.b, "b")):
        path = tmp_path / f"{side}.sqz"
        assert file.path == str(path) and file.parts.size_bytes == path.stat().st_size
        assert [getattr(pair, side) for pair in found.tensors] == [row for row in inspect(path) if row.kind]
    assert [pair.name for pair in found.tensors] == [layer.name for layer in tiny_net.layers()]


def test_values_are_compared_as_float32_whatever_holds_them(tmp_path):
    """A codebook of float16 and the same values as raw float32 are identical; a changed weight is found."""
    net = tiny_net.layers()
    values = [RawTensor(layer.name, layer.values().astype(np.float32)) for layer in net]
    assert pair_of(tmp_path, net, values).identical
    changed = values[0].array.copy()
    changed.flat[5] += 1
    found = pair_of(tmp_path, net, [RawTensor(values[0].name, changed), *values[1:]])
    assert not found.identical
    assert [pair.outcome for pair in found.tensors] == ["values differ"] + ["identical"] * 9
    difference = found.tensors[0].values
    assert difference.n_identical == difference.n_weights - 1 == 107
    assert difference.max_abs == pytest.approx(1)
    rms = math.sqrt(np.mean(np.square(values[0].array, dtype=np.float64)))
    assert difference.relative_rms == pytest.approx(1 / math.sqrt(108) / rms)


def test_tensors_that_cannot_be_compared_are_said_to_be(tmp_path):
    def raw(name, *values, dtype=np.float32):
        return RawTensor(name, np.array(values, dtype))

    a = [raw("same", 1, 2), raw("gone", 1), raw("shape", 1, 2, 3), raw("type", 1, 2), raw("count", 7, dtype=np.int64)]
    b = [raw("new", 1, 1), raw("count", 7, dtype=np.int64), raw("type", 1, 2, dtype=np.int64), raw("shape", 1), raw("same", 1, 2)]
    found = pair_of(tmp_path, a, b)
    assert {pair.name: pair.outcome for pair in found.tensors} == {
        "same": "identical",
        "gone": "only in A",
        "shape": "shapes differ",
        "type": "types differ",
        "count": "identical",
        "new": "only in B",
    }
    assert [pair.name for pair in found.tensors] == ["same", "gone", "shape", "type", "count", "new"]  # A's order, then B's
    by_name = {pair.name: pair for pair in found.tensors}
    assert not found.identical
    assert all((pair.values is None) == (pair.outcome != "identical") for pair in found.tensors)
    assert by_name["gone"].b is None and by_name["gone"].difference_bytes == -by_name["gone"].a.size_bytes
    assert by_name["new"].a is None and by_name["new"].difference_bytes == by_name["new"].b.size_bytes
    assert (by_name["shape"].a.shape, by_name["shape"].b.shape) == ((3,), (1,))


@pytest.mark.parametrize(
    ("described", "same"),
    [
        (tiny_net.INPUT, True),
        ({**tiny_net.INPUT, "size": 8, "resize": 9}, True),  # the weights do not depend on it
        ({**tiny_net.INPUT, "channels": "BGR"}, False),
        ({**tiny_net.INPUT, "mean": [0.485, 0.456, 0.407]}, False),
        (tiny_net.CAFFE_INPUT, False),
        (None, False),
    ],
)
def test_the_input_convention(tmp_path, described, same):
    """The tensors are compared as stored: what is not folded is not found different, the flag says it."""
    found = pair_of(tmp_path, tiny_net.layers(), tiny_net.layers(), input=described)
    assert found.identical and found.same_input_convention is same


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ({"x": 1}, {"x": 1}, []),
        ({"x": 1}, {"x": 2}, [("x", "1", "2")]),
        ({"x": None}, {}, [("x", "null", None)]),
        ({}, {"y": {"z": "ü"}}, [("y.z", None, '"ü"')]),
        ({"r": {"name": "a", "n": 1}}, {"r": {"name": "b", "n": 1}}, [("r.name", '"a"', '"b"')]),
        ({"r": {}}, {"r": {"n": 1}}, [("r", "{}", None), ("r.n", None, "1")]),
        ({"x": [1, 2]}, {"x": [1, 3]}, [("x", "[1, 2]", "[1, 3]")]),
        ({"a.b": 1}, {"a": {"b": 1}}, [("a.b", None, "1"), ("a.b", "1", None)]),
        ({"b": 1, "a": 1}, {}, [("a", "1", None), ("b", "1", None)]),
    ],
)
def test_metadata_differences(a, b, expected):
    assert [(found.key, found.a, found.b) for found in metadata_differences(a, b)] == expected


def test_json_has_every_fact(tmp_path):
    net = tiny_net.layers()
    zeros = RawTensor(net[1].name, np.zeros(4, np.float32))
    facts = pair_of(tmp_path, [net[0], zeros], net, classes=["a", "b", "c"]).to_json()
    assert json.loads(json.dumps(facts, allow_nan=False))["identical"] is False
    assert facts["a"]["size_bytes"] == (tmp_path / "a.sqz").stat().st_size == sum(facts["a"]["parts"].values())
    assert facts["b"]["metadata"]["classes"] == ["a", "b", "c"]
    assert facts["metadata"] == [{"key": "classes", "a": '["cat", "dog", "owl"]', "b": '["a", "b", "c"]'}]
    weight, bias, *others = facts["tensors"]
    row = inspect(tmp_path / "a.sqz")[2]
    assert (weight["a"]["size_bytes"], weight["a"]["density"]) == (row.size_bytes, row.n_nonzero / 108)
    assert weight["values"] == {"n_weights": 108, "n_identical": 108, "identical": 1.0, "relative_rms": 0.0, "max_abs": 0.0}
    assert bias["values"]["relative_rms"] is None and bias["values"]["max_abs"] > 0
    assert all(tensor["a"] is None and tensor["values"] is None for tensor in others)


def test_a_file_that_is_refused_is_named(tmp_path):
    good, bad = tiny_net.write(tmp_path / "good.sqz"), tmp_path / "bad.sqz"
    data = good.read_bytes()
    bad.write_bytes(data[:-40] + bytes([data[-40] ^ 1]) + data[-39:])  # in a payload: inspect alone would not see it
    for pair in ((good, bad), (bad, good)):
        with pytest.raises(CorruptArtifact, match=r"bad\.sqz: .* is damaged"):
            compare(*pair)
    with pytest.raises(InputError, match=r"none\.sqz: cannot be read"):
        compare(good, tmp_path / "none.sqz")


def test_comparing_costs_no_torch(tmp_path):
    path = str(tiny_net.write(tmp_path / "net.sqz"))
    code = (
        "import sys; from compress.artifact.compare import compare\n"
        "assert compare(*sys.argv[1:]).identical and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, path, path], check=True)
