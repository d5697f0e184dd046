"""For the tests of releases, on 127.0.0.1: Debian's docker-registry, a proxy that cuts, servers that say what a test wants."""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tiny_net
from processes import PRELOADED, START

from compress.artifact.reader import read
from compress.layer import RawTensor
from compress.release.publish import Judging, Published, publish
from compress.release.reference import parse

REGISTRY = shutil.which("docker-registry")
CONFIG = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{root}"}}}}
http: {{addr: "127.0.0.1:{port}"}}
{more}
"""
START_S = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Registry:
    """docker-registry on a port of its own; it can be killed, and started again over the same storage."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.port = free_port()
        self.root = folder / "storage"
        self._config = folder / "config.yml"
        self._config.write_text(CONFIG.format(root=self.root, port=self.port, more=more))
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        assert REGISTRY is not None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([REGISTRY, "serve", str(self._config)], stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False


@contextlib.contextmanager
def running_registry(folder: Path) -> Iterator[Registry]:
    made = Registry(folder)
    made.start()
    yield made
    made.kill()


def repository(registry: Registry, test: str) -> str:
    """Of a test's own."""
    return f"oci:{registry.host}/tests/{re.sub('[^a-z0-9]+', '-', test.lower()).strip('-')}/deep"


class Stub(http.server.BaseHTTPRequestHandler):
    """One request of a StubServer."""

    protocol_version = "HTTP/1.1"
    server: StubServer

    def answer(self) -> None:
        self.server.asked.append((f"{self.command} {self.path}", dict(self.headers)))
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, headers, body = self.server.answer(self)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = answer

    def log_message(self, *_: object) -> None:
        pass


class StubServer(http.server.ThreadingHTTPServer):
    """A registry of canned answers. answer: gives the status, the headers and the body of a request. asked: each request's
    method and path, and its headers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Stub)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answer: Callable[[Stub], tuple[int, dict[str, str], bytes]] = lambda _: (404, {}, b"")
        self.host = f"127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """A client that has heard enough closes the connection."""

    def logins(self) -> list[str | None]:
        """What each request had for an Authorization."""
        return [headers.get("Authorization") for _, headers in self.asked]


@dataclass
class DrippingServer:
    """It says `at_once`, and then `slowly`, a byte each 50 ms, to whoever has asked for something."""

    at_once: bytes
    slowly: bytes

    def __enter__(self) -> DrippingServer:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                threading.Thread(target=self._drip, args=self._server.accept()[:1], daemon=True).start()

    def _drip(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):  # who asked has left
            client.recv(1 << 14)
            client.sendall(self.at_once)
            for byte in self.slowly:
                time.sleep(0.05)
                client.sendall(bytes([byte]))


@dataclass
class Proxy:
    """A TCP proxy before a server: it hands on what clients say, and cuts a connection after so many bytes of the answer.

    cuts: bytes of the answers on the coming connections; None is all. When they are used up, all is handed on. heard: what
    clients said, connection by connection.
    """

    port_behind: int
    cuts: list[int | None] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)

    def __enter__(self) -> Proxy:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:  # closed
                return
            left = self.cuts.pop(0) if self.cuts else None
            self.heard.append(b"")
            threading.Thread(target=self._hand_on, args=(client, left, len(self.heard) - 1), daemon=True).start()

    def _hand_on(self, client: socket.socket, left: int | None, number: int) -> None:
        with client, socket.create_connection(("127.0.0.1", self.port_behind)) as server:
            while left is None or left > 0:
                for ready in select.select([client, server], [], [])[0]:
                    try:
                        data = ready.recv(1 << 14)
                    except ConnectionError:
                        return
                    if not data:
                        return
                    if ready is client:
                        self.heard[number] += data
                        server.sendall(data)
                    else:
                        client.sendall(data[:left])
                        left = None if left is None else max(0, left - len(data))


def net_file(folder: Path, seed: int = 0) -> Path:
    """Some 40,000 bytes, other ones for each seed."""
    noise = np.random.default_rng(seed).normal(size=10_000).astype(np.float32)
    return tiny_net.write(folder / f"net{seed}.sqz", [*tiny_net.layers(seed), RawTensor("noise", noise)])


def put(file: Path, target: str, **options: object) -> Published:
    return publish(file, parse(target, needs_version=True), Judging(), tool="tests 1.0", **options)  # type: ignore[arg-type]


def together(*calls: Callable[[], object]) -> list[object]:
    """Each in a thread of its own, begun at the same moment; what each returned, or the exception that it raised."""
    results: list[object] = [None] * len(calls)
    barrier = threading.Barrier(len(calls))

    def run(i: int) -> None:
        barrier.wait()
        try:
            results[i] = calls[i]()
        except Exception as error:
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class Publishers:
    """Processes that publish a file and are killed meanwhile, forked from one that has imported all and decoded the file."""

    def __init__(self, file: Path) -> None:
        START.set_forkserver_preload(PRELOADED)
        self._connection, theirs = START.Pipe()
        self._process = START.Process(target=_fork_publishers, args=(theirs, file))

    def __enter__(self) -> Publishers:
        self._process.start()
        assert self._connection.recv() == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.send(None)
        self._process.join()
        self._connection.close()

    def kill_after(self, target: str, seconds: float) -> int:
        """Let one publish for so long. Returns its exit code, 0 where it was done by then."""
        self._connection.send((target, seconds))
        return int(self._connection.recv())

    def seconds(self, target: str) -> float:
        """How long one takes that is left alone: the quickest of three, for one that this machine slowed would kill none."""
        taken = []
        for each in (target, f"{target}-b", f"{target}-c"):
            start = time.perf_counter()
            assert self.kill_after(each, START_S) == 0
            taken.append(time.perf_counter() - start)
        return min(taken)


def _fork_publishers(connection: Any, file: Path) -> None:
    import compress.release.places.oci  # noqa: F401  # once here, and not in each
    from compress.release.places import directory  # noqa: F401

    read(file)  # all that takes time the first time
    connection.send("ready")
    while (order := connection.recv()) is not None:
        target, seconds = order
        pid = os.fork()
        if pid == 0:
            put(file, target)
            os._exit(0)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            time.sleep(0.001)
        os.kill(pid, signal.SIGKILL)  # of one that is done, too
        connection.send(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def fetch(url: str, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as response:
        return bytes(response.read())
