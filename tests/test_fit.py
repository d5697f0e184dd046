"""What a net needs on a device: by hand for a tiny net and for v1.1 at 224 pixels, and as describe.py has it where both count."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import tiny_net
import torch
from test_cli import call, refused
from test_export_onnx import DEEP, alexnet

from compress.artifact import reader
from compress.artifact.decoder_memory import STATE_BYTES, TABLE_BYTES, decoder_bytes
from compress.artifact.layout import BlockRecord, Kind, LayerRecord, PositionMode, Stream
from compress.codecs import CODER_IDS
from compress.errors import CorruptArtifact
from compress.export.fit import fit, verdicts
from compress.export.needs import FLOAT32, FUSED, INT8, WEIGHTS, Layer, need
from compress.export.parts import PARTS, Part
from compress.layer import RawTensor, SharedLayer
from compress.models.built_in import build
from compress.models.describe import describe
from compress.models.low_rank import low_rank
from compress.models.operations import Operation, operations
from compress.recipe import AlexNetSpec, SqueezeNetSpec

V10, V11 = (SqueezeNetSpec.model_validate({"version": version}) for version in ("1.0", "1.1"))
ALEXNET = AlexNetSpec(name="alexnet")
KIB = 1024
CONSTANTS = TABLE_BYTES + STATE_BYTES  # of the coder `context`, whatever the layer
NATIVE = Path(__file__).parent.parent / "native"


def spec(**fields):
    return SqueezeNetSpec.model_validate({"version": "1.0"} | fields)


def shapes_of(net, ranks=None):
    with torch.device("meta"):
        module = low_rank(build(net), ranks or {})
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def taken_apart(net, side, **options):
    return operations(net, side, shapes_of(net, options.get("ranks")), **options)


def dense(found, decoder=0):
    """As layers of a file without zeros."""
    return [Layer(operation, operation.n_weights, decoder if operation.n_weights else 0) for operation in found]


# --- operations ------------------------------------------------------------------------------------------------------


NETS = [
    V10,
    V11,
    spec(bypass="simple"),
    spec(bypass="complex", squeeze_ratio=0.3, pct3x3=0.7, freq=3),
    spec(bypass="simple", conv10_padding=1, n_fires=3, pool_after=(1, 3), in_channels=1, base_e=24, incr_e=9),
    ALEXNET,
]


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("side", [96, 131, 224])
def test_the_same_sums_as_describe(net, side):
    found, facts = taken_apart(net, side), describe(net, side)
    assert sum(operation.n_parameters for operation in found) == facts.parameters
    assert sum(operation.macs for operation in found) == facts.macs
    assert 4 * max(operation.live_values for operation in found) == facts.peak_activation_bytes
    for layer in facts.layers:
        parts = [operation for operation in found if operation.name.split("/")[0] == layer.name]
        assert sum(operation.macs for operation in parts) == layer.macs, layer.name
        assert max(operation.live_values for operation in parts) == layer.live_values, layer.name
        assert parts[-1].side == layer.side, layer.name


def test_a_fire_module_taken_apart():
    """fire2 of v1.1 at 224 pixels: 64 channels of 55 x 55 in, 16 squeezed, 64 and 64 expanded; then freed as they are read."""
    by_name = {operation.name: operation for operation in taken_apart(V11, 224)}
    pixels = 55**2
    squeeze, one, three = (by_name[f"fire2/{part}"] for part in ("squeeze", "expand1x1", "expand3x3"))
    assert (squeeze.values_in, squeeze.live_values) == (64 * pixels, (64 + 16) * pixels)
    assert (one.values_in, one.live_values) == (16 * pixels, (16 + 64) * pixels)
    assert (three.values_in, three.live_values) == ((16 + 64) * pixels, (16 + 64 + 64) * pixels)
    assert (three.n_weights, three.row, three.positions, three.macs) == (9216, 144, pixels, 9216 * pixels)
    assert by_name["fire3/squeeze"].values_in == 128 * pixels  # what was squeezed is gone


def test_a_bypass_keeps_the_input():
    by_name = {operation.name: operation for operation in taken_apart(spec(bypass="complex"), 224)}
    pixels = 54**2
    assert by_name["fire3/expand3x3"].live_values == (128 + 16 + 128) * pixels  # beside the 128 channels that are added
    assert by_name["fire3/bypass"].live_values == (128 + 128) * pixels and by_name["fire3/bypass"].macs == 0
    around = by_name["fire2/bypass"]  # from 96 to 128 channels takes a layer, which adds to what is there
    assert (around.live_values, around.macs, around.n_parameters) == ((96 + 128) * pixels, 96 * 128 * pixels, 97 * 128)
    assert "fire2/bypass" not in {operation.name for operation in taken_apart(spec(bypass="simple"), 224)}


def test_a_product_has_two_layers():
    ranks = {"classifier.1": 64}
    found = {operation.name: operation for operation in taken_apart(ALEXNET, 224, ranks=ranks)}
    assert (found["fc6/0"].macs, found["fc6/1"].macs) == (9216 * 64, 64 * 4096)
    assert (found["fc6/0"].has_bias, found["fc6/1"].has_bias, found["fc6/1"].module) == (False, True, "classifier.1.1")
    assert "fc6" not in found and found["fc7"].n_weights == 4096**2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features.0.weight": None}, "features.0.weight is missing"),
        ({"features.0.bias": None}, "features.0.bias is missing"),
        ({"features.0.bias": (5,)}, r"features.0.bias is \(5,\), the net has \(64,\)"),
        ({"features.0.weight": (64, 3, 5, 5)}, r"features.0.weight is \(64, 3, 5, 5\), the net has \(64, 3, 3, 3\)"),
        ({"features.0.weight": (32, 3, 3, 3), "features.0.bias": (32,)}, r"the net has \(64, 3, 3, 3\)"),
        ({"extra.weight": (2, 3)}, r"extra.weight is \(2, 3\), the net has no such tensor"),
    ],
    ids=str,
)
def test_shapes_of_another_net(changes, message):
    shapes = {name: shape for name, shape in (shapes_of(V11) | changes).items() if shape is not None}
    with pytest.raises(ValueError, match=message):
        operations(V11, 224, shapes)


def test_pruned_channels_may_be_fewer_but_not_of_the_last_layer():
    shapes = shapes_of(V11)
    narrow = shapes | {"features.0.weight": (32, 3, 3, 3), "features.0.bias": (32,), "features.3.squeeze.weight": (16, 32, 1, 1)}
    found = operations(V11, 224, narrow, pruned=True)
    assert found[0].channels == 32 and found[0].values_out == 32 * 111**2
    fewer = narrow | {"classifier.1.weight": (999, 512, 1, 1), "classifier.1.bias": (999,)}
    with pytest.raises(ValueError, match=r"classifier.1.weight is \(999, 512, 1, 1\), the net has \(1000, 512, 1, 1\)"):
        operations(V11, 224, fewer, pruned=True)
    with pytest.raises(ValueError, match=r"features.3.squeeze.weight is \(16, 64, 1, 1\), the net has \(16, 32, 1, 1\)"):
        operations(V11, 224, narrow | {"features.3.squeeze.weight": (16, 64, 1, 1)}, pruned=True)


def test_a_bypass_needs_as_many_channels():
    bypassed = spec(bypass="simple")
    shapes = shapes_of(bypassed)
    shapes |= {"features.4.expand1x1.weight": (63, 16, 1, 1), "features.4.expand1x1.bias": (63,)}
    with pytest.raises(ValueError, match=r"features.4 gives 127 channels, to which its 128 inputs cannot be added"):
        operations(bypassed, 224, shapes, pruned=True)


# --- v1.1 at 224 pixels ----------------------------------------------------------------------------------------------


def test_needs_of_v11_at_224():
    layers = dense(taken_apart(V11, 224), decoder=1000)
    # conv1's output and its pool's, 64 channels of 111 and of 55 pixels; all weights are 1,235,496 floats
    assert need(layers, "all", FLOAT32).ram_bytes == 4_941_984 + 3_928_576
    assert need(layers, "all", INT8).ram_bytes == 4_941_984 + 982_144
    # fused: pool3 from 55 to 27 pixels is the most, 128 channels
    assert need(layers, "all", FUSED).ram_bytes == 4_941_984 + 128 * (55**2 + 27**2) == 4_941_984 + 480_512
    by_layer = need(layers, "by layer", INT8)  # conv10: 513,000 floats, 512 channels in, 1000 out, 13 x 13
    assert (by_layer.ram_bytes, by_layer.peak) == (4 * 513_000 + 1512 * 13**2, "conv10")
    by_row = need(layers, "by row", INT8)
    assert (by_row.ram_bytes, by_row.peak) == (982_144, "pool1")
    fused = need(layers, "by row", FUSED)
    assert (fused.ram_bytes, fused.peak) == (480_512, "pool3")


def test_a_large_decoder_is_weighed_against_a_whole_layer():
    """fire2/expand3x3 at 224: 9,280 floats, in 80 and out 64 channels of 55 x 55."""
    [layer] = [layer for layer in dense(taken_apart(V11, 224), decoder=300_000) if layer.operation.name == "fire2/expand3x3"]
    whole, row = 4 * 9280, 4 * (144 + 64)  # a row, and all biases
    before, live = 80 * 55**2, 144 * 55**2
    assert need([layer], "by layer", INT8).ram_bytes == whole + max(before + 300_000, live)
    assert need([layer], "by row", INT8).ram_bytes == whole + before + 300_000 < live + row + 300_000
    [small] = [layer for layer in dense(taken_apart(V11, 224), decoder=100) if layer.operation.name == "fire2/expand3x3"]
    assert need([small], "by row", INT8).ram_bytes == live + row + 100 < whole + live


def test_fused_conv1_has_three_rows_between_and_all_its_weights():
    operation = Operation("conv1", "features.0", "conv", 4, 9, 100, 4 * 81, n_weights=108, row=27, has_bias=True, positions=81)
    pool = Operation("pool1", "features.2", "pool", 4, 4, 4 * 81, 64)
    found = need(dense([operation, pool]), "by row", FUSED)
    assert (found.ram_bytes, found.peak) == (4 * 112 + 100 + 64 + 3 * 9 * 4, "conv1 with pool1")


# --- a tiny net, by hand -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tiny_net.write(tmp_path_factory.mktemp("file") / "net.sqz")


def test_a_tiny_net(file):
    """16 x 16 x 3 -> 4 channels of 7 x 7 -> squeeze 4, expand 4 and 4 -> pool to 3 x 3 -> 3 classes."""
    found = fit(file)
    live = {layer.operation.name: layer.operation.live_values for layer in found.layers}
    assert live == {
        "conv1": 768 + 196,
        "fire2/squeeze": 196 + 196,
        "fire2/expand1x1": 196 + 196,
        "fire2/expand3x3": 196 + 196 + 196,
        "pool2": 392 + 72,
        "conv3": 72 + 27,
        "pool3": 27 + 3,
    }
    assert found.peaks == {FLOAT32: (4 * 964, "conv1"), INT8: (964, "conv1")}  # no pool after conv1, so nothing is fused
    assert found.flash_bytes == file.stat().st_size and found.side == 16 and found.not_described == ""
    assert found.macs == 108 * 49 + 16 * 49 + 16 * 49 + 144 * 49 + 24 * 9 == 14_132
    weights = found.weights
    assert (weights.n_values, weights.all_bytes) == (327, 1308)
    assert (weights.layer, weights.layer_bytes) == ("fire2/expand3x3", 4 * 148)
    assert (weights.row_layer, weights.row_bytes) == ("fire2/expand3x3", 4 * 36)
    assert [(n.weights, n.activations) for n in found.needs] == [(w, a) for a in (FLOAT32, INT8) for w in WEIGHTS]


def test_zero_weights_are_those_of_the_file(file):
    found = fit(file)
    positions = {
        "features.0": 49,
        "features.2.squeeze": 49,
        "features.2.expand1x1": 49,
        "features.2.expand3x3": 49,
        "classifier.1": 9,
    }
    expected = sum(
        int(np.count_nonzero(layer.values())) * positions[layer.name.removesuffix(".weight")]
        for layer in tiny_net.layers()
        if layer.name.endswith(".weight")
    )
    assert found.nonzero_macs == expected < found.macs


def test_a_raw_zero_and_a_centroid_of_zero_count_as_zeros(tmp_path):
    layers = tiny_net.layers()
    first = layers[0]
    layers[0] = SharedLayer(first.name, first.shape, np.ones(first.shape, np.int32), codebook=np.zeros(1, np.float16))
    raw = np.zeros((4, 4, 1, 1), np.float32)
    raw[0, 0] = 1
    layers[2] = RawTensor("features.2.squeeze.weight", raw)
    found = fit(tiny_net.write(tmp_path / "x.sqz", layers))
    assert [layer.n_nonzero for layer in found.layers[:2]] == [0, 1]


def test_a_pruned_alexnet_with_a_product(tmp_path):
    found = fit(alexnet(tmp_path / "x.sqz", 96, {"classifier.1": 2}))
    by_name = {layer.operation.name: layer for layer in found.layers}
    assert by_name["conv1"].operation.channels == 4 and by_name["average"].operation.side == 6
    assert (by_name["fc6/0"].operation.n_weights, by_name["fc6/1"].operation.n_weights) == (2 * 108, 7 * 2)
    assert FUSED in found.peaks


def test_no_torch_is_imported(file):
    code = f"""
        import sys
        from click.testing import CliRunner
        from compress.cli import main
        assert CliRunner().invoke(main, ["fit", {str(file)!r}]).exit_code == 0
        assert "torch" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


