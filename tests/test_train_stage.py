"""Training as the first stage of a run, and alone: what it leaves, what it goes on from, what it starts with."""

import hashlib
import json
import re
import shutil
import signal
import sys

import numpy as np
import pytest
import safetensors.numpy
import torch
from conftest import CLASSES
from processes import TINY, losses, start, training_folder

import compress
from compress import pipeline, train_stage
from compress.data.classes import imagenet_wnids
from compress.data.sets import MeasuringSet
from compress.errors import ImageError, InputError, RecipeError, RunFolderError, TrainingInterrupted, WeightsError
from compress.ledger import ledger
from compress.models import pretrained
from compress.models.squeezenet import SqueezeNet
from compress.recipe_file import check
from compress.run_folder import Silent
from compress.stages import Stages
from compress.subject import subject
from compress.train_stage import first_net

COMPRESSED = {"prune": {"density": 0.5}, "quantize": {"bits": 3}}


class Heard(Silent):
    def __init__(self):
        self.steps, self.lines = [], []

    def step(self, stage, step, steps, loss, note=""):
        assert stage == "baseline"
        self.steps.append(step)

    def line(self, text):
        self.lines.append(text)


def recipe(**changes):
    return check(TINY | changes | {"train": TINY["train"] | changes.get("train", {})})


def train(runs, *, watcher=None, resume=None, fresh=False, stop_after=None, **changes):
    return pipeline.train(
        recipe(**changes), runs=runs, device="cpu", watcher=watcher, resume=resume, fresh=fresh, stop_after=stop_after
    )


