"""What `squeeze-compress data check` shows: the classes, what is wrong, and the `input` of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich import progress as bars
from rich.console import Console
from rich.table import Table
from rich.text import Text

from compress.display.console import console_for

if TYPE_CHECKING:
    from compress.data.check import Finding, Report
    from compress.data.facts import ClassCount, SetFacts, Size

MAX_CLASSES = 30  # that have a row each
N_EXTREMES = 3  # classes that a summary names, at both ends
N_DETAILS = 10  # lines below a problem or a note; --json has them all


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr while pictures are looked at."""
    console = console_for(stderr=True)
    columns = (bars.TextColumn("pictures"), bars.BarColumn(), bars.MofNCompleteColumn(), bars.TimeRemainingColumn())
    with bars.Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda n_done, n: bar.update(task, completed=n_done, total=n)


def data_check(found: Report) -> None:
    console = console_for()
    sets = {"train": found.train} | ({"test": found.test} if found.test else {})
    if max(len(facts.classes) for facts in sets.values()) <= MAX_CLASSES:
        console.print(_table(list(sets.values())))
    for which, facts in sets.items():
        for line in _lines(facts):
            _print(console, f"{which}: {line}" if found.test else line)
    for heading, findings in (("problem", found.problems), ("note", found.notes)):
        for finding in findings:
            _finding(console, heading, finding)
    if not found.problems:
        _print(console, "no problems")
    if found.input:
        _print(console, _yaml(found.input))


def _table(sets: Sequence[SetFacts]) -> Table:
    table = Table("class", box=None, pad_edge=False)
    for heading in ("images", "damaged", "test images", "damaged")[: 2 * len(sets)]:
        table.add_column(heading, justify="right")
    counts = [{each.name: each for each in facts.classes} for facts in sets]
    for name in dict.fromkeys(name for each in counts for name in each):
        cells = [cell for each in counts for cell in _cells(each.get(name))]
        table.add_row(_plain("(no label)" if name is None else str(name)), *cells)
    return table


def _cells(count: ClassCount | None) -> tuple[str, str]:
    return ("-", "") if count is None else (f"{count.n_images:,}", f"{count.n_damaged:,}" if count.n_damaged else "")


def _lines(facts: SetFacts) -> Iterator[str]:
    n_classes = sum(each.name is not None for each in facts.classes)
    others = f", {facts.n_others:,} other files left alone" if facts.n_others else ""
    yield f"{facts.source}: {facts.n_images:,} images, {n_classes:,} {'class' if n_classes == 1 else 'classes'}{others}"
    if len(facts.classes) > MAX_CLASSES:
        by_count = sorted(facts.classes, key=lambda each: each.n_images)
        yield f"fewest images: {_counts(by_count[:N_EXTREMES])}"
        yield f"median of a class: {by_count[(len(by_count) - 1) // 2].n_images:,} images"
        yield f"most images: {_counts(by_count[-N_EXTREMES:])}"
    if len({(size.width, size.height) for size in facts.sizes}) == 1:
        yield f"every picture: {_pixels(facts.sizes[0])}"
    else:
        for which, size in zip(("smallest", "median", "largest"), facts.sizes, strict=False):
            yield f"{which} picture: {_pixels(size)}{'' if which == 'median' else f', {size.name}'}"
    if facts.mean and facts.std:
        yield f"mean {', '.join(f'{each:.4f}' for each in facts.mean)}; std {', '.join(f'{each:.4f}' for each in facts.std)}"


def _counts(classes: Sequence[ClassCount]) -> str:
    return ", ".join(f"{each.n_images:,} ({'no label' if each.name is None else each.name})" for each in classes)


def _pixels(size: Size) -> str:
    return f"{size.width:,} x {size.height:,} pixels"


def _finding(console: Console, heading: str, finding: Finding) -> None:
    _print(console, f"{heading}: {finding.text}")
    for line in finding.details[:N_DETAILS]:
        _print(console, f"  {line}")
    if len(finding.details) > N_DETAILS:
        _print(console, f"  and {len(finding.details) - N_DETAILS:,} more (--json has them all)")


def _yaml(section: dict[str, Any]) -> str:
    """A line of a recipe."""
    fields = ", ".join(f"{name}: {value}" for name, value in section.items())  # a list of numbers is YAML as it is in Python
    return f"input: {{{fields}}}"


def _print(console: Console, line: str) -> None:
    console.print(_plain(line), soft_wrap=True)


def _plain(text: str) -> Text:
    """Text is neither markup nor ":train:", an emoji of rich; of names of files it may hold what no terminal shows."""
    return Text(text if text.isprintable() else repr(text)[1:-1])
