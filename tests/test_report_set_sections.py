"""The sections of a ledger's page, a set each: what they are called, in which order, and that no file in them is anonymous."""

from dataclasses import replace
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from report_run import without_plots  # noqa: F401
from test_ledger import row

from compress.report import plot_rate
from compress.report.page import Drawer
from compress.report.set_sections import set_sections, set_titles
from compress.report.svg import SVG, inline

VAL = "imagenette160/val: 1487 images of 10 classes, with labels"


def final(run_id, size_bytes, digest="a" * 64, **other):
    return replace(row(), run_id=run_id, size_bytes=size_bytes, test_set_sha256=digest, artifact_sha256="00" * 32, **other)


def file_of(side):
    return SimpleNamespace(artifact=SimpleNamespace(metadata={"input": {"size": side}}))


@pytest.mark.parametrize(
    ("descriptions", "sides", "titles"),
    [
        ([VAL], [160], ["imagenette160/val"]),
        ([VAL, "other: 5 images"], [160, 160], ["imagenette160/val", "other"]),
        ([VAL, VAL], [160, 192], ["imagenette160/val, 160 × 160 pixels", "imagenette160/val, 192 × 192 pixels"]),
        ([VAL, VAL], [160, None], ["imagenette160/val, 160 × 160 pixels", "imagenette160/val, set bbbbbbbb"]),
        ([VAL, VAL], [160, 160], ["imagenette160/val, set aaaaaaaa", "imagenette160/val, set bbbbbbbb"]),
    ],
)
def test_titles_tell_sets_apart(descriptions, sides, titles):
    digests = ["a" * 64, "b" * 64][: len(descriptions)]
    found = set_titles(dict(zip(digests, descriptions, strict=True)), dict(zip(digests, sides, strict=True)))
    assert list(found.values()) == titles


@pytest.mark.usefixtures("without_plots")
def test_sections_of_a_ledger():
    rows = [
        final("large-1", 900, top1=0.6),
        final("small-2", 100, top1=0.6),
        final("worse-3", 50, top1=0.5),
        final("only-4", 70, "b" * 64, top1=None, agreement=0.9),
    ]
    names = {each.run_id: each.run_id for each in rows}
    first, second = set_sections(rows, names, Drawer(False), own=None, files={"large-1": file_of(160), "small-2": file_of(160)})
    assert [each.run_id for each in first.rows] == ["worse-3", "small-2", "large-1"] and first.side == 160
    assert first.best.run_id == "small-2" and len(first.plots) == 2
    assert second.best.run_id == "only-4" and second.side is None and len(second.plots) == 1
    assert first.title != second.title
    [own] = set_sections(rows, names, Drawer(False), own="only-4", files={})
    assert own.digest == "b" * 64


@pytest.mark.parametrize("n", [1, 12, 60])
def test_every_point_of_a_plot_has_the_number_of_its_row(n):
    rows = [final(f"a-run-with-a-long-name-{i}", 100_000_000 + 7 * (i // 2), top1=0.5 + 0.001 * (i % 5)) for i in range(n)]
    points = plot_rate.points(rows, "top-1", {each.run_id: each.run_id for each in rows}, rows[0].run_id)
    plot = plot_rate.rate(points, "top-1", "a set", 1)
    texts = [text.text.split()[0] for text in ElementTree.fromstring(inline(plot)).iter(f"{{{SVG}}}text")]
    assert {str(number) for number in range(1, n + 1)} <= set(texts)
    assert all(f"{point.number} {point.label} " in plot.alt for point in points)
