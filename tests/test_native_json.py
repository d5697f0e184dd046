"""Numbers of metadata in C. Metadata that a device does not check may hold anything: a wrong number is no harm, a trap is."""

import os
import subprocess

import pytest
from native_lib import COMPILERS, NATIVE, SANITIZERS, build

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler is installed: gcc, clang")


@pytest.fixture(scope="module")
def tool(tmp_path_factory):
    return build(tmp_path_factory.mktemp("json") / "json_number", [NATIVE / "tests" / "json_number.c"], *SANITIZERS)


def number(tool, text):
    done = subprocess.run([os.fsencode(tool), text], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1) and not done.stderr, done.stderr
    return float(done.stdout) if done.returncode == 0 else None


@pytest.mark.parametrize(
    "text", ["0", "-1", "0.5", "123456789012", "0.48501960784313723", "1e-05", "1.5e+300", "-2.5e-300", "65536"]
)
def test_a_number_is_pythons(tool, text):
    assert number(tool, text.encode()) == pytest.approx(float(text), rel=1e-13)


@pytest.mark.parametrize(
    "text",
    [
        b"1e9999999999",
        b"1e-9999999999",
        b"9" * 400,
        b"0." + b"9" * 400,
        b"1e+" + b"\x8b" * 16,
        b"1el\xff\xff\xff\xff",
        b"1e",
    ],
)
def test_what_is_no_number_is_read_without_harm(tool, text):
    number(tool, text)
