"""Nothing that is loaded can have Python run: by the source, and by what happens while files are read (SECURITY.md)."""

import ast
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import tiny_net
import torch
from click.testing import CliRunner

import compress
from compress.cli import main
from compress.data.digits import CONVENTION as DIGITS
from compress.errors import CompressError, RecipeError
from compress.models import pretrained
from compress.models.factory import import_factory
from compress.stage_arrays import sha256

PACKAGE = Path(compress.__file__).parent
SOURCES = sorted(path for path in PACKAGE.rglob("*.py"))
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "runpy.run_path", "runpy.run_module"}
FORBIDDEN_CALLS |= {"torch.jit.load", "torch.hub.load", "torch.package.PackageImporter", "yaml.load", "yaml.load_all"}
FORBIDDEN_CALLS |= {"yaml.full_load", "yaml.full_load_all", "yaml.unsafe_load", "yaml.unsafe_load_all"}
FORBIDDEN_MODULES = {"dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle", "pickle", "_pickle"}
UNPICKLER = "models/pretrained.py"  # of numpy arrays alone
IMPORTERS = {"__init__.py", "codecs/__init__.py", "models/factory.py"}  # of names in the source, and of a recipe's factory
NEEDED = {  # arguments of calls that are safe with them alone
    "torch.load": ("weights_only", "True"),
    "numpy.load": ("allow_pickle", "False"),
    "numpy.lib.format.read_array": ("allow_pickle", "False"),
    "yaml.compose": ("Loader", "yaml.SafeLoader"),
    "yaml.parse": ("Loader", "yaml.SafeLoader"),
}


def findings(source, where):
    """What is not allowed in a source, in words. Names are followed through its imports: `from torch import load as l` too."""
    tree, found = ast.parse(source), []
    full = {}  # name in the source -> dotted name
    for node in ast.walk(tree):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
            full |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules = [node.module]
            full |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        forbidden = FORBIDDEN_MODULES - {"pickle"} if where == UNPICKLER else FORBIDDEN_MODULES
        found += [f"import {name}" for name in modules if name.split(".")[0] in forbidden]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        first, dot, rest = ast.unparse(node.func).partition(".")
        name = full.get(first, first) + dot + rest
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        importer = name in ("importlib.import_module", "import_module") and where not in IMPORTERS
        if name in FORBIDDEN_CALLS or name.startswith("pickle.load") or importer or given.get("shell") not in (None, "False"):
            found.append(f"{name}()")
        if name in NEEDED:
            argument, value = NEEDED[name]
            if given.get(argument) != value:
                found.append(f"{name}() without {argument}={value}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_source_runs_nothing_that_it_reads(path):
    assert findings(path.read_text(), path.relative_to(PACKAGE).as_posix()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import marshal",
        "import joblib as j",
        "eval(text)",
        "__import__(name)",
        "import os; os.system(command)",
        "import subprocess; subprocess.run(command, shell=True)",
        "import torch; torch.load(path)",
        "import torch; torch.load(path, weights_only=False)",
        "from torch import load as l; l(path)",
        "import torch; torch.jit.load(path)",
        "import numpy as np; np.load(path)",
        "import numpy as np; np.load(path, allow_pickle=True)",
        "import numpy as np; np.lib.format.read_array(file)",
        "import yaml; yaml.load(text, Loader=yaml.Loader)",
        "import yaml; yaml.compose(text)",
        "from yaml import unsafe_load; unsafe_load(text)",
        "import importlib; importlib.import_module(name)",
        "from importlib import import_module; import_module(name)",
    ],
)
def test_what_must_not_be_there_is_found(source):
    assert findings(source, "x.py")


def test_the_unpickler_may_be_in_one_file_only():
    assert findings("import pickle; pickle.loads(data)", UNPICKLER) == ["pickle.loads()"]
    assert findings("import pickle; pickle.Unpickler(file)", UNPICKLER) == []
    assert findings("import pickle; pickle.Unpickler(file)", "x.py") == ["import pickle"]


