"""Deltas whole, and their block form: what is made is applied to the same bytes, what is wrong is refused by name."""

import io
import itertools

import delta_file
import numpy as np
import pytest
import tiny_net
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.artifact import block_delta, delta, delta_apply, layout, reader, writer
from compress.artifact.checksums import sha256
from compress.artifact.delta_layout import (
    BODY_OFFSET,
    Copy,
    DeltaHeader,
    Form,
    Literal,
    pack_header,
    pack_instructions,
    parse_header,
)
from compress.errors import ArtifactError, CorruptArtifact, InputError, LimitExceeded, UnsupportedVersion, WrongBase
from compress.layer import RawTensor, SharedLayer

BASE = bytes(range(200))


def file_of(body, base=BASE, new=b"new file!", **changes):
    return delta_file.file_of(body, base, new, **changes)


@pytest.fixture
def place(tmp_path):
    """A folder with a base in it, and a function that applies a delta's bytes to it."""

    def apply(data, base=BASE, **options):
        (tmp_path / "base").write_bytes(base)
        (tmp_path / "update.sqzd").write_bytes(data)
        delta_apply.apply(tmp_path / "base", tmp_path / "update.sqzd", tmp_path / "out", **options)
        return (tmp_path / "out").read_bytes()

    return apply


def contents(layers, **options):
    return reader.parse(writer.to_bytes(layers, {}, **options), layout.MAX_WEIGHTS)


def put_together(instructions, base):
    return b"".join(base[e.offset : e.offset + e.length] if isinstance(e, Copy) else e.data for e in instructions)


# --- known bytes ------------------------------------------------------------------------------------------------------


def test_known_bytes(place):
    body = pack_instructions([Literal(b"new"), Copy(130, 5), Literal(b"!")])
    assert body.hex(" ") == "06 6e 65 77 0b 82 01 02 21"
    data = file_of(body, new=b"new" + BASE[130:135] + b"!")
    assert data[:32].hex(" ") == (
        "53 51 44 1a 01 00 00 00 71 00 00 00 00 00 00 00 c8 00 00 00 00 00 00 00 09 00 00 00 00 00 00 00"
    )
    assert data[32:96] == sha256(BASE) + sha256(b"new" + BASE[130:135] + b"!")
    assert place(data) == b"new" + BASE[130:135] + b"!"


def test_header_round_trip():
    header = DeltaHeader(Form.SYMBOL, 500, (1 << 34) - 1, 1 << 30, b"b" * 32, b"n" * 32)
    assert parse_header(pack_header(header), 500) == header


# --- what is copied ---------------------------------------------------------------------------------------------------


def shared(name, seed, shape=(4, 40)):
    indices = np.random.default_rng(seed).integers(-3, 4, shape).astype(np.int32)
    return SharedLayer(name, shape, indices, step=np.float32(0.1))


def test_the_same_file_is_one_copy():
    base = contents(tiny_net.layers())
    assert block_delta.instructions(base, base) == [Copy(0, len(base.data))]


def test_a_changed_layer_is_all_that_is_literal():
    """Beside what is always new: the header with its File_Size, the layer's record, the table's checksum and the file's."""
    layers = [shared("a", 1), shared("b", 2), shared("c", 3)]
    base = contents(layers, coder="stored", positions="bitmap")
    new = contents([layers[0], shared("b", 4), layers[2]], coder="stored", positions="bitmap")
    made = block_delta.instructions(base, new)
    assert put_together(made, base.data) == new.data
    payload = next(payload for record, _, _, payload in new.blocks() if record.name == "b")
    literals = [each.data for each in made if isinstance(each, Literal)]
    assert payload in literals and sum(map(len, literals)) == 24 + new.records[1].record_size + 4 + len(payload) + 32


def test_equal_blocks_are_found_wherever_they_are():
    """Under another name, in another order, in another layer's middle."""
    body, other = shared("body", 5, (64, 64)), shared("other", 6, (64, 64))
    stretched = SharedLayer("both", (128, 64), np.concatenate([other.indices, body.indices]), step=np.float32(0.1))
    base = contents([body, other], coder="stored", block_size=4096)
    new = contents([stretched], coder="stored", block_size=4096)
    made = block_delta.instructions(base, new)
    assert put_together(made, base.data) == new.data
    payloads = {payload for _, _, _, payload in base.blocks()}
    copied = {base.data[e.offset : e.offset + e.length] for e in made if isinstance(e, Copy)}
    assert payloads <= copied


