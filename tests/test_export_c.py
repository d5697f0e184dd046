"""A file as a C project: it builds and says what PyTorch says, on this machine and on a Cortex-M7."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from native_lib import COMPILERS, STREAMED, STREAMED_8, Net
from PIL import Image
from test_cli import call, refused
from test_native_net import NETS, file_of, net_of

import compress
from compress.artifact.layout import LayerRecord
from compress.artifact.reader import NO_LIMIT, parse
from compress.errors import InputError
from compress.export.c import Device, to_c
from compress.export.runtime import DECODER_TABLES, sources, streamed_memory

needs_compiler = pytest.mark.skipif(not COMPILERS, reason="no C compiler is installed: gcc, clang")
needs_arm = pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="arm-none-eabi-gcc or qemu-system-arm is not installed",
)
ANSWER = re.compile(r"^\s*(-?[\d.]+)(?: / 1000)?  (\d+) (.*)$", re.MULTILINE)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.sqz"
    path.write_bytes(file_of(net_of({})))
    return path


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (70, 90, 3), dtype=np.uint8)).save(path)
    return path


def wanted(file, picture):
    net = compress.load(file)
    with torch.inference_mode():
        return net(net.preprocess(picture))[0].numpy()


def built(folder, *options):
    done = subprocess.run(["make", "-C", folder, *options], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@needs_compiler
@pytest.mark.parametrize("activations", [32, 8])
def test_it_builds_without_a_warning_and_answers_as_pytorch(tmp_path, file, picture, activations):
    made = to_c(file, tmp_path / "c", activations=activations, picture=picture)
    code, told = built(made.path, "CFLAGS=-O1 -Werror -Wshadow -fsanitize=address,undefined -fno-sanitize-recover=all")
    assert code == 0, told
    done = subprocess.run([made.path / "model"], capture_output=True, text=True, check=True)
    logits = wanted(file, picture)
    found = [(float(value), int(index), name) for value, index, name in ANSWER.findall(done.stdout)]
    assert len(found) == 5 and found[0][1] == int(logits.argmax())
    for value, index, name in found:
        assert name == str(index) and abs(value - logits[index]) < (1e-4 if activations == 32 else 0.03)


@needs_compiler
def test_another_picture_of_the_nets_size(tmp_path, file, picture):
    made = to_c(file, tmp_path / "c", picture=picture)
    assert built(made.path)[0] == 0
    other = np.random.default_rng(4).integers(0, 256, (47, 47, 3), dtype=np.uint8)
    Image.fromarray(other).save(tmp_path / "other.ppm")
    run = [made.path / "model", tmp_path / "other.ppm"]
    found = ANSWER.findall(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    net = compress.load(file)
    with torch.inference_mode():  # it has the net's size already: it is not scaled
        logits = net(net_input(other))[0].numpy()
    assert abs(float(found[0][0]) - logits.max()) < 1e-4
    (tmp_path / "other.ppm").write_bytes((tmp_path / "other.ppm").read_bytes()[:-1])
    failed = subprocess.run(run, capture_output=True, text=True, check=False)
    assert failed.returncode == 1 and "is no binary PPM of 47 x 47 pixels" in failed.stderr


def net_input(pixels):
    from test_native_net import MEAN, STD

    return torch.from_numpy((((pixels / 255) - MEAN) / STD).transpose(2, 0, 1).astype(np.float32))[None]


@needs_arm
def test_a_cortex_m7_answers_as_pytorch(tmp_path, file, picture):
    made = to_c(file, tmp_path / "c", target="cortex-m7", activations=8, picture=picture, device=Device(1 << 20, 1 << 18))
    code, told = built(made.path, "run")
    assert code == 0, told
    sizes = {name: int(size) for name, size in re.findall(r"^(\S+)\s+(\d+) bytes", told, re.MULTILINE)}
    assert sizes[".bss"] >= made.memory_bytes and sizes["RAM"] == sizes[".bss"] + sizes[".data"] + sizes[".stack"]
    assert sizes["flash"] > made.model_bytes and sizes[".text"] < 24_576
    logits = wanted(file, picture)
    for value, index, _ in ANSWER.findall(told):
        assert abs(float(value) / 1000 - logits[int(index)]) < 0.03
    assert ANSWER.findall(told)[0][1] == str(logits.argmax())


@needs_arm
def test_too_little_memory_is_told_by_the_linker(tmp_path, file, picture):
    made = to_c(file, tmp_path / "c", target="cortex-m7", activations=8, picture=picture, device=Device(1 << 20, 30_000))
    code, told = built(made.path)
    assert code != 0 and re.search(r"region `RAM' overflowed by \d+ bytes", told)
    made = to_c(file, tmp_path / "c", target="cortex-m7", activations=8, picture=picture, device=Device(9_000, 1 << 18))
    code, told = built(made.path)
    assert code != 0 and re.search(r"region `FLASH' overflowed by \d+ bytes", told)


def records(data: bytes) -> list[LayerRecord]:
    return parse(data, NO_LIMIT).records


@needs_compiler
@pytest.mark.parametrize(
    "options", [(), ("-DSQZ_SMALL",), ("-march=native", "-ffp-contract=fast")], ids=["plain", "small", "native"]
)
def test_the_memory_of_a_project_is_enough(options):
    """For every form of net; and not much more than what the runtime asks for."""
    for changes in NETS.values():
        net = net_of(changes)
        data = file_of(net)
        native = Net(data, *options)
        for mode, value_bytes in ((STREAMED, 4), (STREAMED_8, 1)):
            most = streamed_memory(net.spec, 47, records(data), value_bytes=value_bytes, small="-DSQZ_SMALL" in options)
            assert native.memory(mode) <= most
            if options:
                assert most <= native.memory(mode) + 2 * DECODER_TABLES


@needs_compiler
@pytest.mark.parametrize("name", ["deep", "smallest", "han", "squeezenet11-240k"])
def test_the_memory_of_published_files(name):
    path = Path(f"artifacts/{name}.sqz")
    net = compress.load(path)
    data = path.read_bytes()
    native = Net(data, "-DSQZ_SMALL")
    most = streamed_memory(net.spec, net.metadata["input"]["size"], records(data), value_bytes=1, small=True)
    assert native.memory(STREAMED_8) <= most <= 1.04 * native.memory(STREAMED_8)


def test_the_runtime_is_whole():
    names = {path.name for path in sources()}
    assert {"sqz.h", "sqz_net.c", "sqz_stream.c", "sqz_context.c"} <= names and "sqz_metadata.c" not in names
    included = {name for path in sources() for name in re.findall(r'#include "(.*?)"', path.read_text())}
    assert included <= names


def test_every_source_is_in_the_wheel():
    """pyproject.toml lists them one by one: what is built in native/ must not come along."""
    listed = set(re.findall(r'^"native/(\S+)" = "compress/native/\S+"$', Path("pyproject.toml").read_text(), re.MULTILINE))
    there = {path.relative_to("native").as_posix() for path in Path("native").glob("sqz*.[ch]")}
    assert listed == there | {"export", "web/index.html", "web/page.js", "web/sqz.wasm"}


def test_command_line(tmp_path, file, picture):
    facts = json.loads(call("export", file, "--to", "c", tmp_path / "c", "--picture", picture, "--json").stdout)
    assert facts["target"] == "host" and facts["activations"] == 32 and facts["model_bytes"] == file.stat().st_size
    assert (tmp_path / "c" / "model.sqz").read_bytes() == file.read_bytes()
    again = call(
        "export", file, "--to", "c", "-o", tmp_path / "c", "--target", "cortex-m7", "--picture", picture
    )  # over the first
    assert "activations calibrated on" in again.stdout and "memory.ld has 2,097,152 bytes of flash" in again.stdout
    settings = (tmp_path / "c" / "model.h").read_text()
    assert "#define MODEL_MODE SQZ_STREAMED_8" in settings and f"#define MODEL_SIZE {file.stat().st_size}" in settings


def test_refusals(tmp_path, file):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    assert "full: holds other files" in refused("export", file, "--to", "c", tmp_path / "full")
    assert (tmp_path / "full" / "mine.txt").read_text() == "x" and len(list((tmp_path / "full").iterdir())) == 1
    assert "net.sqz: is a file; a C project is a folder" in refused("export", file, "--to", "c", file)
    assert "--flash is for --target cortex-m7" in call("export", file, "--to", "c", "--flash", "5", code=2).stderr
    assert "--target is for --to c" in call("export", file, "--to", "onnx", "--target", "host", code=2).stderr
    assert "the folder" in call("export", file, "--to", "c", tmp_path / "no" / "c", code=2).stderr
    assert "given twice" in call("export", file, "--to", "c", "a", "-o", "b", code=2).stderr
    assert "none.png" in refused("export", file, "--to", "c", tmp_path / "c", "--picture", tmp_path / "none.png")
    assert not (tmp_path / "c").exists()
    with pytest.raises(InputError, match=r"^calibrate: .*none: no such folder"):
        to_c(file, tmp_path / "c", activations=8, calibrate=f"folder:{tmp_path}/none")


def test_nets_that_the_runtime_does_not_run(tmp_path):
    path = tmp_path / "bypass.sqz"
    path.write_bytes(file_of(net_of(NETS["complex bypass"])))
    with pytest.raises(InputError, match=r"bypass.sqz: metadata.architecture: 1x1 bypasses may be negative"):
        to_c(path, tmp_path / "c", activations=8)
