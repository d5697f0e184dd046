"""The whole chain on the digits: once as shipped (about 20 seconds), then shortened, for what does not depend on accuracy."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
import torch

import compress
from compress import checkpoint, pipeline, stage_arrays, stages
from compress.artifact import writer
from compress.data import digits
from compress.errors import CompressError, InputError, RecipeError, WeightsError
from compress.ledger import ledger
from compress.measure.fidelity import compare, logits
from compress.prune.magnitude import n_kept
from compress.recipe_file import check
from compress.recipe_file import load as load_recipe
from compress.run_folder import Silent

SHORT = ("train.epochs=1", "train.batch_size=256", "prune.tune.steps=2", "quantize.tune.steps=2", "target=null")
STAGES = ["baseline", "prune", "share", "tune", "encode"]
REUSABLE = STAGES[:-1]  # the file is always written again


class Heard(Silent):
    def __init__(self):
        self.stages, self.steps, self.lines = [], {}, []

    def step(self, stage, step, steps, loss, note=""):
        assert 1 <= step <= steps and np.isfinite(loss) and bool(note) == (stage == "baseline")
        self.steps[stage] = (step, steps)

    def line(self, text):
        self.lines.append(text)

    def stage_finished(self, row, *, reused):
        self.stages.append((row.stage, reused))


class InterruptedIn(Silent):
    """Ctrl-C as a stage starts, or at its second step."""

    def __init__(self, stage, step=None):
        self.at = stage, step

    def stage_started(self, stage):
        if self.at == (stage, None):
            raise KeyboardInterrupt

    def step(self, stage, step, steps, loss, note=""):
        if self.at == (stage, step):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """(result, what its watcher heard) of the digits recipe, exactly as it ships."""
    heard = Heard()
    return compress.run("digits", runs=tmp_path_factory.mktemp("shipped"), device="cpu", watcher=heard), heard


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return run_short(tmp_path_factory.mktemp("short"))


def run_short(runs, *overrides, **options):
    return compress.run("digits", overrides=(*SHORT, *overrides), runs=runs, device="cpu", **options)


def saved(result, stage):
    """The arrays of a stage's checkpoint."""
    return safetensors.numpy.load_file(result.folder / "stages" / f"{stage}.safetensors")


def folders_of(runs):
    """(the run's, that of the training it started with)."""
    trained = list(runs.glob("digits-train-*"))
    [folder] = set(runs.iterdir()) - set(trained)
    [training] = trained
    return folder, training


def facts_of(rows):
    """What is the same in two runs of one recipe."""
    return [replace(row, seconds=0, peak_memory_bytes=0) for row in rows]


# --- the recipe as shipped ---------------------------------------------------------------------------------------------


def test_the_shipped_recipe_meets_its_target_and_still_reads_digits(shipped):
    result, heard = shipped
    recipe = load_recipe("digits")
    size = result.artifact.stat().st_size
    assert result.margin_bytes == recipe.target.max_bytes - size >= 0
    assert result.reused == () and heard.stages == [(stage, False) for stage in STAGES]
    rows = {row.stage: row for row in result.rows}
    assert rows["baseline"].top1 > 0.97 and rows["encode"].top1 > 0.95 and rows["encode"].agreement > 0.95
    assert rows["prune"].nonzeros < 0.4 * rows["baseline"].nonzeros and rows["encode"].ratio_fp32 > 10


