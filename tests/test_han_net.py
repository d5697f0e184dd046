import hashlib
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compress.artifact import reader, writer
from compress.errors import WeightsError
from compress.models import han_net
from compress.models.squeezenet import SqueezeNet
from compress.recipe import SqueezeNetSpec

ONE = {"conv.weight": (2, 1, 3, 4), "conv.bias": (2,)}  # 24 weights
TWO = ONE | {"fc.weight": (1, 3), "fc.bias": (1,)}


def book_of(entries):
    """256 float32, zero but for `entries`: code -> value."""
    book = np.zeros(256, np.float32)
    for code, value in entries.items():
        book[code] = value
    return book.tobytes()


BOOK = book_of({7: 0.5, 8: 99.0, 9: -0.25, 255: 1.5})  # no weight below has 99
BIAS = struct.pack("<2f", 0.25, -2.0)
# Entry 7 at place 0, then 9 at 1 (gap 0), padding 16 further on at 17 (gap 15), 7 at 20 (gap 2), 255 at 23 (gap 2).
ENTRIES = bytes.fromhex("07 09 00 07 ff  00 2f 02")
LITERAL = struct.pack("<I", 5) + BOOK + BIAS + ENTRIES
SECOND = book_of({1: 3.0}) + struct.pack("<f", 1.0) + bytes.fromhex("01 01  10")  # 3.0 at places 0 and 2
LITERAL_TWO = struct.pack("<2I", 5, 2) + BOOK + BIAS + ENTRIES + SECOND


def parse(data, expected=ONE):
    return han_net.parse(data, expected, "x.net")


def refusal(data, expected=ONE):
    with pytest.raises(WeightsError) as refused:
        parse(data, expected)
    return str(refused.value)


def with_bytes(offset, new):
    return LITERAL[:offset] + new + LITERAL[offset + len(new) :]


BIAS_AT, CODES_AT, GAPS_AT = 4 + 1024, 4 + 1024 + 8, 4 + 1024 + 8 + 5


# --- known bytes -----------------------------------------------------------------------------------------------------


def test_known_bytes():
    weight, bias = parse(LITERAL)
    assert (weight.name, weight.shape, bias.name, bias.shape) == ("conv.weight", (2, 1, 3, 4), "conv.bias", (2,))
    values = np.zeros(24, np.float32)
    values[[0, 1, 20, 23]] = [0.5, -0.25, 0.5, 1.5]
    assert weight.values().dtype == np.float32 and weight.values().tobytes() == values.tobytes()
    assert weight.codebook.dtype == np.float32 and weight.codebook.tolist() == [0.5, -0.25, 1.5]
    assert weight.indices.reshape(-1)[[0, 1, 20, 23]].tolist() == [1, 2, 1, 3] and weight.n_nonzero == 4
    assert bias.array.dtype == np.float32 and bias.array.tolist() == [0.25, -2.0]


def test_two_layers_are_back_to_back():
    layers = parse(LITERAL_TWO, TWO)
    assert [layer.name for layer in layers] == list(TWO)
    assert layers[0].values().tobytes() == parse(LITERAL)[0].values().tobytes()
    assert layers[2].values().tolist() == [[3.0, 0.0, 3.0]] and layers[3].array.tolist() == [1.0]


def test_arrays_are_the_callers_own():
    weight, bias = parse(LITERAL)
    assert all(array.flags.writeable for array in (weight.indices, weight.codebook, bias.array))


def test_a_layer_without_an_entry():
    weight, _ = parse(struct.pack("<I", 0) + BOOK + BIAS)
    assert weight.n_nonzero == 0 and len(weight.codebook) == 0 and not weight.values().any()


def test_padding_may_have_any_gap_and_the_last_place():
    """Code 0 moves on and stores nothing, wherever it is: 7 at 0, padding at 2 and at 23 (gaps 0 1 15 4), the last place."""
    weight, _ = parse(struct.pack("<I", 4) + BOOK + BIAS + bytes.fromhex("07 00 00 00  10 4f"))
    assert np.flatnonzero(weight.indices).tolist() == [0] and weight.codebook.tolist() == [0.5]


