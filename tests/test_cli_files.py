import json

import numpy as np
import pytest
import safetensors.numpy
import tiny_net
import torch
from PIL import Image
from test_cli import call, refused

import compress

COMMANDS = ["inspect", "check", "compare", "decode", "predict"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tiny_net.write(tmp_path_factory.mktemp("file") / "net.sqz")


def test_inspect_gives_every_byte_a_row(file):
    facts = json.loads(call("inspect", file, "--json").stdout)
    size = file.stat().st_size
    assert facts["size_bytes"] == size == sum(row["size_bytes"] for row in facts["rows"])
    assert facts["metadata"] == tiny_net.metadata()
    assert [row["name"] for row in facts["rows"] if row["kind"]] == [layer.name for layer in tiny_net.layers()]
    text = call("inspect", file).stdout
    assert all(layer.name in text for layer in tiny_net.layers())
    assert f"{size:,}" in text and "100.0%" in text and "classes: ['cat', 'dog', 'owl']" in text


def test_compare(file, tmp_path):
    other = tiny_net.write(tmp_path / "other.sqz", tiny_net.layers()[1:], input=tiny_net.CAFFE_INPUT)
    facts = json.loads(call("compare", file, other, "--json").stdout)
    assert [facts[side]["file"] for side in "ab"] == [str(file), str(other)]
    for side, path in (("a", file), ("b", other)):
        assert facts[side]["size_bytes"] == path.stat().st_size == sum(facts[side]["parts"].values())
    assert facts["identical"] is False and facts["same_input_convention"] is False
    assert [tensor["outcome"] for tensor in facts["tensors"]] == ["only in A"] + ["identical"] * 9
    assert "input.channels" in [difference["key"] for difference in facts["metadata"]]
    text = call("compare", file, other).stdout
    assert text.startswith(f"A: {file}\nB: {other}\n")
    assert "input conventions differ" in text
    assert text.endswith("decoded tensors: 9 of 10 identical; only in A: 1\n")


def test_compare_of_a_file_with_itself(file):
    text = call("compare", file, file).stdout
    assert text.endswith("A and B are the same, byte for byte\ndecoded tensors: all 10 identical, bit for bit\n")
    assert "metadata differs" not in text and "conventions differ" not in text


def test_compare_names_the_file_that_is_refused(file, tmp_path):
    bad = tmp_path / "bad.sqz"
    bad.write_bytes(file.read_bytes()[:-1])
    assert refused("compare", file, bad).startswith(f"error: {bad}: truncated")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pt"])
def test_decode_writes_the_tensors(file, tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    facts = json.loads(call("decode", file, "-o", path, "--json").stdout)
    assert facts["file"] == str(path) and facts["size_bytes"] == path.stat().st_size
    if suffix == ".npz":
        tensors = dict(np.load(path))
    elif suffix == ".safetensors":
        tensors = safetensors.numpy.load_file(path)
    else:
        tensors = {name: tensor.numpy() for name, tensor in torch.load(path, weights_only=True).items()}
    expected = compress.decode(file)
    assert tensors.keys() == expected.keys() == facts["tensors"].keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(tensors[name], array)
        assert facts["tensors"][name] == {"shape": list(array.shape), "dtype": "float32"}
    assert call("decode", file, "-o", path).stdout == f"{path}: 10 tensors, {path.stat().st_size:,} bytes\n"


def test_decode_refuses(file, tmp_path):
    in_the_way = tmp_path / "way"
    in_the_way.touch()
    assert "net.onnx: tensors are written as .safetensors, .npz, .pt" in refused("decode", file, "-o", tmp_path / "net.onnx")
    assert "way/net.npz: cannot be written: Not a directory" in refused("decode", file, "-o", in_the_way / "net.npz")
    assert "is a directory" in refused("decode", file, "-o", tmp_path)


def rest(command, file, output):
    """The arguments that a command needs after its first file."""
    return {"compare": [file], "decode": ["-o", output], "predict": ["x.png"]}.get(command, [])


def damaged(data):
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 0x10
    return {
        "empty": (b"", "an empty file"),
        "truncated": (data[: len(data) // 2], "truncated: "),
        "head only": (data[:6], "truncated: 6 bytes"),
        "flipped": (bytes(flipped), "damaged|CRC"),
        "future": (data[:4] + b"\x03" + data[5:], "format version 3, this reader knows 1 and 2"),
        "no sqz": (b"\x89PNG" + data[4:], "not a .sqz file: begins with 89 50 4e 47"),
        "too long": (data + b"\0", "too long"),
    }


@pytest.mark.parametrize("damage", damaged(b"..."))
@pytest.mark.parametrize("command", COMMANDS)
def test_a_bad_file_is_refused_by_every_command(file, tmp_path, command, damage):
    data, message = damaged(file.read_bytes())[damage]
    if damage == "flipped" and command == "inspect":  # the table: inspect looks at no payload
        data = bytes([*data[:60], data[60] ^ 1, *data[61:]])
    path, output = tmp_path / "bad.sqz", tmp_path / "out.npz"
    path.write_bytes(data)
    result = call(command, path, *rest(command, file, output), code=2)
    assert any(part in result.output for part in message.split("|")), result.output
    assert "bad.sqz: " in result.output and not output.exists()
    assert "error: " in result.stderr and (command == "check" or result.stdout == "")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_cannot_be_read(file, tmp_path, command):
    others = rest(command, file, tmp_path / "out.npz")
    result = call(command, tmp_path / "none.sqz", *others, code=2)
    assert "none.sqz: cannot be read: No such file or directory" in result.output
    assert "cannot be read: Is a directory" in call(command, tmp_path, *others, code=2).output


def test_predict(file, tmp_path):
    picture = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)).save(picture)
    [fact] = json.loads(call("predict", file, picture, "--json", "--top", "2").stdout)
    net = compress.load(file)
    probabilities = net(net.preprocess(picture)).softmax(1)[0]
    assert fact["image"] == str(picture) and len(fact["top"]) == 2
    for guess in fact["top"]:
        assert guess["name"] == tiny_net.CLASSES[guess["index"]]
        assert guess["probability"] == pytest.approx(probabilities[guess["index"]].item(), rel=1e-5)
    text = call("predict", file, picture).stdout
    assert text.splitlines()[0] == str(picture) and len(text.splitlines()) == 4 and "%  owl  (2)" in text


def test_predict_refuses_a_corrupt_image(file, tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.new("RGB", (20, 20)).save(good)
    bad.write_bytes(good.read_bytes()[:50])
    result = call("predict", file, good, bad, code=2)
    assert f"error: {bad}: cannot be decoded as an image: " in result.stderr and result.stdout == ""
    assert "none.png: cannot be decoded" in refused("predict", file, tmp_path / "none.png")
