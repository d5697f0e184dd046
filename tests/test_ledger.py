import hashlib
import re
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.errors import InputError
from compress.ledger import ledger
from compress.ledger.ledger import COLUMNS, Row


def row(**changes) -> Row:
    plain = Row(
        run_id="digits-0123abcd",
        stage="prune",
        parameters=30_010,
        nonzeros=8_890,
        bits_per_weight=21.75,
        size_bytes=81_576,
        ratio_fp32=1.5,
        ratio_alexnet=2942.0,
        top1=0.992,
        top5=1.0,
        top1_drop=-0.003,
        drop_interval=0.0054,
        agreement=0.997,
        mean_kl=0.0211,
        test_set="360 digits, held out, with labels",
        test_set_sha256="ab" * 32,
        n=360,
        tuned_on='1437 digits, "training" part',
        overlap=None,
        not_compressed="",
        recipe_sha256="cd" * 32,
        artifact_sha256=None,
        teacher_sha256="ef" * 32,
        seed=0,
        device="cpu",
        seconds=4.25,
        peak_memory_bytes=500_000_000,
        versions="torch 2; numpy 2",
    )
    return replace(plain, **changes)


# the order and the names are what a committed ledger holds
HEADER = (
    "run_id,stage,parameters,nonzeros,bits_per_weight,size_bytes,ratio_fp32,ratio_alexnet,top1,top5,top1_drop,"
    "drop_interval,agreement,mean_kl,test_set,test_set_sha256,n,tuned_on,overlap,not_compressed,recipe_sha256,artifact_sha256,"
    "teacher_sha256,seed,device,seconds,peak_memory_bytes,versions"
)


def test_known_text(tmp_path):
    path = tmp_path / "ledger.csv"
    ledger.write(path, [row(top1=None, top5=None, top1_drop=None, drop_interval=None)])
    assert path.read_bytes().decode() == (
        f"{HEADER}\n"
        "digits-0123abcd,prune,30010,8890,21.75,81576,1.5,2942,,,,,0.997,0.0211,"
        f'"360 digits, held out, with labels",{"ab" * 32},360,"1437 digits, ""training"" part",,,{"cd" * 32},,{"ef" * 32},'
        "0,cpu,4.25,500000000,torch 2; numpy 2\n"
    )


six_digits = st.integers(0, 999_999).map(lambda i: i / 1000)  # what a float keeps in the ledger
shares = st.integers(0, 1_000_000).map(lambda i: i / 1_000_000)
text = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp")), max_size=30)


@given(
    st.builds(
        row,
        stage=text,
        test_set=text,
        top1=st.none() | shares,
        top5=st.none() | shares,
        mean_kl=six_digits,
        artifact_sha256=st.none() | st.just("12" * 32),
        size_bytes=st.integers(1, 1 << 50),
    )
)
def test_round_trip(tmp_path_factory, one):
    path = tmp_path_factory.mktemp("ledger") / "ledger.csv"
    ledger.write(path, [one, row()])
    assert ledger.read(path) == [one, row()]
    assert path.read_text(encoding="utf-8").count("\n") == 3  # a row a line


def test_a_second_round_trip_changes_nothing(tmp_path):
    path = tmp_path / "ledger.csv"
    ledger.write(path, [row(seconds=1 / 3, mean_kl=1.23456789e-7)])
    first = path.read_bytes()
    ledger.write(path, ledger.read(path))
    assert path.read_bytes() == first


def test_merge_replaces_by_run_and_stage_and_keeps_the_order():
    old = [row(run_id="a", stage="prune"), row(run_id="a", stage="tune"), row(run_id="b", stage="prune")]
    new = [row(run_id="a", stage="tune", size_bytes=1), row(run_id="c", stage="prune", size_bytes=2)]
    assert ledger.merge(old, new) == [old[0], new[0], old[2], new[1]]
    assert ledger.merge(old, old) == old and ledger.merge([], new) == new and ledger.merge(old, []) == old


