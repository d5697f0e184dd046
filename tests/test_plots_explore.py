"""Pictures of sweeps: what is on them, told from their SVG."""

import re

from test_explore_means import of

from compress.explore.space import Reference
from compress.plots.lines import Panel, Spot, lines
from compress.plots.tradeoff import MAX_LISTED, tradeoff

REFERENCE = Reference(what="the paper: top-5, %", marks=[{"label": "SR .125", "size_bytes": 4_800_000, "accuracy": 80.3}])


def texts(svg):
    """matplotlib writes each text as a comment beside its glyphs."""
    return re.findall(r"<!-- (.*?) -->", svg.decode())


def points(n):
    return [
        of(i, seed, 0.7 + i / 1000, fields={"model.squeeze_ratio": sr}, label=f"seed {seed}, squeeze_ratio {sr}", test_set="some")
        for i, (sr, seed) in enumerate((sr, seed) for sr in range(1, n + 1) for seed in (0, 1))
    ]


def test_seeds_are_one_mark_and_the_axis_says_of_how_many():
    shown = texts(tradeoff(points(2), "widths", "svg"))
    assert "0  squeeze_ratio 1" in shown and "1  squeeze_ratio 2" in shown and not [text for text in shown if "seed 0" in text]
    assert "top-1, %, with its standard error over 2 seeds" in shown and "widths: some (n = 400)" in shown
    assert "of others, right axis" not in shown


def test_figures_of_others_are_marked_on_an_axis_that_names_them():
    shown = texts(tradeoff(points(1), "widths", "svg", REFERENCE))
    assert {"SR .125", "the paper: top-5, %", "of others, right axis"} <= set(shown)


def test_a_single_seed_and_many_points():
    found = points(MAX_LISTED + 3)[::2]
    shown = texts(tradeoff(found, "widths", "svg"))
    assert "top-1, %, with its standard error" in shown and "and 3 more" in shown
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