def test_steps_are_heard_to_the_last_one(shipped):
    recipe, (_, heard) = load_recipe("digits"), shipped
    per_epoch = -(-len(digits.training_pixels()[0]) // recipe.train.batch_size)
    assert heard.steps == {
        "baseline": (recipe.train.epochs * per_epoch,) * 2,
        "prune": (recipe.prune.tune.steps,) * 2,
        "tune": (recipe.quantize.tune.steps,) * 2,
    }


def test_every_row_of_the_ledger_adds_up(shipped):
    result, _ = shipped
    assert [row.stage for row in result.rows] == STAGES
    on_disk = ledger.read(result.folder / "ledger.csv")
    assert [row.to_csv() for row in on_disk] == [row.to_csv() for row in result.rows]
    recipe = load_recipe("digits")
    for row in result.rows:
        assert row.run_id == result.folder.name and row.recipe_sha256 == recipe.digest() and row.seed == recipe.seed
        assert row.parameters == 30_010
        assert row.bits_per_weight == 8 * row.size_bytes / row.parameters
        assert row.ratio_fp32 == 4 * row.parameters / row.size_bytes
        assert row.ratio_alexnet == 240_000_000 / row.size_bytes
        assert 0 <= row.top1 <= row.top5 <= 1 and 0 <= row.agreement <= 1 and row.mean_kl >= 0 and row.n == 360
        assert row.device == "cpu" and row.seconds > 0 and row.peak_memory_bytes > 1e7
        assert "torch " in row.versions and "numba " in row.versions and "python " in row.versions
        assert row.test_set == "360 digits, held out, with labels"
        labelled, tuned = "1437 digits, training part, with labels", "; 1437 digits, training part"
        assert row.tuned_on == labelled + (tuned if row.stage != "baseline" else "")
    assert len({(row.teacher_sha256, row.test_set_sha256) for row in result.rows}) == 1
    baseline, prune, share, tune, encode = result.rows
    assert baseline.agreement == 1 and baseline.mean_kl == pytest.approx(0, abs=1e-6)
    assert baseline.nonzeros > prune.nonzeros >= share.nonzeros >= tune.nonzeros == encode.nonzeros
    assert baseline.size_bytes > prune.size_bytes > share.size_bytes


def test_the_last_row_is_the_file(shipped):
    result, _ = shipped
    data = result.artifact.read_bytes()
    row = result.rows[-1]
    assert result.artifact == result.folder / "digits.sqz"
    assert row.size_bytes == len(data) == result.artifact.stat().st_size
    assert row.artifact_sha256 == hashlib.sha256(data).hexdigest() == compress.read(result.artifact).sha256
    assert all(other.artifact_sha256 is None for other in result.rows[:-1])


def test_the_file_does_what_the_ledger_measured(shipped):
    """Top-1, top-5, agreement and KL again, from the file and from the baseline's checkpoint alone."""
    result, _ = shipped
    net, (pixels, labels) = compress.load(result.artifact), digits.held_out_images()
    teacher = compress.load(result.artifact)
    teacher.load_state_dict({name: torch.from_numpy(array) for name, array in saved(result, "baseline").items()})
    outputs, reference = (logits(each, pixels, net.preprocess.convention) for each in (net, teacher))
    again, row = compare(outputs, reference, labels), result.rows[-1]
    assert (again.top1, again.top5, again.agreement, again.n) == (row.top1, row.top5, row.agreement, row.n)
    assert again.mean_kl == pytest.approx(row.mean_kl, rel=1e-5)
    assert net.class_names == tuple("0123456789")


def test_the_metadata_says_where_it_comes_from(shipped):
    result, _ = shipped
    recipe, metadata = load_recipe("digits"), compress.read(result.artifact).metadata
    assert metadata["recipe"] == {"name": "digits", "sha256": recipe.digest()}
    assert metadata["parent_sha256"] == result.rows[-1].teacher_sha256
    assert metadata["encoder"] == f"squeeze-compress {compress.__version__}"
    assert metadata["input"] == digits.CONVENTION.to_metadata()


def test_masks_hold_through_tuning(shipped):
    """In the checkpoint of prune, and in every stage after it: the clusters are fixed, so no weight comes back."""
    result, _ = shipped
    recipe, arrays = load_recipe("digits"), saved(result, "prune")
    masks = {name.removeprefix("mask:"): mask for name, mask in arrays.items() if name.startswith("mask:")}
    assert len(masks) == 8 and all(mask.dtype == bool for mask in masks.values())
    for name, mask in masks.items():
        assert not arrays[name][~mask].any()
        for stage in ("share", "tune"):
            np.testing.assert_array_equal(saved(result, stage)[f"indices:{name}"] != 0, mask)
    layers = compress.read(result.artifact).layers
    for name, mask in masks.items():
        np.testing.assert_array_equal(layers[name].indices != 0, mask)
        density = next(d for p, d in recipe.prune.density.items() if p == "*" or p.removeprefix("*") in name)
        assert mask.sum() == n_kept(density, mask.size)
        assert len(layers[name].codebook) <= 1 << recipe.quantize.bits


def test_checkpoints_are_safetensors_and_json(shipped):
    result, _ = shipped
    names = {path.name for path in (result.folder / "stages").iterdir()}
    assert names == {f"{stage}.{suffix}" for stage in REUSABLE for suffix in ("safetensors", "json")}
    assert {path.name for path in result.folder.iterdir()} == {"stages", "ledger.csv", "recipe.json", "digits.sqz", "lock"}


def test_the_file_does_not_depend_on_threads_nor_on_the_path(shipped, tmp_path):
    result, _ = shipped
    artifact = compress.read(result.artifact, threads=2)
    layers = list(artifact.layers.values())
    again = [writer.to_bytes(layers, artifact.metadata, threads=threads) for threads in (1, 2)]
    assert again == [result.artifact.read_bytes()] * 2


# --- picking up ------------------------------------------------------------------------------------------------------


def test_a_second_run_takes_every_stage_as_finished(short):
    before, heard = short.artifact.read_bytes(), Heard()
    again = run_short(short.folder.parent, watcher=heard)
    assert list(again.reused) == REUSABLE
    assert heard.stages == [(stage, stage != "encode") for stage in STAGES] and heard.steps == {}
    assert again.artifact == short.artifact and again.artifact.read_bytes() == before
    assert facts_of(again.rows) == facts_of(short.rows)
    assert again.rows[:-1] == short.rows[:-1]  # the seconds too: those that the stage took when it ran


def test_fresh_starts_over(short):
    before, heard = short.artifact.read_bytes(), Heard()
    (short.folder / "stages" / "old.json").touch()
    _, training = folders_of(short.folder.parent)
    (training / "old.json").touch()
    again = run_short(short.folder.parent, fresh=True, watcher=heard)
    assert again.reused == () and heard.steps["baseline"][0] > 1 and not (training / "old.json").exists()
    assert again.artifact.read_bytes() == before and not (short.folder / "stages" / "old.json").exists()


def test_another_recipe_has_another_folder(short):
    other = run_short(short.folder.parent, "quantize.bits=3")
    assert other.reused == ("prune",) and other.folder != short.folder and other.folder.parent == short.folder.parent
    assert all(len(layer.codebook) <= 8 for layer in compress.read(other.artifact).layers.values() if layer.kind == "shared")
    assert {row.run_id for row in other.rows}.isdisjoint(row.run_id for row in short.rows)
    for stage in ("baseline", "prune"):  # same settings, same seed
        assert all(np.array_equal(a, saved(short, stage)[name]) for name, a in saved(other, stage).items())


@pytest.mark.parametrize(
    ("stage", "step", "finished"), [("share", None, 2), ("prune", 2, 1), ("baseline", 2, 0), ("encode", None, 4)]
)
def test_an_interrupted_run_goes_on_to_the_same_bytes(short, tmp_path, stage, step, finished):
    with pytest.raises(KeyboardInterrupt):
        run_short(tmp_path, watcher=InterruptedIn(stage, step))
    folder, training = folders_of(tmp_path)
    assert (training / "train" / "finished.json").exists() == (stage != "baseline")
    kept = {path.stem for path in folder.glob("stages/*.json")}
    assert kept == set(STAGES[:finished]) and not list(folder.glob("*.sqz"))
    if finished:
        assert [row.stage for row in ledger.read(folder / "ledger.csv")] == STAGES[:finished]
        with pytest.raises(InputError, match="not a finished run"):
            ledger.promote(folder, tmp_path / "artifacts")
    result = run_short(tmp_path)
    assert list(result.reused) == STAGES[:finished]
    assert result.artifact.read_bytes() == short.artifact.read_bytes()
    assert facts_of(result.rows) == facts_of(short.rows)


@pytest.mark.parametrize("suffix", ["safetensors", "json"])
def test_a_damaged_checkpoint_is_made_again(short, tmp_path, suffix):
    first = run_short(tmp_path)
    path = first.folder / "stages" / f"prune.{suffix}"
    data = bytearray(path.read_bytes())
    at = len(data) - 2 if suffix == "safetensors" else data.index(b'"agreement": ') + 14
    data[at] = data[at] ^ 1
    path.write_bytes(data)
    again = run_short(tmp_path)
    assert list(again.reused) == ["baseline", "share", "tune"]
    assert again.artifact.read_bytes() == short.artifact.read_bytes() and facts_of(again.rows) == facts_of(short.rows)


def test_another_seed_is_another_file(short, tmp_path):
    other = run_short(tmp_path, "seed=1")
    assert other.artifact.read_bytes() != short.artifact.read_bytes()
    assert other.rows[0].teacher_sha256 != short.rows[0].teacher_sha256


# --- ways to quantize ---------------------------------------------------------------------------------------------------

REASSIGN = ("quantize.assignment=reassign", "quantize.tune={steps: 4, learning_rate: 0.05}")
ALSO_FIXED = "quantize.also_fixed={steps: 2, learning_rate: 0.0003}"


def test_fixed_keeps_the_clusters_and_moves_the_centroids(shipped):
    result, _ = shipped
    shared, tuned = saved(result, "share"), saved(result, "tune")
    assert shared.keys() == tuned.keys()
    for name, array in shared.items():
        if name.startswith("indices:"):
            np.testing.assert_array_equal(tuned[name], array)
    moved = [name for name, array in shared.items() if not np.array_equal(tuned[name], array)]
    assert any(name.startswith("codebook:") for name in moved) and any(name.endswith(".bias") for name in moved)


def test_reassign_lets_weights_change_cluster_and_shows_the_papers_way_beside_it(short, tmp_path):
    result = run_short(tmp_path, *REASSIGN, ALSO_FIXED)
    assert [row.stage for row in result.rows] == ["baseline", "prune", "share", "fixed", "tune", "encode"]
    shared, fixed, tuned = (saved(result, stage) for stage in ("share", "fixed", "tune"))
    names = [name for name in shared if name.startswith("indices:")]
    assert all(np.array_equal(fixed[name], shared[name]) for name in names)
    assert any(not np.array_equal(tuned[name], shared[name]) for name in names)
    layers = compress.read(result.artifact).layers
    for name in names:
        np.testing.assert_array_equal(layers[name.removeprefix("indices:")].indices, tuned[name])
    assert list(run_short(tmp_path, *REASSIGN, ALSO_FIXED).reused) == ["baseline", "prune", "share", "fixed", "tune"]


def test_a_price_on_bits_makes_a_smaller_file(tmp_path):
    sizes = [run_short(tmp_path, *REASSIGN, f"quantize.rate_weight={w}").artifact.stat().st_size for w in (0.01, 0.1)]
    assert sizes[1] < 0.9 * sizes[0]


@pytest.mark.parametrize("encode", ["{coder: huffman, positions: gaps, bias: float32}", "{coder: zstd, codebook: float32}"])
def test_other_coders_and_types_give_a_file_that_decodes_to_what_was_tuned(tmp_path, encode):
    result = run_short(tmp_path, f"encode={encode}")
    tuned, layers = saved(result, "tune"), compress.read(result.artifact).layers
    for name, layer in layers.items():
        if layer.kind == "shared":
            np.testing.assert_array_equal(layer.indices, tuned[f"indices:{name}"])
            np.testing.assert_array_equal(layer.codebook, tuned[f"codebook:{name}"])
            assert layer.codebook.dtype == ("float32" if "zstd" in encode else "float16")
        else:
            np.testing.assert_array_equal(layer.array, tuned[name].astype(layer.array.dtype))


# --- targets, weights, refusals -----------------------------------------------------------------------------------------


def test_a_missed_target_is_told_and_the_file_kept(tmp_path):
    result = run_short(tmp_path, "target={max_bytes: 1000}")
    assert result.margin_bytes == 1000 - result.artifact.stat().st_size < 0
    assert len(compress.decode(result.artifact)) == 16


def test_without_a_target_there_is_no_margin(short):
    assert short.margin_bytes is None


def test_weights_from_a_file(short, tmp_path):
    """The net of another run, by its path; the digest in the recipe is checked, and a changed file is another input."""
    path = tmp_path / "mine.safetensors"
    tensors = saved(short, "baseline")
    safetensors.numpy.save_file(tensors, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    from_file = (f"weights={path}", "train=null")
    result = run_short(tmp_path / "runs", *from_file, f"weights_sha256={digest}")
    assert result.rows[0].tuned_on == "" and result.rows[0].teacher_sha256 == short.rows[0].teacher_sha256
    assert all(np.array_equal(array, tensors[name]) for name, array in saved(result, "baseline").items())

    first = run_short(tmp_path / "runs", *from_file)
    assert list(run_short(tmp_path / "runs", *from_file).reused) == REUSABLE
    tensors["features.0.bias"] = tensors["features.0.bias"] + 1
    safetensors.numpy.save_file(tensors, path)
    changed = run_short(tmp_path / "runs", *from_file)
    assert changed.folder == first.folder and changed.reused == ()
    with pytest.raises(WeightsError, match=rf"mine.safetensors: sha256 is .*, expected {digest}"):
        run_short(tmp_path / "runs", *from_file, f"weights_sha256={digest}")


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["model.in_channels=3"], RecipeError, r"model.in_channels is 3, the images have 1 \(L\)"),
        (["model.pool_after=[0,1,2]"], RecipeError, "images of 8 x 8 pixels, the net of `model` needs sides of 10"),
        (["weights=none.safetensors", "train=null"], WeightsError, "none.safetensors: cannot be read"),
        (["prune.density={nothing: 0.5, '*': 1}"], RecipeError, "prune.density: pattern 'nothing' matches no layer"),
        (["prune.density=paper"], RecipeError, "prune.density: paper is for SqueezeNet with 8 Fire modules"),
        (["quantize.bits={features.0: 4}"], RecipeError, "quantize.bits: no pattern matches layer features.2.squeeze"),
    ],
)
def test_refused_before_anything_runs(tmp_path, overrides, error, message):
    with pytest.raises(error, match=message):
        run_short(tmp_path / "runs", *overrides)
    assert not (tmp_path / "runs").exists()


