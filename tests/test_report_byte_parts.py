from pathlib import Path

import pytest
import tiny_net

from compress.artifact.inspect import Row, inspect
from compress.report.byte_parts import (
    AROUND,
    BIASES,
    CODEBOOKS,
    CODES,
    LEVELS,
    MODELS,
    POSITIONS,
    RAW,
    RECORDS,
    by_module,
    module_of,
    total,
)

FILES = sorted((Path(__file__).parent / "golden").glob("*.sqz")) + sorted(
    (Path(__file__).parent.parent / "artifacts").glob("*.sqz")
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_byte_has_one_part(path):
    modules = by_module(inspect(path))
    assert sum(module.size_bytes for module in modules) == total(modules).size_bytes == path.stat().st_size
    assert modules[-1].name == AROUND and set(modules[-1].bytes_of) == {RECORDS}
    assert len({module.name for module in modules}) == len(modules)


def test_known_parts():
    weight = Row(
        "a.b.weight",
        10,
        "codebook_f16",
        (4, 3),
        12,
        5,
        positions="bitmap/range",
        codebook_bytes=8,
        model_bytes=3,
        positions_bytes=2,
        codes_bytes=4,
    )
    bias = Row("a.b.bias", 6, "raw_f16", (4,), 4, 4, raw_bytes=8)
    levels = Row("c.weight", 9, "step_f32", (4, 3), 12, 5, positions="levels/context", codebook_bytes=4, positions_bytes=7)
    raw = Row("scale", 5, "raw_f32", (2, 2), 4, 4, raw_bytes=16)
    header = Row("(file header)", 28)
    first, second, third, around = by_module([header, weight, bias, levels, raw])
    assert first.bytes_of == {POSITIONS: 2, CODES: 4, BIASES: 8, CODEBOOKS: 8, MODELS: 3, RECORDS: 16}
    assert second.bytes_of == {LEVELS: 7, CODEBOOKS: 4, RECORDS: 9}
    assert third.name == "scale" and third.bytes_of == {RAW: 16, RECORDS: 5}
    assert around.bytes_of == {RECORDS: 28}
    assert [first.name, second.name] == ["a.b", "c"]


def test_modules_are_those_of_the_tensors(tmp_path):
    rows = inspect(tiny_net.write(tmp_path / "net.sqz"))
    names = [module.name for module in by_module(rows)]
    assert names == [*tiny_net.SHAPES, AROUND]
    assert module_of("weight") == "weight"