def run(runs, *, watcher=None, fresh=False, **changes):
    return pipeline.run(recipe(**changes), runs=runs, device="cpu", watcher=watcher, fresh=fresh)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(result, folder of runs) of the tiny recipe. Only to be read."""
    runs = tmp_path_factory.mktemp("trained") / "runs"
    return train(runs), runs


@pytest.fixture
def runs(trained, tmp_path):
    """A copy, with everything trained."""
    return shutil.copytree(trained[1], tmp_path / "runs")


# --- what it leaves -----------------------------------------------------------------------------------------------------


def test_what_a_training_leaves(trained):
    result, runs = trained
    assert result.folder == training_folder(runs) and not result.reused
    assert result.row.stage == "baseline" and result.row.tuned_on == "1437 digits, training part, with labels"
    assert names(result.folder) == ["lock", "train", "training.json"]
    kept = [
        f"{name}.{suffix}"
        for name in ("best", "finished", "step-000000016", "step-000000020")
        for suffix in ("json", "safetensors")
    ]
    assert names(result.folder / "train") == sorted([*kept, "log.jsonl", "predictions.json"])
    [folder] = set(runs.iterdir()) - {result.folder}
    assert names(folder) == ["ledger.csv", "lock", "recipe.json", "stages"] and [
        row.stage for row in ledger.read(folder / "ledger.csv")
    ] == ["baseline"]
    assert sorted(losses(runs)) == list(range(1, 21))


def test_predictions_are_what_the_net_says_of_each_test_image(trained):
    result, _ = trained
    facts = json.loads((result.folder / "train" / "predictions.json").read_text())
    stages = Stages(recipe(), torch.device("cpu"))
    tensors = safetensors.numpy.load_file(result.folder / "train" / "finished.safetensors")
    stages.net.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
    outputs = compress.measure.fidelity.logits(stages.net, stages.splits.test.pixels, stages.subject.convention).softmax(1)
    labels = stages.splits.test.labels
    assert facts["test_set"] == "360 digits, held out, with labels" and facts["classes"] == list("0123456789")
    assert [image["label"] for image in facts["images"]] == labels.tolist()
    assert [image["predicted"] for image in facts["images"]] == outputs.argmax(1).tolist()
    own = outputs.gather(1, labels[:, None])[:, 0]
    assert [image["probability"] for image in facts["images"]] == pytest.approx(own.tolist(), abs=2e-6)
    assert {image["name"] for image in facts["images"]} == {None}
    right = np.mean([image["label"] == image["predicted"] for image in facts["images"]])
    assert right == result.row.top1


def test_predictions_name_pictures_and_classes(folders, tmp_path):
    net = {"version": "1.1", "classes": 4, "base_e": 8, "incr_e": 0, "n_fires": 1, "conv1_channels": 4, "pool_after": [1]}
    data = {"train": f"folder:{folders}/train", "tune": f"folder:{folders}/train", "test": f"folder:{folders}/val", "crop": 16}
    settings = {"iterations": 2, "batch_size": 5}
    fields = {
        "name": "x",
        "model": net,
        "weights": "scratch",
        "classes": CLASSES,
        "input": {"size": 16, "resize": 16},
        "data": data,
    }
    result = pipeline.train(check(fields | {"train": settings}), runs=tmp_path, device="cpu")
    facts = json.loads((result.folder / "train" / "predictions.json").read_text())
    assert facts["classes"] == CLASSES and len(facts["images"]) == 12
    assert {image["name"].split("/")[-2]: image["label"] for image in facts["images"]} == {
        name: i for i, name in enumerate(CLASSES)
    }
    assert result.row.tuned_on.endswith(", with labels") and "16 images of 4 classes" in result.row.tuned_on


def test_a_net_that_was_hardly_trained_is_told(tmp_path, caplog):
    train(tmp_path, train={"iterations": 1})
    [message] = {record.getMessage() for record in caplog.records}
    assert message.endswith("chance level; it was hardly trained")


def test_images_count_by_their_weight_while_training_too():
    labels = torch.tensor([0, 1])
    test = MeasuringSet("x", "x", "", torch.zeros(2, 1, 1, 1, dtype=torch.uint8), labels, None, torch.tensor([3.0, 1.0]))
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 6, 1), torch.nn.Flatten())
    torch.nn.init.zeros_(net[0].weight)
    net[0].bias.data = torch.tensor([1.0, 0, 0, 0, 0, 0])
    found = train_stage._tester(test, compress.data.digits.CONVENTION)(net)
    of_each = -net[0].bias.detach().log_softmax(0)[:2]
    assert (found.top1, found.top5) == (0.75, 1.0) and found.loss == pytest.approx(float(0.75 * of_each[0] + 0.25 * of_each[1]))


# --- what is trained once -------------------------------------------------------------------------------------------------


def test_a_second_training_is_taken_as_finished(runs):
    heard = Heard()
    again = train(runs, watcher=heard)
    assert again.reused and heard.steps == [] and heard.lines == [f"{again.folder}: trained already"]


def test_a_run_after_a_training_does_not_train(runs):
    heard = Heard()
    result = run(runs, watcher=heard)
    assert heard.steps == [] and result.reused == ("baseline",) and len(list(runs.iterdir())) == 2


def test_recipes_that_differ_in_what_comes_after_share_the_training(runs):
    before = (training_folder(runs) / "train" / "log.jsonl").read_bytes()
    weights = set()
    for changes in (
        COMPRESSED,
        {"prune": {"density": 0.9}},
        {"target": {"max_bytes": 9000}},
        {"train": {"keep": 3, "workers": 0}},
    ):
        heard = Heard()
        result = run(runs, watcher=heard, **changes)
        assert heard.steps == [] and heard.lines == [f"{training_folder(runs)}: trained already"] and result.reused == ()
        weights.add(result.rows[0].teacher_sha256)
    assert len(weights) == 1 and len(list(runs.iterdir())) == 6
    assert (training_folder(runs) / "train" / "log.jsonl").read_bytes() == before


def test_what_changes_the_weights_trains_in_a_folder_of_its_own(runs):
    heard = Heard()
    train(runs, watcher=heard, train={"learning_rate": 0.05})
    assert heard.steps == list(range(1, 21)) and len(list(runs.glob("tiny-train-*"))) == 2


def test_fresh_trains_again_and_forgets_what_was_made_of_it(runs):
    run(runs, **COMPRESSED)
    files = [*runs.glob("*/*.sqz"), *runs.glob("*/stages/share.json")]
    assert len(files) == 2
    heard = Heard()
    result = train(runs, watcher=heard, fresh=True, **COMPRESSED)
    assert not result.reused and heard.steps == list(range(1, 21)) and not any(path.exists() for path in files)


def test_a_baseline_of_other_weights_than_the_training_is_made_anew(runs):
    """The training was done again since, on a GPU say, where it is not the same to the bit."""
    path = training_folder(runs) / "train" / "finished"
    saved = json.loads(path.with_suffix(".json").read_bytes())
    arrays = safetensors.numpy.load_file(path.with_suffix(".safetensors"))
    arrays["features.0.bias"] = arrays["features.0.bias"] + 1
    compress.checkpoint.save(path.parent, path.name, saved["key"], compress.checkpoint.Checkpoint(arrays, {}))
    before = ledger.read(next(runs.glob("*/ledger.csv")))
    row = train(runs).row
    assert row.teacher_sha256 != before[0].teacher_sha256
    assert ledger.read(next(runs.glob("*/ledger.csv")))[0].teacher_sha256 == row.teacher_sha256


def test_a_fresh_search_for_a_size_trains_once(tmp_path, monkeypatch):
    """Each size is a fresh run; the training is of all of them."""

    def sizes(recipe, max_drop, run_once, *, fresh):
        tried = [recipe.model_copy(update={"rate": None, "target": None}) for _ in range(3)]
        return [run_once(each, fresh=fresh, report=False) for each in tried][-1]

    monkeypatch.setattr(pipeline, "smallest_within_drop", sizes)
    heard = Heard()
    for _ in range(2):
        run(tmp_path, watcher=heard, fresh=True, rate={}, target={"max_top1_drop": 1.0}, train={"iterations": 5})
    assert heard.steps == [1, 2, 3, 4, 5] * 2


# --- going on -----------------------------------------------------------------------------------------------------------


def finished(runs):
    return (training_folder(runs) / "train" / "finished.safetensors").read_bytes()


def test_stopped_on_demand_and_gone_on(trained, tmp_path):
    with pytest.raises(TrainingInterrupted, match=r"stopped after step 10 of 20; .*/train has the checkpoint"):
        train(tmp_path, stop_after=10)
    heard = Heard()
    train(tmp_path, watcher=heard)
    assert heard.steps == list(range(11, 21)) and "goes on after step 10 of 20" in heard.lines
    assert finished(tmp_path) == finished(trained[1])


def test_a_run_goes_on_after_a_stopped_training(trained, tmp_path):
    with pytest.raises(TrainingInterrupted):
        train(tmp_path, stop_after=10)
    heard = Heard()
    result = run(tmp_path, watcher=heard)
    assert heard.steps == list(range(11, 21)) and result.reused == () and finished(tmp_path) == finished(trained[1])


def test_a_training_that_was_killed_while_it_measured(trained, runs):
    """After the last step, before the result was written."""
    (training_folder(runs) / "train" / "finished.json").unlink()
    (training_folder(runs) / "train" / "predictions.json").unlink()
    heard = Heard()
    result = train(runs, watcher=heard)
    assert heard.steps == [] and not result.reused and finished(runs) == finished(trained[1])
    assert (result.folder / "train" / "predictions.json").exists()


def test_resumed_in_a_folder_that_was_moved(trained, tmp_path):
    with pytest.raises(TrainingInterrupted):
        train(tmp_path / "runs", stop_after=10)
    moved = training_folder(tmp_path / "runs").rename(tmp_path / "moved")
    heard = Heard()
    result = train(tmp_path / "other", watcher=heard, resume=moved)
    assert (
        heard.steps == list(range(11, 21))
        and result.folder == moved
        and [path.name[:5] for path in (tmp_path / "other").iterdir()] == ["tiny-"]
    )
    assert (moved / "train" / "finished.safetensors").read_bytes() == finished(trained[1])


def test_resume_is_looked_at_where_the_run_is_finished_too(runs):
    with pytest.raises(RunFolderError, match=r"none: no training run is there: training.json is missing"):
        train(runs, resume=runs / "none")
    with pytest.raises(RunFolderError, match="no training run is there"):
        train(runs, resume=next(path for path in runs.iterdir() if "train" not in path.name))


def test_resume_of_another_recipe_tells_every_difference(runs):
    model = TINY["model"] | {"dropout": 0.25}
    with pytest.raises(RunFolderError) as refused:
        train(runs, resume=training_folder(runs), seed=3, model=model, train={"learning_rate": 0.2, "optimizer": "adamw"})
    assert str(refused.value).splitlines()[1:-1] == [
        "  model.dropout: 0.0, 0.25",
        "  seed: 0, 3",
        "  train.learning_rate: 0.1, 0.2",
        '  train.optimizer: "sgd", the default',
    ]


def test_resume_and_fresh_together_delete_nothing(runs):
    with pytest.raises(InputError, match="--resume goes on in a folder, --fresh starts over: one of them"):
        train(runs, resume=training_folder(runs), fresh=True)
    assert (training_folder(runs) / "train" / "finished.json").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
@pytest.mark.parametrize("number", [15, 9], ids=["SIGTERM", "SIGKILL"])
def test_a_process_that_was_killed_is_gone_on_from_to_the_same_bytes(trained, tmp_path, number):
    """From the step that it stopped after when asked to, else from the last checkpoint."""
    (tmp_path / "tiny.json").write_text(recipe(**COMPRESSED).model_dump_json(exclude_defaults=True))
    killed = start(tmp_path, "run", "tiny.json", "--device", "cpu", signal_at=(10, number))
    code, out, err = killed.wait()
    assert (code, out) == (130 if number == signal.SIGTERM else -number, "") and "Traceback" not in err
    stopped = re.search(r"stopped after step (10|11) of 20", err)
    assert (stopped is not None) == (number == signal.SIGTERM)
    last = int(stopped[1]) if stopped else 8
    heard = Heard()
    result = run(tmp_path / "runs", watcher=heard, **COMPRESSED)
    assert heard.steps == list(range(last + 1, 21)) and finished(tmp_path / "runs") == finished(trained[1])
    whole = run(tmp_path / "whole", **COMPRESSED)
    assert result.artifact.read_bytes() == whole.artifact.read_bytes()


def test_a_net_that_was_pruned_while_it_trained_is_shared_with_its_zeros(runs):
    result = run(runs, train={"sparse": {"density": 0.3}}, quantize={"bits": 3})
    rows = {row.stage: row for row in result.rows}
    assert rows["baseline"].nonzeros == rows["share"].nonzeros == rows["encode"].nonzeros < 0.5 * rows["encode"].parameters


# --- what is refused ------------------------------------------------------------------------------------------------------


def test_a_table_of_densities_that_does_not_fit_is_refused_before_anything_is_trained(tmp_path):
    for start_it in (train, run):
        with pytest.raises(
            RecipeError, match=r"^train\.sparse\.density: pattern 'conv9' matches no layer; layers are features\.0,"
        ):
            start_it(tmp_path, train={"sparse": {"density": {"conv9": 0.5, "*": 0.1}}})
    assert not list(tmp_path.glob("*-train-*"))


def test_a_recipe_without_train(tmp_path):
    with pytest.raises(RecipeError, match=r"^train: the recipe has no `train` section, so there is nothing to train$"):
        pipeline.train(check({"name": "x"}), runs=tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("place", ["way", "way/runs"])
def test_runs_that_cannot_be_written(tmp_path, place):
    (tmp_path / "way").write_text("precious")
    with pytest.raises(RunFolderError, match=rf"{place}/tiny-\w{{8}}: cannot be used: Not a directory"):
        train(tmp_path / place)
    assert (tmp_path / "way").read_text() == "precious"


def test_a_device_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"^--device cuda: not available here; have cpu"):
        pipeline.train(recipe(), runs=tmp_path, device="cuda")
    assert names(tmp_path) == []


def test_images_that_do_not_fit_into_a_gpu(tmp_path, monkeypatch):
    def too_much(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(train_stage, "train", too_much)
    with pytest.raises(
        RecipeError, match=r"^train.micro_batch: 97 images in a forward pass take more memory than cpu has; give a"
    ):
        train(tmp_path)


# --- what it starts with --------------------------------------------------------------------------------------------------


def weights_file(path, n_classes, seed=5, **changes):
    """The tiny net for other classes."""
    spec = recipe().model.model_copy(update={"classes": n_classes})
    net = SqueezeNet(spec)
    net.init_weights(torch.Generator().manual_seed(seed))
    torch.nn.init.constant_(net.classifier[1].bias, 0.5)
    tensors = {name: tensor.numpy() for name, tensor in net.state_dict().items()} | changes
    safetensors.numpy.save_file(tensors, path)
    return tensors


HEAD = ("classifier.1.weight", "classifier.1.bias")


def test_weights_of_the_same_classes_are_taken_whole(tmp_path):
    tensors = weights_file(tmp_path / "w.safetensors", 10)
    state = first_net(recipe(weights=str(tmp_path / "w.safetensors"))).state_dict()
    assert all(np.array_equal(state[name].numpy(), tensors[name]) for name in state)


@pytest.mark.parametrize("n_classes", [3, 25, 1000])
def test_weights_of_other_classes_get_a_new_last_layer(tmp_path, n_classes):
    tensors = weights_file(tmp_path / "w.safetensors", n_classes)
    state = first_net(recipe(weights=str(tmp_path / "w.safetensors"))).state_dict()
    new = first_net(recipe()).state_dict()
    for name in state:
        expected = new[name] if name in HEAD else torch.from_numpy(tensors[name])
        assert torch.equal(state[name], expected), name


def test_rows_that_contradict_each_other(tmp_path):
    weights_file(tmp_path / "w.safetensors", 7, **{HEAD[1]: np.zeros(10, np.float32)})
    with pytest.raises(
        WeightsError, match=r"w.safetensors: not the rows of one layer: classifier.1.weight has 7, classifier.1.bias has 10"
    ):
        subject(recipe(weights=str(tmp_path / "w.safetensors")))


def test_fine_tuning_starts_from_the_weights(tmp_path):
    """And the digest of the file is part of what is trained."""
    path = tmp_path / "w.safetensors"
    tensors = weights_file(path, 10)
    slow = {"iterations": 1, "learning_rate": 1e-9}
    result = train(tmp_path / "runs", weights=str(path), train=slow)
    found = safetensors.numpy.load_file(result.folder / "train" / "finished.safetensors")
    assert all(np.allclose(found[name], tensors[name], atol=1e-6) for name in tensors)
    facts = json.loads((result.folder / "training.json").read_text())
    assert facts["weights"] == {"source": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    weights_file(path, 10, seed=6)
    assert train(tmp_path / "runs", weights=str(path), train=slow).folder != result.folder


def test_fine_tuning_with_batchnorm_starts_from_what_the_weights_compute(tmp_path):
    """One step moves the running statistics by a tenth of the way to its batch's."""
    path = tmp_path / "w.safetensors"
    tensors = weights_file(path, 10)
    result = train(tmp_path / "runs", weights=str(path), train={"iterations": 1, "learning_rate": 1e-9, "batchnorm": True})
    found = safetensors.numpy.load_file(result.folder / "train" / "finished.safetensors")
    x = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    outputs = []
    for state in (tensors, found):
        net = SqueezeNet(recipe().model).eval()
        net.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in state.items()})
        with torch.no_grad():
            outputs.append(net(x).numpy())
    assert not all(np.array_equal(found[name], tensors[name]) for name in tensors)
    np.testing.assert_allclose(outputs[1], outputs[0], atol=0.2 * outputs[0].std())


