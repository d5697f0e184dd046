"""The decoder in C: the tensors that Python has, on every processor; refusals where Python refuses."""

import json
import shutil
import subprocess

import pytest
from make_golden import GOLDEN, GOLDEN_BAD, ZSTD_FILES, digests
from native_lib import COMPILERS, NATIVE, SANITIZERS, WARNINGS, build

from compress.artifact import reader

ARTIFACTS = sorted((NATIVE.parent / "artifacts").glob("*.sqz"))
FILES = sorted(path for path in GOLDEN.glob("*.sqz") if path.stem not in ZSTD_FILES)
BAD_FILES = sorted(GOLDEN_BAD.glob("*.sqz"))
MACHINES = {  # its compiler, and what runs its programs here
    "armhf": ("arm-linux-gnueabihf-gcc", "qemu-arm"),
    "aarch64": ("aarch64-linux-gnu-gcc", "qemu-aarch64"),
    "s390x": ("s390x-linux-gnu-gcc", "qemu-s390x"),  # big-endian
}

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler is installed: gcc, clang")


@pytest.fixture(scope="module")
def tool(tmp_path_factory):
    return build(tmp_path_factory.mktemp("tool") / "sqz-decode", [NATIVE / "tools" / "sqz_decode.c"], *SANITIZERS)


@pytest.fixture(scope="module")
def damage(tmp_path_factory):
    tests = [NATIVE / "tests" / name for name in ("damage.c", "whole.c")]
    return build(tmp_path_factory.mktemp("damage") / "damage", tests, *SANITIZERS)


def run(*arguments, code=0):
    done = subprocess.run(
        [*map(str, arguments)], capture_output=True, text=True, check=False, env={"ASAN_OPTIONS": "detect_leaks=0"}
    )
    assert done.returncode == code, (arguments[-1], done.returncode, done.stderr[-2000:])
    return done.stdout if code == 0 else done.stderr


def digests_of(*command):
    """{name: "dtype [shape] sha256"}, as tests/golden/*.json have them."""
    lines = run(*command).splitlines()
    return dict(line.split(" ", 1) for line in lines)


def golden_of(path):
    return json.loads(path.with_suffix(".json").read_text())["tensors"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_file_has_the_same_tensors(tool, path):
    assert digests_of(tool, path) == golden_of(path)


@pytest.mark.parametrize("path", ARTIFACTS, ids=lambda path: path.stem)
def test_published_file_has_the_same_tensors(tool, path):
    assert digests_of(tool, path) == digests(reader.read(path))


@pytest.mark.parametrize("machine", MACHINES)
def test_the_same_bits_on_every_machine(machine, tmp_path):
    compiler, emulator = MACHINES[machine]
    if not (shutil.which(compiler) and shutil.which(emulator)):
        pytest.skip(f"not installed: {compiler}, {emulator}")
    target = build(tmp_path / "sqz-decode", [NATIVE / "tools" / "sqz_decode.c"], "-static", compiler=compiler)
    for path in FILES:
        assert digests_of(emulator, target, path) == golden_of(path), path.name
    for path in BAD_FILES:
        run(emulator, target, path, code=1)


@pytest.mark.parametrize("name", sorted(ZSTD_FILES))
def test_zstd_is_refused_by_name(tool, name):
    message = run(tool, GOLDEN / f"{name}.sqz", code=1)
    assert "SQZ_PROFILE" in message and "zstd" in message


@pytest.mark.parametrize("path", BAD_FILES, ids=lambda path: path.stem)
def test_bad_file_is_refused(tool, path):
    message = run(tool, path, code=1)
    assert message.startswith("error: ") and "SQZ_" in message


def test_every_shorter_file_is_refused(damage):
    assert run(damage, "cut", *FILES).endswith(" refused, 0 accepted with the same tensors, 0 with others\n")


def test_no_flip_makes_a_wrong_tensor(damage):
    counts = [int(word) for word in run(damage, "flips", 4000, 1, *FILES).split() if word.isdigit()]
    assert sum(counts) == 4000 and counts[0] > 3000


def test_damage_behind_right_checksums_does_no_harm(damage):
    counts = [int(word) for word in run(damage, "fixed", 4000, 2, *FILES).split() if word.isdigit()]
    assert sum(counts) == 4000 and counts[2] > 0


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("options", [[], ["-DSQZ_SMALL"]], ids=["full", "small"])
def test_compiles_without_a_warning(compiler, options, tmp_path):
    if compiler not in COMPILERS:
        pytest.skip(f"not installed: {compiler}")
    for path in sorted([*NATIVE.glob("sqz*.c"), *NATIVE.glob("tools/*.c")]):
        command = [compiler, *WARNINGS, "-Wconversion", "-O1", *options, "-c", str(path), "-o", str(tmp_path / "object.o")]
        subprocess.run(command, check=True)


def test_usage(tool, tmp_path):
    assert "usage" in run(tool, code=2)
    assert "cannot be read" in run(tool, tmp_path / "missing.sqz", code=1)
