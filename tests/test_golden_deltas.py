"""The deltas of tests/golden/ must apply for ever, those of golden_bad/ be refused; make_golden_deltas.py makes both."""

import json

import plain_delta
import pytest
from make_golden import GOLDEN, GOLDEN_BAD

from compress import errors
from compress.artifact import delta_apply

FILES = sorted(GOLDEN.glob("*.sqzd"))
BAD_FILES = sorted(GOLDEN_BAD.glob("*.sqzd"))
PAIRS = json.loads((GOLDEN / "deltas.json").read_text())
EXPECTED = json.loads((GOLDEN_BAD / "expected_deltas.json").read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_delta_makes_the_same_file(path, tmp_path):
    base, new = GOLDEN / PAIRS[path.name]["base"], GOLDEN / PAIRS[path.name]["new"]
    delta_apply.apply(base, path, tmp_path / "new.sqz")
    assert (tmp_path / "new.sqz").read_bytes() == new.read_bytes()
    assert plain_delta.apply(base.read_bytes(), path.read_bytes()) == new.read_bytes()


@pytest.mark.parametrize("path", BAD_FILES, ids=lambda path: path.stem)
def test_bad_delta_is_refused_by_name(path, tmp_path):
    expected = EXPECTED[path.name]
    with pytest.raises(errors.CompressError) as caught:
        delta_apply.apply(GOLDEN / expected["base"], path, tmp_path / "new.sqz")
    assert type(caught.value).__name__ == expected["error"]
    assert str(path) in str(caught.value) and expected["message"] in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_every_delta_is_expected():
    assert {path.name for path in FILES} == set(PAIRS) and {path.name for path in BAD_FILES} == set(EXPECTED)
    errors_of = {row["error"] for row in EXPECTED.values()}
    assert errors_of == {"CorruptArtifact", "CorruptStream", "LimitExceeded", "UnsupportedVersion", "WrongBase"}