def test_of_equal_parts_the_one_that_goes_on_is_taken():
    layers = [RawTensor(name, np.full(16, value, np.float32)) for name, value in (("a", 1), ("b", 2), ("c", 1), ("d", 3))]
    base = contents(layers)
    new = contents([RawTensor("new", np.zeros(3, np.float32)), *layers[1:3]])
    copy = block_delta.instructions(base, new)[-2]
    assert isinstance(copy, Copy) and copy.length == 2 * 64  # b and c, not b and a


def test_small_equal_parts_are_literal():
    """A copy of four bytes would take more than four."""
    base, new = (
        contents([RawTensor("a", np.array([1.0], np.float32)), RawTensor("b", np.array([v], np.float32))]) for v in (2, 3)
    )
    assert all(each.length >= block_delta.MIN_COPY for each in block_delta.instructions(base, new) if isinstance(each, Copy))


names = st.sampled_from(["a", "b.weight", "b.bias", "c"])
values = st.sampled_from([0, 1, -2])


@st.composite
def nets(draw):
    chosen = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    made = []
    for name in chosen:
        shape = draw(st.sampled_from([(1,), (5,), (3, 8), (2, 2, 3, 3)]))
        numbers = np.resize(np.array(draw(st.lists(values, min_size=1, max_size=6)), np.int32), shape)
        kind = draw(st.sampled_from(["f2", "f4", "i8", "step", "book"]))
        if kind == "step":
            made.append(SharedLayer(name, shape, numbers, step=np.float32(0.5)))
        elif kind == "book":
            made.append(SharedLayer(name, shape, np.abs(numbers), codebook=np.array([-0.5, 0.25], np.float16)))
        else:
            made.append(RawTensor(name, numbers.astype(kind)))
    return made


@settings(max_examples=60)
@given(nets(), nets(), st.sampled_from([8, 1 << 20]))
def test_round_trip_of_the_block_form(old, new, block_size):
    base, target = contents(old), contents(new, block_size=block_size)
    made = block_delta.instructions(base, target)
    assert put_together(made, base.data) == target.data
    assert not any(type(a) is type(b) is Literal for a, b in itertools.pairwise(made))
    body = pack_instructions(made)
    header = DeltaHeader(Form.BLOCK, BODY_OFFSET + len(body) + 4, len(base.data), len(target.data), bytes(32), bytes(32))
    assert b"".join(block_delta.pieces(io.BytesIO(body), header, io.BytesIO(base.data))) == target.data


def test_pieces_are_small_whatever_the_lengths():
    base, size = bytes(3 * block_delta.PIECE + 5), 2 * block_delta.PIECE + 1
    body = pack_instructions([Copy(2, size), Literal(base[:size])])
    header = DeltaHeader(Form.BLOCK, BODY_OFFSET + len(body) + 4, len(base), 2 * size, bytes(32), bytes(32))
    found = list(block_delta.pieces(io.BytesIO(body), header, io.BytesIO(base)))
    assert max(map(len, found)) == block_delta.PIECE and sum(map(len, found)) == 2 * size


# --- what is refused --------------------------------------------------------------------------------------------------


class Broken(io.BytesIO):
    def read(self, size=-1):
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize(
    ("body", "base", "error", "message"),
    [
        (None, BASE[:100], CorruptArtifact, "the base became shorter while it was read"),
        (b"", BASE, CorruptArtifact, "the delta became shorter while it was read"),
        (None, Broken(), InputError, "the base cannot be read: Input/output error"),
        (Broken(), BASE, InputError, "the delta cannot be read: Input/output error"),
    ],
)
def test_files_that_change_or_fail_while_they_are_read(body, base, error, message):
    packed = pack_instructions([Copy(50, 100)])
    header = DeltaHeader(Form.BLOCK, BODY_OFFSET + len(packed) + 4, len(BASE), 100, bytes(32), bytes(32))
    files = [file if isinstance(file, Broken) else io.BytesIO(packed if file is None else file) for file in (body, base)]
    with pytest.raises(error, match=message):
        list(block_delta.pieces(files[0], header, files[1]))


def test_a_body_that_became_shorter_while_it_was_read():
    with pytest.raises(CorruptArtifact, match="became shorter while it was read"):
        list(delta_apply._read(io.BytesIO(b"1234"), 5))


def test_every_truncation_is_refused(place):
    data = file_of(pack_instructions([Literal(b"new file!")]))
    assert place(data) == b"new file!"
    for size in range(len(data)):
        with pytest.raises(CorruptArtifact, match=r"update\.sqzd: (an empty file|truncated)"):
            place(data[:size])
    with pytest.raises(CorruptArtifact, match="too long: 115 bytes, the header declares 114"):
        place(data + b"\0")


