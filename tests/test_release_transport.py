"""What transport.py and the login promise, against servers on 127.0.0.1 that keep no promise."""

import base64
import gzip
import json
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from release_parts import DrippingServer, StubServer

from compress.errors import InputError, PlaceUnreachable, ReleaseError
from compress.release.places import oci_client
from compress.release.places.place import open_place
from compress.release.places.transport import PIECE, Transport, _Body, origin_of
from compress.release.reference import parse
from compress.release.version import Version

ONE = Version.parse("1.0.0")
DIGEST = "ab" * 32
TAGS = (200, {}, b'{"tags": ["1.0.0"]}')


@pytest.fixture
def stub(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with StubServer() as server:
        yield server


@pytest.fixture
def other():
    """Another host: its port is another."""
    with StubServer() as server:
        yield server


def place(server, **options):
    return open_place(parse(f"oci:{server.host}/deep"), **options)


def log_in(tmp_path, host, login="user:secret"):
    (tmp_path / "docker").mkdir(exist_ok=True)
    auth = base64.b64encode(login.encode()).decode()
    (tmp_path / "docker/config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    return f"Basic {auth}"


def asks_for_login(request, answer):
    """What a registry answers that wants a login first."""
    return answer if "Authorization" in request.headers else (401, {"WWW-Authenticate": 'Basic realm="r"'}, b"")


def test_a_token_for_each_scope(stub, tmp_path):
    """As Docker's and GitHub's registries want it: a token of pulling is not one of pushing."""
    basic = log_in(tmp_path, stub.host)

    def answer(request):
        path = request.path.partition("?")[0]
        if path == "/token":
            assert request.headers["Authorization"] == basic
            scope = parse_qs(urlsplit(request.path).query)["scope"][0]
            return 200, {}, json.dumps({"token": f"token-of-{scope}"}).encode()
        scope = "pull" if request.command in ("GET", "HEAD") else "push"
        if request.headers.get("Authorization") != f"Bearer token-of-{scope}":
            challenge = f'Bearer realm="http://{stub.host}/token",service="s",scope="{scope}"'
            return 401, {"WWW-Authenticate": challenge}, b""
        return {"GET": (200, {}, b'{"tags": []}'), "HEAD": (404, {}, b"")}.get(request.command, (202, {"Location": "/up"}, b""))

    stub.answer = answer
    client = place(stub)._client
    assert client.tags() == []
    with pytest.raises(ReleaseError, match="the registry answers 202 to PUT"):
        client.put_blob(b"data")
    assert [each for each, _ in stub.asked if each.startswith("GET /token")] == [
        f"GET /token?service=s&scope={scope}" for scope in ("pull", "push")
    ]


def test_a_login_that_is_missing_or_refused(stub, tmp_path):
    stub.answer = lambda _: (401, {"WWW-Authenticate": 'Basic realm="r"'}, b"")
    with pytest.raises(ReleaseError, match=f"the registry asks for a login: docker login {stub.host}"):
        place(stub).versions()
    log_in(tmp_path, stub.host)
    with pytest.raises(ReleaseError, match=r"the registry does not allow it \(401\)") as caught:
        place(stub).versions()
    assert "secret" not in str(caught.value) and "dXNlc" not in str(caught.value)


def test_a_login_is_not_sent_to_another_place(stub, tmp_path):
    log_in(tmp_path, "registry.example")
    stub.answer = lambda _: (401, {"WWW-Authenticate": 'Basic realm="r"'}, b"")
    with pytest.raises(ReleaseError, match="asks for a login"):
        place(stub).versions()
    assert all("Authorization" not in headers for _, headers in stub.asked)


# --- where a login goes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_gets_no_login(stub, other, tmp_path, status):
    basic = log_in(tmp_path, stub.host)
    stub.answer = lambda request: asks_for_login(request, (status, {"Location": f"http://{other.host}/elsewhere"}, b""))
    other.answer = lambda _: (200, {}, b"the file")
    assert b"".join(place(stub).fetch(DIGEST, 0)) == b"the file"
    assert stub.logins() == [None, basic] and other.logins() == [None]


def test_a_redirect_on_the_same_host_keeps_the_login(stub, tmp_path):
    basic = log_in(tmp_path, stub.host)

    def answer(request):
        moved = (302, {"Location": "/moved"}, b"")
        return asks_for_login(request, (200, {}, b"the file") if request.path == "/moved" else moved)

    stub.answer = answer
    assert b"".join(place(stub).fetch(DIGEST, 0)) == b"the file"
    assert stub.logins() == [None, basic, basic]


def test_another_host_that_asks_for_a_login_gets_none(stub, other, tmp_path):
    log_in(tmp_path, stub.host)
    stub.answer = lambda _: (307, {"Location": f"http://{other.host}/x"}, b"")
    for challenge in ('Basic realm="r"', f'Bearer realm="http://{other.host}/token"'):
        other.answer = lambda _, challenge=challenge: (401, {"WWW-Authenticate": challenge}, b"")
        with pytest.raises(ReleaseError, match=r"does not allow it \(401\)"):
            list(place(stub).fetch(DIGEST, 0))
    assert other.logins() == [None, None]


def test_an_upload_and_a_page_on_another_host_get_no_login(stub, other, tmp_path):
    basic = log_in(tmp_path, stub.host)

    def answer(request):
        if "/tags/" in request.path:
            return asks_for_login(request, (200, {"Link": f'<http://{other.host}/page>; rel="next"'}, b'{"tags": ["1.1.0"]}'))
        return asks_for_login(request, (404, {}, b"") if request.command == "HEAD" else (202, {"Location": upload}, b""))

    upload = f"http://{other.host}/upload?state=1"
    stub.answer = answer
    other.answer = lambda request: (201, {}, b"") if request.command == "PUT" else TAGS
    assert sorted(map(str, place(stub).versions())) == ["1.0.0", "1.1.0"]
    digest = place(stub)._client.put_blob(b"data")
    assert [each for each, _ in other.asked] == ["GET /page", f"PUT /upload?state=1&digest={digest}"]
    assert other.logins() == [None, None] and basic in stub.logins()


def test_netrc_is_not_asked(stub, other, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    stub.answer = lambda _: (302, {"Location": f"http://{other.host}/x"}, b"")
    other.answer = lambda _: TAGS
    assert place(stub).versions() == [ONE]
    assert stub.logins() == other.logins() == [None]


def test_a_realm_on_another_host(stub, other, tmp_path):
    """Docker Hub's is on one: it gets the login, as the registry says; where it sends us does not."""
    basic = log_in(tmp_path, stub.host)
    challenge = {"WWW-Authenticate": f'Bearer realm="http://{other.host}/token?a=1",service="s s"'}
    stub.answer = lambda request: TAGS if request.headers.get("Authorization") == "Bearer abc" else (401, challenge, b"")
    other.answer = lambda _: (200, {}, b'{"token": "abc"}')
    assert place(stub).versions() == [ONE]
    assert other.asked[0][0] == "GET /token?a=1&service=s+s" and other.logins() == [basic]
    with StubServer() as third:
        third.answer = lambda _: (200, {}, b'{"token": "abc"}')
        other.answer = lambda _: (307, {"Location": f"http://{third.host}/token"}, b"")
        assert place(stub).versions() == [ONE] and third.logins() == [None]


@pytest.mark.parametrize("token", [b'"a secret"', b'"secret\\r\\nX: y"', b'"secr\xc3\xa9t"', b"5", b"null", b'[["secret"]]'])
def test_a_token_that_no_header_can_hold(stub, token):
    stub.answer = lambda request: (
        (200, {}, b'{"token": %s}' % token)
        if request.path.startswith("/token")
        else (401, {"WWW-Authenticate": f'Bearer realm="http://{stub.host}/token"'}, b"")
    )
    with pytest.raises(ReleaseError, match="answers without a token, or with one that no header can hold") as caught:
        place(stub).versions()
    assert "secr" not in str(caught.value)


# --- where a registry sends us -----------------------------------------------------------------------------------------


def test_a_put_is_redirected_with_its_body(stub, other):
    bodies = []

    def take(request):
        bodies.append((request.command, request.body))
        return 201, {}, b""

    stub.answer, other.answer = lambda _: (307, {"Location": f"http://{other.host}/x"}, b""), take
    place(stub)._client.put_manifest("1.0.0", b"manifest")
    assert bodies == [("PUT", b"manifest")]
    for status in (301, 302, 303):
        stub.answer = lambda _, status=status: (status, {"Location": f"http://{other.host}/x"}, b"")
        with pytest.raises(ReleaseError, match=f"the registry answers {status} to PUT"):
            place(stub)._client.put_manifest("1.0.0", b"manifest")
    assert len(bodies) == 1


def test_a_ring_of_redirects(stub):
    stub.answer = lambda _: (302, {"Location": "/again"}, b"")
    with pytest.raises(ReleaseError, match="the registry redirects more than 5 times"):
        place(stub).versions()
    assert len(stub.asked) == 6


def test_no_step_down_from_https():
    transport = Transport("registry.example", where="here", plain_http=False, timeout_s=1)
    assert transport.resolve("https://other.example/x", "a redirect") == "https://other.example/x"
    for base in ("", "https://registry.example/v2/"):
        with pytest.raises(ReleaseError, match=r"^here: a redirect leads from https to http$"):
            transport.resolve("http://registry.example/token", "a redirect", base=base)
    plain = Transport("localhost:5000", where="here", plain_http=True, timeout_s=1)
    assert plain.resolve("http://a/b", "a page") == "http://a/b"
    with pytest.raises(ReleaseError, match="from https to http"):
        plain.resolve("http://a/b", "a redirect", base="https://a/")


BAD_ADDRESSES = [
    *("http://[", "http://a..b/secret", "http://\x80secret/", "ftp://secret/", "http://me:secret@127.0.0.1/", "file:///secret"),
    *("http://127.0.0.1:99999/secret", "http://127.0.0.1:secret/", "http://evil\\@127.0.0.1/secret", ""),
]


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_addresses_that_are_none(stub, address):
    """None is echoed."""
    client = place(stub)._client
    calls = {
        "a redirect": (client.tags, (302, {"Location": address}, b"")),
        "the realm of its login": (client.tags, (401, {"WWW-Authenticate": f'Bearer realm="{address}"'}, b"")),
        "where a blob goes": (lambda: client.put_blob(b"data"), (202, {"Location": address}, b"")),
    }
    if address:
        calls["the next page of tags"] = client.tags, (200, {"Link": f'<{address}>; rel="next"'}, b"{}")
    for what, (call, answer) in calls.items():
        stub.answer = lambda request, answer=answer: (404, {}, b"") if request.command == "HEAD" else answer
        with pytest.raises(ReleaseError, match=f"{what} leads to no address of http or https$") as caught:
            call()
        assert "secret" not in str(caught.value) and caught.value.__cause__ is None


def test_origins():
    assert origin_of("HTTP://Example.org/x?y") == origin_of("http://example.org:80") == ("http", "example.org", 80)
    assert origin_of("https://[::1]:5000/") == ("https", "[::1]", 5000) and origin_of("https://[::1]") == ("https", "[::1]", 443)
    with pytest.raises(InputError, match=r"^here: 'a\.\.b' is not a host"):
        Transport("a..b", where="here", plain_http=True, timeout_s=1)
    with pytest.raises(InputError, match=r"the repository is 'a/\.\./b'"):
        oci_client.Client("a", "a/../b", where="here", plain_http=True, timeout_s=1)


# --- time and size -----------------------------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\n"
LONG = HEAD + b"Content-Length: 100000\r\n\r\n"
CALLS = {
    "tags": lambda made: made.versions(),
    "manifest": lambda made: made.read(ONE),
    "file": lambda made: list(made.fetch(DIGEST, 0)),
    "put": lambda made: made._client.put_manifest("1.0.0", b"{}"),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_head_that_drips(call):
    with DrippingServer(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 400) as server:
        start = time.monotonic()
        with pytest.raises(PlaceUnreachable, match=f"^oci:{server.host}/deep: {server.host}: no answer within 0.5 s$"):
            CALLS[call](place(server, timeout_s=0.5))
        assert time.monotonic() - start < 1.5


@pytest.mark.parametrize("call", ["tags", "manifest", "file"])
def test_a_body_that_drips(call):
    with DrippingServer(LONG + b"{", b"x" * 400) as server:
        start = time.monotonic()
        message = f"^oci:{server.host}/deep: {server.host}: the rest of an answer did not come within 0.5 s$"
        with pytest.raises(PlaceUnreachable, match=message):
            CALLS[call](place(server, timeout_s=0.5))
        assert time.monotonic() - start < 1.5


def test_a_body_in_chunks_that_drips():
    chunked = DrippingServer(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n" * 60)
    with chunked as server, pytest.raises(PlaceUnreachable, match="the rest of an answer did not come"):
        place(server, timeout_s=0.5).versions()


def test_a_complaint_and_a_token_that_drip(stub):
    complains = DrippingServer(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9999\r\n\r\n", b"x" * 400)
    with complains as server, pytest.raises(ReleaseError, match=r"the registry answers 404 to PUT$"):
        CALLS["put"](place(server, timeout_s=0.5))
    with DrippingServer(LONG, b"x" * 400) as server:
        stub.answer = lambda _: (401, {"WWW-Authenticate": f'Bearer realm="http://{server.host}/token"'}, b"")
        with pytest.raises(PlaceUnreachable, match="the rest of an answer did not come"):
            place(stub, timeout_s=0.5).versions()


def test_a_slow_download_comes_through(stub):
    """Whose every piece comes in time."""
    data = bytes(range(256)) * 128

    def answer(request):
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        for i in range(0, len(data), PIECE):
            time.sleep(0.2)
            request.wfile.write(data[i : i + PIECE])
        raise ConnectionError

    stub.answer = answer
    assert b"".join(place(stub, timeout_s=1).fetch(DIGEST, 0)) == data


def test_a_request_that_was_given_up_sends_no_more():
    """The thread that it was left to may get its connection later."""
    body = _Body(b"manifest", time.monotonic() + 0.1)
    assert body.read(4) == b"mani"
    time.sleep(0.15)
    with pytest.raises(TimeoutError):
        body.read(4)


@pytest.mark.parametrize("call", ["tags", "manifest", "file"])
def test_a_packed_answer_is_not_unpacked(stub, call):
    stub.answer = lambda _: (200, {"Content-Encoding": "gzip"}, gzip.compress(b" " * 1_000_000))
    with pytest.raises(ReleaseError, match="the answer is encoded, must be as it is stored"):
        CALLS[call](place(stub))


def test_a_list_or_a_token_without_an_end(stub, monkeypatch):
    monkeypatch.setattr(oci_client, "MAX_TAGS_BYTES", 1000)
    stub.answer = lambda _: (200, {"Link": '</more>; rel="next"'}, b'{"tags": ["%s"]}' % (b"x" * 300))
    with pytest.raises(ReleaseError, match="the list of tags takes over "):
        place(stub).versions()
    assert len(stub.asked) == 4
    stub.answer = lambda request: (
        (200, {}, b" " * 2_000_000)
        if request.path.startswith("/token")
        else (401, {"WWW-Authenticate": f'Bearer realm="http://{stub.host}/token"'}, b"")
    )
    with pytest.raises(ReleaseError, match="a token takes over 1,048,576 bytes"):
        place(stub).versions()


# --- odd answers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the registry's list of tags is not JSON"),
        (b"[" * 100_000, "the registry's list of tags is not JSON"),
        (b'{"tags": ' + b"9" * 5000 + b"}", "the registry's list of tags is not JSON"),
        (b"\xff", "the registry's list of tags is not JSON"),
        (b"[]", "the registry's list of tags is not a JSON object"),
        (b'{"tags": {"1.0.0": 1}}', "the registry's list of tags holds something else than names"),
        (b'{"tags": "1.0.0"}', "the registry's list of tags holds something else than names"),
        (b'{"tags": ["1.0.0", 5]}', "the registry's list of tags holds something else than names"),
        (b'{"tags": [["1.0.0"]]}', "the registry's list of tags holds something else than names"),
    ],
)
def test_odd_lists_of_tags(stub, body, message):
    stub.answer = lambda _: (200, {}, body)
    with pytest.raises(ReleaseError, match=f"^oci:{stub.host}/deep: {message}$"):
        place(stub).versions()


@pytest.mark.parametrize("body", [b'{"tags": null}', b'{"tags": []}', b"{}"])
def test_lists_of_no_tags(stub, body):
    stub.answer = lambda _: (200, {}, body)
    assert place(stub).versions() == []


DATES = ["", "soon", "Mon, 31 Feb 2026 00:00:00 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", "Mon, 01 Jan 9999 00:00:00 +9999999999"]


@pytest.mark.parametrize("date", [*DATES, "x" * 10_000])
def test_odd_clocks(stub, date):
    stub.date_time_string = None
    stub.answer = lambda request: (200, {"Date": date}, TAGS[2])
    stub.RequestHandlerClass = type("Dated", (stub.RequestHandlerClass,), {"date_time_string": lambda self: date})
    client = place(stub)._client
    assert client.tags() == ["1.0.0"] and abs(client.now() - time.time()) < 1e12


@pytest.mark.parametrize("body", [b"[" * 1900, b'{"errors": 5}', b'{"errors": [{"code": 1}]}', b"\xff", b"x" * 5000, b'"\x1b"'])
def test_odd_complaints(stub, body):
    stub.answer = lambda _: (404, {}, body)
    with pytest.raises(ReleaseError, match=r"the registry answers 404 to PUT$"):
        CALLS["put"](place(stub))


def test_a_complaint_is_told_in_a_line(stub):
    errors = [{"code": "DENIED", "message": "not\nyours"}]
    stub.answer = lambda _: (404, {}, json.dumps({"errors": errors}).encode())
    with pytest.raises(ReleaseError, match=r"the registry answers 404 to PUT: DENIED: not yours$"):
        CALLS["put"](place(stub))
