import math
from dataclasses import replace

import gate_folder
import numpy as np
import pytest
import safetensors.numpy
import tiny_net
from image_files import noise, write_folder

from compress.evaluate import evaluate
from compress.gate.check import check
from compress.gate.findings import exit_code
from compress.gate.judge import Evidence
from compress.gate.measure import Measured, _compared
from compress.layer import RawTensor
from compress.recipe import Source
from compress.stage_arrays import sha256

VAL = {"set": "folder:$PICTURES/val", "teacher": "$PICTURES/teacher.safetensors"}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A folder with net.sqz and what it is measured to be on four pictures; only one in four is right."""
    root = tmp_path_factory.mktemp("measured")
    teacher = {layer.name: layer.values() for layer in tiny_net.layers()}
    teacher["classifier.1.bias"] = np.float32([100, 0, 0])  # always cat
    safetensors.numpy.save_file(teacher, root / "teacher.safetensors")
    write_folder(root / "val", {name: noise(i) for i, name in enumerate(["cat/a.png", "cat/b.png", "cat/c.png", "dog/d.png"])})
    folder = gate_folder.GateFolder(root)
    net = [RawTensor(name, array) for name, array in teacher.items()]
    net[-1] = RawTensor("classifier.1.bias", np.float32([0, 100, 0]))  # always dog
    path = folder.publish("net.sqz", net, parent_sha256=sha256(teacher))
    found = evaluate(path, [Source(source=f"folder:{root}/val")], teacher=str(root / "teacher.safetensors"))
    facts = found.fidelity
    assert (facts.n, facts.top1, facts.agreement) == (4, 0.25, 0)
    of_row = {"top1": facts.top1, "agreement": facts.agreement, "n": 4, "top1_drop": facts.top1_drop}
    folder.change_rows("net.sqz", **of_row, test_set=found.test_set, test_set_sha256=found.test_set_sha256)
    return folder, folder.rows()


@pytest.fixture
def folder(measured, monkeypatch):
    from compress.ledger import ledger

    found, rows = measured
    monkeypatch.setenv("PICTURES", str(found.root))
    ledger.write(found.ledger, rows)
    found.limit(net={"max_bytes": 100_000, "measure": [VAL]})
    return found


def judged(folder):
    found = check(folder.limits, encoder=gate_folder.ENCODER, measure=True)
    return exit_code(found), [finding for finding in found if finding.rule == "measure"]


def test_the_ledgers_figures_are_found_again(folder):
    code, [found] = judged(folder)
    assert (code, found.verdict, found.value) == (0, "pass", 0) and found.test_set.endswith("/val")
    assert found.limit == 0.25  # one picture of four
    assert (
        "/val: 4 images of 2 classes, with labels: top-1 0.25, agreement 0, drop 0.5; "
        "the ledger has top-1 0.25, agreement 0, drop 0.5; 0 apart"
    ) in found.message


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"top1": 0.5}, "pass"),
        ({"top1": 0.51}, "failed"),
        ({"agreement": 0.26}, "failed"),
        ({"top1_drop": 0.0}, "pass"),  # two nets, a picture each
        ({"top1_drop": -0.01}, "failed"),
        ({"n": 1}, "failed"),  # which would be a tolerance of everything
        ({"n": 1, "top1": 0.999}, "failed"),
        ({"n": 5}, "failed"),
    ],
)
def test_another_figure_than_the_ledgers(folder, changes, verdict):
    folder.change_rows("net.sqz", **changes)
    code, [found] = judged(folder)
    assert (found.verdict, code) == (verdict, 0 if verdict == "pass" else 1)


def test_how_many_pictures_there_are_is_the_ledgers_too(folder):
    folder.change_rows("net.sqz", n=1)
    _, [found] = judged(folder)
    assert found.message.endswith("/val: 4 images of 2 classes, with labels: 4 pictures, the ledger's row encode says 1")


def test_what_is_no_number_is_no_pass(folder):
    row = next(row for row in folder.rows() if row.artifact_sha256)
    known = Measured("", "val", row.test_set_sha256, 4, {"top-1": 0.25, "agreement": 0.0})
    for changes in ({"agreement": math.nan}, {"top1": math.nan}, {"agreement": math.inf}):
        found = _compared(known, replace(row, **changes), Evidence("net.sqz", "net.sqz", b"", None))
        assert found.verdict == "failed", changes


def test_every_row_of_the_pictures_is_compared(folder):
    """Under another name they may have got another figure."""
    folder.limit(net={"max_bytes": 100_000, "min_top1": {"easy": 0.9}, "measure": [VAL]})
    folder.add_row("net.sqz", stage="report easy", top1=0.99)
    code, [first, second] = judged(folder)
    assert code == 1 and [first.verdict, second.verdict] == ["pass", "failed"] and second.test_set == "easy"


def test_sets_that_are_judged_and_not_measured_are_named(folder):
    folder.add_row("net.sqz", stage="report other", top1=0.99, test_set_sha256="11" * 32)
    limits = {"max_bytes": 100_000, "min_top1": {"other": 0.9}, "min_agreement": 0.0, "measure": [VAL]}
    folder.limit(net=limits)
    code, [measured, note] = judged(folder)
    assert code == 0 and measured.verdict == "pass" and (note.verdict, note.test_set) == ("note", "other")
    assert note.message == "accuracy of other: from the ledger, not re-measured"
    folder.limit(net=limits | {"measure": [VAL | {"set": "folder:$PICTURES/none"}]})
    code, [_, *named] = judged(folder)
    assert code == 2 and len(named) == 2  # a set that could not be measured was not


def test_top1_alone_where_the_uncompressed_net_is_not_kept(folder):
    alone = {"set": VAL["set"], "teacher": "none"}
    folder.limit(net={"max_bytes": 100_000, "min_top1": 0.1, "min_agreement": 0.0, "max_drop": 60, "measure": [alone]})
    code, [found, note] = judged(folder)
    assert (code, found.verdict) == (0, "pass") and ": top-1 0.25; the ledger has top-1 0.25; 0 apart" in found.message
    name = found.test_set
    assert note.message == f"agreement and drop of {name}: from the ledger, not re-measured"
    folder.change_rows("net.sqz", top1=0.75)
    assert judged(folder)[0] == 1


def test_without_a_teacher_and_without_labels_nothing_is_measured(folder):
    folder.limit(net={"max_bytes": 100_000, "measure": [{"set": "bundled", "teacher": "none"}]})
    code, [found] = judged(folder)
    assert (code, found.verdict) == (2, "could not judge") and "no labels, and teacher is none" in found.message


def test_labels_that_the_ledger_did_not_have(folder):
    folder.change_rows("net.sqz", top1=None)
    code, [found] = judged(folder)
    assert (code, found.verdict) == (2, "could not judge") and "labels on one side only" in found.message


def test_pictures_that_the_ledger_does_not_know(folder):
    folder.change_rows("net.sqz", test_set_sha256="00" * 32)
    code, [found] = judged(folder)
    assert code == 2 and "the ledger has no row of this file on these pictures (sha256 " in found.message


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (VAL | {"set": "folder:$PICTURES/none"}, "folder:$PICTURES/none: --data: folder:$PICTURES/none: "),
        (VAL | {"set": "folder:$NOWHERE_SET/val"}, "the environment variable NOWHERE_SET is not set"),
        (VAL | {"teacher": "none.pt"}, "none.pt"),
        ({"set": "folder:$PICTURES/val", "model": "no_such_module:net"}, "no_such_module"),
    ],
)
def test_a_set_or_a_teacher_that_is_not_there(folder, section, message):
    folder.limit(net={"max_bytes": 100_000, "measure": [section]})
    code, [found] = judged(folder)
    assert (code, found.verdict) == (2, "could not judge") and message in found.message, found.message


def test_no_set_to_measure_on(folder):
    folder.limit(net={"max_bytes": 100_000})
    code, [found] = judged(folder)
    assert code == 2 and found.message == "the limits name no set to measure it on (measure)"


def test_after_measuring_it_is_not_said_that_it_was_not(folder):
    found = check(folder.limits, encoder=gate_folder.ENCODER, measure=True)
    assert [finding for finding in found if finding.rule == "accuracy"] == []
