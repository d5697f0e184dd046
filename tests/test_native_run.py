"""sqz-run, and how it scales a picture: the pixels that `predict` has."""

import ctypes
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
from native_lib import COMPILERS, MEMORY, NATIVE, OK, SANITIZERS, build, library, pointer
from PIL import Image
from test_native_net import NETS, file_of, net_of

import compress
from compress.data.preprocess import centre_crop
from compress.export.ranges import activation_ranges

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler is installed: gcc, clang")


@pytest.fixture(scope="module")
def tool(tmp_path_factory):
    """With the sanitizers: a wrong step of its own fails a test too."""
    return build(tmp_path_factory.mktemp("tool") / "sqz-run", [NATIVE / "tools" / "sqz_run.c"], *SANITIZERS)


@pytest.fixture
def net(tmp_path):
    file = tmp_path / "net.sqz"
    file.write_bytes(file_of(net_of({})))
    return file


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.ppm"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)).save(path)
    return path


def run(tool, *arguments, code=0):
    leaks = {"ASAN_OPTIONS": "detect_leaks=0"}  # the end of the process gives its memory back
    done = subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True, check=False, env=leaks)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def logits_of(file, picture):
    net = compress.load(file)
    with torch.inference_mode():
        return net(net.preprocess(picture))[0].numpy()


def test_logits_and_classes(tool, net, picture):
    wanted = logits_of(net, picture)
    for options in ((), ("--streamed",)):
        found = np.array(run(tool, net, picture, "--logits", *options).split(), np.float32)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-5)
    rows = re.findall(r"^ *([\d.]+)%  (\d+) ", run(tool, net, picture, "--top", "3"), re.MULTILINE)
    shares = np.exp(wanted) / np.exp(wanted).sum()
    assert [int(index) for _, index in rows] == np.argsort(-shares, kind="stable")[:3].tolist()
    assert [share for share, _ in rows] == [f"{100 * share:.2f}" for share in np.sort(shares)[::-1][:3]]


def test_ranges_and_memory(tool, net, picture, tmp_path):
    loaded = compress.load(net)
    ranges = tmp_path / "ranges.txt"
    ranges.write_text("\n".join(map(str, activation_ranges(loaded, [loaded.preprocess(picture)]))))
    found = np.array(run(tool, net, picture, "--logits", "--ranges", ranges).split(), np.float32)
    wanted = logits_of(net, picture)
    assert 0 < np.abs(found - wanted).max() < 0.03 * np.abs(wanted).max()
    table = run(tool, net, "--memory", "--streamed", "--ranges", ranges)
    assert len(re.findall(r"^(?:conv|fire)\d+ ", table, re.MULTILINE)) == 10 and re.search(r"all of it \d+ bytes", table)
    ranges.write_text("1 2 3")
    assert "has not as many numbers as the net has activations" in run(tool, net, picture, "--ranges", ranges, code=1)


def test_a_grey_net(tool, tmp_path):
    file, picture = tmp_path / "grey.sqz", tmp_path / "grey.pgm"
    file.write_bytes(file_of(net_of(NETS["grey"])))
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 70), dtype=np.uint8)).save(picture)
    found = np.array(run(tool, file, picture, "--logits").split(), np.float32)
    np.testing.assert_allclose(found, logits_of(file, picture), rtol=1e-4, atol=2e-5)


def test_refusals(tool, net, picture, tmp_path):
    data = net.read_bytes()
    bad = tmp_path / "bad"
    for content, told in (
        (b"", "SQZ_"),
        (data[:-1], "SQZ_SIZE"),
        (data[:-1] + b"x", "SQZ_SHA256"),
        (b"P6" + data, "SQZ_NOT_SQZ"),
    ):
        bad.write_bytes(content)
        assert f"error: {bad}: {told}" in run(tool, bad, picture, code=1)
    whole = picture.read_bytes()
    for content, told in (
        (b"P3\n1 1\n255\n0 0 0", "is no binary PPM or PGM"),
        (whole[:-1], "is truncated"),
        (b"P6\n0 5\n255\n", "has no pixels"),
        (b"P6\n4294967295 4294967295\n255\n", "has no pixels, or too many"),
        (b"P6\n5 5\n65535\n" + bytes(150), "must have 8 bits a sample"),
        (b"P5\n50 50\n255\n" + bytes(2500), "is grey; the net takes colour"),
        (b"P6", "must have 8 bits a sample"),
        (b"", "is no binary PPM or PGM"),
    ):
        bad.write_bytes(content)
        assert f"error: {bad}: {told}" in run(tool, net, bad, code=1)
    bad.write_bytes(b"P6 # a comment\n50 # another\n 50\n255\n" + bytes(7500))
    assert "%" in run(tool, net, bad)
    assert "cannot be read" in run(tool, tmp_path / "none", picture, code=1)
    for arguments in ((), (net,), (net, picture, "x"), (net, picture, "--top", "0"), (net, picture, "--what")):
        assert run(tool, *arguments, code=2).startswith("usage: sqz-run")


@pytest.mark.parametrize("seed", range(40))
def test_pictures_are_scaled_as_pillow_scales_them(seed):
    """Those no more than twice as tall as wide: of taller ones Pillow's versions differ in the order of the two directions."""
    rng = np.random.default_rng(seed)
    width, height = int(rng.integers(1, 500)), int(rng.integers(1, 300))
    height = min(height, 2 * width)
    resize, channels = int(rng.integers(1, 200)), int(rng.choice([1, 3]))
    side = int(rng.integers(1, resize + 1))
    pixels = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    image = Image.fromarray(pixels if channels == 3 else pixels[:, :, 0])
    wanted = np.asarray(centre_crop(image, resize=resize, size=side)).reshape(side, side, channels)
    found, status = crop(pixels, resize, side)
    assert status == OK
    np.testing.assert_array_equal(found, wanted)


def crop(pixels, resize, side, less=0):
    height, width, channels = pixels.shape
    size = library().sqz_crop_memory(width, height, channels, resize, side) - less
    work, square = np.zeros(max(size, 1), np.uint8), np.zeros((side, side, channels), np.uint8)
    where = (
        pointer(pixels),
        width,
        height,
        channels,
        resize,
        side,
        pointer(work),
        ctypes.c_size_t(max(size, 0)),
        pointer(square),
    )
    return square, library().sqz_crop(*where)


def test_pictures_that_are_refused():
    lib = library()
    for sizes in (
        (0, 5, 3, 4, 4),
        (5, 0, 3, 4, 4),
        (5, 5, 2, 4, 4),
        (5, 5, 3, 4, 5),
        (5, 5, 3, 0, 0),
        (1 << 20, 1 << 20, 3, 4, 4),
    ):
        assert lib.sqz_crop_memory(*sizes) == 0
    assert crop(np.zeros((9, 9, 3), np.uint8), 4, 4, less=1)[1] == MEMORY


def test_the_same_classes_on_a_big_endian_machine(net, picture, tmp_path):
    compiler, emulator = "s390x-linux-gnu-gcc", "qemu-s390x"
    if not (shutil.which(compiler) and shutil.which(emulator)):
        pytest.skip(f"not installed: {compiler}, {emulator}")
    target = build(tmp_path / "sqz-run", [NATIVE / "tools" / "sqz_run.c"], "-static", compiler=compiler)
    done = subprocess.run([emulator, target, net, picture, "--logits"], capture_output=True, text=True, check=True)
    assert np.allclose(np.array(done.stdout.split(), float), logits_of(net, picture), atol=1e-3)
