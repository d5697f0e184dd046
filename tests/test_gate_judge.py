import math
from dataclasses import replace

import gate_folder
import numpy as np
import pytest
import tiny_net

from compress.artifact import writer
from compress.gate.baseline import Previous
from compress.gate.judge import LAYERS_SHOWN, Evidence, growth_by_part, judge, judged_sets
from compress.gate.ledger_rows import Run
from compress.gate.limits import ArtifactLimits
from compress.layer import RawTensor

DATA = writer.to_bytes(tiny_net.layers(), tiny_net.metadata())
SIZE = len(DATA)
FINAL = replace(gate_folder.ROW, run_id="net-0123abcd", artifact_sha256="12" * 32)
UNLABELLED = replace(FINAL, stage="report bundled", top1=None, top5=None, top1_drop=None, drop_interval=None, agreement=0.7)
UNLABELLED = replace(UNLABELLED, test_set="200 bundled crops", test_set_sha256="cc" * 32)


def evidence(*finals, seconds=30.0, **changes):
    finals = finals or (FINAL,)
    run = Run("net-0123abcd", (replace(FINAL, stage="tune", artifact_sha256=None, seconds=seconds), *finals), finals)
    return replace(Evidence("net.sqz", "a/net.sqz", DATA, run), **changes)


def only(limits, known):
    [finding] = judge(ArtifactLimits.model_validate(limits), known)
    assert (finding.artifact, finding.path) == ("net.sqz", "a/net.sqz")
    return finding


@pytest.mark.parametrize(
    ("limit", "verdict", "headroom", "message"),
    [
        (SIZE, "pass", 0, f"{SIZE} bytes, limit {SIZE}: 0 left (0.00%)"),
        (SIZE + 128, "pass", 128, f"limit {SIZE + 128:,}: 128 left ({100 * 128 / (SIZE + 128):.2f}%)"),
        (SIZE - 1, "failed", -1, f"{SIZE} bytes, limit {SIZE - 1}: 1 over (+0.12%)"),
    ],
)
def test_max_bytes(limit, verdict, headroom, message):
    found = only({"max_bytes": limit}, evidence())
    assert (found.rule, found.verdict, found.value, found.limit, found.headroom) == ("max_bytes", verdict, SIZE, limit, headroom)
    assert found.unit == "bytes" and message in found.message
    assert found.headroom_percent == pytest.approx(100 * headroom / limit)


@pytest.mark.parametrize(
    ("limit", "old", "verdict", "message"),
    [
        (0, SIZE, "pass", "+0 bytes (+0.00%) since main, limit 0: 0 left"),
        (10, SIZE - 10, "pass", f"+10 bytes (+{1000 / (SIZE - 10):.2f}%) since main, limit 10: 0 left"),
        (9, SIZE - 10, "failed", "limit 9: 1 over"),
        ("2%", SIZE - 10, "pass", "limit 2%, 16: 6 left"),
        ("1%", SIZE - 10, "failed", "limit 1%, 8: 2 over"),
        (0, SIZE + 10, "pass", f"-10 bytes (-{1000 / (SIZE + 10):.2f}%) since main, limit 0: 10 left"),
        (10, 0, "failed", f"limit 10: {SIZE - 10} over"),
    ],
)
def test_max_growth(limit, old, verdict, message):
    found = only({"max_growth": limit}, evidence(previous=Previous(old, None), against="main"))
    assert found.verdict == verdict and message in found.message, found.message
    assert bool(found.details) == (verdict == "failed")


def test_growth_without_a_baseline_cannot_be_judged():
    found = only({"max_growth": 5}, evidence(why_no_previous="there is none"))
    assert (found.verdict, found.message) == ("could not judge", "there is none")


def test_which_layers_grew():
    larger = [RawTensor(layer.name, layer.values()) if "features.0." in layer.name else layer for layer in tiny_net.layers()]
    new = writer.to_bytes(larger, tiny_net.metadata())
    lines = growth_by_part(Previous(SIZE, DATA), new)
    assert (
        lines[0].startswith("features.0.weight: +") and " bytes (" in lines[0] and not any("classifier" in line for line in lines)
    )
    assert growth_by_part(Previous(len(new), new), DATA) == ()


