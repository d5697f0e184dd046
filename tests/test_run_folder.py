import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from test_ledger import row

from compress.checkpoint import Checkpoint, save
from compress.errors import RunFolderError
from compress.ledger import ledger
from compress.recipe_file import check
from compress.run_folder import RunFolder, Silent

RECIPE = check(
    {
        "name": "small",
        "prune": {"density": 0.5, "tune": {"steps": 0, "learning_rate": 1.0}},
        "quantize": {"bits": 4, "tune": {"steps": 0, "learning_rate": 1.0}},
    }
)


class Heard(Silent):
    def __init__(self):
        self.heard = []

    def stage_started(self, stage):
        self.heard.append(stage)

    def stage_finished(self, row, *, reused):
        self.heard.append((row.stage, reused))


def made(stage, value=1.0):
    return lambda: ({"a": np.full(3, value, np.float32)}, row(stage=stage))


def never():
    raise AssertionError("a finished stage was made again")


def test_a_finished_stage_is_not_made_again(tmp_path):
    first = RunFolder(tmp_path / "runs" / "x", RECIPE, Silent())
    first.stage("prune", "k1", made("prune"))
    heard = Heard()
    second = RunFolder(tmp_path / "runs" / "x", RECIPE, heard)
    arrays = second.stage("prune", "k1", never)
    np.testing.assert_array_equal(arrays["a"], np.ones(3, np.float32))
    second.stage("share", "k2", made("share"))
    assert heard.heard == ["prune", ("prune", True), "share", ("share", False)]
    assert second.reused == ["prune"] and second.rows == [row(stage="prune"), row(stage="share")]
    assert [r.stage for r in ledger.read(second.path / "ledger.csv")] == ["prune", "share"]


def test_a_rerun_that_stops_early_leaves_the_finished_ledger(tmp_path):
    first = RunFolder(tmp_path, RECIPE, Silent())
    first.stage("prune", "k1", made("prune"))
    first.record(row(stage="encode", size_bytes=7))
    RunFolder(tmp_path, RECIPE, Silent()).stage("prune", "k1", never)  # and is interrupted
    assert [r.stage for r in ledger.read(tmp_path / "ledger.csv")] == ["prune", "encode"]


def test_a_ledger_that_is_damaged_is_written_anew(tmp_path):
    (tmp_path / "ledger.csv").write_text("not a ledger")
    RunFolder(tmp_path, RECIPE, Silent()).stage("prune", "k1", made("prune"))
    assert [r.stage for r in ledger.read(tmp_path / "ledger.csv")] == ["prune"]


def test_another_key_is_made_again_and_kept(tmp_path):
    RunFolder(tmp_path, RECIPE, Silent()).stage("prune", "k1", made("prune", 1.0))
    arrays = RunFolder(tmp_path, RECIPE, Silent()).stage("prune", "k2", made("prune", 2.0))
    assert arrays["a"][0] == 2.0
    again = RunFolder(tmp_path, RECIPE, Silent()).stage("prune", "k2", never)
    assert again["a"][0] == 2.0


def test_a_stage_that_is_made_again_takes_the_file_and_later_rows_with_it(tmp_path):
    """Else a run that is interrupted here could be published with rows and a file of another."""
    first = RunFolder(tmp_path, RECIPE, Silent())
    first.stage("prune", "k1", made("prune"))
    first.record(row(stage="encode", size_bytes=7))
    (tmp_path / "x.sqz").write_bytes(b"made of the old weights")
    RunFolder(tmp_path, RECIPE, Silent()).stage("prune", "k2", made("prune", 2.0))
    assert [r.stage for r in ledger.read(tmp_path / "ledger.csv")] == ["prune"]
    assert not list(tmp_path.glob("*.sqz"))


def test_facts_with_other_columns_are_made_again(tmp_path):
    """The checkpoint of a version whose ledger had a column less."""
    facts = asdict(row(stage="prune"))
    del facts["versions"]
    save(tmp_path / "stages", "prune", "k1", Checkpoint({"a": np.zeros(3, np.float32)}, facts))
    folder = RunFolder(tmp_path, RECIPE, Silent())
    assert folder.stage("prune", "k1", made("prune", 2.0))["a"][0] == 2.0 and folder.reused == []


def test_fresh_forgets(tmp_path):
    RunFolder(tmp_path / "x", RECIPE, Silent()).stage("prune", "k1", made("prune", 1.0))
    folder = RunFolder(tmp_path / "x", RECIPE, Silent(), fresh=True)
    assert folder.stage("prune", "k1", made("prune", 3.0))["a"][0] == 3.0 and folder.reused == []