def test_every_changed_byte_is_refused(place, tmp_path):
    data = file_of(pack_instructions([Literal(b"new "), Copy(0, 5)]), new=b"new " + BASE[:5])
    place(data)
    for at in range(len(data)):
        with pytest.raises(ArtifactError, match=r"^\S+update\.sqzd: "):
            place(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "out", "update.sqzd"]  # out: of the whole one


@pytest.mark.parametrize(
    ("at", "value", "error", "message"),
    [
        (0, b"SQZ\x1a", CorruptArtifact, r"not a \.sqzd file: begins with 53 51 5a 1a"),
        (4, b"\x02", UnsupportedVersion, "delta version 2, this reader knows 1"),
        (5, b"\x02", CorruptArtifact, r"form 2, allowed 0 \(block\) and 1 \(symbol\)"),
        (6, b"\x01", CorruptArtifact, "reserved bytes are 1, must be 0"),
        (8, b"\x00", CorruptArtifact, "too long: 114 bytes, the header declares 0"),
        (16, bytes(8), CorruptArtifact, "base of 0 and new file of 9 bytes, neither can be empty"),
        (16, b"\xff" * 8, LimitExceeded, "the base is of 18,446,744,073,709,551,615 bytes"),
        (16, b"\xc9", CorruptArtifact, "declares a base of 201 bytes, that of its SHA-256 has 200"),
        (24, bytes(8), CorruptArtifact, "neither can be empty"),
        (24, b"\x08", CorruptArtifact, "instructions make at least 9 bytes, the header declares a new file of 8"),
        (24, b"\x0a", CorruptArtifact, "instructions make 9 bytes, the header declares a new file of 10"),
        (24, (1 << 30 | 1).to_bytes(8, "little"), LimitExceeded, "the new file is of 1,073,741,825 bytes, at most 1,073,741,824"),
        (64, b"\0", CorruptArtifact, "makes a file of SHA-256 [0-9a-f]{64}, declares 00"),
    ],
)
def test_every_field_of_the_header_is_checked(place, at, value, error, message):
    """With a checksum that fits."""
    data = file_of(pack_instructions([Literal(b"new file!")]))
    with pytest.raises(error, match=message):
        place(delta_file.with_header(data, at, value))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "instructions make 0 bytes"),
        ("00", "an instruction of no bytes, at byte 0"),
        ("01 00", "an instruction of no bytes"),
        ("12 61", "the instructions end inside one, 8 bytes short"),
        ("13", "the instructions end inside one, 1 bytes short"),
        ("13 c0 01", "a copy of bytes 192 to 201 of a base of 200"),
        ("13 ff ff ff ff 7f", "a copy of bytes 34,359,738,367 to"),
        ("14", "make at least 10 bytes, the header declares a new file of 9"),
        ("13 00 02 61", "make at least 10 bytes"),
        ("11 00", "make 8 bytes, the header declares a new file of 9"),
        ("fe ff ff ff 7f", "make at least 17,179,869,183 bytes"),
        ("93 80 80 80 80 80", "longer than 5 bytes"),
        ("93 00", "2 bytes for 19, which needs fewer"),
    ],
)
def test_hostile_instructions_are_refused(place, body, message):
    with pytest.raises(CorruptArtifact, match=message):
        place(file_of(bytes.fromhex(body)))


def test_a_bomb_is_refused(place):
    """150 copies of a long base in half a kilobyte: a caller who expects less allows less, and nothing is written."""
    base = bytes(1 << 16)
    new_size = 150 << 16
    body = pack_instructions([Copy(0, 1 << 16)] * 150)
    data = file_of(body, base=base, new_size=new_size)
    assert len(data) < 800
    with pytest.raises(LimitExceeded, match="the new file is of 9,830,400 bytes, at most 1,000,000 are allowed"):
        place(data, base, max_new_size=1_000_000)


def test_the_wrong_base_is_refused_naming_both_digests(place, tmp_path):
    data = file_of(pack_instructions([Literal(b"new file!")]))
    for base in (b"other", b"", BASE[:-1], BASE + b"\0"):
        with pytest.raises(WrongBase, match=f"base: SHA-256 {sha256(base).hex()}.* of SHA-256 {sha256(BASE).hex()}"):
            place(data, base)
    with pytest.raises(WrongBase, match="it is the file that this delta makes"):
        place(data, b"new file!")
    assert not (tmp_path / "out").exists()


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path):
    old, new = tmp_path / "old.sqz", tmp_path / "new.sqz"
    tiny_net.write(old)
    tiny_net.write(new, [*tiny_net.layers()[:-2], *tiny_net.layers(seed=1)[-2:]])
    return old, new


