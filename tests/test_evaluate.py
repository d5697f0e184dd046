import json
import math

import numpy as np
import pytest
import safetensors.numpy
import tiny_net
import torch
import user_nets
from image_files import noise, write_folder

from compress.artifact import writer
from compress.data.digits import CONVENTION as DIGITS
from compress.errors import CorruptArtifact, InputError, MissingDependency, RecipeError
from compress.evaluate import evaluate
from compress.layer import RawTensor
from compress.measure.fidelity import paired_interval
from compress.pipeline import run
from compress.recipe import Source
from compress.recipe_file import check
from compress.stage_arrays import sha256

PRIOR = {"cat": 3, "dog": 1}  # pictures of each class
TUNE = {"steps": 3, "learning_rate": 0.01, "batch_size": 4}


def folder(path, counts, size=(24, 20), *, first=0, **options):
    """A folder:PATH source of pictures that all differ. first: the seed of the first."""
    names = [f"{name}/{i}.png" for name, n in counts.items() for i in range(n)]
    write_folder(path, {name: noise(i, size) for i, name in enumerate(names, start=first)})
    return Source(source=f"folder:{path}", **options)


def answering(logits):
    """The state dict of a tiny SqueezeNet that gives these logits for any picture."""
    state = {layer.name: np.zeros(layer.shape, np.float32) for layer in tiny_net.layers()}
    return state | {"classifier.1.bias": np.array(logits, np.float32)}


def write(path, state, parent, **changes):
    """A file that holds `state`, made from a net with the tensors `parent`. Both are written."""
    safetensors.numpy.save_file(parent, path.with_suffix(".safetensors"))
    layers = [RawTensor(name, array) for name, array in state.items()]
    return tiny_net.write(path, layers, **({"parent_sha256": sha256(parent)} | changes))


def measured(path, *sources, **options):
    return evaluate(path, sources, **({"teacher": str(path.with_suffix(".safetensors"))} | options))


@pytest.fixture
def always_dog(tmp_path):
    """A file whose net answers dog, made from one that answers cat."""
    return write(tmp_path / "dog.sqz", answering([0, 1, 0]), answering([1, 0, 0]))


# --- what is measured -----------------------------------------------------------------------------------------------------


def test_known_figures(tmp_path, always_dog):
    found = measured(always_dog, folder(tmp_path / "val", PRIOR))
    assert (found.fidelity.n, found.fidelity.top1, found.fidelity.top5) == (4, 0.25, 1)  # of three classes
    assert (found.teacher_fidelity.top1, found.teacher_fidelity.agreement, found.fidelity.agreement) == (0.75, 1, 0)
    assert found.fidelity.top1_drop == 0.5  # lost on three cats, won on one dog: 1, 1, 1, -1, whose deviation is 1
    assert found.fidelity.drop_interval == pytest.approx(paired_interval(0.75, 0.25, 4))
    assert found.fidelity.mean_kl == pytest.approx((math.e - 1) / (math.e + 2), rel=1e-5)  # p(cat) - p(dog)
    assert found.teacher_fidelity.top1_drop == found.teacher_fidelity.drop_interval == found.teacher_fidelity.mean_kl == 0


def test_what_was_measured_on_what(tmp_path, always_dog):
    found = measured(always_dog, folder(tmp_path / "pets", PRIOR))
    assert found.file == str(always_dog) and found.size_bytes == always_dog.stat().st_size and len(found.sha256) == 64
    assert found.teacher == str(tmp_path / "dog.safetensors") and found.teacher_sha256 == sha256(answering([1, 0, 0]))
    assert found.test_set == "pets: 4 images of 2 classes, with labels" and len(found.test_set_sha256) == 64
    elsewhere = measured(always_dog, folder(tmp_path / "moved" / "pets", PRIOR))
    other = measured(always_dog, folder(tmp_path / "other", {"dog": 4}))
    assert elsewhere.test_set_sha256 == found.test_set_sha256 != other.test_set_sha256
    assert (other.fidelity.top1, other.fidelity.top1_drop) == (1, -1)