# --- the decoder -------------------------------------------------------------------------------------------------------


def record(model=b"", coder="stored", **fields):
    positions = Stream(next(i for i, name in CODER_IDS.items() if name == coder), model)
    blocks = (BlockRecord(32, 5, 3, 0, 3, 0, 0),)
    fields = {"kind": Kind.STEP_F32, "step": np.float32(1), "positions": positions} | fields
    return LayerRecord("w", dims=(4, 8), blocks=blocks, **fields)


def decisions(magnitude):
    """Of a level of that magnitude, from docs/FORMAT.md, "context", word by word; the sign's left out."""
    n_bits = magnitude.bit_length() - 1
    found = {0, *(2 + i for i in range(n_bits)), 2 + n_bits}
    nodes = [magnitude >> shift for shift in range(n_bits, 0, -1)]
    return found | {min(79, 13 + 2**n_bits + node) for node in nodes}


@pytest.mark.parametrize("largest", [1, 3, 7, 15, 31, 63, 127, 4095])
def test_state_of_context_grows_with_the_decisions_of_its_levels(largest):
    fields = {"model": b"\x00\x10", "coder": "context", "position_mode": PositionMode.LEVELS, "n_negative": 1}
    size = decoder_bytes(record(**fields, n_positive=largest), block_weights=1 << 16)
    n = len(set().union(*map(decisions, range(1, largest + 1))))
    # Context_Set 0: each of three counters has one context, of 4 bytes; a mixer takes 16 and the sign has one; 12 a column
    assert size == 4 * (3 * n + 3) + 16 * (n + 1) + 12 * 8 + CONSTANTS