@pytest.mark.parametrize("form", ["auto", "block", "symbol"])
def test_a_file_is_made_of_another(pair, tmp_path, form):
    old, new = pair
    made = delta.make(old, new, form=form)
    delta.write(tmp_path / "update.sqzd", made)
    header = delta_apply.apply(old, tmp_path / "update.sqzd", tmp_path / "made.sqz")
    assert (tmp_path / "made.sqz").read_bytes() == new.read_bytes()
    assert header == delta_apply.check(tmp_path / "update.sqzd")
    assert header.form == made.form and header.file_size == made.size_bytes < made.new_size == new.stat().st_size
    if form == "auto":
        assert made.block_size is not None and made.symbol_size is not None
        assert made.size_bytes == min(made.block_size, made.symbol_size)
    else:
        assert made.form.name.lower() == form and made.size_bytes in (made.block_size, made.symbol_size)


def test_the_new_file_may_replace_the_old_one(pair, tmp_path):
    old, new = pair
    delta.write(tmp_path / "update.sqzd", delta.make(old, new, form="block"))
    delta_apply.apply(old, tmp_path / "update.sqzd", old)
    assert old.read_bytes() == new.read_bytes()
    with pytest.raises(WrongBase, match="it is the file that this delta makes"):
        delta_apply.apply(old, tmp_path / "update.sqzd", old)


def test_the_same_file_needs_next_to_nothing(pair):
    old, _ = pair
    assert delta.make(old, old, form="block").size_bytes < 110
    made = delta.make(old, old, form="symbol")
    assert made.size_bytes < 170 and made.n_changed == 0 and made.n_compared == 327


def test_what_is_said_of_an_update(tmp_path):
    """Weights of another type count as changed, one by one; those of another shape, or of a new layer, are not compared."""
    values = np.arange(40, dtype=np.float32)
    layers = {name: RawTensor(name, values) for name in "abcd"}
    new = {
        "a": RawTensor("a", values),
        "b": RawTensor("b", np.where(values == 3, 9, values).astype(np.float32)),
        "c": RawTensor("c", values.astype(np.int64)),
        "d": RawTensor("d", values.reshape(8, 5)),
        "e": RawTensor("e", values),
    }
    old_file = tiny_net.write(tmp_path / "old.sqz", [*layers.values()])
    new_file = tiny_net.write(tmp_path / "new.sqz", [*new.values()])
    made = delta.make(old_file, new_file)
    assert (made.n_compared, made.n_changed) == (120, 41)
    said = made.to_json()
    assert (said["form"], said["size_bytes"], said["saves_bytes"]) == ("block", len(made.data), len(made.data) < made.new_size)
    assert "data" not in said and said["n_changed"] == 41
    writer.write(tmp_path / "unlike.sqz", [RawTensor("x", np.ones(2, np.float32))], {})
    assert not delta.make(old_file, tmp_path / "unlike.sqz").saves_bytes


def test_damaged_and_missing_files_are_named(pair, tmp_path):
    old, new = pair
    bad = tmp_path / "bad.sqz"
    bad.write_bytes(old.read_bytes()[:-1] + b"\0")
    for a, b in ((bad, new), (old, bad)):
        with pytest.raises(CorruptArtifact, match=f"^{bad}: SHA-256"):
            delta.make(a, b)
    none = tmp_path / "none"
    for arguments in ((none, new), (old, none)):
        with pytest.raises(InputError, match=f"^{none}: cannot be read: No such file"):
            delta.make(*arguments)
    delta.write(tmp_path / "u.sqzd", delta.make(old, new, form="block"))
    for arguments in ((none, tmp_path / "u.sqzd", tmp_path / "x"), (old, none, tmp_path / "x")):
        with pytest.raises(InputError, match=f"^{none}: cannot be read: No such file"):
            delta_apply.apply(*arguments)
    with pytest.raises(InputError, match=r"none/x: cannot be written: No such file"):
        delta_apply.apply(old, tmp_path / "u.sqzd", none / "x")
    with pytest.raises(InputError, match=r"none/x: cannot be written: No such file"):
        delta.write(none / "x", delta.make(old, new, form="block"))
    with pytest.raises(CorruptArtifact, match=r"old\.sqz: not a \.sqzd file"):
        delta_apply.apply(old, old, tmp_path / "x")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_leaves_the_old_file_and_no_sibling(pair, tmp_path, monkeypatch, error):
    old, new = pair
    update = tmp_path / "update.sqzd"
    delta.write(update, delta.make(old, new, form="block"))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*_):
        raise error

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else InputError) as caught:
        delta_apply.apply(old, update, old)
    if isinstance(error, OSError):
        assert str(caught.value) == f"{old}: cannot be written: No space left on device"
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
