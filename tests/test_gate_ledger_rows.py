from dataclasses import replace

import gate_folder
import pytest

from compress.errors import InputError
from compress.gate.ledger_rows import contradictions, run_of, set_name
from compress.ledger import ledger

SHA, OTHER = "12" * 32, "34" * 32
TUNE = replace(gate_folder.ROW, run_id="net-0123abcd", stage="tune", seconds=30.0)
FINAL = replace(gate_folder.ROW, run_id="net-0123abcd", stage="encode", size_bytes=100, artifact_sha256=SHA)
REPORT = replace(FINAL, stage="report val500", seconds=0.0)
OTHER_SET = replace(FINAL, stage="report other", test_set_sha256="56" * 32, top1=0.4)
NEIGHBOUR = replace(FINAL, run_id="net-small-0123abcd", artifact_sha256=OTHER)


def test_the_run_that_made_a_file():
    run = run_of([TUNE, NEIGHBOUR, FINAL, REPORT], "net.sqz", SHA, 100)
    assert run.run_id == "net-0123abcd" and run.rows == (TUNE, FINAL, REPORT) and run.finals == (FINAL, REPORT)
    assert run.seconds == 32.0


def test_of_two_runs_of_one_name_the_one_of_these_bytes():
    older = [replace(row, run_id="net-aaaaaaaa", artifact_sha256=row.artifact_sha256 and OTHER) for row in (TUNE, FINAL)]
    assert run_of([*older, TUNE, FINAL], "net.sqz", SHA, 100).run_id == "net-0123abcd"
    assert run_of([*older, TUNE, FINAL], "net.sqz", OTHER, 100).run_id == "net-aaaaaaaa"


def test_two_runs_that_made_the_same_bytes():
    """The last is taken; the older one's sets that it lacks stay."""
    older = [replace(row, run_id="net-aaaaaaaa") for row in (TUNE, FINAL, OTHER_SET)]
    run = run_of([*older, TUNE, FINAL], "net.sqz", SHA, 100)
    assert run.run_id == "net-0123abcd" and run.rows == (TUNE, FINAL)
    assert run.finals == (FINAL, older[2]) and run.contradictions == {}
    better = replace(FINAL, top1=0.99)
    assert run_of([*older, better], "net.sqz", SHA, 100).contradictions == {
        "val": "the ledger says two things: "
        "net-aaaaaaaa, encode (top-1 0.9, drop 0.005, agreement 0.95, n = 200, pictures abababab) and "
        "net-0123abcd, encode (top-1 0.99, drop 0.005, agreement 0.95, n = 200, pictures abababab) are of the same bytes"
    }


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, set()),
        ({"run_id": "other-00000000", "mean_kl": 0.5, "seconds": 9.0}, set()),  # not judged
        ({"stage": "report easy"}, set()),  # the same pictures by another name, the same figures
        ({"stage": "report easy", "top1": 0.99}, {"val", "easy"}),
        ({"run_id": "other-00000000", "agreement": 0.96}, {"val"}),
        ({"top1": None, "top1_drop": None}, {"val"}),
        ({"n": 2}, {"val"}),
        ({"test_set_sha256": "00" * 32}, {"val"}),  # other pictures by the same name
        ({"artifact_sha256": OTHER, "top1": 0.1}, set()),  # of other bytes
        ({"artifact_sha256": None, "top1": 0.1}, set()),  # of a stage before
    ],
)
def test_rows_of_the_same_bytes_that_contradict_each_other(changes, names):
    both = [FINAL, replace(FINAL, **changes)]
    rows = [row for row in both if row.artifact_sha256 == SHA]
    assert contradictions(rows).keys() == names


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