def test_a_centroid_of_zero_is_a_pruned_weight_and_minus_zero_is_not():
    """Index 0 decodes to +0.0, so +0.0 needs no centroid; -0.0 has other bits."""
    book = book_of({3: 0.0, 4: -0.0, 5: 2.0})
    weight, _ = parse(struct.pack("<I", 4) + book + BIAS + bytes.fromhex("03 04 05 03  00 00"))
    assert weight.indices.reshape(-1)[:5].tolist() == [0, 1, 2, 0, 0]
    assert weight.codebook.tobytes() == struct.pack("<2f", -0.0, 2.0)
    assert weight.values().tobytes() == struct.pack("<24f", 0.0, -0.0, 2.0, *[0.0] * 21)


# --- what comes back is what was written --------------------------------------------------------------------------------


def net_bytes(layers):
    """A .net file. layers: (codes, codebook, bias) each, flat: uint8 with 0 for a pruned weight, float32 (256,), float32."""
    counts, parts = b"", b""
    for codes, codebook, bias in layers:
        entries = []  # (code, gap)
        for zeros, code in zip(np.diff(np.flatnonzero(codes), prepend=-1) - 1, codes[codes != 0], strict=True):
            entries += [(0, 15)] * (int(zeros) // 16) + [(int(code), int(zeros) % 16)]
        gaps = [gap for _, gap in entries] + [0] * (len(entries) % 2)
        packed = [low | high << 4 for low, high in zip(gaps[::2], gaps[1::2], strict=True)]
        counts += struct.pack("<I", len(entries))
        parts += codebook.tobytes() + bias.tobytes() + bytes(code for code, _ in entries) + bytes(packed)
    return counts + parts


finite = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.sampled_from([0.0, -0.0])


@st.composite
def coded_layers(draw):
    """(shape, codes, codebook, bias): sparse and dense ones, with few codes and with all."""
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 60)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_codes, density = draw(st.integers(1, 256)), draw(st.sampled_from([0.0, 0.02, 0.3, 1.0]))
    codes = rng.integers(0, n_codes, shape).astype(np.uint8) * (rng.random(shape) < density)
    some = np.array(draw(st.lists(finite, min_size=1, max_size=8)), np.float32)
    codebook = np.where(rng.random(256) < 0.5, rng.choice(some, 256), rng.normal(size=256)).astype(np.float32)
    codebook[0] = 0.0
    return shape, codes.reshape(-1), codebook, rng.normal(size=shape[0]).astype(np.float32)


@given(st.lists(coded_layers(), min_size=1, max_size=3))
def test_round_trip(nets):
    expected = {}
    for i, (shape, *_) in enumerate(nets):
        expected |= {f"{i}.weight": shape, f"{i}.bias": shape[:1]}
    layers = parse(net_bytes([net[1:] for net in nets]), expected)
    assert [layer.name for layer in layers] == list(expected)
    for (shape, codes, codebook, bias), weight, raw in zip(nets, layers[::2], layers[1::2], strict=True):
        assert weight.shape == shape and weight.values().tobytes() == codebook[codes].tobytes()
        assert raw.array.tobytes() == bias.tobytes()
        assert set(np.unique(weight.indices)) - {0} == set(range(1, len(weight.codebook) + 1))  # none that no weight has
        assert (weight.codebook.view(np.uint32) != 0).all()


@given(st.integers(0, len(LITERAL_TWO)), st.binary(max_size=6), st.integers(0, 6))
def test_any_damage_is_refused_or_decodes_within_the_net(offset, inserted, n_removed):
    """A changed code or value cannot be seen here (a digest sees it), but nothing comes out that is not the net's."""
    damaged = LITERAL_TWO[:offset] + inserted + LITERAL_TWO[offset + n_removed :]
    try:
        layers = parse(damaged, TWO)
    except WeightsError:
        return
    assert {layer.name: layer.shape for layer in layers} == TWO
    assert all(np.isfinite(layer.values()).all() for layer in layers)