def test_several_sets_are_taken_together(tmp_path, always_dog):
    cat, others = folder(tmp_path / "a", {"cat": 1}), folder(tmp_path / "b", {"dog": 2, "owl": 1}, first=1)
    found = measured(always_dog, cat, others)
    assert (found.fidelity.n, found.fidelity.top1, found.fidelity.top1_drop) == (4, 0.5, -0.25)
    assert found.test_set == "a: 1 images of 1 classes, with labels + b: 3 images of 2 classes, with labels"


def test_a_picture_of_a_heavier_source_counts_for_more(tmp_path, always_dog):
    cat = folder(tmp_path / "a", {"cat": 1}, weight=2)
    found = measured(always_dog, cat, folder(tmp_path / "b", {"dog": 2, "owl": 1}, first=1))
    assert (found.fidelity.n, found.fidelity.top1, found.fidelity.top1_drop) == (4, 2 / 5, 0.0)  # lost two, won two, of five
    assert found.test_set == "2 x a: 1 images of 1 classes, with labels + 1 x b: 3 images of 2 classes, with labels"
    plain = measured(always_dog, cat.model_copy(update={"weight": 1.0}), Source(source=f"folder:{tmp_path}/b"))
    assert plain.test_set_sha256 != found.test_set_sha256


def test_no_picture_is_counted_twice(tmp_path, always_dog):
    """It would narrow the interval."""
    sources = [folder(tmp_path / "a", {"cat": 2}), folder(tmp_path / "b", {"cat": 1, "dog": 1}, first=1)]
    with pytest.raises(InputError, match=r"--data: 1 pictures of b are in an earlier source too.*; the first: .*b/cat/0.png"):
        measured(always_dog, *sources)


def test_the_same_tensors_agree_everywhere(tmp_path):
    state = {layer.name: layer.values() for layer in tiny_net.layers()}
    found = measured(write(tmp_path / "x.sqz", state, state), folder(tmp_path / "val", PRIOR))
    assert found.fidelity.agreement == 1 and found.fidelity.mean_kl == pytest.approx(0, abs=1e-7)
    assert found.fidelity.top1 == found.teacher_fidelity.top1 and found.fidelity.drop_interval == 0


def test_a_file_with_another_input_convention_is_compared_with_its_net_as_it_was(tmp_path):
    """The file's net takes RGB, with the change folded in; its parent takes Caffe's BGR as it always did."""
    state = {layer.name: layer.values() for layer in tiny_net.layers()}
    path = write(tmp_path / "caffe.sqz", state, state, input=tiny_net.CAFFE_INPUT)
    found = measured(path, folder(tmp_path / "val", PRIOR))
    assert found.fidelity.agreement == 1 and found.fidelity.mean_kl == pytest.approx(0, abs=1e-5)


def test_photographs_that_need_no_folder_have_no_labels(always_dog):
    found = measured(always_dog, Source(source="bundled"))
    assert found.fidelity.n > 100 and found.fidelity.agreement == 0 and found.fidelity.mean_kl > 0.3
    assert (found.fidelity.top1, found.fidelity.top5, found.fidelity.top1_drop, found.fidelity.drop_interval) == (None,) * 4
    assert "not accuracy" in found.test_set


def test_digits_are_measured_by_a_net_that_takes_them(tmp_path):
    shapes = tiny_net.SHAPES | {"features.0": (4, 1, 3, 3), "classifier.1": (10, 8, 1, 1)}
    state = {layer.name: layer.values() for layer in tiny_net.layers(shapes=shapes)}
    described = {
        "architecture": tiny_net.ARCHITECTURE | {"in_channels": 1, "classes": 10},
        "classes": list("0123456789"),
        "input": DIGITS.to_metadata(),
    }
    found = measured(write(tmp_path / "digits.sqz", state, state, **described), Source(source="digits"))
    assert found.fidelity.n == 360 and found.fidelity.agreement == 1 and 0 < found.fidelity.top1 < 0.5
    grey = measured(tmp_path / "digits.sqz", Source(source="bundled"))  # photographs fit any net: grey, cropped to 8 pixels
    assert grey.fidelity.agreement == 1 and grey.test_set_sha256 != found.test_set_sha256


# --- JSON -----------------------------------------------------------------------------------------------------------------


def no_constant(name):
    raise AssertionError(f"{name} is not JSON")