def test_state_of_context_by_hand():
    """Levels to 7, of mean 1: log(4096 * 7 >> 7) is 31 and log(32) 20, so 16 * 16, 64 and 16 * 22 contexts, and 8 decisions."""
    levels = record(model=b"\x01\x10", coder="context", position_mode=PositionMode.LEVELS, n_negative=7, n_positive=2)
    expected = 4 * (8 * (256 + 64 + 352) + 27 + 243 + 128) + 16 * 9 + 12 * 8 + CONSTANTS
    assert decoder_bytes(levels, block_weights=1 << 16) == expected
    assert decoder_bytes(levels, block_weights=4) == expected - 12 * 4  # a row that is longer than a block


def test_state_of_other_coders():
    codebook = {"kind": Kind.CODEBOOK_F32, "codebook": np.ones(10, np.float32), "step": None}
    lengths = b"\x12\x20"  # symbols 0 to 2, of 1, 2 and 2 bits
    gaps = record(model=lengths, coder="huffman", position_mode=PositionMode.GAPS, **codebook)
    assert decoder_bytes(gaps, block_weights=32) == 4 * 4 + 2 * 3  # a table of 2 bits, three symbols
    bitmap = record(model=b"\x80\x40", coder="range", position_mode=PositionMode.BITMAP, **codebook)  # 8192 of 16384 are zeros
    assert decoder_bytes(bitmap, block_weights=32) == 2 * (2 * 2 + 1 + 256)
    assert decoder_bytes(record(**codebook | {"kind": Kind.SORTED_F16}, positions=None), block_weights=32) == 2 * 10
    assert decoder_bytes(LayerRecord("b", Kind.RAW_F32, (4,)), block_weights=32) == 0


