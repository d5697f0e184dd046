"""The three pages, as HTML: what they say, that it adds up, and that nothing in a name or a ledger gets out of its place."""

import re
import shutil
from dataclasses import replace

import pytest
import report_run
import tiny_net
from report_run import check_self_contained, without_plots  # noqa: F401

from compress.artifact.compare import compare
from compress.artifact.inspect import inspect
from compress.ledger import ledger
from compress.report.make import page_of_comparison, page_of_ledger, page_of_run
from compress.report.run import read_run

EVIL = "<script>alert(1)</script>\"'&amp;{{ 7 * 7 }}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return report_run.write_run(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="module")
def page(folder):
    return page_of_run(folder, None)


@pytest.fixture(scope="module")
def html(page):
    return check_self_contained(page.html)


def test_a_run_has_all_its_sections(html):
    assert [text for tag, text in html.texts if tag == "h2"] == [
        "What it gets right",
        "From stage to stage",
        "Where the bytes are",
        "Layer by layer",
        "Weights before and after",
        "First kernels",
        "Beside other runs",
        "How it was made",
    ]
    assert [text for tag, text in html.texts if tag == "h1"] == [report_run.RUN_ID]


def test_the_headline(folder, html):
    size = (folder / "tiny.sqz").stat().st_size
    n = sum(array.size for array in report_run.uncompressed().values())
    tiles = [text for tag, text in html.texts if tag == "dd"][:6]
    assert tiles == [
        f"{size:,}",
        f"{4 * n / size:.1f}×",
        f"{240_000_000 / size:,.0f}×",
        "21.75",
        "75.0%",
        "99.2%",
    ]
    text = html.text()
    assert "n = 360; 95% interval 97.6 to 99.7. Drop −0.3 ± 0.5 points" in text
    assert "n = 200; 95% interval 68.6 to 80.5. No labels: no accuracy" in text