def test_a_layer_that_is_new_and_many_of_them():
    def net(n):
        return writer.to_bytes([RawTensor(f"l{i}", np.zeros(4 + i, np.float32) + i + 1) for i in range(n)], {})

    lines = growth_by_part(Previous(0, net(1)), net(3))
    assert lines[0] == "l2: +41 bytes (new)" or lines[0].startswith("l2: +")
    assert all(line.endswith("(new)") for line in lines if line.startswith(("l1", "l2")))
    many = growth_by_part(Previous(0, net(1)), net(LAYERS_SHOWN + 4))
    assert len(many) == LAYERS_SHOWN + 1 and many[-1] == "and 3 more"


def test_growth_of_layers_that_cannot_be_told():
    assert growth_by_part(Previous(5, None), DATA) == (
        "which layers grew is not known: a ledger has no layers; give a git reference to --against",
    )
    assert growth_by_part(Previous(5, b"SQZ\x1a\x09"), DATA)[0].startswith(
        "which layers grew is not known: the old file is refused"
    )


@pytest.mark.parametrize(
    ("limits", "verdict", "headroom", "message"),
    [
        ({"min_top1": 0.9}, "pass", 0, "val (n = 200): 0.9, limit 0.9: 0 left (0.00%)"),
        ({"min_top1": 0.85}, "pass", 0.05, "limit 0.85: 0.05 left (5.88%)"),
        ({"min_top1": 0.901}, "failed", -0.001, "limit 0.901: 0.001 MISSED (0.11%)"),
        ({"min_top1": {"val": 0.95}}, "failed", -0.05, "0.05 MISSED"),
        ({"min_top1": 0}, "pass", 0.9, "limit 0: 0.9 left"),
        ({"min_agreement": 0.95}, "pass", 0, "val (n = 200): 0.95, limit 0.95"),
        ({"min_agreement": {"val": 0.96}}, "failed", -0.01, "0.01 MISSED"),
        ({"max_drop": 0.5}, "pass", 0, "val (n = 200): 0.5 points, limit 0.5: 0 left (0.00%)"),
        ({"max_drop": {"val": 1.5}}, "pass", 1, "limit 1.5: 1 left"),
        ({"max_drop": 0.4}, "failed", -0.1, "0.5 points, limit 0.4: 0.1 MISSED (25.00%)"),
        ({"max_drop": -1}, "failed", -1.5, "limit -1: 1.5 MISSED"),
    ],
)
def test_figures_of_the_ledger(limits, verdict, headroom, message):
    found = only(limits, evidence())
    assert found.verdict == verdict and message in found.message, found.message
    assert found.headroom == pytest.approx(headroom) and found.test_set == "val"


def test_seven_points_are_seven_points():
    """100 * 0.07 is 7.000000000000001."""
    assert only({"max_drop": 7}, evidence(replace(FINAL, top1_drop=0.07))).verdict == "pass"


def test_a_number_holds_for_every_set_that_has_the_figure():
    worse = replace(FINAL, stage="report other", top1=0.4, agreement=0.3)
    known = evidence(FINAL, worse, UNLABELLED)
    skipped, *top1 = judge(ArtifactLimits(min_top1=0.5), known)
    assert [(f.test_set, f.verdict) for f in top1] == [("val", "pass"), ("other", "failed")]
    assert (skipped.rule, skipped.verdict) == ("min_top1", "note") and skipped.message == "not judged, without labels: bundled"
    agreement = judge(ArtifactLimits(min_agreement=0.5), known)
    assert [(f.test_set, f.verdict) for f in agreement] == [("val", "pass"), ("other", "failed"), ("bundled", "pass")]
    assert [f.test_set for f in judge(ArtifactLimits(min_top1={"other": 0.1}), known)] == ["other"]


@pytest.mark.parametrize("rule", ["min_top1", "max_drop"])
def test_a_number_holds_for_a_set_that_is_known_to_have_labels(rule):
    """Its row has an empty cell; other rows of the pictures show that they have labels."""
    known = evidence(FINAL, UNLABELLED, labelled=frozenset({UNLABELLED.test_set_sha256}))
    passed, found = judge(ArtifactLimits.model_validate({rule: 0.9}), known)
    assert (passed.verdict, found.verdict, found.test_set) == ("pass", "could not judge", "bundled")
    assert found.message == "bundled: no accuracy in the ledger, and other rows show that the set has labels"


