"""Files made to do harm: refused before memory is taken, or decoded within the memory that docs/FORMAT.md, "Limits" states.

They are decoded in a process that may take no more (RLIMIT_AS). tests/golden_bad/ has a file for each way to be wrong;
torture/bombs.py decodes the files of HOSTILE in a size of a megabyte.
"""

import subprocess
import sys

import pytest
from hostile_files import HOSTILE, LIARS, decoded, extreme_tables
from make_golden import GOLDEN, KIND_BOOK_F32, KIND_SORTED, U32, assemble, positions, raw_record, shared_head

from compress.artifact import reader
from compress.codecs.bits import write_varint
from compress.errors import CorruptArtifact, LimitExceeded

needs_limits = pytest.mark.skipif(sys.platform != "linux", reason="limits a process's memory as Linux does")

SIZE = 1 << 16
CPU_SECONDS = 3  # for SIZE bytes: a megabyte takes less than 5, but this may be a slow and busy machine


@needs_limits
def test_what_asks_for_much_is_decoded_or_refused_within_the_stated_memory(tmp_path):
    found = decoded(tmp_path, {name: build(SIZE) for name, build in HOSTILE.items()})
    for name, (outcome, seconds) in found.items():
        # right, or wrong only in the checksum of the decoded values, which comes last: all was decoded
        assert outcome.startswith("decoded") or "decoded indices have CRC-32C" in outcome, f"{name}: {outcome}"
        assert seconds < CPU_SECONDS, name


@needs_limits
def test_what_lies_is_refused_within_the_stated_memory(tmp_path):
    found = decoded(tmp_path, {name: build(SIZE) for name, (build, _) in LIARS.items()})
    for name, (outcome, seconds) in found.items():
        assert outcome.startswith("CorruptStream") and LIARS[name][1] in outcome, f"{name}: {outcome}"
        assert seconds < CPU_SECONDS, name


@needs_limits
def test_the_callers_limit_comes_before_any_memory(tmp_path):
    """Of 2^28 weights in 336 bytes; the limit below is not even that of their half."""
    (path := tmp_path / "x.sqz").write_bytes(HOSTILE["limit_of_weights"](SIZE))
    script = f"""
import resource
from compress.artifact import reader
from compress.errors import LimitExceeded
resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))
try:
    reader.read({str(path)!r}, max_weights=1 << 20)
except LimitExceeded as error:
    print(error)
"""
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "268,435,456 weights, 1,048,576 are left of the file's limit" in child.stdout


@pytest.mark.parametrize("name", ["levels", "coder_huffman", "sparse_raw_range", "coder_zstd"])
def test_extremes_in_every_place_of_a_table(name):
    """Counts, sizes, code lengths, shapes, coders: refused by name, or a table that means something else; never another error."""
    data = (GOLDEN / f"{name}.sqz").read_bytes()
    n_refused = n_tables = 0
    for table in list(extreme_tables(data))[::5]:
        try:
            reader.read_bytes(table, max_weights=1 << 16)
        except reader.ArtifactError:
            n_refused += 1
        n_tables += 1
    assert n_tables > 100 and n_refused > n_tables // 2  # a centroid may be any


def test_sizes_at_every_extreme_of_the_header():
    good = assemble(raw_record(), bytes(4))
    for at, width in ((8, 8), (16, 4), (20, 4)):
        right = int.from_bytes(good[at : at + width], "little")
        for value in {0, 1, right - 1, right + 1, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 8 * width) - 1} - {right}:
            changed = good[:at] + value.to_bytes(width, "little") + good[at + width :]
            with pytest.raises(reader.ArtifactError):
                reader.read_bytes(changed)


def test_metadata_of_a_hundred_megabytes_are_not_read(tmp_path):
    size = 100_000_000
    head = assemble(raw_record(), bytes(4))[:8] + (24 + size + 40).to_bytes(8, "little") + U32(size) + U32(14)
    with (tmp_path / "x.sqz").open("wb") as file:
        file.write(head)
        file.truncate(24 + size + 40)  # a hole: it takes no disk
    with pytest.raises(LimitExceeded, match="metadata is 100,000,000 bytes, at most 65,536"):
        reader.read(tmp_path / "x.sqz")


@pytest.mark.parametrize("name", ["a\\b", "/a", "C:a", "a.", ".a", "..", "a b", "a\0", "~", "a\r", "%2e%2e", "a;b", "\x7f"])
def test_a_name_that_is_a_path_or_worse_is_refused(name):
    with pytest.raises(CorruptArtifact, match="layer name"):
        reader.read_bytes(assemble(raw_record(name.encode()), bytes(4)))


@pytest.mark.parametrize(
    ("kind", "codebook"),
    [
        (KIND_BOOK_F32, write_varint(2) + bytes.fromhex("0000c07f 0000803f")),  # NaN, 1.0
        (KIND_BOOK_F32, write_varint(1) + bytes.fromhex("010080ff")),  # a signalling NaN
        (KIND_SORTED, write_varint(1) + b"\xff\xff\x00"),  # the highest key: a NaN
        (KIND_SORTED, write_varint(1) + b"\x00\x00\x00"),  # the lowest: another
    ],
)
def test_a_codebook_of_nan_is_refused(kind, codebook):
    with pytest.raises(CorruptArtifact, match="w: a centroid is not finite"):
        reader.read_bytes(assemble(shared_head(kind) + codebook + positions(1, 0) + b"\0"))


def test_sections_do_not_overlap_and_nothing_trails():
    """A payload that two layers would share, and bytes that belong to none."""
    two = raw_record(b"a") + raw_record(b"b")
    with pytest.raises(CorruptArtifact, match="blocks make a file of"):
        reader.read_bytes(assemble(two, bytes(4)))
    with pytest.raises(CorruptArtifact, match="blocks make a file of"):
        reader.read_bytes(assemble(two, bytes(9)))
    with pytest.raises(CorruptArtifact, match="the table ends inside a record"):
        reader.read_bytes(assemble(two + b"\0", bytes(8)))


def test_many_models_are_not_kept_at_once():
    """They are unpacked again one at a time, also for several threads."""
    data = HOSTILE["huffman_models"](SIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "MAX_KEPT_MODELS", 100)
        for threads in (1, 3):
            assert len(reader.read_bytes(data, threads=threads).layers) > 2000
            for path in (GOLDEN / "coder_huffman.sqz", GOLDEN / "levels_blocks.sqz"):
                assert list(reader.read(path, threads=threads).layers) == list(reader.read(path).layers)


def test_a_codebook_of_a_key_over_and_over():
    """A bit a centroid: in runs across the pieces that the parser looks at."""
    book = write_varint(9000) + b"\x00\xb8\x00" + b"\xff" * 1124 + b"\xfe"  # 8,999 ones and a bit of filling
    record = shared_head(KIND_SORTED, dims=(1,)) + book + positions(1, 0) + b"\0\0" + b"\0"
    layer = reader.read_bytes(assemble(record)).layers["w"]
    assert layer.codebook.tolist() == [0.5] * 9000
    assert len(book) == 2 + 3 + 1125
