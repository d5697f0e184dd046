"""Pictures of sweeps: what is on them, told from their SVG."""

import re
from dataclasses import replace

import pytest
from matplotlib.figure import Figure
from test_explore_means import of

from compress.explore.space import Reference, label_of
from compress.plots import beside, log_axis
from compress.plots.beside import Label
from compress.plots.lines import Panel, Spot, lines
from compress.plots.tradeoff import MAX_LISTED, tradeoff

REFERENCE = Reference(what="the paper: top-5, %", marks=[{"label": "SR .125", "size_bytes": 4_800_000, "accuracy": 80.3}])


def texts(svg):
    """matplotlib writes each text as a comment beside its glyphs."""
    return re.findall(r"<!-- (.*?) -->", svg.decode())


def points(n):
    """Squeeze ratios .101, .102, ..., each of two seeds."""
    both = enumerate((round(0.1 + i / 1000, 3), seed) for i in range(1, n + 1) for seed in (0, 1))
    return [
        of(i, seed, 0.7 + i / 1000, fields={"model.squeeze_ratio": sr}, label=f"seed {seed}, squeeze_ratio {sr}", test_set="some")
        for i, (sr, seed) in both
    ]


def test_seeds_are_one_mark_and_the_axis_says_of_how_many():
    shown = texts(tradeoff(points(2), "widths", "svg"))
    assert shown.count("0.101") == shown.count("0.102") == 2 and "beside each mark: model.squeeze_ratio" in shown
    assert not [text for text in shown if "seed 0" in text]
    assert "top-1, %, with its standard error over 2 seeds" in shown and "widths: some (n = 400)" in shown
    assert "of others, right axis" not in shown


def test_figures_of_others_are_marked_on_an_axis_that_names_them():
    shown = texts(tradeoff(points(1), "widths", "svg", REFERENCE))
    assert {"SR .125", "the paper: top-5, %", "of others, right axis"} <= set(shown)


def test_a_single_seed_and_many_points():
    found = [replace(point, label=f"point {i}") for i, point in enumerate(points(MAX_LISTED + 3)[::2])]
    shown = texts(tradeoff(found, "widths", "svg"))
    assert "top-1, %, with its standard error" in shown and "and 3 more" in shown
    assert "0  point 0" in shown and "23  point 23" in shown and "24  point 24" not in shown
    assert tradeoff(found, "widths", "png").startswith(b"\x89PNG")


def test_the_same_numbers_are_the_same_bytes():
    assert tradeoff(points(2), "a", "svg", REFERENCE) == tradeoff(points(2), "a", "svg", REFERENCE)


def test_lines_are_named_once_and_their_spots_labelled():
    panels = [
        Panel("left", {"one": [Spot(1, 2, 0.1, "here")], "two": [Spot(1, 3), Spot(2, 1)]}),
        Panel("right", {"one": [Spot(2, 2)]}),
    ]
    shown = texts(lines(panels, x="bits", y="top-1", file_format="svg", logarithmic=True))
    assert {"left", "right", "here", "bits", "top-1"} <= set(shown) and shown.count("one") == shown.count("two") == 1
    assert lines(panels, x="bits", y="top-1", file_format="png").startswith(b"\x89PNG")


def test_points_that_differ_in_two_fields_are_numbered():
    found = []
    for point, version in zip(points(2), ("1.0", "1.0", "1.1", "1.1"), strict=True):
        fields = point.fields | {"model.version": version}
        found.append(replace(point, fields=fields, label=label_of(fields)))
    shown = texts(tradeoff(found, "widths", "svg"))
    assert {"0", "1", "0  squeeze_ratio 0.101, version 1.0"} <= set(shown) and "0.101" not in shown


def test_labels_of_near_marks_cover_neither_each_other_nor_the_marks():
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], "")
    places = [(0.5, 0.5), (0.51, 0.5), (0.52, 0.5), (0.5, 0.52), (1.04, 1.04)]  # the last one in a corner of the axes
    labels = [Label(axes, f"label {i}", place, "black") for i, place in enumerate(places)]
    beside.write(figure, [*labels, Label(axes, "", (0.53, 0.53), "black")])
    boxes = [text.get_window_extent() for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == [label.text for label in labels]
    assert not [(i, k) for i in range(5) for k in range(i) if boxes[i].overlaps(boxes[k])]
    marks = axes.transData.transform(places)
    assert not [(i, k) for i in range(5) for k in range(5) if boxes[i].contains(*marks[k])]
    inside = axes.get_window_extent()
    assert all(inside.contains(*corner) for box in boxes for corner in box.corners())


def test_a_single_value_on_a_logarithmic_axis():
    """Of which matplotlib makes an axis of no width, by rounding."""
    picture = lines(
        [Panel("a", {"b": [Spot(100 * 1001 / 228_179_240, -1, 1)]})], x="x", y="y", file_format="png", logarithmic=True
    )
    assert picture.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("low", "high", "numbers"),
    [(1, 90, ["1", "2", "5", "10", "20", "50"]), (1, 5e4, ["1", "3", "10", "30", "100"]), (1, 5e6, ["1", "10", "100", "1000"])],
)
def test_the_wider_a_logarithmic_axis_the_fewer_numbers_a_decade(low, high, numbers):
    figure = Figure()
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    log_axis.number(axes, "{:.0f}".format)
    figure.draw_without_rendering()
    shown = [tick.get_text() for tick in axes.get_xticklabels() if low <= tick.get_position()[0] <= high]
    assert shown[: len(numbers)] == numbers