# What a user does with files of others. A name that an unpickler looks up is an event of its own; numba keeps its own compiled
# kernels as pickles beside the source, as Python keeps .pyc, and those alone are left out.
HOOKED = """
import pathlib, sys, traceback

folder, golden, how = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
seen, armed, again = [], False, False

def hook(event, arguments):
    if not armed or event not in ("pickle.find_class", "marshal.loads", "exec", "compile", "os.system"):
        return
    files = [frame.filename for frame in traceback.extract_stack()]
    if event == "pickle.find_class" and not any("/numba/" in file for file in files):
        seen.append((event, *map(str, arguments)))
    elif event == "os.system" or (again and event != "pickle.find_class" and files[-2].startswith(sys.argv[4])):
        seen.append((event, str(arguments)[:80]))

sys.addaudithook(hook)
import compress, torch
from compress.cli import main

def command(*arguments):
    assert not main([str(argument) for argument in arguments], standalone_mode=False), arguments

command("keygen", "-o", folder / "key")
command("publish", folder / "a.sqz", f"dir:{folder}/releases/a:1.0.0", "--sign", folder / "key")
command("delta", folder / "a.sqz", folder / "b.sqz", "-o", folder / "symbols.sqzd", "--form", "symbol")
torch.save(torch.load(folder / "a.pt", weights_only=True), folder / "again.pt")

def work():
    command("check", folder / "a.sqz")
    command("inspect", folder / "a.sqz")
    command("compare", folder / "a.sqz", folder / "b.sqz")
    command("fit", folder / "a.sqz")
    for suffix in ("npz", "safetensors", "pt"):
        command("decode", folder / "a.sqz", "-o", folder / f"decoded.{suffix}")
    command("apply", golden / "coder_huffman.sqz", golden / "delta_other_coder.sqzd", "-o", folder / "new.sqz")
    command("apply", folder / "a.sqz", folder / "symbols.sqzd", "-o", folder / "new.sqz")
    command("pull", f"dir:{folder}/releases/a", "-o", folder / "pulled.sqz", "--trust", folder / "key.pub")
    for weights in ("a.safetensors", "a.pt"):
        command("eval", folder / "a.sqz", "--data", "digits", "--teacher", folder / weights)
    command("schema")
    net = compress.load(folder / "a.sqz")
    net(torch.zeros(1, 1, 8, 8))
    if how == "names":
        import pickle
        pickle.loads(pickle.dumps(pathlib.PurePosixPath("x")))
    if how == "package":
        exec(compile("eval('1')", sys.argv[4] + "/artifact/metadata.py", "exec"))  # as if it stood there

armed = True
work()
again = True  # what is imported the first time was imported, so nothing of the package is compiled or run any more
work()
armed = False
print(seen, file=sys.stderr)
"""


def digits_net(path, seed):
    """A tiny net of digits, and its tensors as .safetensors and .pt."""
    shapes = tiny_net.SHAPES | {"features.0": (4, 1, 3, 3), "classifier.1": (10, 8, 1, 1)}
    net = tiny_net.layers(seed, shapes)
    described = tiny_net.ARCHITECTURE | {"in_channels": 1, "classes": 10}
    parent = sha256({layer.name: layer.values() for layer in net})
    facts = {"architecture": described, "classes": list("0123456789"), "input": DIGITS.to_metadata(), "parent_sha256": parent}
    tiny_net.write(path, net, **facts)
    tensors = {layer.name: torch.from_numpy(layer.values()) for layer in net}
    safetensors.torch.save_file(tensors, path.with_suffix(".safetensors"))
    torch.save(tensors, path.with_suffix(".pt"))


@pytest.mark.parametrize(("how", "found"), [("as it is", None), ("names", "pickle.find_class"), ("package", "compile")])
def test_nothing_is_unpickled_or_run_while_files_are_used(tmp_path, how, found):
    digits_net(tmp_path / "a.sqz", 0)
    digits_net(tmp_path / "b.sqz", 1)
    arguments = [str(tmp_path), str(PACKAGE.parent / "tests" / "golden"), how, str(PACKAGE)]
    command = [sys.executable, "-c", HOOKED, *arguments]
    environment = {**os.environ, "SQUEEZE_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    seen = ast.literal_eval(done.stderr.splitlines()[-1])
    assert (found in {event for event, *_ in seen}) if found else seen == []


class Runs:
    """Pickled, it says: call this when you are read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".npz", ".sqz", ".safetensors"])
@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_a_file_that_runs_when_it_is_unpickled_is_refused(tmp_path, suffix, form):
    ran, file = tmp_path / "ran", tmp_path / f"evil{suffix}"
    if form == "torch":
        torch.save({"w": Runs(ran)}, file)
    else:
        file.write_bytes(pickle.dumps({"w": Runs(ran)}))
    pickle.loads(pickle.dumps(Runs(ran)))
    assert ran.exists()  # so it would
    ran.unlink()
    with pytest.raises(CompressError):
        pretrained.load(str(file), {"w": (1,)})
    with pytest.raises(CompressError):
        compress.load(file)
    assert not ran.exists()


@pytest.mark.parametrize("command", [["describe", "mine.yaml"], ["explore", "space.yaml", "--dry-run"], ["schema"]])
def test_a_recipe_that_is_looked_at_imports_no_factory(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    Path("evil.py").write_text("import pathlib\npathlib.Path('ran').touch()\n")
    recipe = (PACKAGE.parent / "pipelines" / "smallest.yaml").read_text()
    recipe = re.sub("^model:.*", 'model: {factory: "evil:net"}', recipe, flags=re.MULTILINE)
    Path("mine.yaml").write_text(re.sub("^weights:.*", "weights: w.pt", recipe, flags=re.MULTILINE))
    Path("space.yaml").write_text("name: space\nrecipe: mine.yaml\ngrid: {seed: [0, 1]}\n")
    CliRunner().invoke(main, command)
    assert not Path("ran").exists()
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    with pytest.raises(RecipeError, match="has no attribute 'net'"):
        import_factory("evil:net")
    monkeypatch.delitem(sys.modules, "evil")
    assert Path("ran").exists()  # so it would
