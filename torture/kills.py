"""Runs that are killed, run out of disk, or meet another: what is finished after must be what an undisturbed run makes.

    python torture/kills.py --kills 100        kill -9 at random instants, each stage hit at least 8 times
    python torture/kills.py --kills 100 --signal TERM
    python torture/kills.py --disks            a full disk at every size from nothing up, a read-only folder (root; Linux)
    python torture/kills.py --together 20      two runs in one folder, started at once

A run is killed one to three times, then run to its end. Demanded each time: the artifact byte by byte, the ledger with each row
once and the values of the undisturbed run's (but for times), the very files of the undisturbed run's folder. Exit code 1 where
something is not so.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from processes import Started, start

from compress.ledger import ledger

STAGES = ["baseline", "prune", "share", "tune", "encode"]
AT_LEAST = 8  # kills of a stage, of 100
RECIPE = ["run", "digits", "--set", "train.epochs=2", "--set", "train.checkpoint_every=20"]
RECIPE += ["--set", "prune.tune.steps=60", "--set", "quantize.tune.steps=60"]
NOT_KEPT: dict[str, Any] = {"seconds": 0.0, "peak_memory_bytes": 0}  # of a row: they are another's each time
WAIT_S = 600.0


@dataclass(frozen=True)
class Undisturbed:
    """lasts: seconds, of each stage. files: of the runs' folder, by name."""

    artifact: bytes
    rows: list[ledger.Row]
    lasts: dict[str, float]
    files: set[str]
    n_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--signal", choices=["KILL", "TERM"], default="KILL")
    parser.add_argument("--disks", action="store_true")
    parser.add_argument("--together", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        whole = undisturbed(Path(folder) / "undisturbed")
        told = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in whole.lasts.items())
        print(f"undisturbed: {len(whole.artifact):,} bytes; seconds by stage: {told}", flush=True)
        failures = 0
        if arguments.kills:
            number = getattr(signal, f"SIG{arguments.signal}")
            failures += kill(whole, Path(folder), arguments.kills, number, random.Random(arguments.seed))
        if arguments.disks:
            failures += disks(whole, Path(folder))
        if arguments.together:
            failures += together(whole, Path(folder), arguments.together)
    sys.exit(1 if failures else 0)


def undisturbed(folder: Path) -> Undisturbed:
    folder.mkdir()
    begun = time.monotonic()
    run = start(folder, *RECIPE)
    ends: dict[str, float] = {}
    while run.process.is_alive():
        for stage in STAGES[:-1]:
            if stage not in ends and stage_file(folder, stage) is not None:
                ends[stage] = time.monotonic() - begun
        time.sleep(0.01)
    code, _, err = run.wait(WAIT_S)
    if code != 0:
        raise RuntimeError(f"the undisturbed run fails: {err}")
    ends["encode"] = time.monotonic() - begun
    lasts = {stage: end - before for (stage, end), before in zip(ends.items(), [0.0, *ends.values()], strict=False)}
    found = folder_of(folder)
    n_bytes = sum(path.stat().st_size for path in (folder / "runs").rglob("*") if path.is_file())
    return Undisturbed(artifact(found), rows(found), lasts, files(folder), n_bytes)


def folder_of(folder: Path) -> Path:
    [found] = (path for path in (folder / "runs").glob("digits-*") if "-train-" not in path.name)
    return found


def stage_file(folder: Path, stage: str) -> Path | None:
    return next((folder / "runs").glob(f"digits-*/stages/{stage}.json"), None)


def stage_at_work(folder: Path) -> str:
    return next((stage for stage in STAGES[:-1] if stage_file(folder, stage) is None), "encode")


def artifact(run: Path) -> bytes:
    return (run / "digits.sqz").read_bytes()


def rows(run: Path) -> list[ledger.Row]:
    return [replace(row, **NOT_KEPT) for row in ledger.read(run / "ledger.csv")]


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in (folder / "runs").rglob("*")}


def differences(whole: Undisturbed, folder: Path) -> list[str]:
    run = folder_of(folder)
    found = []
    if artifact(run) != whole.artifact:
        found.append("another artifact")
    if rows(run) != whole.rows:
        found.append("another ledger")
    if extra := files(folder) - whole.files:
        found.append(f"stray files: {sorted(extra)}")
    if missing := whole.files - files(folder):
        found.append(f"missing files: {sorted(missing)}")
    return found


# ---- Kills ----


def kill(whole: Undisturbed, work: Path, n_kills: int, number: int, chance: random.Random) -> int:
    """How many runs did not end as they should. A stage is chosen in turn, an instant in it by chance."""
    hits: Counter[str] = Counter()
    least = AT_LEAST * n_kills // 100
    n_runs = n_bad = n_done = 0
    while n_done < n_kills or min(hits[stage] for stage in STAGES) < least:
        folder = work / f"run{n_runs}"
        folder.mkdir()
        n_runs += 1
        for target in sorted(chance.sample(STAGES, chance.choice([1, 1, 2, 3])), key=STAGES.index):
            hit = kill_in(folder, target, whole.lasts[target], number, chance)
            if hit is not None:
                hits[hit] += 1
                n_done += 1
        code, _, err = start(folder, *RECIPE).wait(WAIT_S)
        found = [f"exit code {code}: {err}"] if code != 0 else differences(whole, folder)
        if found:
            n_bad += 1
            print(f"run {n_runs}: {'; '.join(found)}", flush=True)
        shutil.rmtree(folder)
    told = ", ".join(f"{stage} {hits[stage]}" for stage in STAGES)
    name = signal.Signals(number).name
    print(
        f"{name}: {n_done} kills of {n_runs} runs ({told}): {n_runs - n_bad} ended in the same bytes, rows and files", flush=True
    )
    return n_bad