ASK = """
#include <stdio.h>
#include "sqz.h"
static unsigned char data[1 << 20];
int main(void) {
    static sqz_tensor tensor;
    sqz_file file;
    sqz_status status = sqz_open(&file, data, fread(data, 1, sizeof data, stdin), 0);
    if (status == SQZ_OK) status = sqz_first(&file, &tensor);
    for (; status == SQZ_OK; status = sqz_next(&file, &tensor))
        printf("%lu\\n", (unsigned long)sqz_required_memory(&file, &tensor));
    return status != SQZ_NOT_FOUND;
}
"""


@pytest.mark.skipif(not shutil.which("cc") or not (NATIVE / "sqz.h").exists(), reason="needs a C compiler and native/")
def test_the_c_decoder_asks_for_as_much(tmp_path):
    """For every tensor of a file: to a few bytes, but for the constants of `context`."""
    (tmp_path / "ask.c").write_text(ASK)
    sources = [tmp_path / "ask.c", *sorted(NATIVE.glob("sqz*.c"))]
    command = ["cc", "-std=c99", "-O0", f"-I{NATIVE}", *sources, "-lm", "-o", tmp_path / "ask"]
    subprocess.run(command, check=True, capture_output=True)
    more = {"context": [], "other": []}
    for file in (DEEP, "artifacts/han.sqz", "tests/golden/levels_blocks.sqz", "tests/golden/every_kind_sparse.sqz"):
        asked = subprocess.run([tmp_path / "ask"], input=Path(file).read_bytes(), capture_output=True, check=True).stdout.split()
        contents = reader.parse(reader.read_file(file), reader.NO_LIMIT)
        for found, there in zip(contents.records, map(int, asked), strict=True):
            coder = "context" if found.position_mode == PositionMode.LEVELS else "other"
            more[coder].append(there - decoder_bytes(found, block_weights=1 << contents.header.block_log))
    assert len(more["context"]) > 20 and len(more["other"]) > 50
    assert all(abs(each) < 1 << 14 for each in more["context"])  # tables of constants, which a decoder may keep or not
    assert min(more["other"]) >= 0 and max(more["other"]) < 32


