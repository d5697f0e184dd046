"""The symbol form: layers as integers, the body's fields, what it costs, and what is refused by name."""

from dataclasses import replace

import delta_file
import numpy as np
import pytest
import tiny_net
from hypothesis import given, settings
from hypothesis import strategies as st
from make_golden import assemble

from compress.artifact import delta, delta_apply, layer_integers, reader, symbol_delta, symbol_layout, writer
from compress.artifact.delta_layout import Form
from compress.artifact.symbol_layout import LayerChange, MetadataChange, Op, SymbolBody
from compress.artifact.table import pack_layer_table
from compress.artifact.writer_settings import Settings, settings_of
from compress.errors import CompressError, CorruptArtifact, CorruptStream, InputError, LimitExceeded, UnsupportedVersion
from compress.layer import RawTensor, SharedLayer

RISING = np.array([-0.5, -0.25, 0.125, 0.5], np.float16)
FALLING = np.array([0.5, 0.25, -0.5], np.float32)
BEST = Settings("best", "best", 1 << 20)


def stepped(name, levels, step=0.1):
    levels = np.asarray(levels, np.int32)
    return SharedLayer(name, levels.shape, levels, step=np.float32(step))


def shared(name, indices, codebook=RISING):
    indices = np.asarray(indices, np.int32)
    return SharedLayer(name, indices.shape, indices, codebook=codebook)


def file_of(layers, metadata=None, **options):
    return writer.to_bytes(layers, metadata or {}, **options)


def parsed(body):
    return symbol_layout.parse(body)


def ops(base, new):
    made = symbol_delta.make(file_of(base), file_of(new))
    assert symbol_delta.apply(made, file_of(base)) == file_of(new)
    return [change.op for change in parsed(made).layers]


# --- what is sent of a layer ------------------------------------------------------------------------------------------

LARGE = np.random.default_rng(0).integers(-3, 4, (16, 8, 3, 3)).astype(np.int32)


def moved(levels, share=0.03, seed=1):
    rng = np.random.default_rng(seed)
    return levels + rng.choice([-1, 1], levels.shape) * (rng.random(levels.shape) < share)


def test_a_layer_that_is_the_same_is_kept():
    base = [
        stepped("a", LARGE),
        shared("b", [[1, 0, 4]]),
        RawTensor("c", np.array(3, np.int64)),
        RawTensor("d", np.ones(3, "f4")),
    ]
    assert ops(base, base) == [Op.KEPT] * 4
    assert ops(base, base[::-1]) == [Op.KEPT] * 4  # in another order


def test_a_layer_that_was_tuned_is_coded_against_the_base():
    assert ops([stepped("a", LARGE)], [stepped("a", moved(LARGE))]) == [Op.CHANGED]
    assert ops([shared("a", np.abs(LARGE))], [shared("a", np.abs(moved(LARGE, 0.03)).clip(0, 4))]) == [Op.CHANGED]
    assert ops([shared("a", np.abs(LARGE), FALLING)], [shared("a", np.abs(LARGE) ^ (LARGE == 2), FALLING)]) == [Op.CHANGED]
    floats = np.random.default_rng(2).normal(size=500)
    for dtype in (np.float16, np.float32):
        assert ops([RawTensor("a", floats.astype(dtype))], [RawTensor("a", (1.001 * floats).astype(dtype))]) == [Op.CHANGED]


def test_a_layer_with_other_values_has_them_given():
    assert ops([stepped("a", LARGE)], [stepped("a", moved(LARGE), step=0.11)]) == [Op.REVALUED]
    other = RISING + np.float16(0.01)
    indices = np.abs(LARGE)
    assert ops([shared("a", indices)], [shared("a", indices, other)]) == [Op.REVALUED]
    assert ops([shared("a", indices)], [shared("a", indices, other.astype(np.float32))]) == [Op.REVALUED]
    # the levels -2 -1 0 1 2 of both are near each other, their indices are not
    codebook = np.array([-0.2, -0.1, 0.1, 0.2, 0.3], np.float32)
    of_levels = np.where(LARGE == 0, 0, LARGE.clip(-2, 2) + 2 + (LARGE < 0))
    assert ops([stepped("a", LARGE.clip(-2, 2))], [shared("a", of_levels, codebook)]) == [Op.REVALUED]


