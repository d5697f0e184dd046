"""The pages in a real browser, headless, from the disk: nothing is asked for or complained about, text can be selected."""

import json
import shutil
import subprocess

import pytest
import report_run
import tiny_net
from report_run import Html

from compress.artifact.compare import compare
from compress.report.make import page_of_comparison, page_of_run

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt-get install chromium)")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--enable-logging=stderr")
OFFLINE = ("--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND")
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


def test_this_test_sees_requests_and_complaints(tmp_path):
    page = (
        b"<!doctype html><title>x</title><body><img src='http://127.0.0.1:9/x.png'><script>console.error('a complaint')</script>"
    )
    _, console, addresses = opened(page, tmp_path)
    assert addresses == ["http://127.0.0.1:9/x.png"]
    assert any("a complaint" in line for line in console)
