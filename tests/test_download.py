import hashlib
import io
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from compress.errors import WeightsError
from compress.models import download as module
from compress.models import pretrained
from compress.models.download import download

DATA = bytes(range(256)) * 5000  # more than one piece
SHA256 = hashlib.sha256(DATA).hexdigest()


class Server(ThreadingHTTPServer):
    """files: path -> (status, headers, body). asked: the paths that were asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/nets/squeezenet1_1-b8a52dc0.pth": (200, {}, DATA)}
        self.asked = []

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        status, headers, body = self.server.files.get(self.path.partition("?")[0], (404, {}, b"no such file"))
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def url(server):
    return server.url("/nets/squeezenet1_1-b8a52dc0.pth")


def refusal(*arguments):
    with pytest.raises(WeightsError) as refused:
        download(*arguments)
    return str(refused.value)


# --- fetched and kept ------------------------------------------------------------------------------------------------


def test_a_file_is_fetched_once_and_then_found(server, url, tmp_path):
    folder = tmp_path / "hub" / "checkpoints"  # made where it is missing
    path = download(url, SHA256, folder)
    assert path == folder / "squeezenet1_1-b8a52dc0.pth" and path.read_bytes() == DATA
    assert download(url, SHA256, folder) == path and len(server.asked) == 1
    assert list(folder.iterdir()) == [path]


def test_it_is_kept_where_torch_keeps_its_own(url, server, tmp_path, monkeypatch):
    """So a file that torchvision has fetched is not fetched again."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    there = tmp_path / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    there.parent.mkdir(parents=True)
    there.write_bytes(DATA)
    assert download(url, SHA256) == there and server.asked == []


def test_another_file_of_that_name_stays_as_it_is(url, server, tmp_path):
    """The folder is torch's: another program may have put it there."""
    other = tmp_path / "squeezenet1_1-b8a52dc0.pth"
    other.write_bytes(b"of another program")
    path = download(url, SHA256, tmp_path)
    assert path == tmp_path / f"squeezenet1_1-b8a52dc0-{SHA256[:8]}.pth" and path.read_bytes() == DATA
    assert download(url, SHA256, tmp_path) == path and len(server.asked) == 1
    assert other.read_bytes() == b"of another program"


def test_a_query_is_not_part_of_the_name(server, tmp_path):
    server.files["/main/model.safetensors"] = (200, {}, DATA)
    assert download(server.url("/main/model.safetensors?download=true&to=/etc/x"), SHA256, tmp_path).name == "model.safetensors"


def test_a_redirect_is_followed(server, url, tmp_path):
    server.files["/latest.pth"] = (302, {"Location": url}, b"")
    assert download(server.url("/latest.pth"), SHA256, tmp_path) == tmp_path / "latest.pth"


def test_an_empty_file_is_a_file(server, tmp_path):
    server.files["/empty.pth"] = (200, {}, b"")
    assert download(server.url("/empty.pth"), hashlib.sha256(b"").hexdigest(), tmp_path).read_bytes() == b""


def test_weights_are_loaded_from_a_url(server, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    stored = io.BytesIO()
    torch.save({"conv.weight": torch.arange(8.0).reshape(2, 1, 2, 2)}, stored)
    server.files["/mine.pth"] = (200, {}, stored.getvalue())
    digest = hashlib.sha256(stored.getvalue()).hexdigest()
    expected = {"conv.weight": (2, 1, 2, 2)}
    loaded = pretrained.load(server.url("/mine.pth"), expected, digest)
    assert loaded.sha256 == digest and loaded.tensors["conv.weight"].ravel().tolist() == list(range(8))
    with pytest.raises(WeightsError, match="weights from a URL need their sha256"):
        pretrained.load(server.url("/mine.pth"), expected)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_wrong_digest_keeps_nothing(url, tmp_path):
    message = refusal(url, "0" * 64, tmp_path / "hub")
    assert message == f"{url}: sha256 of its 1,280,000 bytes is {SHA256}, expected {'0' * 64}"
    assert not (tmp_path / "hub").exists()


def test_without_a_digest_nothing_is_asked(server, url, tmp_path):
    assert refusal(url, None, tmp_path) == f"{url}: weights from a URL need their sha256"
    assert server.asked == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("status", "says"), [(404, "404 Not Found"), (500, "500 Internal Server Error"), (403, "403 Forbidden")])
