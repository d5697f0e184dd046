from itertools import pairwise

import pytest
from pydantic import BaseModel, ConfigDict, Field

from compress import yaml_file
from compress.errors import InputError, LimitsError


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    size: int = Field(gt=0)
    names: tuple[str, ...] = Field(default=(), strict=False)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    parts: dict[str, Inner]


def parse(text):
    return yaml_file.parse(text, "x.yaml", Outer, what="a file of parts", error=LimitsError)


def test_a_valid_file(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("parts:\n  a: {size: 3, names: [b, c]}\n")
    found = yaml_file.load(path, Outer, what="a file of parts", error=LimitsError)
    assert found == Outer(parts={"a": Inner(size=3, names=("b", "c"))})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parts:\n  a:\n    size: 0\n", "x.yaml:3: parts.a.size: must be greater than 0, got 0"),
        ("parts:\n  a:\n    size: '3'\n", "x.yaml:3: parts.a.size: must be a valid integer, got '3'"),
        ("parts:\n  a:\n    sise: 3\n    size: 3\n", "x.yaml:3: unknown field parts.a.sise; did you mean size?"),
        ("parts:\n  a:\n    qqq: 3\n    size: 3\n", "x.yaml:3: unknown field parts.a.qqq; allowed: size, names"),
        ("part: {}\nparts: {}\n", "x.yaml:1: unknown field part; did you mean parts?"),
        ("parts:\n  a: {}\n", "x.yaml:2: parts.a.size is missing"),
        ("parts:\n  a: {size: 1, names: [b,\n   3]}\n", "x.yaml:3: parts.a.names.1: must be a valid string, got 3"),
        ("parts:\n  a: {size: 1}\n  a: {size: 2}\n", "x.yaml:3: parts.a is given twice"),
        ("parts: [\n", "x.yaml:2: not valid YAML: "),
        ("parts: &p {a: *p}\n", "x.yaml: not valid YAML: an alias that holds itself"),
        ("parts: " + "[" * 2000, "x.yaml: not valid YAML: nested too deep"),
        ("parts:\n  a: {size: 01000}\n", "x.yaml:2: 01000 is a number of base 8 in YAML: write it in base 10, or in quotes"),
        ("parts:\n  a: {size: 1:00:00}\n", "x.yaml:2: 1:00:00 is a number of base 60 in YAML: write it in base 10"),
        ("parts:\n  a: {size: 1:30.5}\n", "x.yaml:2: 1:30.5 is a number of base 60 in YAML"),
        (f"parts:\n  a: {{size: 0x{'f' * 5000}}}\n", "x.yaml:2: a number of 5,002 characters, at most 40 are allowed"),
        ("", "x.yaml: a file of parts is a mapping of fields, this is empty"),
        ("- 1\n", "x.yaml: a file of parts is a mapping of fields, this is list"),
        ("{}", "x.yaml: parts is missing"),
    ],
)
def test_what_is_refused_names_its_line(text, message):
    with pytest.raises(LimitsError) as refused:
        parse(text)
    assert str(refused.value).startswith(message), str(refused.value)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{now}: &{now} [{','.join([f'*{before}'] * 9)}]\n" for before, now in pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        BOMB.replace("[x,x,x,x,x,x,x,x,x]", "{x: 1}").replace("[*", "{<<: [*").replace("]\n", "]}\n"),
        f"parts: &p [{','.join('x' * yaml_file.MAX_VALUES)}]\n",
    ],
)
def test_values_without_end_are_refused_at_once(text):
    """A kilobyte of aliases that stands for 9 to the power of 9 values, in lists and in merges; and a long list."""
    with pytest.raises(
        LimitsError, match=r"x\.yaml: more than 100,000 values with those that aliases stand for, a file of parts"
    ):
        parse(text)


def test_an_alias_that_is_used_often_is_no_bomb():
    names = ", ".join(f"b{i}: *a" for i in range(1000))
    assert len(parse(f"parts:\n  a: &a {{size: 3, names: [b, c]}}\n  {names.replace(', ', chr(10) + '  ')}\n").parts) == 1001


def test_a_long_value_is_cut_in_the_message():
    with pytest.raises(LimitsError, match=r"parts\.a\.size: must be a valid integer, got 'x{199}\.\.\.$"):
        parse(f"parts:\n  a: {{size: {'x' * 5000}}}\n")


def test_every_fault_is_told_at_once():
    with pytest.raises(LimitsError) as refused:
        parse("parts:\n  a: {size: 0}\n  b: {size: -1}\n")
    assert [line.split(":")[1] for line in str(refused.value).splitlines()] == ["2", "3"]


def test_files_that_cannot_be_read(tmp_path):
    def load(path):
        return yaml_file.load(path, Outer, what="a file of parts", error=InputError)

    with pytest.raises(InputError, match=r"none\.yaml: cannot be read: No such file or directory"):
        load(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        load(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"parts: {\xe9: 1}")
    with pytest.raises(InputError, match=r"latin\.yaml: cannot be read: 'utf-8' codec"):
        load(tmp_path / "latin.yaml")
    (tmp_path / "large.yaml").write_bytes(b" " * (yaml_file.MAX_BYTES + 1))
    with pytest.raises(InputError, match=r"large\.yaml: 1,048,577 bytes, a file of parts has at most 1,048,576"):
        load(tmp_path / "large.yaml")
