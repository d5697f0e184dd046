"""Spaces of tiny recipes, and a process that stands in for `run`: it prints rows at once, or does what a point asks for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from compress.explore import cost, process, space, sweep
from compress.explore.results import Result

SPACE = """\
name: tiny
recipe: digits
set: {train.epochs: 1, prune.tune.steps: 5, quantize.tune.steps: 5}
grid: {model.squeeze_ratio: [0.125, 0.25], quantize.bits: [2, 3]}
"""

# What a point's process does is told by its recipe's seed.
FINE, FAILS, KILLED, MISSES, WAITS, BABBLES = range(6)
STAND_IN = f"""\
import json, os, signal, sys, time, yaml
fields = yaml.safe_load(open(sys.argv[1]))
seed, bits = fields.get("seed", 0), fields["quantize"]["bits"]
with open(sys.argv[2] + "/started", "a") as started:
    started.write(f"{{fields['model'].get('squeeze_ratio', 0.125)}} {{bits}} {{os.environ['OMP_NUM_THREADS']}}\\n")
if seed == {FAILS}:
    print("a line\\nerror: weights: nothing\\n  is there", file=sys.stderr)
    sys.exit(2)
if seed == {KILLED}:
    os.kill(os.getpid(), signal.SIGKILL)
if seed == {WAITS}:
    time.sleep(60)
if seed == {BABBLES}:
    print("no JSON")
    sys.exit(0)
row = {{"top1": 0.5 + bits / 100, "size_bytes": 1000 * bits, "top1_drop": 1.0, "drop_interval": 0.5, "agreement": 0.9, "n": 360}}
row["test_set"] = "digits"
rows = [{{"stage": "baseline", **row, "top1": 0.6}}, {{"stage": "encode", **row}}]
missed = "too large" if seed == {MISSES} else ""
print(json.dumps({{"artifact": "runs/x/x.sqz", "missed": missed, "rows": rows}}))
sys.exit(1 if missed else 0)
"""


def write_space(folder: Path, text: str = SPACE) -> Path:
    path = folder / "space.yaml"
    path.write_text(text)
    return path


def points_of(folder: Path, text: str = SPACE) -> list[space.Point]:
    path = write_space(folder, text)
    return space.points(space.load(path), path)


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    script = folder / "stand_in.py"
    script.write_text(STAND_IN)
    monkeypatch.setattr(process, "command", lambda recipe, _: [sys.executable, str(script), str(recipe), str(folder)])


def run(
    folder: Path, points: list[space.Point], *, processes: int = 2, fresh: bool = False
) -> tuple[list[Result], list[tuple[int, bool]]]:
    """The results, and what was told as they came: index, and whether it was there."""
    told: list[tuple[int, bool]] = []
    setting = sweep.Sweep(folder / "sweep", processes, threads=1, device="cpu", fresh=fresh)
    nets = cost.nets_of(points, folder / "space.yaml")
    found = sweep.run(points, nets, setting, lambda result, was_there: told.append((result.index, was_there)))
    return found, told


def started(folder: Path) -> list[str]:
    """The points whose process was started, in order."""
    path = folder / "started"
    return path.read_text().splitlines() if path.exists() else []


def dumped(point: space.Point) -> dict:
    return json.loads(json.dumps(point.recipe.model_dump(mode="json", exclude_defaults=True)))