def test_a_layer_that_is_another_goes_whole():
    others = np.random.default_rng(5).integers(-3, 4, LARGE.shape)
    for new in (
        stepped("new", LARGE),
        stepped("a", LARGE[:8]),
        stepped("a", others),
        RawTensor("a", LARGE.astype(np.float32)),
    ):
        assert ops([stepped("a", LARGE)], [new]) == [Op.WHOLE]
    assert ops([RawTensor("n", np.array(1, np.int64))], [RawTensor("n", np.array(2, np.int64))]) == [Op.WHOLE]
    assert ops([RawTensor("n", np.ones(4, "f2"))], [RawTensor("n", np.ones(4, "f4"))]) == [Op.WHOLE]
    empty = SharedLayer("a", (4,), np.zeros(4, np.int32), codebook=np.zeros(0, np.float16))
    assert ops([shared("a", [1, 2, 3, 4])], [empty]) == [Op.WHOLE]


def test_it_is_small_where_little_changed():
    """3% of the levels of a layer: the entropy of which, and of their signs, is 0.22 bits a weight."""
    levels = np.random.default_rng(3).integers(-8, 9, (64, 32, 3, 3)).astype(np.int32)
    base, new = file_of([stepped("a", levels)]), file_of([stepped("a", moved(levels))])
    made = symbol_delta.make(base, new)
    assert len(made) < 1.06 * levels.size * (0.1944 + 0.03) / 8 + 40
    assert len(made) < 0.07 * len(new)


small = st.integers(-3, 3)


@st.composite
def pairs(draw):
    """Two nets that share some layers, with every kind of layer, changed or not, and other metadata."""
    base, new = [], []
    for name in draw(st.lists(st.sampled_from(["a", "b.weight", "b.bias", "c", "d"]), min_size=1, max_size=5, unique=True)):
        shape = draw(st.sampled_from([(1,), (7,), (4, 6), (2, 3, 3, 3), ()]))
        numbers = [np.resize(np.array(draw(st.lists(small, min_size=1, max_size=5)), np.int32), shape) for _ in range(2)]
        kinds = st.sampled_from(["f2", "f4", "i8", "step", "step2", "rising", "falling"])
        layers = []
        kind = draw(kinds)
        for k, values in zip((kind, draw(st.sampled_from([kind, kind, draw(kinds)]))), numbers, strict=True):
            if k.startswith("step"):
                layers.append(stepped(name, values, 0.5 if k == "step" else 0.25))
            elif k in ("rising", "falling"):
                layers.append(shared(name, np.abs(values), RISING if k == "rising" else FALLING))
            else:
                layers.append(RawTensor(name, (values * draw(st.sampled_from([1, -0.0, 0.3]))).astype(k)))
        base += draw(st.sampled_from([[], layers[:1], layers[:1]]))
        new += layers[1:]
    return base or [stepped("x", [1])], new


@settings(max_examples=60)
@given(pairs(), st.sampled_from([8, 1 << 20]), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2))
def test_round_trip(nets, block_size, metadata):
    base, new = file_of(nets[0], {"a": 1, "name": "é"}), file_of(nets[1], metadata, block_size=block_size)
    assert symbol_delta.apply(symbol_delta.make(base, new), base) == new


# --- the settings that wrote a file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("coder", ["best", "context", "stored", "huffman", "range", "zstd"])
@pytest.mark.parametrize("positions", ["best", "gaps"])
def test_settings_are_found(coder, positions):
    layers = [stepped("a", LARGE), shared("b", np.abs(LARGE)), RawTensor("c", np.zeros(40, np.float32))]
    data = file_of(layers, coder=coder, positions=positions, block_size=512)
    found = settings_of(reader.parse(data, 1 << 20), reader.read_bytes(data).layers)
    assert found is not None and found.block_size == 512
    assert found.write({layer.name: layer for layer in layers}, {}) == data


