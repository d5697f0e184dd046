"""A file as a page: in a real browser, the classes and logits that PyTorch gives."""

import functools
import hashlib
import http.server
import json
import os
import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_cli import call, refused
from test_native_net import NETS, file_of, net_of

import compress
from compress.export import runtime
from compress.export.web import to_web

CHROMIUM = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
DEEP = Path("artifacts/deep.sqz")
MAX_TRANSFER = 700_000  # bytes, for the file of half a megabyte
WAIT_MS = 60_000

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A folder, and where it is served."""
    folder = tmp_path_factory.mktemp("www")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def page(browser):
    """A page whose every error fails the test."""
    made, errors = browser.new_page(), []
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield made
    made.close()
    assert errors == []


def opened(page, address):
    page.goto(address)
    wait(page, "ready")


def wait(page, state):
    """The page forbids eval, so what it is waited for is in the document."""
    page.wait_for_selector(f"#status[data-state={state}]", timeout=WAIT_MS)


def forget(page):
    page.evaluate("document.getElementById('status').dataset.state = ''")


def answer(page, picture):
    forget(page)
    page.set_input_files("#file", picture)
    wait(page, "answered")
    return np.array(page.evaluate("window.answered.logits")), page.locator("#answers tr").all_inner_texts()


def wanted(file, picture):
    net = compress.load(file)
    with torch.inference_mode():
        return net(net.preprocess(picture))[0].numpy(), net.class_names


@needs_browser
def test_a_known_picture_has_its_name_and_pytorchs_logits(served, page):
    from compress.data import bundled

    folder, address = served
    to_web(DEEP, folder / "deep")
    opened(page, f"{address}/deep/")
    [coffee] = bundled.paths({"coffee.png": bundled.TEST["coffee.png"]})
    logits, rows = answer(page, coffee)
    expected, names = wanted(DEEP, coffee)
    assert np.abs(logits - expected).max() < 1e-3
    assert len(rows) == 5 and rows[0].startswith("espresso") and names[int(expected.argmax())] == "espresso"
    shares = np.exp(expected - expected.max()) / np.exp(expected - expected.max()).sum()
    assert [row.split("\t")[-1].strip() for row in rows] == [f"{100 * share:.1f}%" for share in np.sort(shares)[::-1][:5]]
    assert re.fullmatch(r"600 x 400 pixels, answered in \d+ ms", page.inner_text("#status"))
    assert page.locator("#picture").is_visible()


@needs_browser
@pytest.mark.parametrize("name", ["1.0", "simple bypass", "complex bypass", "grey"])
def test_every_form_of_net(served, page, tmp_path, name):
    folder, address = served
    file = tmp_path / "net.sqz"
    file.write_bytes(file_of(net_of(NETS[name])))
    place = name.replace(" ", "-")
    to_web(file, folder / place)
    opened(page, f"{address}/{place}/")
    rng = np.random.default_rng(8)
    for i, size in enumerate(((60, 90), (200, 50), (47, 47))):
        picture = tmp_path / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(picture)
        logits, rows = answer(page, picture)
        assert np.abs(logits - wanted(file, picture)[0]).max() < 1e-4
        assert rows[0].split("\t")[0] == str(int(logits.argmax()))


@needs_browser
def test_pasted_and_dropped_pictures_and_what_is_none(served, page, tmp_path):
    folder, address = served
    file = tmp_path / "net.sqz"
    file.write_bytes(file_of(net_of({})))
    to_web(file, folder / "small")
    opened(page, f"{address}/small/")
    make = """async ([event, type, target]) => {
      const canvas = new OffscreenCanvas(60, 50);
      canvas.getContext("2d").fillRect(5, 5, 20, 20);
      const data = new DataTransfer();
      const blob = type.startsWith("image/png") ? await canvas.convertToBlob() : new Blob(["x"], { type });
      data.items.add(new File([blob], "x", { type }));
      const made = event === "drop" ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
        : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
      document.querySelector(target).dispatchEvent(made);
    }"""
    for event in ("drop", "paste"):
        forget(page)
        page.evaluate(make, [event, "image/png", "#drop"])
        wait(page, "answered")
        assert page.inner_text("#status").startswith("60 x 50 pixels")
    for kind, told in (("text/plain", "that is no picture"), ("image/jpeg", "that is no picture that this browser can decode")):
        forget(page)
        page.evaluate(make, ["drop", kind, "#drop"])
        wait(page, "error")
        assert page.inner_text("#status") == told


@needs_browser
def test_a_damaged_file_is_told(served, browser, tmp_path):
    folder, address = served
    data = bytearray(file_of(net_of({})))
    (tmp_path / "net.sqz").write_bytes(data)
    to_web(tmp_path / "net.sqz", folder / "bad")
    data[-40] ^= 1
    (folder / "bad" / "model.sqz").write_bytes(data)
    page = browser.new_page()
    page.goto(f"{address}/bad/")
    wait(page, "error")
    assert page.inner_text("#status").startswith("model.sqz: SQZ_SHA256: ")
    page.close()


def test_what_a_browser_fetches_is_small(tmp_path):
    made = to_web(DEEP, tmp_path / "page")
    assert made.sizes == {path.name: path.stat().st_size for path in (tmp_path / "page").iterdir()}
    assert made.total_bytes < MAX_TRANSFER
    text = (tmp_path / "page" / "index.html").read_text()
    assert "<title>deep</title>" in text and "466,271 bytes" in text and "$" not in text
    assert not re.search(r"https?://", text + (tmp_path / "page" / "page.js").read_text())  # offline
    assert json.loads((tmp_path / "page" / "classes.json").read_text())[967] == "espresso"


def test_the_module_is_of_these_sources():
    """`make -C native/web` after every change of native/."""
    web = runtime.folder() / "web"
    rule = (web / "Makefile").read_text().replace("\\\n", " ")
    named = {name: re.search(rf"^{name} := (.*)$", rule, re.MULTILINE)[1].split() for name in ("SOURCES", "HEADERS")}
    digest = hashlib.sha256()
    for name in (*named["SOURCES"], *named["HEADERS"]):
        digest.update(Path(os.path.normpath(web / name)).read_bytes())
    assert digest.hexdigest() == (web / "sources.sha256").read_text().strip()
    assert (web / "sqz.wasm").read_bytes().startswith(b"\0asm")


def test_command_line_and_refusals(tmp_path):
    file = tmp_path / "net.sqz"
    file.write_bytes(file_of(net_of({})))
    told = call("export", file, "--to", "web", tmp_path / "page").stdout
    assert "bytes to fetch: index.html" in told and "python -m http.server" in told
    assert json.loads(call("export", file, "--to", "web", tmp_path / "page", "--json").stdout)["sizes"]["model.sqz"] == len(
        file.read_bytes()
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").touch()
    assert "mine: holds other files" in refused("export", file, "--to", "web", tmp_path / "mine")
    assert "net.sqz: is a file; a page is a folder" in refused("export", file, "--to", "web", file)
    assert "truncated" in refused("export", _cut(file), "--to", "web", tmp_path / "new") and not (tmp_path / "new").exists()


def _cut(file):
    cut = file.with_name("cut.sqz")
    cut.write_bytes(file.read_bytes()[:-7])
    return cut
