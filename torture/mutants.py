"""Mutation tests of the coders, the reader and the layout: is it noticed when one operator, constant or check is another?

usage: python torture/mutants.py [--seconds N] [--seed N] [--only MODULE ...] [--list] [--again FILE]

A mutant is one change of one place: a comparison turned round or moved by one, + for -, * for //, << for >>, & for |, `and` for
`or`, `not` or a minus left out, min for max, an integer one more or one less, a True for a False, a `raise` left out. Messages,
annotations and decorators are left alone. Each mutant runs the tests of its module, up to the first that fails, in a process
forked from one that has numpy and pytest; the changed module is compiled from memory, so no file is touched. numba's JIT is off.
A process may take ten times the CPU time of the tests, and 4 GB; one that wants more counts as found. With --seconds a random
sample is run. --again: the survivors that a file names, which is what an earlier run printed.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import importlib.abc
import importlib.util
import io
import os
import random
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

os.environ |= {"NUMBA_DISABLE_JIT": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
ROOT = Path(__file__).resolve().parent.parent
# The fast tests first.
TESTS = {
    "compress.codecs": ["codecs"],
    "compress.codecs.bits": ["bits", "range_coder"],
    "compress.codecs.changes": ["changes"],
    "compress.codecs.changes_kernel": ["changes"],
    "compress.codecs.context": ["context"],
    "compress.codecs.context_kernel": ["context"],
    "compress.codecs.gaps": ["gaps"],
    "compress.codecs.huffman": ["huffman", "codecs"],
    "compress.codecs.jit": ["codecs"],
    "compress.codecs.range_coder": ["range_coder", "codecs", "context"],
    "compress.codecs.scatter": ["scatter"],
    "compress.codecs.stored": ["stored", "codecs"],
    "compress.codecs.symbols": ["stored", "zstd", "codecs", "huffman"],
    "compress.codecs.zstd": ["zstd", "codecs"],
    "compress.artifact.layout": ["layout", "golden", "reader"],
    "compress.artifact.reader": ["golden", "reader", "layout"],
}
MEMORY = 4 << 30
SWAPS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.FloorDiv,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}


@dataclass(frozen=True)
class Mutant:
    module: str
    node: int  # number of the changed node, in the order of ast.walk
    change: str  # what is done to it
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.module.replace('.', '/')}:{self.line}: {self.text}"


def source_of(module: str) -> Path:
    path = ROOT / (module.replace(".", "/") + ".py")
    return path if path.exists() else ROOT / module.replace(".", "/") / "__init__.py"


def left_alone(tree: ast.AST) -> set[int]:
    """Numbers of the nodes in messages, annotations, decorators and docstrings."""
    parts: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            parts += [*node.exc.args]
        elif isinstance(node, ast.JoinedStr):
            parts.append(node)
        elif isinstance(node, ast.FunctionDef):
            parts += [*node.decorator_list, *([node.returns] if node.returns else [])]
        elif isinstance(node, ast.ClassDef):
            parts += node.decorator_list
        elif isinstance(node, (ast.arg, ast.AnnAssign)) and node.annotation:
            parts.append(node.annotation)
    inside = {id(inner) for part in parts for inner in ast.walk(part)}
    return {number for number, node in enumerate(ast.walk(tree)) if id(node) in inside}


def changes(node: ast.AST) -> Iterator[str]:
    """What may be done to a node, in words that `apply` understands."""
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            yield from (f"compare {place} {new.__name__}" for new in SWAPS.get(type(operator), ()))
    elif isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)):
        yield from (f"operator {new.__name__}" for new in SWAPS.get(type(node.op), ()))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield "without"
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "constant other"
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield from ("constant +1", "constant -1")
    elif isinstance(node, ast.Name) and node.id in ("min", "max"):
        yield "name"
    elif isinstance(node, ast.Raise):
        yield "raise"


def changed(node: ast.AST, change: str) -> ast.AST:
    """What stands in a node's place."""
    kind, *words = change.split()
    if kind == "raise":
        return ast.copy_location(ast.Pass(), node)
    if kind == "without":
        return node.operand
    node = copy.deepcopy(node)
    if kind == "compare":
        node.ops[int(words[0])] = getattr(ast, words[1])()
    elif kind == "operator":
        node.op = getattr(ast, words[0])()
    elif kind == "constant":
        node.value = (not node.value) if words[0] == "other" else node.value + int(words[0])
    else:
        node.id = "max" if node.id == "min" else "min"
    return node