def test_a_file_that_no_setting_writes_has_no_symbol_form(tmp_path):
    """One layer as Huffman codes and gaps, the other stored, though `best` is shorter for both."""
    first = writer.encode_layer(stepped("a", LARGE), coder="huffman", positions="gaps")
    second = writer.encode_layer(stepped("b", LARGE), coder="stored", positions="bitmap")
    data = assemble(pack_layer_table([first.record, second.record]), b"".join(first.payloads + second.payloads))
    other = file_of([stepped("a", LARGE)])
    (tmp_path / "old.sqz").write_bytes(other)
    (tmp_path / "new.sqz").write_bytes(data)
    assert settings_of(reader.parse(data, 1 << 20), reader.read_bytes(data).layers) is None
    with pytest.raises(
        InputError, match=r"new\.sqz: no setting of this encoder \(squeeze-compress .*\) writes these bytes again"
    ):
        delta.make(tmp_path / "old.sqz", tmp_path / "new.sqz", form="symbol")
    made = delta.make(tmp_path / "old.sqz", tmp_path / "new.sqz", form="auto")
    assert made.form.name == "BLOCK" and made.symbol_size is None and made.no_symbol.startswith("no setting of this encoder")


# --- metadata ---------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=12), st.binary(max_size=12))
def test_metadata_change(base, new):
    change = MetadataChange.between(base, new)
    assert change.apply(base) == new and change.prefix + change.suffix <= min(len(base), len(new))


def test_known_bytes_of_a_body():
    changes = (
        LayerChange(Op.KEPT, 2),
        LayerChange(Op.CHANGED, 300, b"st"),
        LayerChange(Op.WHOLE),
        LayerChange(Op.REVALUED, 0, b"x"),
    )
    body = SymbolBody("enc 1", Settings("range", "gaps", 4096), MetadataChange(3, 1, b"md"), b"whole", changes)
    packed = symbol_layout.pack(body)
    assert packed == b"\x05enc 1" + b"\x04\x03\x0c" + b"\x03\x01\x02md" + b"\x05whole" + bytes.fromhex("00 02 01 ac 02 02") + (
        b"st" + b"\x03" + b"\x02\x00\x01x"
    )
    assert parsed(packed) == body
    ends = [len(symbol_layout.pack(replace(body, layers=changes[:n]))) for n in (1, 2, 3)]
    for size in range(len(packed)):
        if size in ends:  # cut between two layers: NEW's digest tells
            assert parsed(packed[:size]).layers == changes[: ends.index(size) + 1]
            continue
        with pytest.raises(CorruptArtifact):
            parsed(packed[:size])


# --- what is refused --------------------------------------------------------------------------------------------------

BASE_LAYERS = [stepped("a", [[1, 0, -1]]), shared("b", [1, 2]), RawTensor("n", np.array(3, np.int64))]
BASE = file_of(BASE_LAYERS, {"k": 1})
KEPT = (LayerChange(Op.KEPT, 0), LayerChange(Op.KEPT, 1), LayerChange(Op.KEPT, 2))
SAME_METADATA = MetadataChange(7, 0, b"")


def body_of(**changes):
    fields = {"encoder": symbol_delta.encoder(), "settings": BEST, "metadata": SAME_METADATA, "whole": b"", "layers": KEPT}
    return symbol_layout.pack(SymbolBody(**fields | changes))


def test_the_hostile_bodies_below_are_right_but_for_what_is_changed():
    assert symbol_delta.apply(body_of(), BASE) == BASE