def test_merging_a_row_changes_one_line(tmp_path):
    paths = [tmp_path / "before.csv", tmp_path / "after.csv"]
    rows = [row(stage=stage) for stage in ("baseline", "prune", "share", "tune")]
    ledger.write(paths[0], rows)
    ledger.write(paths[1], ledger.merge(rows, [row(stage="share", size_bytes=1)]))
    before, after = (path.read_text().splitlines() for path in paths)
    assert [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b] == [3]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda lines: [], r"ledger.csv: not a ledger: the first line must name the columns run_id, stage,"),
        (lambda lines: [lines[0].replace("seed", "sead"), *lines[1:]], "not a ledger"),
        (lambda lines: [*lines[:2], lines[2] + ",1"], r"ledger.csv:3: not a row of a ledger: 29 cells, must be 28"),
        (lambda lines: [*lines[:2], "digits,prune"], r"ledger.csv:3: not a row of a ledger: 2 cells, must be 28"),
        (lambda lines: [*lines[:2], "", lines[2]], r"ledger.csv:3: not a row of a ledger: 0 cells, must be 28"),
        (lambda lines: [lines[0], lines[1].replace("30010", "many")], r"ledger.csv:2: .*'many'"),
        (lambda lines: [lines[0], lines[1].replace("30010", "")], r"ledger.csv:2: "),
        (lambda lines: [lines[0], lines[1].replace("21.75", "")], r"ledger.csv:2: "),
        (lambda lines: [*lines[:2], "x" * 200_000], r"ledger.csv:3: .*field limit"),
    ],
)
def test_a_malformed_ledger_is_refused_with_its_line(tmp_path, damage, message):
    path = tmp_path / "ledger.csv"
    ledger.write(path, [row(), row(stage="share")])
    path.write_text("\n".join(damage(path.read_text().splitlines())))
    with pytest.raises(InputError, match=message):
        ledger.read(path)


@pytest.mark.parametrize(
    ("column", "cell", "allowed"),
    [
        ("n", "0", "a whole number greater than 0"),
        ("n", "-5", "a whole number greater than 0"),
        ("n", "1e3", "a whole number greater than 0"),
        ("n", "1" + "0" * 5000, "a whole number greater than 0"),
        ("n", "\u0663\u0663", "a whole number greater than 0"),
        ("size_bytes", "0", "a whole number greater than 0"),
        ("size_bytes", "81_576", "a whole number greater than 0"),
        ("parameters", "0", "a whole number greater than 0"),
        ("nonzeros", "-1", "a whole number from 0"),
        ("seconds", "-30", "a number from 0"),
        ("seconds", "inf", "a number from 0"),
        ("seconds", "1e400", "a number from 0"),
        ("top1", "nan", r"a number in \[0, 1\], or empty"),
        ("top1", "1.01", r"a number in \[0, 1\], or empty"),
        ("top5", "-0.1", r"a number in \[0, 1\], or empty"),
        ("agreement", "", r"a number in \[0, 1\]$"),
        ("agreement", " 0.5", r"a number in \[0, 1\]$"),
        ("agreement", "0.9_9", r"a number in \[0, 1\]$"),
        ("agreement", "99.7", r"a number in \[0, 1\]$"),
        ("top1_drop", "-3", r"a number in \[-1, 1\], or empty"),
        ("drop_interval", "-0.1", "a number from 0, or empty"),
        ("mean_kl", "-1e-09", "a number from 0"),
        ("mean_kl", "nan", "a number from 0"),
        ("overlap", "-1", "a whole number from 0, or empty"),
        ("bits_per_weight", "0", "a number greater than 0"),
    ],
)
def test_a_number_that_no_run_writes_is_refused(tmp_path, column, cell, allowed):
    path = tmp_path / "ledger.csv"
    ledger.write(path, [row(), replace(row(stage="share"), **{column: cell})])
    shown = re.escape(repr(cell)) if len(cell) < 60 else "'10+\\.\\.\\.'"
    with pytest.raises(InputError, match=rf"ledger\.csv:3: not a row of a ledger: {column}: {shown}, must be {allowed}"):
        ledger.read(path)


