"""Two files beside each other: what `squeeze-compress compare` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console, JustifyMethod
from rich.table import Table

from compress.artifact.compare import Comparison, MetadataDifference, TensorPair, ValueDifference
from compress.artifact.inspect import Parts
from compress.artifact.inspect import Row as LayerRow
from compress.display.console import console_for


@dataclass(frozen=True)
class _Column:
    heading: str
    cells: list[str]  # a row each; a cell may have two lines
    justify: JustifyMethod = "right"

    @property
    def width(self) -> int:
        return max(len(line) for text in (self.heading, *self.cells) for line in text.splitlines() or [""])


def comparison(found: Comparison) -> None:
    """A row a tensor, what the bytes are for, the metadata that differs, and last whether both decode to the same."""
    console = console_for()
    for side, file in (("A", found.a), ("B", found.b)):
        console.print(f"{side}: {file.path}", markup=False, soft_wrap=True)
    names = _Column("tensor", [pair.name for pair in found.tensors], "left")
    stored = _stored_columns(found.tensors)
    for table in _tables(names, [*_compared_columns(found.tensors), *stored], console.width):
        console.print()
        console.print(table)
    console.print("same: identical weights; rms: rms(A - B) / rms(A); max: largest |A - B|")
    if any("\n" in cell for column in stored for cell in column.cells):
        console.print("two lines: A's, then B's")
    console.print()
    console.print(_parts_table(found.a.parts, found.b.parts))
    console.print()
    for difference in found.metadata:
        _metadata_difference(console, difference)
    for line in _verdict(found):
        console.print(line, markup=False)


def _compared_columns(pairs: Sequence[TensorPair]) -> list[_Column]:
    values = [pair.values for pair in pairs]
    return [
        _Column("A bytes", ["-" if pair.a is None else f"{pair.a.size_bytes:,}" for pair in pairs]),
        _Column("B bytes", ["-" if pair.b is None else f"{pair.b.size_bytes:,}" for pair in pairs]),
        _Column("B - A", [_signed(pair.difference_bytes) for pair in pairs]),
        _Column("%", [_percent(pair.a.size_bytes if pair.a else 0, pair.difference_bytes) for pair in pairs]),
        _Column("same", [pair.outcome if pair.values is None else _same(pair.values) for pair in pairs]),
        _Column("rms", ["" if found is None else _significant(found.relative_rms) for found in values]),
        _Column("max", ["" if found is None else _significant(found.max_abs) for found in values]),
    ]


def _stored_columns(pairs: Sequence[TensorPair]) -> list[_Column]:
    """How the files hold a tensor; where they do not hold it alike, A's is above B's."""

    def cells(fact: Callable[[LayerRow], str]) -> list[str]:
        texts = [dict.fromkeys(fact(row) for row in (pair.a, pair.b) if row) for pair in pairs]
        return ["\n".join(text or "-" for text in both) if len(both) > 1 else "".join(both) for both in texts]

    return [
        _Column("shape", cells(lambda row: "x".join(map(str, row.shape))), "left"),
        _Column("kind", cells(lambda row: row.kind), "left"),
        _Column("density", cells(lambda row: f"{row.n_nonzero / row.n_weights:.3f}")),
        _Column("clusters", cells(lambda row: str(row.n_centroids or ""))),
        _Column("positions", cells(lambda row: row.positions)),
        _Column("codes", cells(lambda row: row.codes)),
    ]


def _tables(names: _Column, columns: Sequence[_Column], width: int) -> list[Table]:
    """As many tables as the columns need to be no wider than `width`, each with the names first."""
    groups: list[list[_Column]] = []
    for column in columns:
        if not groups or sum(1 + other.width for other in [*groups[-1], column]) + names.width > width:
            groups.append([])
        groups[-1].append(column)
    tables = []
    for group in groups:
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
        for column in [names, *group]:
            table.add_column(column.heading, justify=column.justify)
        for cells in zip(*(column.cells for column in [names, *group]), strict=True):
            table.add_row(*cells)
        tables.append(table)
    return tables


def _parts_table(a: Parts, b: Parts) -> Table:
    table = Table("part", box=None, pad_edge=False)
    for heading in ("A bytes", "B bytes", "B - A", "%"):
        table.add_column(heading, justify="right")
    of_a, of_b = a.named() | {"total": a.size_bytes}, b.named() | {"total": b.size_bytes}
    for part, a_bytes in of_a.items():
        b_bytes = of_b[part]
        table.add_row(part, f"{a_bytes:,}", f"{b_bytes:,}", _signed(b_bytes - a_bytes), _percent(a_bytes, b_bytes - a_bytes))
    return table


def _metadata_difference(console: Console, difference: MetadataDifference) -> None:
    """The key and the values as JSON, each cut to a line; "-" where a file does not have the key."""
    console.print(f"metadata differs: {difference.key}", markup=False, soft_wrap=True)
    for side, text in (("A", difference.a), ("B", difference.b)):
        line = f"  {side}  {'-' if text is None else text}"
        console.print(line, markup=False, no_wrap=True, overflow="ellipsis")


def _verdict(found: Comparison) -> list[str]:
    lines = []
    if not found.same_input_convention:
        lines.append("input conventions differ (metadata.input); the tensors are compared as stored, nothing is folded")
    outcomes = Counter(pair.outcome for pair in found.tensors)
    n_identical = outcomes.pop("identical", 0)
    if found.a.sha256 == found.b.sha256:
        lines.append("A and B are the same, byte for byte")
    if found.identical:
        lines.append(f"decoded tensors: all {n_identical} identical, bit for bit")
    else:
        others = "".join(f"; {outcome}: {n}" for outcome, n in outcomes.items())
        lines.append(f"decoded tensors: {n_identical} of {len(found.tensors)} identical{others}")
    return lines


def _same(values: ValueDifference) -> str:
    """Rounded down: 100.0% is said of a tensor whose weights are all identical, and of no other."""
    return f"{1000 * values.n_identical // values.n_weights / 10:.1f}%"


def _signed(n_bytes: int) -> str:
    return f"{n_bytes:+,}" if n_bytes else "0"


def _percent(a_bytes: int, difference_bytes: int) -> str:
    if a_bytes == 0:
        return "-"
    return f"{100 * difference_bytes / a_bytes:+.1f}%" if difference_bytes else "0%"


def _significant(number: float | None) -> str:
    """Two digits, so that what is not zero is not shown as zero."""
    if number is None:
        return "-"
    return f"{number:.2g}" if number else "0"