def test_another_encoder_is_refused_by_name():
    with pytest.raises(UnsupportedVersion, match=r"for the encoder 'squeeze-compress 9\.9'; this one is 'squeeze-compress \d"):
        symbol_delta.apply(body_of(encoder="squeeze-compress 9.9") + b"\xff", BASE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": ()}, "the new file has no layer"),
        ({"layers": (LayerChange(Op.KEPT, 3),)}, "comes from layer 3 of the base, which is one of 3"),
        ({"layers": (LayerChange(Op.KEPT, 0), LayerChange(Op.KEPT, 0))}, "layer 0 of the base, which was taken before"),
        ({"layers": (LayerChange(Op.WHOLE),)}, "layer 0 of the new file takes tensor 0 of Whole, which has 0"),
        ({"layers": (LayerChange(Op.REVALUED, 0, b"x"),)}, "layer 0 of the new file takes tensor 0 of Whole"),
        ({"whole": file_of([stepped("z", [1])])}, "1 tensors in Whole, the new file takes 0"),
        ({"whole": file_of([stepped("z", [1])])[:-1]}, "Whole: truncated"),
        ({"whole": file_of([stepped("a", [1])]), "layers": (LayerChange(Op.KEPT, 0), LayerChange(Op.WHOLE))}, "a: named twice"),
        ({"layers": (LayerChange(Op.CHANGED, 2, b"x"),)}, "n: a int64 tensor cannot be changed"),
        ({"layers": (LayerChange(Op.CHANGED, 0, b""),)}, "a: changes: 0 bytes for 3 levels"),
        ({"layers": (LayerChange(Op.CHANGED, 0, b"\xff" * 9),)}, "a: changes: stream starts with ff ff ff ff"),
        ({"metadata": MetadataChange(4, 4, b"")}, r"metadata takes 4 \+ 4 bytes of the base's, which has 7"),
        ({"metadata": MetadataChange(6, 0, b"")}, "metadata: "),
        ({"encoder": "a\nb"}, "the encoder's name is"),
    ],
)
def test_bodies_that_do_not_add_up_are_refused(changes, message):
    with pytest.raises(CorruptArtifact, match=message):
        symbol_delta.apply(body_of(**changes), BASE)


def at_settings(offset, value):
    packed = bytearray(body_of())
    packed[1 + len(symbol_delta.encoder()) + offset] = value
    return bytes(packed)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "data ends"),
        (b"\x00", "the encoder's name is"),
        (b"\x7fabc", "124 bytes short"),
        (at_settings(0, 6), "coder 6, allowed 0 to 5"),
        (at_settings(1, 4), "positions 4, allowed 0 to 3"),
        (at_settings(2, 2), "block log 2, allowed 3 to 20"),
        (at_settings(2, 21), "block log 21"),
        (body_of() + b"\x04", "layer change 4, allowed 0 to 3"),
        (body_of() + b"\x01\x00\xff\xff\xff\xff\x7f", "34,359,738,367 bytes short"),
    ],
)
def test_damaged_fields_are_refused(body, message):
    with pytest.raises(CorruptArtifact, match=message):
        symbol_delta.apply(body, BASE)


@pytest.mark.parametrize(
    "given", [np.array(np.nan, "f4"), np.array(-1, "f4"), np.array(0.1, "f2"), np.array([1, np.inf], "f4"), np.ones((1, 1), "f4")]
)
def test_values_that_are_none_are_refused(given):
    from compress.codecs import changes

    levels = np.array([1, 0, -1], np.int64)
    stream = changes.encode(levels, levels, 3)
    whole = file_of([RawTensor("v", given)])
    with pytest.raises(CorruptArtifact, match=r"^a: (?!a: )"):
        symbol_delta.apply(body_of(whole=whole, layers=(LayerChange(Op.REVALUED, 0, stream),)), BASE)


def test_levels_that_the_layer_cannot_have_are_refused():
    from compress.codecs import changes

    for place, old, new, message in (
        (0, [1, 0, -1], [1, 0, -32768], r"a: indices span \[-32768, 1\], allowed \[-32767, 32767\]"),
        (1, [-2, -1], [-2, 3], r"b: indices span \[1, 5\], allowed \[0, 4\]"),
        (1, [-2, -1], [-3, -1], r"b: indices span \[-1, 2\], allowed \[0, 4\]"),
    ):
        stream = changes.encode(np.array(old), np.array(new), 3 if place == 0 else 1)
        with pytest.raises(CorruptStream, match=message):
            symbol_delta.apply(body_of(layers=(LayerChange(Op.CHANGED, place, stream),)), BASE)


