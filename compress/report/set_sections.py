"""The sets that files were measured on, each with its files, a number for each of them, and its plots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compress.ledger import ledger
from compress.report import plot_rate
from compress.report.page import Drawer, Drawn
from compress.report.published import final_rows
from compress.report.sqz_file import SqzFile
from compress.report.texts import pixels, set_name

MEASURES: tuple[plot_rate.Measure, ...] = ("top-1", "agreement")
DIGEST_CHARACTERS = 8


@dataclass(frozen=True)
class SetSection:
    """Files that were measured on one set. title: its name, and what tells it from others of that name. side: pixels of its
    pictures, None where that is not known. rows: by rising size; the first one's number is 1. plots: one a measure."""

    title: str
    description: str
    digest: str
    side: int | None
    rows: list[ledger.Row]
    plots: list[Drawn]

    @property
    def best(self) -> ledger.Row:
        """Of the highest top-1, or agreement where the set has no labels; of those that are alike the smallest."""
        return max(self.rows, key=lambda row: (row.top1 is not None, row.top1 if row.top1 is not None else row.agreement))


def set_sections(
    rows: Sequence[ledger.Row], names: dict[str, str], drawer: Drawer, *, own: str | None, files: Mapping[str, SqzFile]
) -> list[SetSection]:
    """The sets that finished files were measured on, those of most files first; of `own`, a run_id, only its own sets, in their
    order. names, files: by run_id; the files that are here."""
    finals = final_rows(rows)
    digests = list(dict.fromkeys(row.test_set_sha256 for row in finals if own is None or row.run_id == own))
    by_set = {digest: [row for row in finals if row.test_set_sha256 == digest] for digest in digests}
    if own is None:
        digests.sort(key=lambda digest: -len(by_set[digest]))
    sides = {digest: _side(by_set[digest], files) for digest in digests}
    titles = set_titles({digest: by_set[digest][0].test_set for digest in digests}, sides)
    found = []
    for number, digest in enumerate(digests, start=1):
        of_set = sorted(by_set[digest], key=lambda row: row.size_bytes)
        shown = {measure: plot_rate.points(of_set, measure, names, own) for measure in MEASURES}
        plots = [plot_rate.rate(points, measure, titles[digest], number) for measure, points in shown.items() if points]
        found.append(SetSection(titles[digest], of_set[0].test_set, digest, sides[digest], of_set, drawer.draw_all(plots)))
    return found


def set_titles(descriptions: Mapping[str, str], sides: Mapping[str, int | None]) -> dict[str, str]:
    """A set's name by its digest. Of sets with the same name, how large their pictures are; where that does not tell them
    apart, the beginning of the digest."""
    names = {digest: set_name(description) for digest, description in descriptions.items()}
    sized = {digest: f"{name}, {pixels(side)}" if (side := sides[digest]) else "" for digest, name in names.items()}
    n_called, n_sized = Counter(names.values()), Counter(sized.values())
    titles = {}
    for digest, name in names.items():
        told_apart = sized[digest] and n_sized[sized[digest]] == 1
        other = sized[digest] if told_apart else f"{name}, set {digest[:DIGEST_CHARACTERS]}"
        titles[digest] = name if n_called[name] == 1 else other
    return titles


def _side(rows: Sequence[ledger.Row], files: Mapping[str, SqzFile]) -> int | None:
    """Of the pictures, as the files that were measured on them say; None where they do not agree."""
    described = [files[row.run_id].artifact.metadata.get("input") for row in rows if row.run_id in files]
    sides = {each.get("size") for each in described if isinstance(each, dict)}
    [side] = sides if len(sides) == 1 else {None}
    return side if isinstance(side, int) else None