def test_one_image_has_no_interval_and_json_says_null(tmp_path, always_dog):
    found = measured(always_dog, folder(tmp_path / "one", {"dog": 1}))
    assert found.fidelity.drop_interval is None
    facts = json.loads(json.dumps(found.to_json(), allow_nan=False), parse_constant=no_constant)
    assert facts["fidelity"]["drop_interval"] is None and facts["teacher_fidelity"]["drop_interval"] is None
    assert facts["fidelity"]["top1"] == 1 and facts["fidelity"]["n"] == 1 and facts["size_bytes"] == found.size_bytes


def test_infinite_logits_are_measured_and_json_says_null(tmp_path):
    """Weights at the end of float32's range: sums of them overflow."""
    state = answering([0, 0, 0])
    for name in state:
        state[name] = np.full_like(state[name], 3e38)
    found = measured(write(tmp_path / "x.sqz", state, answering([1, 0, 0])), folder(tmp_path / "val", PRIOR))
    assert not math.isfinite(found.fidelity.mean_kl)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["fidelity"]["mean_kl"] is None


# --- which net it was made from -------------------------------------------------------------------------------------------


def test_the_teacher_is_known_by_its_digest(tmp_path, always_dog):
    val = folder(tmp_path / "val", PRIOR)
    safetensors.numpy.save_file(answering([0, 0, 1]), tmp_path / "other.safetensors")
    with pytest.raises(
        InputError, match=rf"dog.sqz: was made from a net whose tensors have sha256 {sha256(answering([1, 0, 0]))}"
    ):
        measured(always_dog, val, teacher=str(tmp_path / "other.safetensors"))
    with pytest.raises(InputError, match=r"those of \S+other.safetensors have [0-9a-f]{64}; name the right weights by --teacher"):
        measured(always_dog, val, teacher=str(tmp_path / "other.safetensors"))
    with pytest.raises(InputError, match=r"dog.safetensors: sha256 is [0-9a-f]+, expected 0{64}"):
        measured(always_dog, val, teacher_sha256="0" * 64)


def test_a_teacher_that_is_not_ndf_must_be_named(tmp_path, always_dog):
    with pytest.raises(InputError, match=r"dog.sqz: its uncompressed net: .* not this net's weights.*by --teacher$"):
        measured(always_dog, folder(tmp_path / "val", PRIOR), teacher=None)
    for teacher, message in (
        ("none.pt", r"dog.sqz: its uncompressed net: none.pt: cannot be read: No such file or directory$"),
        ("$NOT_SET/x.pt", r"dog.sqz: its uncompressed net: .*the environment variable NOT_SET is not set"),
        ("https://example.org/x.pt", r"^--teacher: https://example.org/x.pt: weights from a URL need --teacher-sha256$"),
    ):
        with pytest.raises(InputError, match=message):
            measured(always_dog, Source(source="bundled"), teacher=teacher)


def test_without_ndf_too(tmp_path, always_dog, monkeypatch):
    def missing():
        raise MissingDependency("weights: ndf needs the package ndf 0.1.4")

    monkeypatch.setattr("compress.models.pretrained.ndf_path", missing)
    with pytest.raises(InputError, match=r"its uncompressed net: weights: ndf needs the package .*by --teacher$"):
        measured(always_dog, folder(tmp_path / "val", PRIOR), teacher=None)


@pytest.mark.parametrize("parent", [None, 3, ["x"]], ids=str)
def test_a_file_that_does_not_say_what_it_was_made_from(tmp_path, parent):
    path = write(tmp_path / "x.sqz", answering([0, 1, 0]), answering([1, 0, 0]), parent_sha256=parent)
    with pytest.raises(InputError, match=r"x.sqz: metadata.parent_sha256 is .*, so nothing tells which net it was made from"):
        measured(path, folder(tmp_path / "val", PRIOR))


# --- images and files that do not fit -------------------------------------------------------------------------------------


def test_images_that_the_net_does_not_take(tmp_path, always_dog):
    with pytest.raises(InputError, match=r"--data: digits are L images of 8 x 8 pixels, the net takes RGB of 16 x 16"):
        measured(always_dog, Source(source="digits"))
    with pytest.raises(InputError, match=r"--data: bundled: pictures without labels, and the others have some"):
        measured(always_dog, folder(tmp_path / "val", PRIOR), Source(source="bundled"))
    with pytest.raises(InputError, match=r"1 of 2 sub-folders are not classes of the net: emu; its classes are cat, dog, owl"):
        measured(always_dog, folder(tmp_path / "birds", {"owl": 1, "emu": 1}))
    with pytest.raises(InputError, match=r"none: no such folder"):
        measured(always_dog, Source(source=f"folder:{tmp_path}/none"))