def test_more_weights_than_allowed_are_refused():
    with pytest.raises(LimitExceeded, match="weights"):
        symbol_delta.apply(body_of(), BASE, max_weights=5)
    base, whole = (file_of([RawTensor(name, np.ones(4, "f4"))]) for name in "ab")
    body = body_of(whole=whole, layers=(LayerChange(Op.KEPT, 0), LayerChange(Op.WHOLE)))
    with pytest.raises(LimitExceeded, match="the new file has over 5 weights"):
        symbol_delta.apply(body, base, max_weights=5)


def test_a_base_that_is_no_sqz_file_is_named():
    with pytest.raises(CorruptArtifact, match=r"^the base: not a \.sqz file"):
        symbol_delta.apply(body_of(), b"something else, of some length")


def test_metadata_that_no_file_can_hold_are_refused_as_the_delta_s():
    huge = b'{"a":"' + b"x" * (1 << 16) + b'"}'
    body = body_of(metadata=MetadataChange(0, 0, huge))
    with pytest.raises(CorruptArtifact, match="65,5"):
        symbol_delta.apply(body, BASE)


def test_every_changed_byte_is_refused_or_makes_another_file(tmp_path):
    """With a checksum that fits: only New_SHA256 is left, or a check before it; never another error, never a file."""
    old, new, update = (tmp_path / name for name in ("old.sqz", "new.sqz", "u.sqzd"))
    tiny_net.write(old)
    layers = tiny_net.layers()
    layers[0].indices.reshape(-1)[::7] = 1
    tiny_net.write(new, [*layers[:-1], RawTensor(layers[-1].name, layers[-1].array * 2)])
    made = delta.make(old, new, form="symbol")
    body = made.data[100:-4]
    for at in range(0, len(body), 3):
        damaged = body[:at] + bytes([body[at] ^ 0x11]) + body[at + 1 :]
        update.write_bytes(made.data[:100] + damaged + writer.crc32c(damaged).to_bytes(4, "little"))
        with pytest.raises(CompressError):
            delta_apply.apply(old, update, tmp_path / "out.sqz")
    assert not (tmp_path / "out.sqz").exists()


def test_a_size_that_is_not_the_new_file_s(tmp_path):
    (tmp_path / "base.sqz").write_bytes(BASE)
    update = delta_file.file_of(body_of(), BASE, BASE, form=Form.SYMBOL, new_size=len(BASE) + 1)
    (tmp_path / "update.sqzd").write_bytes(update)
    with pytest.raises(CorruptArtifact, match=f"makes a file of {len(BASE)} bytes, declares {len(BASE) + 1}"):
        delta_apply.apply(tmp_path / "base.sqz", tmp_path / "update.sqzd", tmp_path / "new.sqz")
    assert not (tmp_path / "new.sqz").exists()


# --- layers as integers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("array", [np.zeros((2, 2), np.float32), np.array(1, np.float16), np.zeros(3, np.int64)])
def test_tensors_that_are_neither_codebook_nor_step(array):
    with pytest.raises(CorruptArtifact, match="is neither a codebook nor a step"):
        layer_integers.Values.from_tensor(RawTensor("a", array))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_integers_of_floats_rise_with_them_and_keep_every_bit(dtype):
    bits = np.random.default_rng(0).integers(0, 1 << 8 * np.dtype(dtype).itemsize, 2000).astype(f"u{np.dtype(dtype).itemsize}")
    array = np.concatenate([bits.view(dtype), np.array([0.0, -0.0, np.inf, -np.inf, np.nan], dtype)])
    integers, _ = layer_integers.comparable(RawTensor("a", array), RawTensor("a", array))
    finite = np.isfinite(array)
    rising = array[finite][np.argsort(integers[finite], kind="stable")]
    assert (np.diff(rising.astype(np.float64)) >= 0).all()
    back = layer_integers.rebuilt(RawTensor("a", array), None, integers)
    assert back.array.tobytes() == array.tobytes()
    for wrong in (-1, 1 << 8 * array.itemsize):
        with pytest.raises(CorruptStream, match="values span"):
            layer_integers.rebuilt(RawTensor("a", array[:1]), None, np.array([wrong]))
