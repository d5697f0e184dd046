"""Numbers of metadata in C. Metadata that a device does not check may hold anything: a wrong number is no harm, a trap is."""

import os
import subprocess

import pytest
from native_lib import COMPILERS, NATIVE, SANITIZERS, build

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler is installed: gcc, clang")


@pytest.fixture(scope="module")
def tool(tmp_path_factory):
    return build(tmp_path_factory.mktemp("json") / "json_number", [NATIVE / "tests" / "json_number.c"], *SANITIZERS)


def read(tool, text):
    return subprocess.run([os.fsencode(tool), text], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "text", ["0", "-1", "0.5", "123456789012", "0.48501960784313723", "1e-05", "1.5e+300", "-2.5e-300", "65536"]
)
def test_a_number_is_pythons(tool, text):
    assert float(read(tool, text.encode()).stdout) == pytest.approx(float(text), rel=1e-13)


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
    done = read(tool, text)
    assert done.returncode == 0 and not done.stderr
    assert isinstance(float(done.stdout), float)