def test_a_file_is_not_trusted(tmp_path):
    val, states = folder(tmp_path / "val", PRIOR), (answering([0, 1, 0]), answering([1, 0, 0]))
    for described in ([], "factory", {"name": "resnet"}):
        with pytest.raises(CorruptArtifact, match="this version builds squeezenet"):
            measured(write(tmp_path / "x.sqz", *states, architecture=described), val)
    wide = tiny_net.ARCHITECTURE | {"base_e": 4096, "channels": "pruned"}  # may be so, and then the weights do not fit it
    with pytest.raises(InputError, match=r"its uncompressed net: \S+ features.2.squeeze.weight has shape \(4, 4, 1, 1\)"):
        measured(write(tmp_path / "x.sqz", *states, architecture=wide), val)


# --- nets of the user's own -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A run with a user's net, and the source that it was measured on."""
    root = tmp_path_factory.mktemp("own")
    val = folder(root / "val", {"ant": 3, "bee": 2, "cat": 2, "dog": 3})
    folder(root / "train", dict.fromkeys(("ant", "bee", "cat", "dog"), 2), size=(31, 33))
    fields = {
        "name": "own",
        "model": {"factory": "user_nets:small_resnet"},
        "input": {"size": 16, "resize": 18},
        "data": {"tune": f"folder:{root}/train", "test": val.source, "crop": 16},
        "prune": {"density": 0.5, "tune": TUNE},
        "quantize": {"bits": 3, "tune": TUNE},
    }
    return run(check(fields), runs=root / "runs", device="cpu", allow_overlap=True), val


@pytest.fixture(scope="module")
def path(own):
    return own[0].artifact


def test_the_figures_are_those_of_the_ledger(own):
    result, val = own
    found, row = evaluate(result.artifact, [val], model=user_nets.small_resnet), result.rows[-1]
    assert (found.size_bytes, found.sha256, found.teacher_sha256) == (row.size_bytes, row.artifact_sha256, row.teacher_sha256)
    assert (found.test_set, found.test_set_sha256) == (row.test_set, row.test_set_sha256)
    for figure in ("n", "top1", "top5", "agreement", "top1_drop", "drop_interval"):
        assert getattr(found.fidelity, figure) == getattr(row, figure)
    assert found.fidelity.mean_kl == pytest.approx(row.mean_kl, rel=1e-5)
    assert found.teacher == "--model" and found.teacher_fidelity.top1 == result.rows[0].top1


def test_a_factory_that_makes_the_net_without_its_weights_needs_the_teacher(own, tmp_path):
    result, val = own
    state = {name: tensor.numpy() for name, tensor in user_nets.small_resnet().state_dict().items()}
    safetensors.numpy.save_file(state, tmp_path / "mine.safetensors")

    def untrained():
        torch.manual_seed(7)
        return user_nets.SmallResNet()

    with pytest.raises(InputError, match=r"own.sqz: was made from a net .* those of --model have .* by --teacher"):
        evaluate(result.artifact, [val], model=untrained)
    found = evaluate(result.artifact, [val], model=untrained, teacher=str(tmp_path / "mine.safetensors"))
    assert found.fidelity == evaluate(result.artifact, [val], model=user_nets.small_resnet).fidelity


def test_weights_are_read_before_batchnorms_are_folded(own):
    """What a run keeps of a net with folded BatchNorms is no state dict of the function's net."""
    result, val = own
    baseline = result.folder / "stages" / "baseline.safetensors"
    with pytest.raises(InputError, match=r"own.sqz: its uncompressed net: \S+: not this net's weights: missing \['bn1.weight'"):
        evaluate(result.artifact, [val], model=user_nets.small_resnet, teacher=str(baseline))