def apply(tree: ast.Module, number: int, change: str) -> ast.Module:
    """A copy of the tree with one node changed."""
    tree = copy.deepcopy(tree)
    node = next(node for here, node in enumerate(ast.walk(tree)) if here == number)
    new = changed(node, change)
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is node:
                setattr(parent, field, new)
            elif isinstance(value, list) and any(item is node for item in value):
                setattr(parent, field, [new if item is node else item for item in value])
    return ast.fix_missing_locations(tree)


def mutants(module: str) -> list[Mutant]:
    tree = ast.parse(source_of(module).read_text())
    skipped = left_alone(tree)
    found = []
    for number, node in enumerate(ast.walk(tree)):
        if number in skipped:
            continue
        for change in changes(node):
            text = f"`{ast.unparse(node)[:90]}` -> `{ast.unparse(changed(node, change))[:90]}`"
            found.append(Mutant(module, number, change, node.lineno, text))
    return found


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a changed tree."""

    def __init__(self, module: str, tree: ast.Module) -> None:
        self.module, self.tree = module, tree

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name != self.module:
            return None
        path = source_of(name)
        folder = [str(path.parent)] if path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(name, path, loader=self, submodule_search_locations=folder)

    def exec_module(self, module):  # type: ignore[no-untyped-def]
        exec(compile(self.tree, str(source_of(self.module)), "exec"), module.__dict__)


def run_tests(module: str, tree: ast.Module) -> int:
    """pytest's exit code, in this process."""
    import hypothesis
    import pytest

    sys.meta_path.insert(0, Changed(module, tree))
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]  # a failure need not be made small
    hypothesis.settings.register_profile("mutants", deadline=None, database=None, derandomize=True, phases=phases)
    hypothesis.settings.load_profile("mutants")
    files = [str(ROOT / "tests" / f"test_{name}.py") for name in TESTS[module]]
    arguments = ["-x", "-q", "--noconftest", "-p", "no:cacheprovider", "--assert=plain", "--tb=no", *files]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return int(pytest.main(arguments))


def outcome(module: str, tree: ast.Module, cpu_seconds: float) -> tuple[str, float]:
    """ "passed", "failed" or "killed", and the CPU time of a child that runs the tests of a module."""
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_seconds) + 1, int(cpu_seconds) + 2))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        try:
            code = run_tests(module, tree)
        except BaseException:  # of a module that cannot be imported
            code = 3
        os._exit(code)
    _, status, usage = os.wait4(pid, 0)
    spent = usage.ru_utime + usage.ru_stime
    if os.WIFSIGNALED(status):
        return "killed", spent
    return "passed" if os.WEXITSTATUS(status) == 0 else "failed", spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0, help="0: all of them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(TESTS), help="modules")
    parser.add_argument("--list", action="store_true", help="print the mutants and run none")
    parser.add_argument("--again", type=Path, help="run only the mutants that are lines of this file")
    options = parser.parse_args()
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    every = [mutant for module in options.only for mutant in mutants(module)]
    if options.again:
        lines = set(options.again.read_text().splitlines())
        every = [mutant for mutant in every if f"survived: {mutant}" in lines]
    if options.list:
        print(*every, sep="\n")
        return
    for name in ("hypothesis", "hypothesis.extra.numpy", "numba", "numpy", "pytest", "pydantic", "zstandard"):
        importlib.import_module(name)  # so that no child has to
    trees = {module: ast.parse(source_of(module).read_text()) for module in options.only}
    allowed = {}
    for module in sorted({mutant.module for mutant in every}):
        result, spent = outcome(module, trees[module], 600)
        if result != "passed":
            sys.exit(f"{module}: its tests fail without a change")
        allowed[module] = 10 * spent
        print(f"# {module}: {spent:.1f} s", flush=True)
    end = time.monotonic() + options.seconds if options.seconds else float("inf")
    order = random.Random(options.seed).sample(every, len(every))
    tally = {module: [0, 0] for module in options.only}  # run, survived
    for mutant in order:
        if time.monotonic() > end:
            break
        result, _ = outcome(mutant.module, apply(trees[mutant.module], mutant.node, mutant.change), allowed[mutant.module])
        tally[mutant.module][0] += 1
        if result == "passed":
            tally[mutant.module][1] += 1
            print(f"survived: {mutant}", flush=True)
        if (n_done := sum(n for n, _ in tally.values())) % 100 == 0:
            print(f"# {n_done:,} of {len(every):,}", flush=True)
    for module, (n_run, n_survived) in tally.items():
        n_all = sum(mutant.module == module for mutant in every)
        print(f"{module}: {n_run} of {n_all} mutants, {n_run - n_survived} found, {n_survived} survived")
    n_run, n_survived = (sum(column) for column in zip(*tally.values(), strict=True))
    print(f"all: {n_run} of {len(every)} mutants, {n_run - n_survived} found, {n_survived} survived")


if __name__ == "__main__":
    main()