def rows_of(page, section):
    """The table rows of a section, as lists of cells."""
    start = page.html.decode().index(f'id="{section}"')
    table = page.html.decode()[start:].partition("<table>")[2].partition("</table>")[0]
    rows = re.findall(r"<tr.*?>(.*?)</tr>", table)
    return [[re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


def number(cell):
    return int(cell.replace(",", "") or 0)


def test_the_table_of_bytes_adds_up_to_the_file(folder, page):
    heading, *modules, whole = rows_of(page, "bytes")
    size = (folder / "tiny.sqz").stat().st_size
    assert number(whole[1]) == size
    for column in (1, *range(3, len(heading))):
        assert sum(number(row[column]) for row in modules) == number(whole[column])
    for row in [*modules, whole]:
        assert sum(map(number, row[3:])) == number(row[1])
    assert len(modules) == len({row.name.rpartition(".")[0] for row in inspect(folder / "tiny.sqz") if row.kind}) + 1


def test_every_weight_tensor_has_its_row_and_its_histogram(folder, page, html):
    run = read_run(folder)
    weights = [name for name, layer in run.file.artifact.layers.items() if len(layer.shape) == 4]
    assert [row[0] for row in rows_of(page, "layers")[1:]] == weights
    assert [text for tag, text in html.texts if tag == "b"] == weights
    assert html.text().count("values, ") >= len(weights)


def test_the_stages(page):
    rows = rows_of(page, "stages")[1:]
    assert [row[0] for row in rows] == ["baseline", "quantize", "fixed", "tune", "encode"]
    assert rows[2][-1].startswith("beside the path")


def test_plots_are_text_with_an_alternative(html):
    assert "svg" in html.tags and all(html.values("aria-label"))
    assert "density" not in [text for tag, text in html.texts if tag == "text"]
    assert "bits a weight" in [text for tag, text in html.texts if tag == "text"]


def test_the_same_run_gives_the_same_bytes_wherever_it_lies(folder, page, tmp_path):
    assert page_of_run(shutil.copytree(folder, tmp_path / "elsewhere"), None).html == page.html


@pytest.mark.usefixtures("without_plots")
def test_a_run_beside_others(folder, page, tmp_path):
    rows = [
        replace(row, run_id="other-1", size_bytes=row.size_bytes * 2, artifact_sha256="00" * 32)
        for row in ledger.read(folder / "ledger.csv")[-2:]
    ]
    beside = [*rows, replace(rows[0], run_id="elsewhere-1", test_set_sha256="99" * 32)]
    ledger.write(tmp_path / "ledger.csv", beside)
    shown = page_of_run(folder, tmp_path / "ledger.csv")
    html = check_self_contained(shown.html)
    assert "other" in [text for tag, text in html.texts if tag == "th"]
    assert "elsewhere" not in html.text()  # on another set
    assert "No ledger was given" not in html.text() and "No ledger was given" in page.html.decode()


@pytest.mark.usefixtures("without_plots")
def test_without_sensitivity_the_page_says_so(tmp_path):
    page = page_of_run(report_run.write_run(tmp_path / "run", measures_sensitivity=False), None)
    assert "This recipe measures no sensitivity: only one with <code>rate</code> does." in page.html.decode()
    heading = rows_of(page, "layers")[0]
    assert "relative error" in heading and not [cell for cell in heading if "tivity" in cell]


def test_with_sensitivity_the_table_has_it(page):
    heading, *rows = rows_of(page, "layers")
    place = heading.index("sensi&shy;tivity")
    assert [row[place] for row in rows[:4]] == ["1", "1e+02", "1", "1e+02"]


def test_names_are_escaped(tmp_path, monkeypatch):
    monkeypatch.setattr("compress.report.run_page.MAX_HISTOGRAMS", 1)
    folder = report_run.write_run(tmp_path / "run", classes=[EVIL, *report_run.CLASSES[1:]])
    (folder / "recipe.json").write_text('{"<script>alert(2)</script>": "</pre></details>"}')
    evil = {"run_id": EVIL, "test_set": EVIL + ": n", "tuned_on": EVIL, "device": EVIL, "versions": EVIL, "not_compressed": EVIL}
    rows = [replace(row, **evil) for row in ledger.read(folder / "ledger.csv")]
    rows.insert(3, replace(rows[1], stage=EVIL))
    ledger.write(folder / "ledger.csv", rows)
    for page in (page_of_run(folder, folder / "ledger.csv"), page_of_ledger(folder)):
        html = check_self_contained(page.html)  # no script element, and the tags nest
        assert EVIL in html.text()


@pytest.mark.usefixtures("without_plots")
def test_a_ledger(folder, tmp_path):
    page = page_of_ledger(folder)
    html = check_self_contained(page.html)
    assert page.html == page_of_ledger(folder / "ledger.csv").html
    headings = [text for tag, text in html.texts if tag == "h2"]
    assert headings == ["All files", "Size against accuracy", "tiny"]
    assert html.values("class").count("plot") == 3 + 2  # top-1 and agreement, agreement; the file's two


@pytest.mark.usefixtures("without_plots")
def test_the_headline_of_a_ledger(folder, tmp_path):
    rows = ledger.read(folder / "ledger.csv")
    final = next(row for row in rows if row.artifact_sha256)
    smaller = replace(final, run_id="small-1", size_bytes=1000, top1=0.5, ratio_fp32=99.04, artifact_sha256="00" * 32)
    other = replace(smaller, run_id="other-1", size_bytes=1001, test_set_sha256="77" * 32)
    ledger.write(tmp_path / "ledger.csv", [*rows, smaller, other])
    shutil.copy(folder / "tiny.sqz", tmp_path)
    page = page_of_ledger(tmp_path)
    html = check_self_contained(page.html)
    assert [text for tag, text in html.texts if tag == "dd"][:7] == ["1,000", "240,000×", "99.0×", "3", "99.2%", "75.0%", "50.0%"]
    text = html.text()
    assert "bytes, the smallest file: small, top-1 50.0% on 360 digits, held out, with labels" in text
    assert "the highest of 2 files: tiny" in text and "The smallest, small, 1,000 bytes: 50.0%" in text
    assert "set 77777777" in text  # of another digest than the set with the same name
    heading, first, *_ = rows_of(page, "files")
    assert heading[:4] == ["file", "bytes", "top-1", "on the set"]
    assert first[:3] == ["small (not here)", "1,000", "50.0%"]


def test_two_files(tmp_path):
    a = tiny_net.write(tmp_path / "a.sqz")
    b = tiny_net.write(tmp_path / "b.sqz", tiny_net.layers(seed=1)[:9], classes=[EVIL, "b", "c"])
    page = page_of_comparison(compare(a, b))
    html = check_self_contained(page.html)
    assert "only in A" in html.text() and EVIL.replace('"', '\\"') in html.text()
    assert [text for tag, text in html.texts if tag == "dd"][:3] == [
        f"{a.stat().st_size:,}",
        f"{b.stat().st_size:,}",
        f"{abs(b.stat().st_size - a.stat().st_size):,}",
    ]
    words = ("more", "fewer") if b.stat().st_size > a.stat().st_size else ("fewer", "more")
    pages = page.html, page_of_comparison(compare(b, a)).html
    assert [f"bytes {word} in B than in A".encode() in each for word, each in zip(words, pages, strict=True)] == [True, True]
    assert page.html == page_of_comparison(compare(a, b)).html


@pytest.mark.usefixtures("without_plots")
def test_a_file_and_itself(tmp_path):
    a = tiny_net.write(tmp_path / "a.sqz")
    html = check_self_contained(page_of_comparison(compare(a, a)).html)
    assert "A and B are the same, byte for byte." in html.text() and "Nothing in the metadata differs." in html.text()


def test_a_net_without_convolutions(tmp_path):
    layers = tiny_net.layers(shapes={"0": (4, 3), "1": (2, 4)})
    a, b = tiny_net.write(tmp_path / "a.sqz", layers), tiny_net.write(tmp_path / "b.sqz", layers[:1])
    check_self_contained(page_of_comparison(compare(a, b)).html)