# --- damage is refused by name ------------------------------------------------------------------------------------------


def test_every_truncation_is_refused():
    for n_bytes in range(len(LITERAL_TWO)):
        assert refusal(LITERAL_TWO[:n_bytes], TWO).startswith(f"x.net: {n_bytes:,} bytes, ")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x.net: 0 bytes, the entry counts of the net's 1 weights take 4"),
        (LITERAL[:3], "x.net: 3 bytes, the entry counts of the net's 1 weights take 4"),
        (LITERAL[:4], "x.net: 4 bytes, conv.weight and its bias need bytes 4 to 1,044 for 5 entries"),
        (LITERAL[:-2], "x.net: 1,042 bytes, conv.weight and its bias need bytes 4 to 1,044 for 5 entries"),
        (LITERAL + b"\0\0\0", "x.net: 1,047 bytes, the layers end after 1,044"),
        (with_bytes(0, b"\x06"), "x.net: 1,044 bytes, conv.weight and its bias need bytes 4 to 1,045 for 6 entries"),
        (with_bytes(0, b"\x03"), "x.net: 1,044 bytes, the layers end after 1,041"),
        (with_bytes(0, b"\x19"), "x.net: conv.weight declares 25 entries, shape (2, 1, 3, 4) has 24 places"),
        (with_bytes(0, b"\xff" * 4), "x.net: conv.weight declares 4,294,967,295 entries, shape (2, 1, 3, 4) has 24 places"),
        (
            with_bytes(GAPS_AT + 2, b"\x03"),
            "x.net: conv.weight: entry 4 of 5 is at place 24, the layer has 24 weights",
        ),
        (
            with_bytes(GAPS_AT, b"\xff"),
            "x.net: conv.weight: entry 1 of 5 is at place 31, the layer has 24 weights",
        ),
        (with_bytes(GAPS_AT + 2, b"\x12"), "x.net: conv.weight: the nibble after the last of 5 gaps is 1, must be 0"),
        (
            with_bytes(4, struct.pack("<f", 0.5)),
            "x.net: conv.weight: entry 0 of the codebook is 0.5, must be 0.0, the value of a pruned weight",
        ),
        (
            with_bytes(4, struct.pack("<f", -0.0)),
            "x.net: conv.weight: entry 0 of the codebook is -0.0, must be 0.0, the value of a pruned weight",
        ),
        (
            with_bytes(4 + 4 * 200, struct.pack("<2f", np.nan, np.inf)),  # no weight has them
            "x.net: conv.weight: the codebook holds 2 entries that are NaN or infinite",
        ),
        (with_bytes(BIAS_AT + 4, struct.pack("<f", -np.inf)), "x.net: conv.bias holds 1 values that are NaN or infinite"),
    ],
)
def test_damage_is_refused_by_name(data, message):
    assert refusal(data) == message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (LITERAL_TWO[:7], "x.net: 7 bytes, the entry counts of the net's 2 weights take 8"),
        (LITERAL_TWO[:-1], "x.net: 2,078 bytes, fc.weight and its bias need bytes 1,048 to 2,079 for 2 entries"),
        (LITERAL_TWO[:4] + b"\4" + LITERAL_TWO[5:], "x.net: fc.weight declares 4 entries, shape (1, 3) has 3 places"),
        (LITERAL_TWO[:-1] + b"\x20", "x.net: fc.weight: entry 1 of 2 is at place 3, the layer has 3 weights"),
        (LITERAL_TWO + b"\0", "x.net: 2,080 bytes, the layers end after 2,079"),
    ],
)
def test_damage_of_a_later_layer_names_it(data, message):
    assert refusal(data, TWO) == message


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"conv.weight": (2, 12)}, "the net has conv.weight followed by nothing"),
        (ONE | {"norm.weight": (2,)}, "the net has norm.weight followed by nothing"),
        ({"a.weight": (2, 3), "b.bias": (2,)}, "the net has a.weight followed by b.bias"),
        ({"conv.bias": (2,), "conv.weight": (2, 12)}, "the net has conv.bias followed by conv.weight"),
        ({"conv.weight": (2, 12), "conv.bias": (3,)}, "the net has conv.weight followed by conv.bias"),
        ({"scale.weight": (), "scale.bias": ()}, "the net has scale.weight followed by scale.bias"),
    ],
)
def test_a_net_of_other_layers_is_refused(expected, message):
    assert refusal(LITERAL, expected) == f"x.net: holds a weight and a bias a layer; {message}"


