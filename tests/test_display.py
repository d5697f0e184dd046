import io
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest
import tiny_net
from rich.console import Console
from test_ledger import row

from compress.artifact.compare import ValueDifference, compare
from compress.artifact.inspect import inspect
from compress.display import comparison, console, progress, tables
from compress.export.predict import Prediction
from compress.layer import RawTensor


def shown(draw, *arguments):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        draw(*arguments)
    assert err.getvalue() == ""
    return out.getvalue()


@pytest.mark.parametrize(
    ("margin", "text"),
    [(None, ""), (0, ", 0 under the target"), (1234, ", 1,234 under the target"), (-1234, ", 1,234 OVER the target")],
)
def test_margin(margin, text):
    assert tables.margin(margin) == text


def test_ledger_has_a_line_a_row_and_says_what_it_was_measured_on():
    rows = [row(stage="baseline", tuned_on=""), row(stage="encode", top1=None, top5=None, test_set="200 crops [not accuracy]")]
    lines = shown(tables.ledger, rows).splitlines()
    assert len(lines) == 3 + 2 + 1
    assert "81,576" in lines[1] and "99.2" in lines[1] and "0.997" in lines[1]
    assert lines[2].split()[:2] == ["digits-0123abcd", "encode"] and lines[2].split().count("-") == 2  # no accuracy: no zero
    assert lines[3] == "measured on: 360 digits, held out, with labels"
    assert lines[4] == "measured on: 200 crops [not accuracy]"  # brackets are text, not rich's markup
    assert lines[5] == 'tuned on: 1437 digits, "training" part'


def test_layers_adds_up(tmp_path):
    path = tiny_net.write(tmp_path / "net.sqz", classes=["[red]a", "b", "c"])
    text = shown(tables.layers, path, inspect(path), {"classes": ["[red]a"]})
    size = f"{path.stat().st_size:,}"
    assert f"{path}: {size} bytes = " in text and "classes: ['[red]a']" in text
    total = next(line for line in text.splitlines() if line.startswith("total"))
    assert total.split()[1] == size and total.endswith("100.0%")
    parts = text.splitlines()[-1].split(" bytes = ")[1].split(" + ")
    assert sum(int(part.split()[0].replace(",", "")) for part in parts) == path.stat().st_size


@pytest.fixture
def compared(tmp_path):
    """Two files: one weight coded otherwise, one of another shape, a tensor in each that the other does not have."""
    net = tiny_net.layers()
    pruned = RawTensor(net[0].name, (net[0].values() * (net[0].indices > 2)).astype(np.float32))
    shorter = RawTensor(net[1].name, net[1].array[:3])
    other = [pruned, shorter, *net[2:-1], RawTensor("extra", np.ones(5, np.float32))]
    a = tiny_net.write(tmp_path / "[a].sqz", net)
    b = tiny_net.write(tmp_path / "b.sqz", other, input=tiny_net.CAFFE_INPUT, classes=[f"[red]{i}" for i in range(500)])
    return compare(a, b)


def shown_at(width, monkeypatch, draw, *arguments):
    monkeypatch.setattr(console, "PLAIN_WIDTH", width)
    return shown(draw, *arguments)


def test_comparison(compared, monkeypatch):
    text = shown_at(170, monkeypatch, comparison.comparison, compared)
    lines = text.splitlines()
    assert lines[0] == f"A: {compared.a.path}" and lines[1] == f"B: {compared.b.path}"
    by_name = {line.split()[0]: line for line in lines if line}
    first = next(i for i, line in enumerate(lines) if line.startswith("features.0.weight"))
    assert "codebook_f16" in lines[first] and "4x3x3x3" in lines[first]
    assert "_f32" in lines[first + 1] and "4x3x3x3" not in lines[first + 1]  # B's: only what is not as in A
    assert "shapes differ" in by_name["features.0.bias"]
    assert "only in A" in by_name["classifier.1.bias"] and "-100.0%" in by_name["classifier.1.bias"]
    assert "only in B" in by_name["extra"] and "5" in by_name["extra"]
    assert by_name["features.2.squeeze.weight"].split()[3:8] == ["0", "0%", "100.0%", "0", "0"]
    total = by_name["total"].split()
    sizes = [file.parts.size_bytes for file in (compared.a, compared.b)]
    assert total[1:4] == [f"{sizes[0]:,}", f"{sizes[1]:,}", f"{sizes[1] - sizes[0]:+,}"]
    assert "metadata differs: input.scale\n  A  1.0\n  B  255.0\n" in text
    assert '  B  ["[red]0", "[red]1"' in text and text.count("…") == 1  # a long value is cut, and is no markup
    assert lines[-2].startswith("input conventions differ (metadata.input)")
    assert lines[-1] == "decoded tensors: 7 of 11 identical; values differ: 1; shapes differ: 1; only in A: 1; only in B: 1"


