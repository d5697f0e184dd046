"""The gate as a whole, and above all what it does where something is missing: never a pass, never a skip."""

import hashlib
import math

import gate_folder
import numpy as np
import pytest
import tiny_net
from gate_folder import GENEROUS, judged, larger_net, notes, unjudged

from compress.artifact import writer
from compress.gate.check import check
from compress.gate.findings import exit_code
from compress.layer import RawTensor
from compress.ledger import ledger


@pytest.fixture
def folder(tmp_path):
    return gate_folder.published(tmp_path / "project")


# --- what passes ---------------------------------------------------------------------------------------------------------


def test_a_pass(folder):
    code, found = judged(folder)
    assert code == 0 and notes(found) == ["accuracy: from the ledger, not re-measured"]
    passed = [finding.rule for finding in found if finding.verdict == "pass"]
    assert passed == ["decodes", "ledger", "re-encodes", "max_bytes", "min_top1", "min_agreement", "max_drop", "max_seconds"]


def test_the_findings_do_not_depend_on_threads(folder):
    for i in range(5):
        folder.publish(f"net{i}.sqz", tiny_net.layers(seed=i))
    folder.limit(**{f"net{i}": GENEROUS for i in range(5)})
    assert judged(folder, threads=1, allow_new=["net.sqz"]) == judged(folder, threads=4, allow_new=["net.sqz"])


def test_files_are_judged_by_their_names(folder, tmp_path):
    elsewhere = tmp_path / "build" / "net.sqz"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes((folder.artifacts / "net.sqz").read_bytes())
    folder.publish("unnamed.sqz")
    code, found = judged(folder, elsewhere)
    assert code == 0 and {finding.path for finding in found if finding.artifact} == {str(elsewhere)}


def test_an_encoder_setting_that_is_not_the_default(folder):
    folder.publish("net.sqz", options={"coder": "zstd", "block_size": 64})
    code, found = judged(folder)
    assert code == 0 and "to the same bytes (coder zstd, positions best)" in [finding.message for finding in found]


def test_another_version_of_the_encoder_is_said_and_not_judged(folder):
    folder.publish("net.sqz", encoder="squeeze-compress 0.0.1\n::error::x")
    code, found = judged(folder)
    assert code == 0
    assert r"re-encodes: not re-encoded: made by 'squeeze-compress 0.0.1\n::error::x', this is" in notes(found)[0]


# --- over a limit: 1 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limit", [{"max_bytes": 10}, {"min_top1": 0.99}, {"min_agreement": 0.99}, {"max_drop": 0}, {"max_seconds": 1}]
)
def test_over_a_limit(folder, limit):
    folder.limit(net=GENEROUS | limit)
    code, found = judged(folder)
    assert code == 1 and [finding.rule for finding in found if finding.verdict == "failed"] == list(limit)


def test_growth_names_the_layers(folder):
    folder.limit(net={"max_growth": "1%"})
    folder.commit()
    folder.publish("net.sqz", larger_net())
    code, found = judged(folder, against="HEAD")
    [failed] = [finding for finding in found if finding.verdict == "failed"]
    assert code == 1 and failed.rule == "max_growth" and "since HEAD, limit 1%" in failed.message
    assert failed.details[0].startswith("features.2.expand3x3.weight: +")
    old_ledger = folder.root / "old.csv"
    old_ledger.write_text(folder.git("show", "HEAD:artifacts/ledger.csv") + "\n")
    code, found = judged(folder, against=str(old_ledger))
    [failed] = [finding for finding in found if finding.verdict == "failed"]
    assert code == 1 and failed.details == (
        "which layers grew is not known: a ledger has no layers; give a git reference to --against",
    )


def test_a_file_that_is_not_what_its_encoder_makes(folder):
    """The same tensors in more bytes, by settings that no call of this encoder gives in one file."""
    path = folder.artifacts / "net.sqz"
    layers, metadata = tiny_net.layers(), tiny_net.metadata(encoder=gate_folder.ENCODER)
    encode = writer.encode_layer

    def mixed(layer, *, coder, **options):
        return encode(layer, coder="stored" if layer.name == "features.0.weight" else coder, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "encode_layer", mixed)
        path.write_bytes(writer.to_bytes(layers, metadata, coder="huffman"))
    size, sha256 = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
    folder.change_rows("net.sqz", size_bytes=size, artifact_sha256=sha256)
    code, found = judged(folder)
    [failed] = [finding for finding in found if finding.verdict == "failed"]
    assert code == 1 and failed.rule == "re-encodes"
    assert f"{gate_folder.ENCODER} makes other bytes of it" in failed.message and " bytes, stored " in failed.details[0]


def test_over_a_limit_and_not_judged_is_1(folder):
    folder.limit(net=GENEROUS | {"max_bytes": 10, "max_growth": 0})
    assert judged(folder)[0] == 1