def test_what_the_server_says_is_told(server, tmp_path, status, says):
    server.files["/a.pth"] = (status, {}, DATA)
    assert refusal(server.url("/a.pth"), SHA256, tmp_path) == f"{server.url('/a.pth')}: cannot be fetched: the server says {says}"
    assert list(tmp_path.iterdir()) == []


def test_a_connection_that_is_cut_keeps_nothing(server, tmp_path):
    server.files["/a.pth"] = (200, {"Content-Length": str(len(DATA))}, DATA[:1000])
    message = refusal(server.url("/a.pth"), SHA256, tmp_path)
    assert "cannot be fetched: IncompleteRead" in message or message.endswith(
        f"cannot be fetched: cut off after 1,000 of {len(DATA):,} bytes"
    )  # by Python's version
    assert list(tmp_path.iterdir()) == []


def test_no_server_is_an_error(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert "a.pth: cannot be fetched: " in refusal(f"http://127.0.0.1:{port}/a.pth", SHA256, tmp_path)


def test_what_is_no_answer_is_an_error(tmp_path, monkeypatch):
    """A server of another protocol."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail.example ready\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        message = refusal(f"http://127.0.0.1:{listening.getsockname()[1]}/a.pth", SHA256, tmp_path)
        thread.join()
    assert "a.pth: cannot be fetched: 220 mail.example ready" in message


def test_a_server_that_says_nothing_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(module, "TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        start = time.monotonic()
        message = refusal(f"http://127.0.0.1:{listening.getsockname()[1]}/a.pth", SHA256, tmp_path)
    assert message.endswith("cannot be fetched: timed out") and time.monotonic() - start < 20


def test_too_large_a_file_is_refused(url, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 1_000_000)
    assert refusal(url, SHA256, tmp_path) == f"{url}: more than 1,000,000 bytes"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://host", "the URL names no file"),
        ("https://host/", "the URL names no file"),
        ("https://host/..", "the URL names no file"),
        ("https://host/nets/..?x=a.pth", "the URL names no file"),
        ("https://host/nets/..\\..\\a.pth", "the URL names no file"),
        ("https://host/.bashrc", "the URL names no file"),
        ("https://host/c:a.pth", "the URL names no file"),
        ("file:///etc/passwd", "weights are fetched by https or http"),
        ("ftp://host/a.pth", "weights are fetched by https or http"),
        ("a.pth", "weights are fetched by https or http"),
        ("https://[host/a.pth", "not a URL: "),
    ],
)
def test_a_url_that_names_no_file_is_refused(url, message, tmp_path):
    assert refusal(url, SHA256, tmp_path).startswith(f"{url}: {message}")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:port/a.pth", "http://127.0.0.1:1/a b/a.pth", "http://" + "x" * 70 + ".invalid/a.pth"]
)
def test_a_url_that_cannot_be_asked_for_is_refused(url, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    assert refusal(url, SHA256, tmp_path).startswith(f"{url}: cannot be fetched: ")


def test_a_folder_that_cannot_be_written_is_named(url, tmp_path):
    (tmp_path / "hub").write_text("a file")
    message = refusal(url, SHA256, tmp_path / "hub")
    assert message.startswith(f"{tmp_path}/hub") and f": {url} cannot be kept there: " in message


def test_a_disk_that_is_full_is_named(url, tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(module, "write_atomically", full)
    path = tmp_path / "squeezenet1_1-b8a52dc0.pth"
    assert refusal(url, SHA256, tmp_path) == f"{path}: {url} cannot be kept there: No space left on device"