@pytest.mark.parametrize("width", [60, 80, 100, 150, 300])
def test_comparison_fits_the_terminal_and_loses_no_column(compared, monkeypatch, width):
    """A narrow terminal gets the columns in several tables, each with the tensors' names."""
    lines = shown_at(width, monkeypatch, comparison.comparison, compared).splitlines()[2:]
    headings = [line.split() for line in lines if line.startswith("tensor ")]
    assert " ".join(heading for table in headings for heading in table[1:]) == (
        "A bytes B bytes B - A % same rms max shape kind density clusters positions codes"
    )
    assert sum(line.startswith("features.0.weight") for line in lines) == len(headings)
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines if line.startswith(("features", "classifier", "tensor")))


@pytest.mark.parametrize(
    ("n_identical", "n_weights", "text"),
    [(3, 3, "100.0%"), (999_999, 1_000_000, "99.9%"), (1, 2, "50.0%"), (0, 7, "0.0%"), (2, 3, "66.6%")],
)
def test_only_all_is_100_percent(n_identical, n_weights, text):
    assert comparison._same(ValueDifference(n_weights, n_identical, 0.0, 0.0)) == text


@pytest.mark.parametrize(("number", "text"), [(None, "-"), (0.0, "0"), (1e-9, "1e-09"), (0.01234, "0.012"), (1.5, "1.5")])
def test_what_is_not_zero_is_not_shown_as_zero(number, text):
    assert comparison._significant(number) == text


def test_predictions(tmp_path):
    guesses = [Prediction(2, "owl [bird]", 0.75), Prediction(0, "cat", 0.0625)]
    text = shown(tables.predictions, [(tmp_path / "[1].png", guesses)])
    assert text.splitlines() == [f"{tmp_path}/[1].png", "   75.0%  owl [bird]  (2)", "    6.2%  cat  (0)"]


def watched(shown_run):
    """A run of two stages, the second one taken as finished."""
    shown_run.stage_started("prune")
    for step in range(1, 11):
        shown_run.step("prune", step, 10, 0.25)
    shown_run.stage_finished(row(stage="prune"), reused=False)
    shown_run.stage_started("share")
    shown_run.stage_finished(row(stage="share"), reused=True)


def test_progress_is_on_stderr_a_line_a_stage():
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), progress.Progress("[/deep].yaml") as shown_run:  # no markup of rich's
        watched(shown_run)
    assert out.getvalue() == ""
    assert err.getvalue().splitlines() == [
        "running [/deep].yaml",
        "prune        81,576 bytes  agreement 0.997  4.2 s",
        "share        81,576 bytes  agreement 0.997  taken as finished",
    ]


def test_progress_draws_a_bar_on_a_terminal(monkeypatch):
    err = io.StringIO()
    monkeypatch.setattr(progress, "console_for", lambda stderr: Console(file=err, force_terminal=True, width=100))
    with progress.Progress("deep") as shown_run:
        shown_run.stage_started("prune")
        shown_run.step("prune", 3, 10, 0.25)
        shown_run._bar.refresh()
        assert "3/10  loss 0.2500" in err.getvalue() and "left" in err.getvalue()
        shown_run.step("prune", 10, 10, 0.25)
        shown_run._bar.refresh()
        assert "measuring" in err.getvalue()
        shown_run.stage_finished(row(stage="prune"), reused=False)


def test_an_interrupted_run_stops_the_bar():
    shown_run = progress.Progress("deep")

    def interrupted():
        with shown_run:
            shown_run.stage_started("prune")
            raise KeyboardInterrupt

    with redirect_stderr(io.StringIO()), pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not shown_run._bar.live.is_started
