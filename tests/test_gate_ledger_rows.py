from dataclasses import replace

import gate_folder
import pytest

from compress.errors import InputError
from compress.gate.ledger_rows import run_of, set_name
from compress.ledger import ledger

SHA, OTHER = "12" * 32, "34" * 32
TUNE = replace(gate_folder.ROW, run_id="net-0123abcd", stage="tune", seconds=30.0)
FINAL = replace(gate_folder.ROW, run_id="net-0123abcd", stage="encode", size_bytes=100, artifact_sha256=SHA)
REPORT = replace(FINAL, stage="report val500", seconds=0.0)
NEIGHBOUR = replace(FINAL, run_id="net-small-0123abcd", artifact_sha256=OTHER)


def test_the_run_that_made_a_file():
    run = run_of([TUNE, NEIGHBOUR, FINAL, REPORT], "net.sqz", SHA, 100)
    assert run.run_id == "net-0123abcd" and run.rows == (TUNE, FINAL, REPORT) and run.finals == (FINAL, REPORT)
    assert run.seconds == 32.0


def test_of_two_runs_of_one_name_the_one_of_these_bytes():
    older = [replace(row, run_id="net-aaaaaaaa", artifact_sha256=row.artifact_sha256 and OTHER) for row in (TUNE, FINAL)]
    assert run_of([*older, TUNE, FINAL], "net.sqz", SHA, 100).run_id == "net-0123abcd"
    assert run_of([*older, TUNE, FINAL], "net.sqz", OTHER, 100).run_id == "net-aaaaaaaa"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "the ledger has no row of net.sqz"),
        ([TUNE], "the ledger has no row of net.sqz"),
        ([NEIGHBOUR], "the ledger has no row of net.sqz: none whose run is called net-..."),
        (
            [replace(FINAL, artifact_sha256=OTHER)],
            f"sha256 is {SHA}, the ledger says {OTHER} (net-0123abcd): these bytes were never",
        ),
        ([replace(FINAL, size_bytes=99)], "100 bytes, the ledger says 99 (net-0123abcd, encode)"),
        ([FINAL, replace(REPORT, size_bytes=99)], "100 bytes, the ledger says 99 (net-0123abcd, report val500)"),
        ([FINAL, replace(REPORT, artifact_sha256=OTHER)], f"the ledger says {OTHER} in net-0123abcd, report val500"),
    ],
)
def test_a_file_that_is_not_the_ledgers(rows, message):
    with pytest.raises(InputError) as refused:
        run_of(rows, "net.sqz", SHA, 100)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("stage", "test_set", "name"),
    [
        ("report imagenet-val500", "imagenet-val500: 500 images of 10 classes, with labels", "imagenet-val500"),
        ("report val 2", "val: 500 images of 10 classes, with labels", "val 2"),
        ("encode", "imagenette160/val: 1487 images of 10 classes, with labels", "imagenette160/val"),
        (
            "encode",
            "a: 100 images of 5 classes, with labels + b/val: 149 images, 3 other files left alone, with labels",
            "a+b/val",
        ),
        ("encode", "2 x a: 100 images of 5 classes, with labels + 0.5 x b: 149 images, without labels", "a+b"),
        ("encode", "360 digits, held out, with labels", "digits"),
        ("encode", "agreement on 200 bundled crops of 5 photographs that were not tuned on; not accuracy", "bundled"),
    ],
)
def test_the_name_of_a_test_set(stage, test_set, name):
    assert set_name(replace(FINAL, stage=stage, test_set=test_set)) == name


def test_the_published_ledger_has_a_short_name_for_every_set(pytestconfig):
    rows = ledger.read(pytestconfig.rootpath / "artifacts" / "ledger.csv")
    names = {set_name(row) for row in rows if row.artifact_sha256}
    assert {"bundled", "imagenet-val500", "imagenet-broad250"} <= names and all(" " not in name for name in names)
