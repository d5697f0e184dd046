"""docs/DELTA.md against the code: its worked example, byte for byte, the numbers that it names, and an applier made from it."""

import re
from pathlib import Path

import numpy as np
import plain_delta
import pytest
import tiny_net
from test_format_doc import INDICES
from test_format_doc import ROWS as BASE_ROWS

from compress.artifact import delta, delta_layout, layout, symbol_layout, writer, writer_settings
from compress.codecs import changes, changes_kernel
from compress.layer import RawTensor, SharedLayer

PAGE = (Path(__file__).parent.parent / "docs" / "DELTA.md").read_text(encoding="utf-8")
EXAMPLE = PAGE[PAGE.index("## A whole delta in bytes") : PAGE.index("## Symbol form")]
ROWS = [(int(at), bytes.fromhex(data)) for at, data in re.findall(r"^\| (\d+) \| `([0-9a-f ]+)` \|", EXAMPLE, re.MULTILINE)]
BASE = b"".join(data for _, data in BASE_ROWS)


@pytest.fixture
def pair(tmp_path):
    layers = [
        SharedLayer("fc.weight", (2, 8), INDICES, codebook=np.array([-0.5, 0.25, 0.75], np.float16)),
        RawTensor("fc.bias", np.array([1.0, -3.0], np.float16)),
    ]
    (tmp_path / "old.sqz").write_bytes(BASE)
    writer.write(tmp_path / "new.sqz", layers, {"architecture": "example"}, coder="huffman", positions="gaps")
    return tmp_path / "old.sqz", tmp_path / "new.sqz"


def test_the_example_is_what_is_made(pair):
    made = delta.make(*pair, form="block")
    assert b"".join(data for _, data in ROWS).hex(" ") == made.data.hex(" ")


def test_the_example_s_offsets_add_up():
    ends = np.cumsum([len(data) for _, data in ROWS]).tolist()
    assert [offset for offset, _ in ROWS] == [0, *ends[:-1]]


def test_the_example_is_applied_by_an_applier_made_from_the_page(pair):
    assert plain_delta.apply(BASE, b"".join(data for _, data in ROWS)) == pair[1].read_bytes()


def test_so_is_any_other(tmp_path):
    old, new = tiny_net.write(tmp_path / "old.sqz"), tiny_net.write(tmp_path / "new.sqz", tiny_net.layers(seed=3)[:4])
    for a, b in ((old, new), (new, old), (old, old)):
        assert plain_delta.apply(a.read_bytes(), delta.make(a, b, form="block").data) == b.read_bytes()


def test_the_numbers_are_the_code_s():
    assert (delta_layout.DELTA_HEADER.size, delta_layout.BODY_OFFSET) == (96, 100)
    assert (delta_layout.MAX_FILE_SIZE, delta_layout.MAX_NEW_SIZE) == (1 << 34, 1 << 30)
    assert f"update, version {delta_layout.DELTA_VERSION}" in PAGE.splitlines()[0]
    assert (layout.MIN_BLOCK_LOG, layout.MAX_BLOCK_LOG) == (3, 20)
    for name, values in (("Coder", writer_settings.CODERS), ("Positions", writer_settings.POSITIONS)):
        named = ", ".join(f"{number} {value}" for number, value in enumerate(values))
        assert re.search(rf"`{name}` \|.*{named}", PAGE)
    assert all(f"{op.value} {op.name.lower()}: " in PAGE for op in symbol_layout.Op)
    kernel = changes_kernel
    assert (kernel.CHANGED, kernel.RISES, kernel.BITS, kernel.BELOW, kernel.MAX_BITS) == (0, 1, 2, 35, 32)
    assert (kernel.COUNT_LIMIT, kernel.EVEN_WEIGHTS, kernel.LARGEST_CLASS) == (1000, 22000, 5)


def test_the_small_examples():
    instructions = [delta_layout.Literal(b"new"), delta_layout.Copy(130, 5), delta_layout.Literal(b"!")]
    parts = [delta_layout.pack_instructions([each]).hex(" ") for each in instructions]
    assert parts == ["06 6e 65 77", "0b 82 01", "02 21"] and all(f"`{part}`" in PAGE for part in parts)
    stream = changes.encode(np.array([2, 0, -1, 5]), np.array([3, 0, -4, 5]), 4)
    assert f"2 0 -1 5 that become 3 0 -4 5, are the bytes `{stream.hex(' ')}`" in PAGE