def test_every_column_of_numbers_has_a_range():
    numbers = {field.name for field in fields(Row) if str(field.type).startswith(("int", "float"))}
    assert numbers == ledger.RANGES.keys()


def test_the_line_of_a_row_is_the_files_own(tmp_path):
    """Also after a cell that holds a line end."""
    path = tmp_path / "ledger.csv"
    ledger.write(path, [row(test_set="a\nb"), replace(row(), n=0)])
    with pytest.raises(InputError, match=r"ledger\.csv:4: .*n: '0'"):
        ledger.read(path)


def test_a_ledger_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"none.csv: cannot be read"):
        ledger.read(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"binary.csv: cannot be read"):
        ledger.read(tmp_path / "binary.csv")


# --- promote ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs" / "digits-0123abcd"
    folder.mkdir(parents=True)
    (folder / "digits.sqz").write_bytes(b"a file")
    rows = [row(stage="prune"), row(stage="encode", artifact_sha256=hashlib.sha256(b"a file").hexdigest())]
    ledger.write(folder / "ledger.csv", rows)
    return folder


def test_promote_copies_file_and_rows(run, tmp_path):
    artifacts = tmp_path / "artifacts"
    path, rows = ledger.promote(run, artifacts)
    assert path == artifacts / "digits.sqz" and path.read_bytes() == b"a file"
    assert ledger.read(artifacts / "ledger.csv") == rows == ledger.read(run / "ledger.csv")
    before = (artifacts / "ledger.csv").read_bytes()
    ledger.promote(run, artifacts)
    assert (artifacts / "ledger.csv").read_bytes() == before


def test_promote_keeps_the_rows_of_other_runs(run, tmp_path):
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    other = row(run_id="deep-00000000")
    ledger.write(artifacts / "ledger.csv", [other, row(stage="prune", size_bytes=1)])
    _, rows = ledger.promote(run, artifacts)
    assert ledger.read(artifacts / "ledger.csv") == [other, *rows]


def test_promote_drops_the_rows_of_the_file_it_replaces(run, tmp_path):
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    ledger.write(artifacts / "ledger.csv", [row(run_id="digits-ffffffff", artifact_sha256="0" * 64), row(run_id="deep-00000000")])
    ledger.promote(run, artifacts)
    assert {r.run_id for r in ledger.read(artifacts / "ledger.csv")} == {"deep-00000000", row().run_id}


def test_promote_checks_the_digest(run, tmp_path):
    (run / "digits.sqz").write_bytes(b"a fil3")
    with pytest.raises(InputError, match=r"digits.sqz: sha256 is .*, the run's ledger says "):
        ledger.promote(run, tmp_path / "artifacts")
    assert not (tmp_path / "artifacts").exists()


def test_promote_refuses_an_unfinished_run(run, tmp_path):
    artifacts = tmp_path / "artifacts"
    (run / "other.sqz").touch()
    with pytest.raises(InputError, match=r"not a finished run: 2 .sqz files, 2 rows, one of them final"):
        ledger.promote(run, artifacts)
    (run / "other.sqz").unlink()
    ledger.write(run / "ledger.csv", [row(stage="prune")])
    with pytest.raises(InputError, match=r"not a finished run: .*none of them final"):
        ledger.promote(run, artifacts)
    (run / "ledger.csv").unlink()
    with pytest.raises(InputError, match=r"ledger.csv: cannot be read"):
        ledger.promote(run, artifacts)
    assert not artifacts.exists()


def test_promote_refuses_before_it_writes(run, tmp_path):
    """A ledger in artifacts/ that is not one stays as it is, and the file is not copied."""
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    (artifacts / "ledger.csv").write_text("mine\n")
    with pytest.raises(InputError, match="not a ledger"):
        ledger.promote(run, artifacts)
    assert (artifacts / "ledger.csv").read_text() == "mine\n" and not (artifacts / "digits.sqz").exists()


def test_columns_are_the_fields():
    assert ",".join(COLUMNS) == HEADER