# --- parts -------------------------------------------------------------------------------------------------------------


def test_the_parts_are_what_their_data_sheets_say():
    by_name = {part.name: part for part in PARTS}
    assert len(by_name) == len(PARTS) >= 14 and all(part.source for part in PARTS)
    assert (by_name["STM32H743ZI"].flash_bytes, by_name["STM32H743ZI"].ram_bytes) == (2 << 20, 1056 * KIB)
    assert by_name["Artix-7 XC7A100T"].ram_bytes == 4_860 * KIB // 8
    assert by_name["Virtex-7 XC7VX690T"].ram_bytes == 52_920 * KIB // 8
    assert by_name["ECP5 LFE5U-85"].ram_bytes == 3_744 * KIB // 8
    assert by_name["Kintex-7 XC7K325T"].ram_bytes == 16_020 * KIB // 8
    # the paper's remark: FPGAs have less than 10 MB on the chip, and no flash
    assert all(part.ram_bytes < 10_000_000 and part.flash_bytes is None for part in PARTS if part.kind == "FPGA")


def test_verdicts():
    layers = dense(taken_apart(V11, 224), decoder=0)
    needs = [need(layers, weights, activations) for activations in (FLOAT32, INT8, FUSED) for weights in WEIGHTS]
    parts = [
        Part("small", "microcontroller", 10**6, 480_511, "x"),
        Part("exact", "microcontroller", 10**6, 480_512, "x"),
        Part("little flash", "microcontroller", 499_999, 480_512, "x"),
        Part("large", "microcontroller", None, 10**7, "x"),
        Part("fpga", "FPGA", None, 980_512, "x"),
        Part("fpga less", "FPGA", None, 980_511, "x"),
    ]
    found = verdicts(needs, 500_000, parts)
    assert [verdict.part.name for verdict in found] == ["large", "exact", "little flash", "small", "fpga", "fpga less"]
    by_name = {verdict.part.name: verdict for verdict in found}
    assert {name for name, verdict in by_name.items() if verdict.fits} == {"large", "exact", "fpga"}
    spare = {name: (verdict.ram_spare_bytes, verdict.flash_spare_bytes) for name, verdict in by_name.items()}
    assert spare["small"] == (-1, 500_000) and spare["exact"] == (0, 500_000) and spare["little flash"] == (0, -1)
    assert spare["fpga"] == (0, None) and spare["fpga less"] == (-1, None)
    largest = by_name["large"].need  # the way that takes the most, and fits
    assert (largest.activations, largest.weights, spare["large"]) == (FLOAT32, "all", (10**7 - 8_870_560, None))


# --- the command ---------------------------------------------------------------------------------------------------------