# --- the authors' file --------------------------------------------------------------------------------------------------

ANCHORS = Path(os.environ.get("SQUEEZE_DATA", "../shared/data")).parent / "anchors"
needs_the_file = pytest.mark.skipif(not ANCHORS.is_dir(), reason=f"{ANCHORS} is missing: it holds compressed_SqueezeNet.net")


def shapes_of(version):
    with torch.device("meta"):
        net = SqueezeNet(SqueezeNetSpec(version=version))
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}


@pytest.fixture(scope="module")
def file():
    return (ANCHORS / "compressed_SqueezeNet.net").read_bytes()


@pytest.fixture(scope="module")
def layers(file):
    return han_net.parse(file, shapes_of("1.0"), "compressed_SqueezeNet.net")


def sha256(array):
    return hashlib.sha256(array.astype("<f4").tobytes()).hexdigest()


@needs_the_file
def test_the_authors_file_decodes_to_its_known_digests(file, layers):
    known = json.loads((ANCHORS / "compressed_SqueezeNet.known.json").read_text(encoding="utf-8"))
    assert hashlib.sha256(file).hexdigest() == known["sha256"]
    found = [
        {
            "torchvision_key": weight.name.removesuffix(".weight"),
            "shape": list(weight.shape),
            "nonzero": weight.n_nonzero,
            "weight_sha256": sha256(weight.values()),
            "bias_sha256": sha256(bias.values()),
        }
        for weight, bias in zip(layers[::2], layers[1::2], strict=True)
    ]
    assert found == [{key: layer[key] for key in found[0]} for layer in known["layers"]]
    assert len(found) == 26 and sum(weight.n_weights for weight in layers[::2]) == known["total_weights"]
    counts = struct.unpack("<26I", file[:104])
    assert list(counts) == [layer["entries"] for layer in known["layers"]] and sum(counts) == known["total_entries"]


@needs_the_file
def test_the_authors_file_fits_the_net(layers):
    assert {layer.name: layer.shape for layer in layers} == shapes_of("1.0")
    assert [layer.name for layer in layers] == list(shapes_of("1.0"))
    assert sum(layer.n_weights for layer in layers) == 1_248_424  # arXiv 1602.07360, table 1
    net = SqueezeNet(SqueezeNetSpec(version="1.0"))
    net.load_state_dict({layer.name: torch.from_numpy(layer.values()) for layer in layers}, strict=True)


@needs_the_file
def test_the_authors_file_is_refused_for_another_net(file):
    with pytest.raises(
        WeightsError, match=r"a.net: features.0.weight declares 13,902 entries, shape \(64, 3, 3, 3\) has 1,728 places"
    ):
        han_net.parse(file, shapes_of("1.1"), "a.net")


@needs_the_file
def test_the_authors_weights_in_the_container(layers):
    """Bit for bit the same, in at most 545,000 bytes; their own file takes 675,763."""
    data = writer.to_bytes(layers, {}, coder="best", positions="best")
    decoded = reader.read_bytes(data).layers
    assert list(decoded) == [layer.name for layer in layers]
    for layer in layers:
        assert decoded[layer.name].kind == layer.kind
        assert decoded[layer.name].values().tobytes() == layer.values().tobytes()
        if layer.kind == "shared":
            assert decoded[layer.name].codebook.tobytes() == layer.codebook.tobytes()
    assert len(data) <= 545_000
