"""Is a set of pictures fit to train on, and another one to test on? What is wrong with them, and the mean and std to train with.

The facts of each set are in facts.py; here they are judged, and the sets compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from compress.data.facts import UNUSUAL, Label, Seen, SetFacts, look_through
from compress.data.overlap import Pair, near_duplicates
from compress.data.pictures import MAX_SKIPPED_PERCENT

DIGITS = 4  # of mean and std in a recipe
REFUSED = "a run refuses them, unless they are left out (leave_out) or allowed (--allow-overlap)"


@dataclass(frozen=True)
class Shared:
    """Pictures of both sets whose files are the same, byte for byte."""

    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Overlap:
    """near: pairs that look alike, as overlap.py sees it, and are not the same file."""

    same: tuple[Shared, ...]
    near: tuple[Pair, ...]


@dataclass(frozen=True)
class Finding:
    """details: what the text counts, a line each."""

    text: str
    details: tuple[str, ...] = ()


class Problem(Finding):
    """Makes a run fail, or its figures untrue."""


class Note(Finding):
    """Good to know."""


@dataclass(frozen=True)
class Report:
    """input: the section of a recipe that fits the training set; None where there are no pictures, or they have no contrast."""

    train: SetFacts
    test: SetFacts | None
    overlap: Overlap | None
    input: dict[str, Any] | None
    problems: tuple[Problem, ...]
    notes: tuple[Note, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check(
    train: str,
    test: str | None = None,
    *,
    size: int,
    resize: int | None = None,
    advance: Callable[[int, int], None] = lambda n_done, n: None,
) -> Report:
    """Look at every picture of one source or two, each folder:PATH or shards:GLOB.

    size, resize: as in a recipe's `input`; resize is `size` where not given. advance: told how many pictures of a source are
    done, of how many. Raises InputError for a source that is missing or cannot be listed.
    """

    def look(source: str, which: str) -> Seen:
        return look_through(source, field=which, resize=resize or size, size=size, fingerprints=test is not None, advance=advance)

    tuned = look(train, "train")
    measured = look(test, "test") if test is not None else None
    overlap = _overlap(tuned, measured) if measured else None
    convention = _input(tuned.facts, size, resize or size)
    facts = measured.facts if measured else None
    found = [*_of_one(tuned.facts)]
    if convention is None and tuned.facts.n_images:
        found.append(Problem(f"{train}: the crops have no contrast: std {_rounded(tuned.facts.std)}"))
    if facts and overlap:
        found += [*_of_one(facts), *_of_classes(tuned.facts, facts), *_of_overlap(overlap)]
    problems = tuple(each for each in found if isinstance(each, Problem))
    notes = tuple(each for each in found if isinstance(each, Note))
    return Report(tuned.facts, facts, overlap, convention, problems, notes)


def _overlap(tuned: Seen, measured: Seen) -> Overlap:
    same = [Shared(names, measured.files[digest]) for digest, names in tuned.files.items() if digest in measured.files]
    known = {name for each in same for name in each.train}
    pairs = near_duplicates(tuned.fingerprints, measured.fingerprints) if measured.facts.n_images else []
    return Overlap(tuple(same), tuple(pair for pair in pairs if pair.tuned not in known))


def _rounded(numbers: tuple[float, ...] | None) -> list[float]:
    return [round(number, DIGITS) for number in numbers or ()]


def _input(facts: SetFacts, size: int, resize: int) -> dict[str, Any] | None:
    mean, std = _rounded(facts.mean), _rounded(facts.std)
    return {"channels": "RGB", "size": size, "resize": resize, "mean": mean, "std": std} if std and min(std) > 0 else None


# --- judging ---------------------------------------------------------------------------------------------------------


def _of_one(facts: SetFacts) -> Iterator[Finding]:
    """One set by itself."""
    unlabelled = sum(each.n_images for each in facts.classes if each.name is None)
    if unlabelled:
        yield Problem(f"{facts.source}: {unlabelled:,} of {facts.n_images:,} images have no label")
    classes = [each for each in facts.classes if each.name is not None]
    if len(classes) == 1:
        yield Problem(f"{facts.source}: one class only, {classes[0].name}")
    empty = [each for each in classes if not each.n_images]
    if empty:
        lines = [f"{each.name}{f': {each.n_damaged:,} damaged' if each.n_damaged else ''}" for each in empty]
        yield Problem(f"{facts.source}: {_n(len(empty), 'class', 'classes')} without images", tuple(lines))
    if facts.damaged:
        n_damaged, n = len(facts.damaged), facts.n_images + len(facts.damaged)
        refused = f"; a run refuses more than {MAX_SKIPPED_PERCENT}%" if 100 * n_damaged > MAX_SKIPPED_PERCENT * n else ""
        text = f"{facts.source}: {n_damaged:,} of {n:,} pictures cannot be decoded{refused}"
        yield Problem(text, tuple(f"{each.name}: {each.reason}" for each in facts.damaged))
    across = [each for each in facts.copies if len({*each.classes}) > 1]
    if across:
        text = f"{facts.source}: {_n(len(across), 'picture')} in more than one class, byte for byte"
        lines = [
            " = ".join(f"{name} ({_label(label)})" for name, label in zip(each.names, each.classes, strict=True))
            for each in across
        ]
        yield Problem(text, tuple(lines))
    within = [each for each in facts.copies if len({*each.classes}) == 1]
    if within:
        text = f"{facts.source}: {_n(len(within), 'picture')} more than once in a class, byte for byte"
        yield Note(text, tuple(" = ".join(each.names) for each in within))
    if facts.unusual:
        lines = [f"{n:,} {UNUSUAL[kind]}" for kind, n in facts.unusual.items()]
        yield Note(f"{facts.source}: unusual pictures", tuple(lines))


def _of_classes(train: SetFacts, test: SetFacts) -> Iterator[Finding]:
    of_train, of_test = ([each.name for each in facts.classes if each.name is not None] for facts in (train, test))
    if len({type(name) for name in (*of_train, *of_test)}) > 1:
        yield Note("the classes of a folder have names and those of shards numbers: they are not compared")
        return
    if unknown := [str(name) for name in of_test if name not in of_train]:
        text = f"{_n(len(unknown), 'class', 'classes')} of {test.source} that {train.source} does not have"
        yield Problem(text, tuple(unknown))
    if untested := [str(name) for name in of_train if name not in of_test]:
        text = f"{_n(len(untested), 'class', 'classes')} of {train.source} that {test.source} does not have"
        yield Note(text, tuple(untested))


def _of_overlap(overlap: Overlap) -> Iterator[Finding]:
    if overlap.same:
        text = f"{_n(len(overlap.same), 'picture')} in both sets, byte for byte; {REFUSED}"
        yield Problem(text, tuple(" = ".join((*each.train, *each.test)) for each in overlap.same))
    if overlap.near:
        text = f"{_n(len(overlap.near), 'picture')} of the training set much like one of the test set; {REFUSED}"
        yield Problem(text, tuple(map(str, overlap.near)))


def _n(n: int, one: str, several: str = "") -> str:
    return f"{n:,} {one if n == 1 else several or one + 's'}"


def _label(name: Label) -> str:
    return "no label" if name is None else str(name)
