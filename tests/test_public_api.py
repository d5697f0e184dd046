import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest
import tiny_net

import compress
from compress.artifact import reader
from compress.artifact.tensors import decode
from compress.errors import RecipeError
from compress.export.load import load


def test_what_it_offers():
    assert compress.__all__ == ["decode", "load", "read", "run"]
    assert compress.decode is decode and compress.load is load and compress.read is reader.read and callable(compress.run)
    assert compress.__version__ == metadata.version("squeeze-compress")
    with pytest.raises(AttributeError, match="module 'compress' has no attribute 'nothing'"):
        _ = compress.nothing


def test_star_import_gives_the_four():
    names = {}
    exec("from compress import *", names)
    assert {"decode", "load", "read", "run"} <= names.keys()


def test_import_is_light():
    """`import compress` costs no numpy; decode and read cost no torch."""
    code = (
        "import sys, compress\n"
        "heavy = {'numpy', 'torch', 'numba', 'pydantic', 'yaml', 'rich', 'click'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
        "compress.read, compress.decode\n"
        "heavy = {'torch', 'sklearn', 'skimage', 'PIL', 'scipy', 'psutil'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_read_gives_codebooks_and_indices(tmp_path):
    artifact = compress.read(tiny_net.write(tmp_path / "net.sqz"))
    assert artifact.metadata == tiny_net.metadata()
    for made in tiny_net.layers():
        layer = artifact.layers[made.name]
        assert layer.kind == made.kind
        if made.kind == "shared":
            np.testing.assert_array_equal(layer.indices, made.indices)
            np.testing.assert_array_equal(layer.codebook, made.codebook)


def test_run_refuses_a_recipe_that_is_none(tmp_path):
    with pytest.raises(RecipeError, match="none"):
        compress.run("none", runs=tmp_path)
    with pytest.raises(RecipeError, match=r"--set prune.densty=1: unknown field prune.densty; did you mean density\?"):
        compress.run("digits", overrides=("prune.densty=1",), runs=tmp_path)
    assert list(tmp_path.iterdir()) == []