def kill_in(folder: Path, target: str, lasts: float, number: int, chance: random.Random) -> str | None:
    """The stage that was at work; None where the run was over before."""
    run = start(folder, *RECIPE)
    before = STAGES.index(target) - 1
    while run.process.is_alive() and before >= 0 and stage_file(folder, STAGES[before]) is None:
        time.sleep(0.002)
    time.sleep(chance.uniform(0, lasts))
    at_work = stage_at_work(folder)
    if not run.process.is_alive():
        return None
    os.kill(run.pid, number)
    run.process.join(60)
    if run.process.exitcode in (None, 0):
        return None  # it was just ending
    if number == signal.SIGTERM:  # told by name, and nothing half-written is left
        left = list((folder / "runs").rglob("*.part"))
        has_begun = bool(run.err.read_text())
        if left or (has_begun and run.process.exitcode != 130):
            raise RuntimeError(f"after SIGTERM: exit code {run.process.exitcode}, {left}: {run.err.read_text()}")
    return at_work


# ---- Two at once ----


def together(whole: Undisturbed, work: Path, n_times: int) -> int:
    n_bad = n_refused = 0
    for i in range(n_times):
        folder = work / f"together{i}"
        folder.mkdir()
        runs = [start(folder, *RECIPE, name=str(j)) for j in range(2)]
        ended = [run.wait(WAIT_S) for run in runs]
        refused = [err for code, _, err in ended if code != 0]
        n_refused += len(refused)
        known = all("another run is at work there (process " in err or "another training is" in err for err in refused)
        found = differences(whole, folder)
        if found or not known or len(refused) > 1:
            n_bad += 1
            print(f"two at once, {i}: {found}, {refused}", flush=True)
        shutil.rmtree(folder)
    print(f"two at once: {n_times} times, {n_refused} refused, {n_times - n_bad} as they should be", flush=True)
    return n_bad


# ---- Disks ----


@contextlib.contextmanager
def disk(where: Path, options: str) -> Iterator[None]:
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(where)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(where)], check=True)


def disks(whole: Undisturbed, work: Path) -> int:
    """A disk that fills up, then is made larger; one that turns read-only, then is not."""
    if os.geteuid() != 0 or sys.platform != "linux":
        print("disks: skipped: mounting needs root, on Linux")
        return 0
    n_bad = n_full = 0
    sizes = range(0, 2 * whole.n_bytes, max(4096, whole.n_bytes // 8 // 4096 * 4096))
    for size in sizes:
        where = work / f"disk{size}"
        with disk(where, f"size={max(size, 4096)}"):
            place = ["--runs", str(where / "runs")]
            code, _, err = start(work, *RECIPE, *place).wait(WAIT_S)
            if code != 0:
                n_full += 1
            left = list(where.rglob("*.part"))
            told = code == 0 or (code == 2 and "No space left on device" in err and "Traceback" not in err)
            subprocess.run(["mount", "-o", "remount,size=64m", str(where)], check=True)
            code, _, again = start(work, *RECIPE, *place).wait(WAIT_S)
            found = [again] if code != 0 else differences(whole, where)
            if found or left or not told:
                n_bad += 1
                print(f"disk of {size:,} bytes: {found}, {left}, {err}", flush=True)
    print(f"full disk: {len(sizes)} sizes, {n_full} too small, {len(sizes) - n_bad} as they should be", flush=True)
    return n_bad + read_only(whole, work)


def read_only(whole: Undisturbed, work: Path) -> int:
    where = work / "readonly"
    with disk(where, "size=64m"):
        place = ["--runs", str(where / "runs")]
        n_bad = 0
        for stage in [None, *STAGES]:
            if stage is not None:  # runs until that stage is at work
                kill_in_place(where, work, place, stage, whole)
            subprocess.run(["mount", "-o", "remount,ro", str(where)], check=True)
            code, _, err = start(work, *RECIPE, *place).wait(WAIT_S)
            subprocess.run(["mount", "-o", "remount,rw", str(where)], check=True)
            if code != 2 or "Read-only file system" not in err or "Traceback" in err:
                n_bad += 1
                print(f"read-only, before {stage}: exit code {code}: {err}", flush=True)
        code, _, err = start(work, *RECIPE, *place).wait(WAIT_S)
        found = [err] if code != 0 else differences(whole, where)
        if found:
            n_bad += 1
            print(f"after read-only: {found}", flush=True)
    print(f"read-only folder: {len(STAGES) + 1} states, {n_bad} not as they should be", flush=True)
    return n_bad


def kill_in_place(where: Path, work: Path, place: list[str], stage: str, whole: Undisturbed) -> None:
    run: Started = start(work, *RECIPE, *place)
    before = STAGES.index(stage) - 1
    while run.process.is_alive() and before >= 0 and stage_file(where, STAGES[before]) is None:
        time.sleep(0.002)
    time.sleep(whole.lasts[stage] / 2)
    run.process.kill()
    run.process.join()


if __name__ == "__main__":
    main()
