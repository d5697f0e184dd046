"""Updates applied in C: the bytes that Python makes, and its refusals."""

import pytest
from make_golden import GOLDEN
from native_lib import COMPILERS
from test_golden_deltas import BAD_FILES, EXPECTED, FILES, PAIRS
from test_native_decoder import run, tool  # noqa: F401

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler is installed: gcc, clang")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_delta_makes_the_same_file(tool, path, tmp_path):  # noqa: F811
    run(tool, GOLDEN / PAIRS[path.name]["base"], "--apply", path, "-o", tmp_path / "new.sqz")
    assert (tmp_path / "new.sqz").read_bytes() == (GOLDEN / PAIRS[path.name]["new"]).read_bytes()


@pytest.mark.parametrize("path", BAD_FILES, ids=lambda path: path.stem)
def test_bad_delta_is_refused(tool, path, tmp_path):  # noqa: F811
    message = run(tool, GOLDEN / EXPECTED[path.name]["base"], "--apply", path, "-o", tmp_path / "new.sqz", code=1)
    assert "SQZ_" in message
    assert not (tmp_path / "new.sqz").exists()


def test_every_shorter_delta_is_refused(tool, tmp_path):  # noqa: F811
    data = FILES[0].read_bytes()
    for size in range(0, len(data), 7):
        (tmp_path / "cut.sqzd").write_bytes(data[:size])
        run(tool, GOLDEN / PAIRS[FILES[0].name]["base"], "--apply", tmp_path / "cut.sqzd", "-o", tmp_path / "new.sqz", code=1)
    assert not (tmp_path / "new.sqz").exists()
