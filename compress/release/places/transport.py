"""HTTP to one registry, over `requests`; neither the registry, nor where it sends us, is trusted.

* Everything ends. The head of an answer must come within the timeout and the time that what is sent takes at MIN_BYTES_PER_S,
  its redirects included; a body within the timeout and the time that its bytes take; a file's, each piece within the timeout.
* Every body has a largest size, and none is unpacked.
* A login goes to one scheme, host and port. No redirect, Link or Location takes it elsewhere, and ~/.netrc is not asked.
* No step leads from https down to http. What a header says of an address is never echoed: it may hold a password.
"""

from __future__ import annotations

import http.client
import io
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urldefrag, urljoin

import requests
import urllib3.exceptions

from compress.errors import CompressError, InputError, PlaceUnreachable, ReleaseError
from compress.release.places.deadline import MIN_BYTES_PER_S, within
from compress.release.reference import is_host

MAX_REDIRECTS = 5
MAX_COMPLAINT_BYTES = 2_000
PIECE = 1 << 12  # bytes that are handed on at once, and lost where a line is cut: urllib3 hands on whole pieces only
_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"(https?)://([^/?#]+)(?:[/?#][!-~]*)?", re.ASCII | re.IGNORECASE)
_FOLLOWED = {"GET": (301, 302, 303, 307, 308), "HEAD": (301, 302, 303, 307, 308), "PUT": (307, 308), "POST": (307, 308)}
_BROKEN = (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException)  # requests' own are OSErrors

Origin = tuple[str, str, int]


class Cut(PlaceUnreachable):
    """A connection that could not be had, or broke off: another attempt may bring more."""


def origin_of(url: str) -> Origin:
    """Scheme, host and port. Raises ValueError for what is no URL of http or https; one with a user or a password is none."""
    match = _URL.fullmatch(url)
    if match is None or not is_host(match[2]):
        raise ValueError("not an address of http or https")
    scheme, host = match[1].lower(), match[2].lower()
    name, _, port = host.rpartition(":")
    return (scheme, name, int(port)) if name and not host.endswith("]") else (scheme, host, _PORTS[scheme])


class Answer:
    """An answer whose head has come. It must be closed, as a `with` block does. is_own: it came from the registry itself."""

    def __init__(self, response: requests.Response, transport: Transport, *, url: str, is_own: bool) -> None:
        self.status, self.headers, self.url, self.is_own = response.status_code, response.headers, url, is_own
        self._response, self._transport = response, transport
        self._is_left = False  # to the thread that still reads it

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._is_left:
            return
        if self._response.raw.length_remaining == 0:
            self._response.raw.drain_conn()  # which waits for nothing: the connection is good for the next request
        self._response.close()

    def following(self) -> str | None:
        """The address of the next page, as the Link header has it."""
        return self._response.links.get("next", {}).get("url")

    def pieces(self) -> Iterator[bytes]:
        """The body, as it comes. Raises Cut where it breaks off."""
        source = self._body()
        while piece := self._next(source, self._transport.timeout_s):
            yield piece

    def whole(self, max_bytes: int, what: str) -> bytes:
        """The body. Raises ReleaseError where it has more bytes, Cut where it breaks off."""
        data, source, start = bytearray(), self._body(), time.monotonic()
        while True:
            allowed_s = self._transport.timeout_s + len(data) / MIN_BYTES_PER_S
            piece = self._next(source, allowed_s - (time.monotonic() - start))
            if not piece:
                return bytes(data)
            data += piece
            if len(data) > max_bytes:
                raise ReleaseError(f"{self._transport.where}: {what} takes over {max_bytes:,} bytes")

    def complaint(self) -> str:
        """The first of the specification's errors, in a line; nothing where the answer has none."""
        try:
            first = json.loads(self.whole(MAX_COMPLAINT_BYTES, "a complaint"))["errors"][0]
            says = " ".join(f": {first['code']}: {first['message']}".split())
        except (CompressError, ValueError, TypeError, LookupError, RecursionError):
            return ""
        return says if says.isprintable() else ""

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise ReleaseError(f"{self._transport.where}: the answer is encoded, must be as it is stored (identity)")
        return iter(self._response.iter_content(PIECE))

    def _next(self, source: Iterator[bytes], seconds: float) -> bytes:
        """Nothing at the end. An answer that does not come in time is left to its thread: closing it here would wait for that."""
        try:
            return within(seconds, lambda: next(source, b""), late=lambda _: self._response.close())
        except TimeoutError as error:
            self._is_left = True
            raise self._transport.too_late("the rest of an answer did not come", self._transport.timeout_s) from error
        except _BROKEN as error:
            raise self._transport.broken(error, self._transport.timeout_s) from error


