import io
from contextlib import redirect_stderr, redirect_stdout

import pytest
import tiny_net
from rich.console import Console
from test_ledger import row

from compress import display
from compress.artifact.inspect import inspect
from compress.export.predict import Prediction


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
    assert display.margin(margin) == text


def test_ledger_has_a_line_a_row_and_says_what_it_was_measured_on():
    rows = [row(stage="baseline", tuned_on=""), row(stage="encode", top1=None, top5=None, test_set="200 crops [not accuracy]")]
    lines = shown(display.ledger, rows).splitlines()
    assert len(lines) == 3 + 2 + 1
    assert "81,576" in lines[1] and "99.2" in lines[1] and "0.997" in lines[1]
    assert lines[2].split()[:2] == ["digits-0123abcd", "encode"] and lines[2].split().count("-") == 2  # no accuracy: no zero
    assert lines[3] == "measured on: 360 digits, held out, with labels"
    assert lines[4] == "measured on: 200 crops [not accuracy]"  # brackets are text, not rich's markup
    assert lines[5] == 'tuned on: 1437 digits, "training" part'


def test_layers_adds_up(tmp_path):
    path = tiny_net.write(tmp_path / "net.sqz", classes=["[red]a", "b", "c"])
    text = shown(display.layers, path, inspect(path), {"classes": ["[red]a"]})
    size = f"{path.stat().st_size:,}"
    assert f"{path}: {size} bytes = " in text and "classes: ['[red]a']" in text
    total = next(line for line in text.splitlines() if line.startswith("total"))
    assert total.split()[1] == size and total.endswith("100.0%")
    parts = text.splitlines()[-1].split(" bytes = ")[1].split(" + ")
    assert sum(int(part.split()[0].replace(",", "")) for part in parts) == path.stat().st_size


def test_predictions(tmp_path):
    guesses = [Prediction(2, "owl [bird]", 0.75), Prediction(0, "cat", 0.0625)]
    text = shown(display.predictions, [(tmp_path / "[1].png", guesses)])
    assert text.splitlines() == [f"{tmp_path}/[1].png", "   75.0%  owl [bird]  (2)", "    6.2%  cat  (0)"]


def watched(progress):
    """A run of two stages, the second one taken as finished."""
    progress.stage_started("prune")
    for step in range(1, 11):
        progress.step("prune", step, 10, 0.25)
    progress.stage_finished(row(stage="prune"), reused=False)
    progress.stage_started("share")
    progress.stage_finished(row(stage="share"), reused=True)


def test_progress_is_on_stderr_a_line_a_stage():
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), display.Progress("[/deep].yaml") as progress:  # no markup of rich's
        watched(progress)
    assert out.getvalue() == ""
    assert err.getvalue().splitlines() == [
        "running [/deep].yaml",
        "prune        81,576 bytes  agreement 0.997  4.2 s",
        "share        81,576 bytes  agreement 0.997  taken as finished",
    ]


def test_progress_draws_a_bar_on_a_terminal(monkeypatch):
    err = io.StringIO()
    monkeypatch.setattr(display, "_console", lambda stderr: Console(file=err, force_terminal=True, width=100))
    with display.Progress("deep") as progress:
        progress.stage_started("prune")
        progress.step("prune", 3, 10, 0.25)
        progress._bar.refresh()
        assert "3/10  loss 0.2500" in err.getvalue() and "left" in err.getvalue()
        progress.step("prune", 10, 10, 0.25)
        progress._bar.refresh()
        assert "measuring" in err.getvalue()
        progress.stage_finished(row(stage="prune"), reused=False)


def test_an_interrupted_run_stops_the_bar():
    progress = display.Progress("deep")

    def interrupted():
        with progress:
            progress.stage_started("prune")
            raise KeyboardInterrupt

    with redirect_stderr(io.StringIO()), pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not progress._bar.live.is_started