def test_first_statistics_of_pictures_that_cannot_be_read(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    weights_file(path, 10)

    def damaged(*_):
        raise ImageError("a.png: cannot be decoded")

    monkeypatch.setattr("compress.data.training.TrainingSet.example", damaged)
    with pytest.raises(ImageError, match=r"data.train: none of the pictures that the first statistics of BatchNorm are from"):
        train(tmp_path / "runs", weights=str(path), train={"iterations": 1, "batchnorm": True})


@pytest.fixture(scope="module")
def ndf():
    try:
        path = pretrained.ndf_path()
    except compress.errors.MissingDependency:
        pytest.skip("the weights of ndf are not installed")
    assert path.exists()


WNIDS = [
    "n03888257",
    "n01440764",
    "n02102040",
    "n02979186",
    "n03000684",
    "n03028079",
    "n03394916",
    "n03417042",
    "n03425413",
    "n03445777",
]


@pytest.mark.parametrize(("classes", "from_imagenet"), [(WNIDS, True), ([*WNIDS[:9], "n00000000"], False), (None, False)])
def test_the_last_layer_starts_from_imagenets_rows(ndf, classes, from_imagenet):
    fields = {
        "name": "x",
        "weights": "ndf",
        "train": {"iterations": 1},
        "data": {"train": "folder:x", "tune": "bundled", "test": "folder:y"},
    }
    made = check(fields | {"model": {"classes": 10}, "classes": classes})
    net = first_net(made)
    shapes = {name: tuple(tensor.shape) for name, tensor in SqueezeNet(compress.recipe.SqueezeNetSpec()).state_dict().items()}
    theirs = pretrained.load("ndf", shapes).tensors
    for name, tensor in net.state_dict().items():
        if name not in HEAD:
            assert np.array_equal(tensor.numpy(), theirs[name])
        elif from_imagenet:
            assert np.array_equal(tensor.numpy(), theirs[name][[imagenet_wnids().index(wnid) for wnid in WNIDS]])
        else:
            assert len(tensor) == 10 and float(tensor.abs().max()) < 0.1


# --- a teacher ------------------------------------------------------------------------------------------------------------


def test_distillation_from_a_file(trained, tmp_path):
    """Of a training before. All of the loss is the teacher's: the net ends closer to it than one that was taught by labels."""
    teacher = tmp_path / "teacher.sqz"
    shutil.copy(run(tmp_path / "runs", train={"iterations": 60}).artifact, teacher)
    pixels, convention = compress.data.digits.held_out_images()[0], compress.data.digits.CONVENTION
    logits, compare = compress.measure.fidelity.logits, compress.measure.fidelity.compare
    expected = logits(compress.load(teacher), pixels, convention)
    kls = []
    for distill in (None, {"teacher": str(teacher), "weight": 1.0}):
        result = run(tmp_path / "runs", seed=1, train={"iterations": 60, "distill": distill})
        kls.append(compare(logits(compress.load(result.artifact), pixels, convention), expected, None).mean_kl)
    assert kls[1] < 0.5 * kls[0]


def test_another_file_of_the_same_name_is_another_teacher(runs, tmp_path):
    teacher = tmp_path / "teacher.sqz"
    keys = []
    for seed in (0, 1):
        shutil.copy(run(tmp_path / "others", seed=seed, train={"iterations": 1}).artifact, teacher)
        distill = {"distill": {"teacher": str(teacher)}}
        keys.append(Stages(recipe(train=distill), torch.device("cpu")).stage_keys()["baseline"])
    assert keys[0] != keys[1]
    with pytest.raises(RecipeError, match=r"train.distill.teacher: nothing: must be a .sqz file, or package.module:function"):
        train(tmp_path / "new", train={"distill": {"teacher": "nothing"}})
    assert not (tmp_path / "new").exists()