def test_a_failed_stage_leaves_the_ones_before(tmp_path):
    folder = RunFolder(tmp_path, RECIPE, Silent())
    folder.stage("prune", "k1", made("prune"))

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.stage("share", "k2", interrupted)
    assert [r.stage for r in ledger.read(tmp_path / "ledger.csv")] == ["prune"]
    RunFolder(tmp_path, RECIPE, Silent()).stage("prune", "k1", never)


def test_the_recipe_lies_beside(tmp_path):
    folder = RunFolder(tmp_path, RECIPE, Silent())
    assert check(json.loads((folder.path / "recipe.json").read_text())) == RECIPE


@pytest.mark.parametrize("fresh", [False, True])
def test_a_file_in_the_way(tmp_path, fresh):
    (tmp_path / "runs").touch()
    for path in (tmp_path / "runs", tmp_path / "runs" / "x"):
        with pytest.raises(RunFolderError, match=r"runs.*: the run folder cannot be written: "):
            RunFolder(path, RECIPE, Silent(), fresh=fresh)


def test_a_ledger_that_cannot_be_written(tmp_path):
    folder = RunFolder(tmp_path, RECIPE, Silent())
    (tmp_path / "ledger.csv").mkdir()
    with pytest.raises(RunFolderError, match="the ledger cannot be written"):
        folder.stage("prune", "k1", made("prune"))


TEACHER = row(stage="baseline").teacher_sha256


def begun(runs, number, recipe=RECIPE, *, teacher=TEACHER, fresh=False):
    """The folder of a run whose first stage is done."""
    folder = RunFolder(runs / f"{recipe.name}-{number}", recipe, Silent(), fresh=fresh)
    first = ({"a": np.zeros(3, np.float32)}, replace(row(stage="baseline"), teacher_sha256=teacher))
    folder.stage("baseline", "k0", lambda: first)
    return folder


def test_a_stage_of_a_run_beside_is_taken_where_only_what_comes_after_differs(tmp_path):
    first = begun(tmp_path, 1)
    first.stage("prune", "k1", made("prune", 5.0))
    other = check({**RECIPE.model_dump(mode="json"), "quantize": {"bits": 3}})
    second = begun(tmp_path, 2, other)
    assert second.stage("prune", "k1", never)["a"][0] == 5.0 and second.reused == ["prune"]
    found = ledger.read(second.path / "ledger.csv")[1]
    assert found == replace(first.rows[1], run_id=f"{RECIPE.name}-2", recipe_sha256=other.digest())
    (tmp_path / f"{RECIPE.name}-1" / "recipe.json").unlink()
    begun(tmp_path, 2, other).stage("prune", "k1", never)  # it is its own now


@pytest.mark.parametrize("changes", [{"encode": {"coder": "huffman"}}, {"name": "another"}])
def test_a_stage_of_another_name_or_measured_otherwise_is_not(tmp_path, changes):
    other = check({**RECIPE.model_dump(mode="json"), **changes})
    begun(tmp_path, 1, other).stage("prune", "k1", made("prune", 5.0))
    folder = begun(tmp_path, 2)
    assert folder.stage("prune", "k1", made("prune", 2.0))["a"][0] == 2.0


def test_fresh_takes_nothing_of_others(tmp_path):
    begun(tmp_path, 1).stage("prune", "k1", made("prune", 5.0))
    folder = begun(tmp_path, 2, fresh=True)
    assert folder.stage("prune", "k1", made("prune", 2.0))["a"][0] == 2.0


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff"])
def test_a_damaged_run_beside_is_passed_over(tmp_path, content):
    begun(tmp_path, 1).stage("prune", "k1", made("prune", 5.0))
    (tmp_path / f"{RECIPE.name}-1" / "recipe.json").write_bytes(content)
    folder = begun(tmp_path, 2)
    assert folder.stage("prune", "k1", made("prune", 2.0))["a"][0] == 2.0


def test_a_stage_of_another_net_is_not(tmp_path):
    """Its settings are the same; it was trained again since, with other threads perhaps."""
    begun(tmp_path, 1, teacher="1" * 64).stage("prune", "k1", lambda: of_teacher("1" * 64))
    folder = begun(tmp_path, 2)
    assert folder.stage("prune", "k1", made("prune", 2.0))["a"][0] == 2.0


def of_teacher(sha256):
    return {"a": np.full(3, 5.0, np.float32)}, replace(row(stage="prune"), teacher_sha256=sha256)
