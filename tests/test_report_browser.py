"""The pages in a real browser, headless, from the disk: nothing is asked for or complained about, text can be selected, and on a
desk, on a phone and on paper nothing is cut."""

import html
import json
import shutil
import subprocess

import pytest
import report_run
import tiny_net
from report_run import Html

from compress.artifact.compare import compare
from compress.report.make import page_of_comparison, page_of_ledger, page_of_run

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt-get install chromium)")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--enable-logging=stderr")
OFFLINE = ("--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND")
# What a page measures of itself: how wide it is, how wide its window; of each text of a plot how far it leaves the plot or the
# window, and how large it is; of each table whether its first cells stay where they are when it is scrolled.
MEASURE = """<script>
const { clientWidth: width, scrollWidth: page } = document.documentElement
const box = element => element.getBoundingClientRect()
const texts = [...document.querySelectorAll(".plot svg")].flatMap(svg => [...svg.querySelectorAll("text")].map(text => {
  const [inner, outer] = [box(text), box(svg)], right = Math.min(outer.right, width)
  const out = Math.max(outer.left - inner.left, inner.right - right, outer.top - inner.top, inner.bottom - outer.bottom)
  const scale = outer.width / svg.viewBox.baseVal.width
  return { text: text.textContent, out, pixels: scale * parseFloat(getComputedStyle(text).fontSize) }
}))
const stays = [...document.querySelectorAll(".box")].map(table => {
  table.scrollLeft = 1e6
  return [...table.querySelectorAll("tbody th")].every(cell => Math.abs(box(cell).left - box(table).left) < 1)
})
parent.postMessage(JSON.stringify({ width, page, texts, stays }), "*")
</script>"""
WINDOW = """<!doctype html><title></title><body style="margin: 0">
<script>onmessage = event => document.title = event.data</script>
<iframe src="page.html" style="width: %dpx; height: 2000px; border: 0"></iframe>"""  # a window is not as narrow as a phone
URL_REQUEST_START, OF_THE_BROWSER = "URL_REQUEST_START_JOB", "not an origin"  # in the browser's log of its network


def opened(page, folder):
    """(the document that the browser made of a page, what it wrote to its console, the addresses that it asked for)."""
    path, log = folder / "page.html", folder / "net.json"
    path.write_bytes(page)
    own = (f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}")
    command = [CHROMIUM, *FLAGS, *OFFLINE, *own, "--dump-dom", path.as_uri()]
    result = subprocess.run(command, capture_output=True, timeout=120, check=True)
    console = [line for line in result.stderr.decode().splitlines() if "CONSOLE" in line]
    return result.stdout, console, asked_for(log)


def asked_for(log):
    """Addresses on the network that a page asked for; not those that the browser asks for itself."""
    logged = json.loads(log.read_text())
    kind = logged["constants"]["logEventTypes"][URL_REQUEST_START]
    requests = [event.get("params", {}) for event in logged["events"] if event["type"] == kind]
    return [request["url"] for request in requests if request.get("initiator", OF_THE_BROWSER) != OF_THE_BROWSER]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return report_run.write_run(tmp_path_factory.mktemp("runs") / "tiny")


def test_the_pages_ask_for_nothing_and_their_text_is_text(run_folder, tmp_path):
    a, b = tiny_net.write(tmp_path / "a.sqz"), tiny_net.write(tmp_path / "b.sqz", tiny_net.layers(1))
    pages = [page_of_run(run_folder, None, n_images=2), page_of_comparison(compare(a, b))]
    for number, page in enumerate(pages):
        folder = tmp_path / str(number)
        folder.mkdir()
        document, console, addresses = opened(page.html, folder)
        assert console == [] and addresses == []
        shown, written = Html(document), Html(page.html)
        assert [text for text in shown.texts if text[0] == "text"] == [text for text in written.texts if text[0] == "text"]
        assert len([text for tag, text in shown.texts if tag == "text"]) > 20


@pytest.fixture(scope="module")
def pages(run_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    a, b = tiny_net.write(folder / "a.sqz"), tiny_net.write(folder / "b.sqz", tiny_net.layers(1))
    return [page_of_run(run_folder, None), page_of_ledger(run_folder), page_of_comparison(compare(a, b))]


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_cut_and_all_can_be_read(pages, tmp_path, width):
    for number, page in enumerate(pages):
        found = measured(page.html, tmp_path / str(number), width)
        assert found["width"] == width and found["page"] <= width  # tables scroll in themselves
        assert len(found["texts"]) > 20 and all(found["stays"])
        assert [text for text in found["texts"] if text["out"] > 1 or text["pixels"] < 9.5] == []


def measured(page, folder, width):
    """What a page measures of itself in a window so wide. It has no script: its policy gives way to one here."""
    folder.mkdir()
    policy, end = b'http-equiv="Content-Security-Policy"', b"</body>"
    assert page.count(policy) == 1 and page.count(end) == 1
    (folder / "page.html").write_bytes(page.replace(policy, b"name=was").replace(end, MEASURE.encode() + end))
    window = folder / "window.html"
    window.write_text(WINDOW % width)
    flags = (f"--user-data-dir={folder / 'profile'}", "--window-size=1400,2000", "--hide-scrollbars", "--dump-dom")
    result = subprocess.run([CHROMIUM, *FLAGS, *OFFLINE, *flags, window.as_uri()], capture_output=True, timeout=120, check=True)
    return json.loads(html.unescape(result.stdout.decode().partition("<title>")[2].partition("</title>")[0]))


def test_this_test_sees_requests_and_complaints(tmp_path):
    page = (
        b"<!doctype html><title>x</title><body><img src='http://127.0.0.1:9/x.png'><script>console.error('a complaint')</script>"
    )
    _, console, addresses = opened(page, tmp_path)
    assert addresses == ["http://127.0.0.1:9/x.png"]
    assert any("a complaint" in line for line in console)
