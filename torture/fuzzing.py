"""What the three fuzz targets share: their options, libFuzzer through atheris, a corpus that is kept, and its replay.

A finding is an exception that is not the project's own, a run of more than 5 seconds, or a process of more than 2 GiB. libFuzzer
stops at the first, says what it is, and leaves its input in the folder of the corpus.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

HANG_SECONDS, MEMORY_MB = 5, 2048
# numba cannot compile instrumented bytecode
KERNELS = ["huffman", "range_coder", "context_kernel", "changes_kernel", "scatter"]

Target = Callable[[bytes], None]
Mutator = Callable[[bytes, int, int], bytes]


def interpreted() -> bool:
    """Whether the kernels run as Python, where each of their branches is seen: NUMBA_DISABLE_JIT=1."""
    return os.environ.get("NUMBA_DISABLE_JIT") == "1"


def instrument(*packages: str):  # type: ignore[no-untyped-def]
    """A context: what is imported in it tells libFuzzer where it went. Nothing where a corpus is replayed."""
    import contextlib

    if "--replay" in sys.argv:
        return contextlib.nullcontext()
    import atheris

    if os.environ.get("NUMBA_BOUNDSCHECK") == "1":  # numba's cache does not know code with checks from code without
        os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="numba-checked-")
    exclude = [] if interpreted() else [f"compress.codecs.{name}" for name in KERNELS]
    return atheris.instrument_imports(include=list(packages), exclude=exclude)


def main(name: str, seeds: Iterable[bytes], target: Target, mutator: Mutator | None = None, words: Iterable[str] = ()) -> None:
    """name: of the corpus's folder. words: libFuzzer puts them into inputs."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--executions", type=int, default=100_000)
    options.add_argument("--seconds", type=int, default=0, help="stop after so many; 0: only after the executions")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--corpus", type=Path, default=Path("build/torture") / name, help="kept between runs")
    options.add_argument("--max-size", type=int, default=1 << 14, help="bytes of an input")
    options.add_argument("--replay", action="store_true", help="run the corpus once, without mutation (under coverage.py)")
    args = options.parse_args()
    args.corpus.mkdir(parents=True, exist_ok=True)
    if args.replay:
        _replay(args.corpus, target)
        return
    for number, seed in enumerate(seeds):
        (args.corpus / f"seed-{number:03}").write_bytes(seed)
    import atheris

    findings = args.corpus.parent / f"{name}-finding-"
    command = [sys.argv[0], str(args.corpus), f"-runs={args.executions}", f"-seed={args.seed}", f"-max_len={args.max_size}"]
    command += [f"-max_total_time={args.seconds}", f"-timeout={HANG_SECONDS}", f"-rss_limit_mb={MEMORY_MB}"]
    command += [f"-artifact_prefix={findings}", "-print_final_stats=1", "-verbosity=1"]
    if words:
        dictionary = args.corpus.parent / f"{name}.dict"
        dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in words))
        command.append(f"-dict={dictionary}")
    atheris.Setup(command, target, **({"custom_mutator": mutator} if mutator else {}))
    atheris.Fuzz()


def _escaped(word: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


def _replay(corpus: Path, target: Target) -> None:
    """Says what a slowest input takes."""
    slowest, n_inputs = (0.0, ""), 0
    for path in sorted(corpus.iterdir()):
        start = time.perf_counter()
        target(path.read_bytes())
        slowest, n_inputs = max(slowest, (time.perf_counter() - start, path.name)), n_inputs + 1
    print(f"{n_inputs:,} inputs, no finding; the slowest took {slowest[0]:.2f} s ({slowest[1]})")