def test_pictures_that_it_was_tuned_on_show_no_accuracy():
    found = only({"min_top1": 0.1}, evidence(replace(FINAL, overlap=200)))
    assert found.verdict == "could not judge" and "val: 200 of its pictures were tuned or chosen by (--allow-" in found.message
    for overlap in (0, None):
        assert only({"min_top1": 0.1}, evidence(replace(FINAL, overlap=overlap))).verdict == "pass"


def test_a_set_of_which_the_ledger_says_two_things():
    known = evidence()
    known = replace(known, run=replace(known.run, contradictions={"val": "the ledger says two things: a and b"}))
    found = only({"min_top1": 0.1}, known)
    assert (found.verdict, found.message) == ("could not judge", "the ledger says two things: a and b")


def test_the_sets_that_limits_judge():
    run = evidence(FINAL, UNLABELLED).run
    limits = ArtifactLimits.model_validate({"min_top1": 0.5, "min_agreement": {"val": 0.1, "gone": 0.1}, "max_bytes": 3})
    assert judged_sets(limits, run) == {"val": ["min_top1", "min_agreement"], "gone": ["min_agreement"]}
    assert judged_sets(ArtifactLimits(min_agreement=0.5), run).keys() == {"val", "bundled"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.5, 57.0])
def test_an_impossible_figure_never_passes(value):
    known = evidence(replace(FINAL, top1=value, agreement=value, top1_drop=100 * value))
    for rule in ("min_top1", "min_agreement", "max_drop"):
        found = only({rule: 0 if rule.startswith("min") else 100}, known)
        assert found.verdict == "could not judge" and "in the ledger, must be in [" in found.message, (rule, value)


@pytest.mark.parametrize(
    ("limits", "known", "message"),
    [
        ({"min_top1": 0.1}, evidence(UNLABELLED), "no accuracy in the ledger: bundled without labels"),
        ({"max_drop": 99}, evidence(UNLABELLED), "no accuracy in the ledger: bundled without labels"),
        ({"min_top1": {"bundled": 0.1}}, evidence(UNLABELLED), "bundled: no accuracy in the ledger: the set has no labels"),
        ({"min_top1": {"val500": 0.1}}, evidence(FINAL), "the ledger has no row of set val500; it has val"),
        ({"min_agreement": 0.1}, evidence(FINAL, FINAL), "two rows of net-0123abcd are of sets with one name: val, val"),
        ({"min_top1": 0.1}, evidence(run=None), "the ledger has no row of these bytes"),
        ({"max_seconds": 99}, evidence(run=None), "the ledger has no row of these bytes"),
        ({"max_seconds": 99}, evidence(seconds=math.nan), "nan seconds in the ledger's rows of net-0123abcd"),
        ({"max_seconds": 99}, evidence(seconds=-math.inf), "-inf seconds"),
    ],
)
def test_what_is_not_known_is_not_a_pass(limits, known, message):
    found = only(limits, known)
    assert found.verdict == "could not judge" and message in found.message


def test_max_seconds_is_of_the_whole_run():
    found = only({"max_seconds": 40}, evidence())
    assert (found.verdict, found.value, found.headroom, found.headroom_percent) == ("pass", 32, 8, 20)
    assert found.message == "32.0 seconds, net-0123abcd, limit 40: 8.0 left (20.00%)"
    assert only({"max_seconds": 31}, evidence()).verdict == "failed"


def test_every_limit_that_is_set_has_a_finding():
    limits = ArtifactLimits.model_validate(gate_folder.GENEROUS | {"max_growth": 0})
    found = judge(limits, evidence(previous=Previous(SIZE, DATA), against="main"))
    assert [f.rule for f in found] == ["max_bytes", "max_growth", "min_top1", "min_agreement", "max_drop", "max_seconds"]
    assert {f.verdict for f in found} == {"pass"} and all(f.headroom is not None for f in found)