def test_small_crops_are_refused():
    tune = {"steps": 0, "learning_rate": 1.0}
    recipe = check(
        {"name": "x", "data": {"crop": 16}, "prune": {"density": 1.0, "tune": tune}, "quantize": {"bits": 4, "tune": tune}}
    )
    with pytest.raises(RecipeError, match=r"data.crop: images of 16 x 16 pixels, the net of `model` needs sides of 17"):
        stages.Stages(recipe, torch.device("cpu"))


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(CompressError, match="cannot be used: Not a directory"):
        run_short(tmp_path / "runs")


def test_a_bias_that_its_type_cannot_hold():
    with pytest.raises(RecipeError, match=r"encode.bias: b has a value of 100000, more than float16 holds; use float32"):
        stage_arrays.raw_tensor("b", np.float32([1.0, -1e5]), np.dtype("float16"))
    assert stage_arrays.raw_tensor("b", np.float32([1.0, -1e5]), np.dtype("float32")).array.dtype == np.float32


def test_devices():
    assert pipeline.pick_device("cpu").type == "cpu"
    assert pipeline.pick_device("auto").type in ("cpu", "cuda", "mps")
    for name in ("cuda", "mps"):
        if not getattr(torch, name).is_available():
            with pytest.raises(InputError, match=f"--device {name}: not available here; have cpu"):
                pipeline.pick_device(name)


