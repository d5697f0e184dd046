"""The scripts in examples/ run as they are, from any working directory, and print what their docstrings say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import compress

EXAMPLES = Path(__file__).parent.parent / "examples"
DEEP = EXAMPLES.parent / "artifacts" / "deep.sqz"
LAYER = "classifier.1.weight"


def printed(tmp_path, *command):
    """Standard output of `python *command` in an empty working directory; temporary folders are made in tmp_path too."""
    here = tmp_path / "here"
    here.mkdir()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path), "TEMP": str(tmp_path), "TMP": str(tmp_path)}
    done = subprocess.run([sys.executable, *map(str, command)], cwd=here, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(here.iterdir()) == []
    return done.stdout.splitlines()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_has_under_40_lines_and_says_what_it_shows(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 40 and text.startswith('"""')


def test_classify(tmp_path):
    size, picture, *best = printed(tmp_path, EXAMPLES / "classify.py")
    assert size == f"deep.sqz: {DEEP.stat().st_size:,} bytes" and picture == "coffee.png"
    found = [re.fullmatch(r" +(\d+\.\d)%  (.+)", line).groups() for line in best]
    percents = [float(percent) for percent, _ in found]
    assert len(found) == 5 and found[0][1] == "espresso"
    assert percents == sorted(percents, reverse=True) and percents[0] > 50 and sum(percents) <= 100.3


def test_codebook_without_torch(tmp_path):
    path = EXAMPLES / "codebook.py"
    code = f"import runpy, sys; runpy.run_path({str(path)!r}, run_name='__main__'); assert 'torch' not in sys.modules"
    summary, bits, *lines = printed(tmp_path, "-c", code)
    layer = compress.read(DEEP).layers[LAYER]
    density, n_centroids = layer.n_nonzero / layer.n_weights, len(layer.codebook)
    assert summary == f"{LAYER}: {layer.n_weights:,} weights, density {density:.3f}, {n_centroids} centroids"
    width, entropy, in_file = (float(number) for number in re.findall(r"[\d.]+", bits))
    assert entropy <= width and 0.95 * entropy < in_file < 1.1 * entropy
    rows = [line.split() for line in lines]
    uses = {float(row[0]): int(row[1].replace(",", "")) for row in rows}
    assert list(uses) == sorted(uses) and len(uses) == n_centroids + 1
    assert uses[0.0] == layer.n_weights - layer.n_nonzero
    for index, centroid in enumerate(layer.codebook.tolist(), start=1):
        assert uses[round(centroid, 4)] == np.count_nonzero(layer.indices == index)
    most = max(rows, key=lambda row: int(row[1].replace(",", "")))
    assert most[2] == "#" * 60


def test_own_net(tmp_path):
    lines = printed(tmp_path, EXAMPLES / "own_net.py")
    found = [re.fullmatch(r"(.+): ([\d,]+) bytes, accuracy (\d\.\d{3})", line).groups() for line in lines]
    (weights, before, top1_before), (file, after, top1_after) = found
    assert [Path(weights).stat().st_size, Path(file).stat().st_size] == [int(n.replace(",", "")) for n in (before, after)]
    assert Path(file).stat().st_size < Path(weights).stat().st_size / 10
    assert float(top1_before) > 0.95 and float(top1_after) > float(top1_before) - 0.03
    assert compress.read(file).metadata["architecture"]["factory"] == "small_net:small_net"