# --- could not judge: 2 ----------------------------------------------------------------------------------------------------


def test_missing_limits(folder):
    folder.limits.unlink()
    code, found = judged(folder)
    assert code == 2 and unjudged(found) == {"limits": f"{folder.limits}: cannot be read: No such file or directory"}


def test_limits_that_are_not_valid(folder):
    folder.limits.write_text("artifacts:\n  net.sqz: {max_bites: 3}\n")
    code, found = judged(folder)
    assert (
        code == 2
        and "limits.yaml:2: unknown field artifacts.net.sqz.max_bites; did you mean max_bytes?" in unjudged(found)["limits"]
    )


def test_a_missing_ledger(folder):
    folder.ledger.unlink()
    code, found = judged(folder)
    assert code == 2 and "ledger.csv: cannot be read: " in unjudged(found)["ledger"]


def test_a_ledger_with_an_empty_cell(folder):
    folder.ledger.write_text(folder.ledger.read_text().replace(",0.95,", ",,"))
    code, found = judged(folder)
    assert code == 2 and "ledger.csv:2: not a row of a ledger" in unjudged(found)["ledger"]


def test_everything_that_is_missing_is_told_at_once(folder):
    folder.limits.unlink()
    folder.ledger.unlink()
    code, found = judged(folder, against="main")
    assert code == 2 and unjudged(found).keys() == {"limits", "ledger", "baseline"}


def test_a_missing_artifact(folder):
    (folder.artifacts / "net.sqz").unlink()
    code, found = judged(folder)
    assert code == 2 and "net.sqz: cannot be read: No such file or directory; none of its limits" in unjudged(found)["decodes"]


