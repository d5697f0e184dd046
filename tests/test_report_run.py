import shutil

import pytest
import report_run
import tiny_net

from compress import checkpoint
from compress.errors import CorruptArtifact, InputError
from compress.ledger import ledger
from compress.report.published import display_names, read_published
from compress.report.run import is_run, read_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return report_run.write_run(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture
def folder(made, tmp_path):
    """A copy to damage."""
    return shutil.copytree(made, tmp_path / "run")


def test_read_run(folder):
    run = read_run(folder)
    assert is_run(folder) and run.run_id == report_run.RUN_ID and run.file.name == "tiny.sqz"
    assert run.before.keys() == run.file.artifact.layers.keys() == report_run.uncompressed().keys()
    assert set(run.sensitivity) == {name for name, array in run.before.items() if array.ndim == 4}
    assert run.recipe["name"] == "tiny" and [row.stage for row in run.rows][-2:] == ["encode", "report crops"]


def test_a_recipe_without_rate_has_no_sensitivity(tmp_path):
    assert read_run(report_run.write_run(tmp_path / "run", measures_sensitivity=False)).sensitivity == {}


def damage_file(folder):
    data = bytearray((folder / "tiny.sqz").read_bytes())
    data[-40] ^= 1
    (folder / "tiny.sqz").write_bytes(data)


def other_file(folder):
    tiny_net.write(folder / "tiny.sqz")


def unfinished(folder):
    (folder / "tiny.sqz").unlink()
    ledger.write(folder / "ledger.csv", ledger.read(folder / "ledger.csv")[:2])


def other_baseline(folder):
    checkpoint.save(folder / "stages", "baseline", "a key", checkpoint.Checkpoint({"w": report_run.np.zeros(3)}, {}))


def cut_baseline(folder):
    path = folder / "stages" / "baseline.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda folder: (folder / "ledger.csv").unlink(), InputError, "not a finished run: it has no ledger.csv"),
        (
            unfinished,
            InputError,
            "not a finished run: 0 .sqz files, stages done: baseline, quantize; `squeeze-compress run` goes on",
        ),
        (lambda folder: shutil.copy(folder / "tiny.sqz", folder / "b.sqz"), InputError, "not a finished run: 2 .sqz files"),
        (damage_file, CorruptArtifact, r"tiny\.sqz: .*CRC-32C"),
        (other_file, InputError, r"tiny\.sqz: sha256 is [0-9a-f]{64}, the run's ledger says"),
        (
            lambda folder: (folder / "stages" / "baseline.json").unlink(),
            InputError,
            r"baseline\.json: cannot be read: No such file",
        ),
        (cut_baseline, InputError, "stages/baseline: the checkpoint of the stage baseline is damaged"),
        (other_baseline, InputError, "stages/baseline: its tensors have sha256 .*, those that the file was made from"),
        (lambda folder: (folder / "stages" / "quantize.json").write_text("{}"), InputError, "the stage quantize is damaged"),
        (lambda folder: (folder / "stages" / "quantize.json").write_text("{"), InputError, r"quantize\.json: not JSON"),
        (
            lambda folder: (folder / "recipe.json").write_text("[]"),
            InputError,
            r"recipe\.json: must hold an object, holds a list",
        ),
        (lambda folder: (folder / "ledger.csv").write_text("x"), InputError, r"ledger\.csv: not a ledger"),
    ],
)
def test_what_is_missing_or_damaged_is_named(folder, damage, error, message):
    damage(folder)
    with pytest.raises(error, match=message):
        read_run(folder)


def test_read_published(folder, tmp_path):
    stranger = tiny_net.write(folder / "zzz.sqz")
    rows = ledger.read(folder / "ledger.csv")
    gone = [
        ledger.Row(**(vars(row) | {"run_id": "gone-1", "size_bytes": 10**6, "artifact_sha256": "00" * 32})) for row in rows[-1:]
    ]
    ledger.write(folder / "ledger.csv", [*rows, *gone])
    published = read_published(folder / "ledger.csv")
    assert [entry.run_id for entry in published.entries] == [report_run.RUN_ID, "gone-1"]  # the smallest first
    here, absent = published.entries
    assert absent.file is None and here.file.name == "tiny.sqz" and len(here.finals) == 2
    assert published.strangers == [stranger.name]


def test_a_published_file_with_other_bytes_is_refused(folder):
    tiny_net.write(folder / "tiny.sqz")
    with pytest.raises(InputError, match=r"tiny\.sqz: sha256 is .*, the ledger's row of tiny-0123abcd says"):
        read_published(folder / "ledger.csv")


def test_a_ledger_without_a_finished_file_is_refused(folder):
    ledger.write(folder / "ledger.csv", ledger.read(folder / "ledger.csv")[:3])
    with pytest.raises(InputError, match="no row is of a finished file"):
        read_published(folder / "ledger.csv")


def test_display_names():
    assert display_names(["deep-1", "deep-2", "small-net-3", "small-net-3", "x"]) == {
        "deep-1": "deep-1",
        "deep-2": "deep-2",
        "small-net-3": "small-net",
        "x": "x",
    }