def test_the_published_file():
    facts = json.loads(call("fit", DEEP, "--json").stdout)
    assert facts["flash_bytes"] == 466_271 and facts["side"] == 227
    assert facts["weights"]["all_bytes"] == 4_941_984
    # at 227 pixels conv1 and its pool have 113 and 56 pixels, fire3 and pool3 56 and 28
    assert facts["activations"][FLOAT32] == {"peak_bytes": 4 * 64 * (113**2 + 56**2), "peak": "pool1"}
    assert facts["activations"][FUSED] == {"peak_bytes": 128 * (56**2 + 28**2), "peak": "pool3"}
    assert facts["macs"] == 387_747_520 and facts["nonzero_macs"] == 324_328_159
    assert sum(layer["nonzero_weights"] for layer in facts["layers"]) == 969_991
    fits = {part["name"]: part["fits"] for part in facts["parts"]}
    assert fits["STM32H743ZI"] and fits["Kintex-7 XC7K325T"] and not fits["STM32F407VG"] and not fits["Artix-7 XC7A35T"]


def test_the_command(file):
    text = call("fit", file).stdout
    assert "fire2/expand3x3" in text and "14,132" in text and "input 16 x 16" in text
    for part in PARTS:
        assert f"{part.name}  " in text and part.source in text
    assert all(len(line) <= 180 for line in text.splitlines() if not line.startswith(("input", "shown")))
    rows = [line for line in text.splitlines() if " yes " in line or " NO " in line]
    assert len(rows) == len(PARTS) and all(" yes " in row for row in rows)  # 327 weights fit everywhere


def test_a_net_that_is_not_described(tmp_path):
    own = tiny_net.write(tmp_path / "own.sqz", architecture={"name": "factory", "factory": "mynets:small"})
    found = call("fit", own)
    assert f"{own}: holds a net of 'mynets:small', whose layers its own code alone knows" in found.stdout
    assert "activations and parts cannot be told" in found.stdout and "STM32" not in found.stdout
    facts = json.loads(call("fit", own, "--json").stdout)
    assert facts.keys() == {"file", "flash_bytes", "weights", "not_described"}
    assert facts["weights"]["n_values"] == 327 and facts["weights"]["layer"] == "features.2.expand3x3"
    assert (facts["weights"]["layer_bytes"], facts["weights"]["row_bytes"]) == (4 * 148, 4 * 36)
    none = tiny_net.write(tmp_path / "none.sqz", architecture=None)
    assert "metadata.architecture is None; the layers of squeezenet and alexnet are known" in call("fit", none).stdout


def test_the_command_refuses(tmp_path, file):
    assert refused("fit", tmp_path / "none.sqz") == f"error: {tmp_path / 'none.sqz'}: cannot be read: No such file or directory\n"
    assert "Missing argument 'FILE'" in refused("fit")
    (tmp_path / "text").write_text("not a net")
    assert refused("fit", tmp_path / "text").startswith(f"error: {tmp_path / 'text'}: not a .sqz file: begins with")
    damaged = bytearray(file.read_bytes())
    damaged[-40] ^= 1
    (tmp_path / "bad.sqz").write_bytes(damaged)
    assert f"error: {tmp_path / 'bad.sqz'}: " in refused("fit", tmp_path / "bad.sqz")
    if sys.platform != "win32":
        assert (
            refused("fit", os.devnull)
            == f"error: {os.devnull}: cannot be read: a device, a pipe or a socket; it must be a regular file\n"
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"architecture": {**tiny_net.ARCHITECTURE, "classes": 4}},
            r"does not fit the tensors .*classifier.1.weight is \(3, 8, 1, 1\)",
        ),
        ({"architecture": {**tiny_net.ARCHITECTURE, "version": "2.0"}}, "metadata.architecture: version"),
        ({"architecture": {**tiny_net.ARCHITECTURE, "svd": {"a": "b"}}}, r"metadata.architecture.svd is \{'a': 'b'\}"),
        ({"input": {**tiny_net.INPUT, "size": 3, "resize": 3}}, "metadata.input is RGB at 3 pixels, the net takes 3 channels"),
        ({"input": None}, "metadata.input is not an input convention"),
    ],
    ids=str,
)
def test_metadata_that_do_not_fit(tmp_path, changes, message):
    with pytest.raises(CorruptArtifact, match=rf"x\.sqz: .*{message}"):
        fit(tiny_net.write(tmp_path / "x.sqz", **changes))