@pytest.mark.parametrize("damage", [b"", b"SQZ", b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_damaged_artifact(folder, damage):
    (folder.artifacts / "net.sqz").write_bytes(damage)
    code, found = judged(folder)
    assert code == 2 and unjudged(found).keys() == {"decodes"}


def test_a_flipped_bit(folder):
    path = folder.artifacts / "net.sqz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert judged(folder)[0] == 2


def test_an_artifact_that_the_limits_do_not_name(folder):
    folder.publish("smuggled.sqz")
    code, found = judged(folder)
    assert code == 2 and unjudged(found) == {
        "limits": f"{folder.limits} does not name it: name it there, or --allow-new smuggled.sqz"
    }


def test_a_hidden_artifact_or_a_link_to_nothing_is_seen(folder):
    folder.publish(".hidden.sqz")
    assert judged(folder)[0] == 2
    (folder.artifacts / ".hidden.sqz").unlink()
    (folder.artifacts / "link.sqz").symlink_to("nowhere")
    assert judged(folder)[0] == 2


def test_allow_new_is_the_one_way_in_and_is_said(folder):
    folder.publish("fresh.sqz")
    code, found = judged(folder, allow_new=["fresh.sqz"])
    assert code == 0
    assert f"limits: new: {folder.limits} does not name it; admitted by --allow-new, judged by no limit" in notes(found)
    decoded = [finding.artifact for finding in found if finding.rule in ("decodes", "ledger", "re-encodes")]
    assert decoded.count("fresh.sqz") == 3  # what needs no limit is judged all the same


def test_allow_new_of_nothing(folder):
    code, found = judged(folder, allow_new=["typo.sqz"])
    assert code == 2 and unjudged(found) == {"allow-new": "--allow-new typo.sqz: no such artifact is checked"}


def test_a_missing_ledger_row(folder):
    folder.ledger.write_text("\n".join(line for line in folder.ledger.read_text().splitlines() if "encode" not in line) + "\n")
    code, found = judged(folder)
    missing = unjudged(found)
    assert code == 2 and missing.keys() == {"ledger", "min_top1", "min_agreement", "max_drop", "max_seconds"}
    assert "the ledger has no row of net.sqz" in missing["ledger"]


def test_other_bytes_than_the_ledgers(folder):
    before = folder.rows()
    folder.publish("net.sqz", tiny_net.layers(seed=5))
    ledger.write(folder.ledger, before)
    code, found = judged(folder)
    assert code == 2 and "these bytes were never measured" in unjudged(found)["ledger"]


@pytest.mark.parametrize("field", ["top1", "agreement", "top1_drop"])
def test_a_figure_that_is_no_number(folder, field):
    folder.change_rows("net.sqz", **{field: math.nan})
    assert judged(folder)[0] == 2


def test_accuracy_that_is_missing(folder):
    folder.change_rows("net.sqz", top1=None, top5=None, top1_drop=None, drop_interval=None)
    code, found = judged(folder)
    assert code == 2 and unjudged(found).keys() == {"min_top1", "max_drop"}


def test_growth_without_against(folder):
    folder.limit(net={"max_growth": 0})
    code, found = judged(folder)
    assert code == 2 and unjudged(found) == {"max_growth": "max_growth needs a baseline: --against REF or LEDGER"}


def test_a_git_reference_that_is_missing(folder):
    folder.commit()
    code, found = judged(folder, against="origin/main")
    assert code == 2 and "--against origin/main: no such git reference here" in unjudged(found)["baseline"]


def test_a_shallow_clone(folder, tmp_path):
    folder.commit("first")
    folder.commit("second")
    folder.git("clone", "--quiet", "--depth", "1", f"file://{folder.root}", str(tmp_path / "clone"))
    found = check(tmp_path / "clone" / "artifacts" / "limits.yaml", encoder=gate_folder.ENCODER, against="HEAD~1")
    assert exit_code(found) == 2 and "fetch-depth: 0" in unjudged(found)["baseline"]


def test_an_artifact_that_the_baseline_does_not_have(folder):
    commit = folder.commit()
    folder.publish("fresh.sqz")
    folder.limit(net=GENEROUS, fresh=GENEROUS | {"max_growth": 0})
    code, found = judged(folder, against="HEAD")
    missing = unjudged(found)
    assert code == 2 and missing.keys() == {"baseline", "max_growth"}
    assert f"HEAD ({commit[:10]}) has no " in missing["baseline"] and "; --allow-new fresh.sqz admits" in missing["baseline"]
    code, found = judged(folder, against="HEAD", allow_new=["fresh.sqz"])
    assert code == 0 and any("fresh.sqz; admitted by --allow-new, growth not judged" in note for note in notes(found))
    fresh = [finding.rule for finding in found if finding.artifact == "fresh.sqz" and finding.verdict == "pass"]
    assert "max_bytes" in fresh and "max_growth" not in fresh


def test_allow_new_admits_no_growth_of_an_old_artifact(folder):
    folder.limit(net={"max_growth": 0})
    folder.commit()
    folder.publish("net.sqz", larger_net())
    assert judged(folder, against="HEAD", allow_new=["net.sqz"])[0] == 1
    assert judged(folder, allow_new=["net.sqz"])[0] == 2


# --- what the ledger says of it ---------------------------------------------------------------------------------------------


def test_two_things_that_the_ledger_says_of_the_same_bytes(folder):
    folder.change_rows("net.sqz", top1=0.2)
    folder.add_row("net.sqz", run_id="net-ffffffff", top1=0.99)
    code, found = judged(folder)
    assert code == 2 and unjudged(found).keys() == {"ledger", "min_top1", "min_agreement", "max_drop"}
    assert "val: the ledger says two things: net-0123abcd, encode (top-1 0.2, " in unjudged(found)["ledger"]


def test_figures_of_pictures_that_it_was_tuned_on(folder):
    folder.change_rows("net.sqz", overlap=200)
    code, found = judged(folder)
    assert code == 2 and unjudged(found).keys() == {"min_top1", "min_agreement", "max_drop"}


def test_an_empty_figure_of_a_set_that_has_labels(folder):
    """A row that a number should hold for, hidden from it."""
    folder.add_row("net.sqz", stage="report hard", test_set_sha256="cc" * 32, top1=None, top1_drop=None)
    code, found = judged(folder)
    skipped = "not judged, without labels: hard"
    assert code == 0 and {f"min_top1: {skipped}", f"max_drop: {skipped}"} <= set(notes(found))
    folder.add_row("net.sqz", stage="hard", run_id="other-00000000", test_set_sha256="cc" * 32, artifact_sha256=None, top1=0.4)
    code, found = judged(folder)
    assert code == 2 and unjudged(found).keys() == {"min_top1", "max_drop"}


def test_an_empty_figure_that_the_baseline_had(folder):
    folder.add_row("net.sqz", stage="report hard", test_set_sha256="cc" * 32, top1=0.6)
    folder.commit()
    folder.publish("net.sqz", tiny_net.layers(seed=5))
    folder.add_row("net.sqz", stage="report hard", test_set_sha256="dd" * 32, top1=None, top1_drop=None)
    code, found = judged(folder, against="HEAD")
    assert code == 2 and unjudged(found).keys() == {"min_top1", "max_drop"}
    assert "hard: no accuracy in the ledger, and other rows show" in unjudged(found)["min_top1"]


# --- beside the verdict ----------------------------------------------------------------------------------------------------


def test_the_size_since_the_baseline_is_said_even_without_a_limit(folder):
    folder.commit()
    assert "baseline: HEAD: the same bytes" in notes(judged(folder, against="HEAD")[1])
    old = (folder.artifacts / "net.sqz").stat().st_size
    new = folder.publish("net.sqz", [*tiny_net.layers(), RawTensor("x", np.ones(100, np.float32))]).stat().st_size
    assert f"baseline: HEAD: {old} bytes, +{new - old} since" in notes(judged(folder, against="HEAD")[1])
