"""libFuzzer on the decoder in C, under the address and undefined behaviour sanitizers: .sqz files, nets, .sqzd updates.

    python torture/fuzz_native.py --executions 2000000
    python torture/fuzz_native.py --seconds 60 --only file
    python torture/fuzz_native.py --coverage            what the corpora reach, by llvm-cov

Half of the mutations have their checksums made right again. Needs clang with its fuzzer runtime. Exit code 1: a finding; its
input lies in build/torture/.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from whole import ROOT

sys.path.insert(0, str(ROOT / "tests"))

GOLDEN, GOLDEN_BAD = ROOT / "tests" / "golden", ROOT / "tests" / "golden_bad"
MAX_SIZE = 1 << 13  # bytes of an input
STATS = ("number_of_executed_units", "average_exec_per_sec", "peak_rss_mb")


def file_seeds() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for folder in (GOLDEN, GOLDEN_BAD) for path in folder.glob("*.sqz")}


def delta_seeds() -> dict[str, bytes]:
    """An update and its base, one after the other."""
    found = {}
    for folder, table in ((GOLDEN, "deltas.json"), (GOLDEN_BAD, "expected_deltas.json")):
        for name, facts in json.loads((folder / table).read_text()).items():
            found[name] = (folder / name).read_bytes() + (GOLDEN / facts["base"]).read_bytes()
    return found


def net_seeds() -> dict[str, bytes]:
    """Small nets of every form; the golden files are none."""
    from test_native_net import NETS, file_of, net_of

    small = {"base_e": 4, "incr_e": 2, "conv1_channels": 5, "n_fires": 3, "pool_after": (1, 2), "classes": 3}
    return {name: file_of(net_of(form | small), side=23) for name, form in NETS.items()}


def corpus_of(target: str) -> Path:
    return ROOT / "build" / "torture" / f"native-{target}"


def coverage(target: str) -> None:
    """Lines and branches of each file of the library, over the corpus as it is."""
    native, llvm = ROOT / "native", ["llvm-profdata-14", "llvm-cov-14"]
    llvm = [name if shutil.which(name) else name.removesuffix("-14") for name in llvm]
    with tempfile.TemporaryDirectory() as folder:
        program, profile = Path(folder) / "fuzz", Path(folder) / "profile"
        sources = [native / "tests" / f"fuzz_{target}.c", native / "tests" / "whole.c", *sorted(native.glob("sqz*.c"))]
        options = ["-std=c99", "-O1", "-fsanitize=fuzzer", "-fprofile-instr-generate", "-fcoverage-mapping"]
        subprocess.run(["clang", *options, *map(str, sources), "-o", str(program), "-lm"], check=True)
        command = [str(program), str(corpus_of(target)), "-runs=0", f"-max_len={MAX_SIZE}"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env={**os.environ, "LLVM_PROFILE_FILE": str(profile)})
        subprocess.run([llvm[0], "merge", str(profile), "-o", f"{profile}.data"], check=True)
        ignored = "tests|sqz_image"
        report = [llvm[1], "report", str(program), f"-instr-profile={profile}.data", f"-ignore-filename-regex={ignored}"]
        print(subprocess.run([*report, "-show-functions=0"], check=True, capture_output=True, text=True).stdout)


def fuzz(target: str, seeds: dict[str, bytes], args: argparse.Namespace) -> int:
    corpus = corpus_of(target)
    corpus.mkdir(parents=True, exist_ok=True)
    for name, data in seeds.items():
        (corpus / name).write_bytes(data)
    command = [str(ROOT / "native" / "build" / f"fuzz-{target}"), str(corpus), f"-runs={args.executions}", f"-seed={args.seed}"]
    command += [
        f"-max_len={MAX_SIZE}",
        f"-max_total_time={args.seconds}",
        "-timeout=5",
        "-detect_leaks=0",
        "-print_final_stats=1",
    ]
    command += [f"-artifact_prefix={corpus}-finding-"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    stats = dict(re.findall(r"^stat::(\w+): +(\d+)", done.stderr, re.MULTILINE))
    edges = re.findall(r"cov: (\d+)", done.stderr)
    told = ", ".join(f"{name.replace('_', ' ')} {int(stats.get(name, 0)):,}" for name in STATS)
    print(f"fuzz-{target}: {told}, edges {edges[-1] if edges else '?'}, exit code {done.returncode}", flush=True)
    if done.returncode != 0:
        print(done.stderr[-4000:], file=sys.stderr)
    return done.returncode


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--executions", type=int, default=2_000_000)
    options.add_argument("--seconds", type=int, default=0, help="stop after so many; 0: only after the executions")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", choices=["file", "net", "delta"])
    options.add_argument("--coverage", action="store_true")
    args = options.parse_args()
    targets = [target for target in ("file", "net", "delta") if args.only in (None, target)]
    if args.coverage:
        for target in targets:
            coverage(target)
        return 0
    subprocess.run(["make", "--quiet", "-C", str(ROOT / "native"), "torture"], check=True)
    seeds = {"file": file_seeds, "net": net_seeds, "delta": delta_seeds}
    codes = [fuzz(target, seeds[target](), args) for target in targets]
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