def test_a_stage_is_known_by_all_that_it_depends_on():
    """The keys that differ when one setting does: its stage's and those after it."""

    def keys(*overrides):
        given = stages.Stages(load_recipe("digits", (*SHORT, *REASSIGN, ALSO_FIXED, *overrides)), torch.device("cpu"))
        return given.stage_keys()

    plain = keys()
    assert len(set(plain.values())) == len(plain) == 5
    for override, first in [
        ("seed=1", "baseline"),
        ("train.epochs=2", "baseline"),
        ("model.dropout=0.1", "baseline"),
        ("prune.density=0.5", "prune"),
        ("quantize.bits=3", "share"),
        ("quantize.init=density", "share"),
        ("quantize.rate_weight=0.5", "share"),
        ("encode.codebook=float32", "share"),
        ("quantize.tune.steps=9", "tune"),
    ]:
        changed = [stage for stage, key in keys(override).items() if key != plain[stage]]
        assert changed == list(plain)[list(plain).index(first) :], override
    assert [s for s, key in keys("quantize.also_fixed.steps=9").items() if key != plain[s]] == ["fixed", "tune"]
    assert keys("target={max_bytes: 9}") == plain and keys("name=other") == plain


def test_a_checkpoint_gives_back_the_stage(short):
    """What a stage hands on is what the next run reads: values, types, shapes and order."""
    given = stages.Stages(load_recipe("digits", SHORT), torch.device("cpu"))
    loaded = checkpoint.load(short.folder / "stages", "baseline", given.stage_keys()["baseline"])
    assert list(loaded.arrays) == list(given.net.state_dict())
    assert stage_arrays.sha256(loaded.arrays) == short.rows[0].teacher_sha256


@pytest.mark.parametrize(("learning_rate", "is_told"), [("0.3", True), ("0.00001", False)])
def test_a_tuning_whose_loss_rises_is_told(tmp_path, learning_rate, is_told):
    tune = f"quantize.tune={{steps: 12, learning_rate: {learning_rate}, bias_learning_rate: 0.00001}}"
    overrides = ("train.epochs=2", "prune=null", "target=null", "quantize.assignment=fixed", tune)
    heard, again = Heard(), Heard()
    compress.run("digits", overrides=overrides, runs=tmp_path, device="cpu", watcher=heard)
    notes = [line for line in heard.lines if line.startswith("note: tune: its loss rose from ")]
    assert bool(notes) == is_told and all("a lower learning_rate would do less harm" in note for note in notes)
    compress.run(
        "digits", overrides=overrides, runs=tmp_path, device="cpu", watcher=again
    )  # what is taken as finished has no losses
    assert not [line for line in again.lines if line.startswith("note:")]