class Transport:
    """To the registry at `host`. where: what errors call it."""

    def __init__(self, host: str, *, where: str, plain_http: bool, timeout_s: float) -> None:
        self.host, self.where, self.timeout_s = host, where, timeout_s
        self.root = f"{'http' if plain_http else 'https'}://{host}"
        try:
            self.origin = origin_of(self.root)
        except ValueError as error:
            raise InputError(f"{where}: {host!r} is not a host, with or without a port") from error
        self._session = _Session()
        self._session.headers["Accept-Encoding"] = "identity"  # ranges and digests are of the bytes as they are stored

    def exchange(
        self,
        method: str,
        url: str,
        *,
        login: str | None = None,
        login_for: Origin | None = None,
        headers: dict[str, str] | None = None,
        data: bytes | None = None,
        seconds: float | None = None,
    ) -> Answer:
        """A request, and those that it is redirected to. login: an Authorization header, for `login_for` alone; for the
        registry where None. seconds: until the head of the answer; what the module says where None.

        Raises Cut where another attempt may help, PlaceUnreachable, ReleaseError.
        """
        allowed_s = self.allowed_s(data) if seconds is None else seconds
        ends = time.monotonic() + allowed_s
        for _ in range(MAX_REDIRECTS + 1):
            own_login = login if origin_of(url) == (login_for or self.origin) else None
            answer = self._ask(method, url, own_login, headers or {}, data, ends, allowed_s)
            if answer.status not in _FOLLOWED[method]:
                return answer
            answer.close()
            url = self.resolve(answer.headers.get("Location", ""), "a redirect", base=url)
        raise ReleaseError(f"{self.where}: the registry redirects more than {MAX_REDIRECTS} times")

    def allowed_s(self, data: bytes | None) -> float:
        """Until the head of an answer, where these bytes are sent."""
        return self.timeout_s + len(data or b"") / MIN_BYTES_PER_S

    def resolve(self, address: str, what: str, *, base: str = "") -> str:
        """Where an answer of `base` sends us, by an address that may be relative to it. what: says so. Raises ReleaseError."""
        try:
            url = urldefrag(urljoin(base, address))[0] if address else ""
            scheme = origin_of(url)[0]
        except ValueError:
            raise ReleaseError(f"{self.where}: {what} leads to no address of http or https") from None  # it is not shown
        if scheme == "http" and origin_of(base or self.root)[0] == "https":
            raise ReleaseError(f"{self.where}: {what} leads from https to http")
        return url

    def too_late(self, what: str, seconds: float) -> PlaceUnreachable:
        return PlaceUnreachable(f"{self.where}: {self.host}: {what} within {round(seconds, 2):g} s")

    def broken(self, error: Exception, seconds: float) -> PlaceUnreachable:
        """What an error of a connection becomes: Cut, where another attempt may help."""
        if isinstance(error, requests.exceptions.Timeout) or "timed out" in str(error).lower():
            return self.too_late("no answer", seconds)
        kind = PlaceUnreachable if isinstance(error, requests.exceptions.SSLError) else Cut
        return kind(f"{self.where}: {self.host}: {_reason(error)}")

    def _ask(
        self, method: str, url: str, login: str | None, headers: dict[str, str], data: bytes | None, ends: float, allowed_s: float
    ) -> Answer:
        """One request, without redirects."""
        left_s = ends - time.monotonic()

        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            """As requests' `auth` also where there is no login: without one it would look into ~/.netrc."""
            if login is not None:
                request.headers["Authorization"] = login
            return request

        def send() -> requests.Response:
            body = None if data is None else _Body(data, ends)
            options: dict[str, Any] = {"headers": headers, "data": body, "timeout": left_s, "stream": True}
            return self._session.request(method, url, auth=authorize, allow_redirects=False, **options)

        if left_s <= 0:
            raise self.too_late("no answer", allowed_s)
        try:
            response = within(left_s, send, late=lambda late: late.close() if late is not None else None)
        except TimeoutError as error:
            raise self.too_late("no answer", allowed_s) from error
        except ValueError:  # InvalidURL, LocationParseError, UnicodeError: they quote what they are about
            raise ReleaseError(f"{self.where}: {self.host}: an address or a header that cannot be sent") from None
        except _BROKEN as error:
            raise self.broken(error, allowed_s) from error
        return Answer(response, self, url=url, is_own=origin_of(url) == self.origin)


class _Session(requests.Session):
    """Redirects are Transport.exchange's: requests would look at where they lead, and read their bodies, unasked."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class _Body(io.BytesIO):
    """What is sent, until its time is over: of a request that was given up, the thread that it was left to sends no more."""

    def __init__(self, data: bytes, ends: float) -> None:
        super().__init__(data)
        self._ends = ends

    def read(self, size: int | None = -1, /) -> bytes:
        if time.monotonic() > self._ends:
            raise TimeoutError("timed out")
        return super().read(size)


def _reason(error: BaseException) -> str:
    """Of a chain of errors around errors, what the innermost says; urllib3's messages repeat the URL."""
    inner: Callable[[BaseException], Any] = lambda e: getattr(e, "reason", None) or e.__cause__ or e.__context__  # noqa: E731
    while isinstance(following := inner(error), BaseException):
        error = following
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