def test_batchnorm_that_is_stored(own, tmp_path):
    _, val = own
    state = {name: tensor.numpy() for name, tensor in user_nets.small_resnet().state_dict().items()}
    described = {"name": "factory", "factory": "elsewhere:net", "batchnorm": "store"}
    layers = [RawTensor(name, array) for name, array in state.items()]
    path = tmp_path / "x.sqz"
    writer.write(path, layers, tiny_net.metadata(architecture=described, classes=None, parent_sha256=sha256(state)))
    found = evaluate(path, [val], model=user_nets.small_resnet)
    assert found.fidelity.agreement == 1 and found.fidelity.n == 10


def test_a_function_that_always_returns_the_same_net(own, tmp_path):
    """Its net is neither mixed up with the file's nor changed."""
    net = user_nets.mlp()
    parent = {name: tensor.numpy().copy() for name, tensor in net.state_dict().items()}
    safetensors.numpy.save_file(parent, tmp_path / "mine.safetensors")
    turned = parent | {"8.bias": parent["8.bias"] + np.float32([100, 0, 0, 0])}
    described = {"name": "factory", "factory": "elsewhere:net", "batchnorm": "store"}
    metadata = tiny_net.metadata(architecture=described, classes=None, parent_sha256=sha256(parent))
    writer.write(tmp_path / "x.sqz", [RawTensor(name, array) for name, array in turned.items()], metadata)
    for teacher in (None, str(tmp_path / "mine.safetensors")):
        found = evaluate(tmp_path / "x.sqz", [own[1]], model=lambda: net, teacher=teacher)
        assert found.fidelity.agreement < 1 and found.fidelity.top1 == 0.3  # always ant
    assert sha256({name: tensor.numpy() for name, tensor in net.state_dict().items()}) == sha256(parent)


def test_a_file_of_a_users_net_needs_the_function(own, path):
    with pytest.raises(InputError, match=r"own.sqz: holds a net of 'user_nets:small_resnet', .* nothing imports: .* by --model"):
        evaluate(path, [own[1]])
    with pytest.raises(CorruptArtifact, match=r"own.sqz: not a file of this net: "):
        evaluate(path, [own[1]], model=user_nets.mlp)
    with pytest.raises(InputError, match=r"--teacher-sha256: is the digest of a file, and --teacher names none"):
        evaluate(path, [own[1]], model=user_nets.small_resnet, teacher_sha256="0" * 64)
    with pytest.raises(RecipeError, match=r"raised ZeroDivisionError: division by zero"):
        evaluate(path, [own[1]], model=lambda: 1 / 0)


def test_a_file_whose_channels_were_pruned_has_the_outputs_of_its_parent(own, tmp_path):
    state = {name: tensor.numpy() for name, tensor in user_nets.mlp().state_dict().items()}
    fewer = [RawTensor(name, array[:3] if name.startswith("8.") else array) for name, array in state.items()]
    described = {"name": "factory", "factory": "elsewhere:net", "batchnorm": "store", "channels": "pruned"}
    path = tmp_path / "x.sqz"
    writer.write(path, fewer, tiny_net.metadata(architecture=described, classes=None, parent_sha256=sha256(state)))
    with pytest.raises(CorruptArtifact, match=r"x.sqz: its net gives 3 outputs, the one that it was made from 4"):
        evaluate(path, [own[1]], model=user_nets.mlp)


def test_a_net_that_does_not_take_what_the_file_says(own, tmp_path):
    """The function's net has the file's tensors, and is another net all the same."""

    class Other(user_nets.SmallResNet):
        def forward(self, x):
            return super().forward(x)[0]

    described = {"name": "factory", "factory": "elsewhere:net", "batchnorm": "store"}
    layers = [RawTensor(name, tensor.numpy()) for name, tensor in Other().state_dict().items()]
    path = tmp_path / "x.sqz"
    writer.write(path, layers, tiny_net.metadata(architecture=described, classes=None, parent_sha256=""))
    with pytest.raises(RecipeError, match=r"x.sqz: the net gives \(4,\) for two images, need logits of shape \(2, classes\)"):
        evaluate(path, [own[1]], model=Other)
    writer.write(path, layers, tiny_net.metadata(architecture=described, classes=None, input=tiny_net.GREY_INPUT))
    with pytest.raises(RecipeError, match=r"x.sqz: the net does not take metadata.input: 1 x 16 x 16: "):
        evaluate(path, [own[1]], model=Other)
