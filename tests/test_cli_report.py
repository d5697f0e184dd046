import sys

import pytest
import report_run
import tiny_net
from report_run import check_self_contained, without_plots  # noqa: F401
from test_cli import call, refused

from compress.ledger import ledger


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return report_run.write_run(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("without_plots")
def test_report_of_a_run(run, here):
    result = call("report", run)
    page = here / "report.html"
    assert result.stdout == f"report.html: {page.stat().st_size:,} bytes\n" and result.stderr == ""
    assert [path.name for path in here.iterdir()] == ["report.html"]
    check_self_contained(page.read_bytes())
    before = page.read_bytes()
    call("report", run, "-o", "second.html")
    assert (here / "second.html").read_bytes() == before


def test_report_with_plots(run, here, monkeypatch):
    monkeypatch.setattr("compress.report.run_page.MAX_HISTOGRAMS", 1)
    result = call("report", run, "--plots", "a/plots")
    names = {path.name for path in (here / "a" / "plots").iterdir()}
    assert {"waterfall.png", "waterfall.svg", "file-bytes.png", "kernels-after.svg"} <= names
    assert len([name for name in names if name.startswith("histogram-")]) == 2
    assert result.stdout.splitlines()[1] == f"a/plots: {len(names)} files"
    assert b"<svg" in (here / "report.html").read_bytes()


@pytest.mark.usefixtures("without_plots")
def test_report_of_a_ledger(run, here):
    call("report", run, "-o", "run.html")
    assert b"none at artifacts/ledger.csv" in (here / "run.html").read_bytes()
    (here / "artifacts").mkdir()
    for name in ("ledger.csv", "tiny.sqz"):
        (here / "artifacts" / name).write_bytes((run / name).read_bytes())
    call("report")  # artifacts/ledger.csv
    assert b"report of a ledger" in (here / "report.html").read_bytes()
    call("report", run, "-o", "run.html")
    assert b"The finished files of artifacts/ledger.csv" in (here / "run.html").read_bytes()
    call("report", run, "--ledger", run / "ledger.csv", "-o", "run.html")
    assert b"artifacts/ledger.csv" not in (here / "run.html").read_bytes()


@pytest.mark.usefixtures("without_plots")
def test_compare_as_a_page(here):
    a, b = tiny_net.write(here / "a.sqz"), tiny_net.write(here / "b.sqz", tiny_net.layers(1))
    result = call("compare", a, b, "--html", "ab.html")
    assert result.stdout == call("compare", a, b).stdout  # and the page beside it
    check_self_contained((here / "ab.html").read_bytes())


def test_report_refuses(run, here):
    assert refused("report", "none") == "error: none: no such run or ledger\n"
    assert refused("report") == "error: artifacts/ledger.csv: no such run or ledger\n"
    (here / "empty").mkdir()
    assert "empty: neither the folder of a run, which has a recipe.json, nor one with a ledger.csv" in refused("report", "empty")
    (here / "empty" / "training.json").touch()
    assert "empty: the folder of a training, which compressed nothing" in refused("report", "empty")
    (here / "x.csv").write_text("a,b\n")
    assert "x.csv: not a ledger" in refused("report", "x.csv")
    assert "report.csv: must end in .html" in refused("report", run, "-o", "report.csv")
    assert "none/report.html: the folder none does not exist" in refused("report", run, "-o", "none/report.html")
    (here / "folder.html").mkdir()
    assert "is a directory" in refused("report", run, "-o", "folder.html")
    assert "0 is not in the range 1<=x<=500" in refused("report", run, "--images", 0)
    assert "--ledger and --images are for one" in refused("report", run / "ledger.csv", "--images", 1)
    assert "none.csv: cannot be read" in refused("report", run, "--ledger", "none.csv")
    assert not (here / "report.html").exists()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("n", 0),
        ("n", -5),
        ("top1", 1.2),
        ("top1", "nan"),
        ("agreement", -0.1),
        ("agreement", "inf"),
        ("size_bytes", 0),
        ("parameters", 0),
        ("bits_per_weight", "inf"),
        ("size_bytes", "9" * 400),
    ],
)
def test_report_refuses_what_no_row_of_a_ledger_has(run, here, column, value):
    for row in (rows := ledger.read(run / "ledger.csv")):
        object.__setattr__(row, column, value)
    ledger.write(here / "bad.csv", rows)
    for arguments in (["bad.csv"], [run, "--ledger", "bad.csv"]):
        message = refused("report", *arguments)
        assert message.startswith("error: bad.csv:2: ") and column in message and message.count("\n") == 1
    assert not (here / "report.html").exists()


@pytest.mark.usefixtures("without_plots")
def test_a_page_that_is_refused_leaves_the_old_one(run, here):
    (here / "report.html").write_text("old")
    (here / "way").touch()
    assert refused("report", run, "--plots", "way/plots") == "error: way/plots: Not a directory\n"
    assert (here / "report.html").read_text() == "old" and len(list(here.iterdir())) == 2


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_report_without_its_extra(run, here, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    message = "error: a page needs matplotlib and jinja2: pip install 'squeeze-compress[report]'\n"
    assert refused("report", run) == message
    a = tiny_net.write(here / "a.sqz")
    assert refused("compare", a, a, "--html", "ab.html") == message
    assert [path.name for path in here.iterdir()] == ["a.sqz"]
