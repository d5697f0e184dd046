"""Nothing that is loaded can have Python run: by the source, and by what happens while files are read (SECURITY.md)."""

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import compress

PACKAGE = Path(compress.__file__).parent
SOURCES = sorted(path for path in PACKAGE.rglob("*.py"))
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
UNPICKLER = "models/pretrained.py"  # of numpy arrays alone
IMPORTERS = {"__init__.py", "codecs/__init__.py", "models/factory.py"}  # of names in the source, and of a recipe's factory
SAFE_ARGUMENT = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False), "numpy.load": ("allow_pickle", False)}
UNSAFE_YAML = {"yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.unsafe_load_all"}


def findings(source, where):
    """What is not allowed in a source, in words."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [name for name in names if name.split(".")[0] in FORBIDDEN_MODULES]
            found += [name for name in names if name.split(".")[0] in ("pickle", "_pickle") and where != UNPICKLER]
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in FORBIDDEN_CALLS or name in UNSAFE_YAML or name in ("pickle.load", "pickle.loads"):
            found.append(f"{name}()")
        if name.endswith("import_module") and where not in IMPORTERS:
            found.append(f"{name}()")
        if name in SAFE_ARGUMENT:
            argument, value = SAFE_ARGUMENT[name]
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if given.get(argument) != str(value):
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
        "eval(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "importlib.import_module(name)",
    ],
)
def test_what_must_not_be_there_is_found(source):
    assert findings(source, "x.py")


HOOKED = """
    import sys
    seen = []
    def hook(event, arguments):
        if event in ("pickle.find_class", "marshal.loads", "exec", "compile", "import") and armed:
            name = arguments[0]
            if event == "import" or "compress" in str(getattr(name, "co_filename", "compress")):
                seen.append((event, str(name)))
    armed = False
    sys.addaudithook(hook)
    import compress, pathlib, tempfile
    from compress.artifact import delta_apply, reader
    from compress.artifact.inspect import inspect
    from compress.artifact.tensors import decode
    artifact, golden, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(tempfile.mkdtemp())

    def work():
        reader.verify(artifact)
        reader.read(artifact)
        inspect(artifact)
        decode(artifact)
        delta_apply.apply(golden / "coder_huffman.sqz", golden / "delta_other_coder.sqzd", folder / "new.sqz")
        if sys.argv[3] == "sabotage":
            import pickle
            pickle.loads(pickle.dumps(pathlib.PurePosixPath("x")))

    work()  # what is imported the first time is imported
    armed = True
    work()
    armed = False
    print([event for event in seen if event[0] != "import"])
"""


@pytest.mark.parametrize(("how", "clean"), [("as it is", True), ("sabotage", False)])
def test_reading_checking_and_updating_unpickle_nothing(how, clean):
    root = PACKAGE.parent
    arguments = [str(root / "artifacts" / "imagenette.sqz"), str(root / "tests" / "golden"), how]
    command = [sys.executable, "-c", textwrap.dedent(HOOKED), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout.strip() == "[]") is clean, done.stdout
