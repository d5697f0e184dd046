"""As much of the OCI distribution specification 1.1 as releases need, over `requests`: blobs by digest, manifests by tag, tags.

Every request has a timeout, and is tried again a bounded number of times where the registry could not be reached or was busy.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from compress.errors import PlaceUnreachable, ReleaseError
from compress.release.places.docker_login import basic_credentials

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
MAX_MANIFEST_BYTES = 4 << 20  # what registries must take, at least
MAX_COMPLAINT_BYTES = 2_000
MAX_PAGES = 1_000  # of a list of tags
ATTEMPTS = 3
PAUSES_S = (0.2, 1.0)  # between them
_PIECE = 1 << 12  # bytes that are handed on at once, and lost where a line is cut: urllib3 hands on whole pieces only
_BUSY = (429, 502, 503, 504)
_PASSING = (*_BUSY, 500)  # docker-registry answers 500 for a tag that is being written just then
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


class _Cut(PlaceUnreachable):
    """An answer that broke off."""


class Client:
    """Of one repository of one registry. where: what errors call it."""

    def __init__(self, host: str, repository: str, *, where: str, plain_http: bool, timeout_s: float) -> None:
        self._host, self._where, self._timeout_s = host, where, timeout_s
        self._scheme = "http" if plain_http else "https"
        # Docker Hub's API is not where its name is.
        self._root = f"{self._scheme}://{'registry-1.docker.io' if host == 'docker.io' else host}"
        self._base = f"{self._root}/v2/{repository}"
        self._authorization: str | None = None
        self._session = requests.Session()
        self._session.headers["Accept-Encoding"] = "identity"  # ranges and digests are of the bytes as they are stored
        self._clock_ahead_s = 0.0

    def now(self) -> float:
        """Seconds since 1970 by the registry's clock, as its last answer told it."""
        return time.time() + self._clock_ahead_s

    def get_blob(self, digest: str, offset: int = 0) -> Iterator[bytes]:
        """Its bytes from `offset` on, by a range request; of a registry that ignores the range, the rest of all of them."""
        ranged = {"Range": f"bytes={offset}-"} if offset else {}
        response = self._request("GET", f"{self._base}/blobs/{digest}", {200, 206, 404, 416}, headers=ranged, stream=True)
        with response:
            if response.status_code in (404, 416):
                why = "is not there" if response.status_code == 404 else f"has no byte {offset:,}"
                raise ReleaseError(f"{self._where}: blob {digest} {why}")
            to_skip = offset if response.status_code == 200 else 0
            for piece in self._pieces(response):
                if len(piece) > to_skip:
                    yield piece[to_skip:]
                to_skip = max(0, to_skip - len(piece))

    def get_small_blob(self, digest: str, max_bytes: int) -> bytes:
        """A whole blob, whose digest is checked."""
        data = self._whole(f"{self._base}/blobs/{digest}", max_bytes, f"blob {digest}")
        if data is None:
            raise ReleaseError(f"{self._where}: blob {digest} is not there")
        if digest_of(data) != digest:
            raise ReleaseError(f"{self._where}: blob {digest} has other bytes")
        return data

    def get_manifest(self, tag: str) -> bytes | None:
        """None where there is no such tag."""
        return self._whole(f"{self._base}/manifests/{tag}", MAX_MANIFEST_BYTES, f"the manifest of {tag}", Accept=MANIFEST_TYPE)

    def tags(self) -> list[str]:
        """Every tag of the repository; none where that does not exist."""
        found: list[str] = []
        url = f"{self._base}/tags/list?n=1000"
        for _ in range(MAX_PAGES):
            with self._request("GET", url, {200, 404}) as response:
                if response.status_code == 404:
                    return found
                found += self._json(response).get("tags") or []
                following = response.links.get("next", {}).get("url")
            if not following:
                return found
            url = self._same_scheme(urljoin(url, following))
        raise ReleaseError(f"{self._where}: over {MAX_PAGES:,} pages of tags")

    def put_blob(self, data: bytes) -> str:
        """Returns its digest. What is there already is not sent."""
        digest = digest_of(data)
        with self._request("HEAD", f"{self._base}/blobs/{digest}", {200, 404}) as response:
            if response.status_code == 200:
                return digest
        with self._request("POST", f"{self._base}/blobs/uploads/", {202}) as response:
            location = self._same_scheme(urljoin(self._base, response.headers.get("Location", "")))
        url = f"{location}{'&' if urlsplit(location).query else '?'}digest={digest}"
        self._request("PUT", url, {201}, headers={"Content-Type": "application/octet-stream"}, data=data).close()
        return digest

    def put_manifest(self, tag: str, data: bytes) -> None:
        """docker-registry answers 400, blob unknown, while another publisher is sending one of the same blobs."""
        url = f"{self._base}/manifests/{tag}"
        headers = {"Content-Type": MANIFEST_TYPE}
        self._request("PUT", url, {201}, headers=headers, data=data, passing=(*_PASSING, 400)).close()

    def _request(
        self, method: str, url: str, expected: set[int], *, passing: tuple[int, ...] = _PASSING, **options: Any
    ) -> requests.Response:
        """Ends within two timeouts, and the pauses. passing: answers that another attempt may change."""
        start = time.monotonic()
        for attempt in range(ATTEMPTS):
            last = attempt + 1 == ATTEMPTS or time.monotonic() - start > self._timeout_s
            try:
                response = self._send(method, url, options)
            except (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
                if last or isinstance(error, requests.exceptions.Timeout | requests.exceptions.SSLError):
                    raise self._unreachable(error) from error
            except requests.RequestException as error:
                raise self._unreachable(error) from error
            else:
                if response.status_code in expected:
                    return response
                if last or response.status_code not in passing:
                    raise self._refused(method, response)
                response.close()
            time.sleep(PAUSES_S[attempt])
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _send(self, method: str, url: str, options: dict[str, Any]) -> requests.Response:
        """With the login that the registry asks for, if it asks."""
        response = self._session.request(method, url, timeout=self._timeout_s, auth=self._authorize, **options)
        if response.status_code == 401:
            self._authorization = self._log_in(response.headers.get("WWW-Authenticate", ""))
            response.close()
            response = self._session.request(method, url, timeout=self._timeout_s, auth=self._authorize, **options)
        with contextlib.suppress(ValueError):  # a registry without a clock, or with a broken one, is taken to have ours
            self._clock_ahead_s = parsedate_to_datetime(response.headers.get("Date", "")).timestamp() - time.time()
        return response

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """As requests' `auth`, so that a ~/.netrc is not asked, and a redirect to another host does not get it."""
        if self._authorization is not None:
            request.headers["Authorization"] = self._authorization
        return request

    def _log_in(self, challenge: str) -> str:
        """The Authorization header that answers a WWW-Authenticate one: of the user, or by a token of this scope."""
        basic = basic_credentials(self._host)
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "bearer":
            parameters = dict(_CHALLENGE.findall(rest))
            return f"Bearer {self._token(parameters, basic)}"
        if kind.lower() != "basic" or basic is None:
            raise ReleaseError(f"{self._where}: the registry asks for a login: docker login {self._host}")
        return f"Basic {basic}"

    def _token(self, parameters: dict[str, str], basic: str | None) -> str:
        realm = self._same_scheme(parameters.get("realm", ""))
        query = {key: parameters[key] for key in ("service", "scope") if key in parameters}

        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            if basic is not None:
                request.headers["Authorization"] = f"Basic {basic}"
            return request

        with self._session.get(realm, params=query, timeout=self._timeout_s, auth=authorize) as response:
            if response.status_code != 200:
                raise ReleaseError(f"{self._where}: {urlsplit(realm).netloc} gives no token: docker login {self._host}")
            answer = self._json(response)
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str):
            raise ReleaseError(f"{self._where}: {urlsplit(realm).netloc} answers without a token")
        return token

    def _same_scheme(self, url: str) -> str:
        """No step down from https to http, wherever a registry sends us."""
        if urlsplit(url).scheme not in (self._scheme, "https"):
            raise ReleaseError(f"{self._where}: the registry sends to {urlsplit(url).scheme or 'no'}:, must be {self._scheme}:")
        return url

    def _pieces(self, response: requests.Response) -> Iterator[bytes]:
        try:
            yield from response.iter_content(_PIECE)
        except requests.RequestException as error:
            raise _Cut(str(self._unreachable(error))) from error

    def _whole(self, url: str, max_bytes: int, what: str, **headers: str) -> bytes | None:
        """Asked for again where the answer breaks off. None where it is not there."""
        for pause_s in (*PAUSES_S, None):
            try:
                with self._request("GET", url, {200, 404}, headers=headers, stream=True) as response:
                    return None if response.status_code == 404 else self._limited(self._pieces(response), max_bytes, what)
            except _Cut:
                if pause_s is None:
                    raise
                time.sleep(pause_s)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _limited(self, pieces: Iterator[bytes], max_bytes: int, what: str) -> bytes:
        data = bytearray()
        for piece in pieces:
            data += piece
            if len(data) > max_bytes:
                raise ReleaseError(f"{self._where}: {what} takes over {max_bytes:,} bytes")
        return bytes(data)

    def _json(self, response: requests.Response) -> dict[str, Any]:
        try:
            answer = response.json()
        except requests.RequestException as error:
            raise self._unreachable(error) from error
        if not isinstance(answer, dict):
            raise ReleaseError(f"{self._where}: the registry's answer is not a JSON object")
        return answer

    def _unreachable(self, error: Exception) -> PlaceUnreachable:
        return PlaceUnreachable(f"{self._where}: {self._host}: {_reason(error, self._timeout_s)}")

    def _refused(self, method: str, response: requests.Response) -> ReleaseError:
        status = response.status_code
        with response:
            says = _complaint(response)
        if status in (401, 403):
            return ReleaseError(f"{self._where}: the registry does not allow it ({status}): docker login {self._host}")
        kind = PlaceUnreachable if status in _BUSY else ReleaseError
        return kind(f"{self._where}: the registry answers {status} to {method}{says}")


def _complaint(response: requests.Response) -> str:
    """The first of the specification's errors, in a line; nothing where the answer has none."""
    try:
        first = json.loads(next(response.iter_content(MAX_COMPLAINT_BYTES), b""))["errors"][0]
        says = " ".join(f": {first['code']}: {first['message']}".split())
    except (ValueError, TypeError, LookupError, requests.RequestException):
        return ""
    return says if says.isprintable() else ""


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _reason(error: BaseException, timeout_s: float) -> str:
    """Of a chain of errors around errors, what the innermost says; urllib3's messages repeat the URL."""
    if isinstance(error, requests.exceptions.Timeout) or "timed out" in str(error).lower():
        return f"no answer within {timeout_s:g} s"
    inner: Callable[[BaseException], Any] = lambda e: getattr(e, "reason", None) or e.__cause__ or e.__context__  # noqa: E731
    while isinstance(following := inner(error), BaseException):
        error = following
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
