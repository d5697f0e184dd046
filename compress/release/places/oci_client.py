"""As much of the OCI distribution specification 1.1 as releases need: blobs by digest, manifests by tag, tags, the login.

Every request is tried again a bounded number of times where the registry could not be reached or was busy; transport.py bounds
each in time and size.
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
from urllib.parse import urlencode, urlsplit

from compress.errors import InputError, PlaceUnreachable, ReleaseError
from compress.release.places.docker_login import basic_credentials, is_credential
from compress.release.places.transport import Answer, Cut, Transport, origin_of
from compress.release.reference import is_name

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
MAX_MANIFEST_BYTES = 4 << 20  # what registries must take, at least
MAX_TOKEN_BYTES = 1 << 20
MAX_TAGS_BYTES = 32 << 20  # of all pages
MAX_PAGES = 1_000  # of a list of tags
ATTEMPTS = 3
PAUSES_S = (0.2, 1.0)  # between them
_BUSY = (429, 502, 503, 504)
_PASSING = (*_BUSY, 500)  # docker-registry answers 500 for a tag that is being written just then
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_DATE = re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", re.ASCII)


class Client:
    """Of one repository of one registry. where: what errors call it."""

    def __init__(self, host: str, repository: str, *, where: str, plain_http: bool, timeout_s: float) -> None:
        if not all(map(is_name, repository.split("/"))):
            raise InputError(f"{where}: the repository is {repository!r}, must be names of small letters and digits between /")
        self._host, self._where = host, where
        # Docker Hub's API is not where its name is.
        api = "registry-1.docker.io" if host == "docker.io" else host
        self._transport = Transport(api, where=where, plain_http=plain_http, timeout_s=timeout_s)
        self._base = f"{self._transport.root}/v2/{repository}"
        self._login: str | None = None
        self._clock_ahead_s = 0.0

    def now(self) -> float:
        """Seconds since 1970 by the registry's clock, as its last answer told it."""
        return time.time() + self._clock_ahead_s

    def get_blob(self, digest: str, offset: int = 0) -> Iterator[bytes]:
        """Its bytes from `offset` on, by a range request; of a registry that ignores the range, the rest of all of them."""
        ranged = {"Range": f"bytes={offset}-"} if offset else {}
        with self._request("GET", f"{self._base}/blobs/{digest}", {200, 206, 404, 416}, headers=ranged) as answer:
            if answer.status in (404, 416):
                why = "is not there" if answer.status == 404 else f"has no byte {offset:,}"
                raise ReleaseError(f"{self._where}: blob {digest} {why}")
            to_skip = offset if answer.status == 200 else 0
            for piece in answer.pieces():
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
        url, left_bytes = f"{self._base}/tags/list?n=1000", MAX_TAGS_BYTES
        for _ in range(MAX_PAGES):
            with self._request("GET", url, {200, 404}) as answer:
                if answer.status == 404:
                    return found
                data = answer.whole(left_bytes, "the list of tags")
                following = answer.following()
            found += self._names(data)
            left_bytes -= len(data)
            if not following:
                return found
            url = self._transport.resolve(following, "the next page of tags", base=answer.url)
        raise ReleaseError(f"{self._where}: over {MAX_PAGES:,} pages of tags")

    def put_blob(self, data: bytes) -> str:
        """Returns its digest. What is there already is not sent."""
        digest = digest_of(data)
        with self._request("HEAD", f"{self._base}/blobs/{digest}", {200, 404}) as answer:
            if answer.status == 200:
                return digest
        with self._request("POST", f"{self._base}/blobs/uploads/", {202}) as answer:
            location = self._transport.resolve(answer.headers.get("Location", ""), "where a blob goes", base=answer.url)
        url = f"{location}{'&' if urlsplit(location).query else '?'}digest={digest}"
        self._request("PUT", url, {201}, headers={"Content-Type": "application/octet-stream"}, data=data).close()
        return digest

    def put_manifest(self, tag: str, data: bytes, *, left_s: Callable[[], float] | None = None) -> None:
        """left_s: is asked before each attempt how long that may take, and raises where it must not be made.

        docker-registry answers 400, blob unknown, while another publisher is sending one of the same blobs.
        """
        url = f"{self._base}/manifests/{tag}"
        headers, passing = {"Content-Type": MANIFEST_TYPE}, (*_PASSING, 400)
        self._request("PUT", url, {201}, headers=headers, data=data, passing=passing, left_s=left_s).close()

    def _request(
        self,
        method: str,
        url: str,
        expected: set[int],
        *,
        passing: tuple[int, ...] = _PASSING,
        left_s: Callable[[], float] | None = None,
        **options: Any,
    ) -> Answer:
        """passing: answers that another attempt may change, which is made where the first did not take the whole timeout."""
        start = time.monotonic()
        for attempt in range(ATTEMPTS):
            last = attempt + 1 == ATTEMPTS or time.monotonic() - start > self._transport.timeout_s
            try:
                answer = self._send(method, url, left_s, options)
            except Cut:
                if last:
                    raise
            else:
                if answer.status in expected:
                    return answer
                if last or answer.status not in passing:
                    raise self._refused(method, answer)
                answer.close()
            time.sleep(PAUSES_S[attempt])
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _send(self, method: str, url: str, left_s: Callable[[], float] | None, options: dict[str, Any]) -> Answer:
        """With the login that the registry asks for, if it asks: nobody else is answered with one."""

        def send() -> Answer:
            allowed_s = self._transport.allowed_s(options.get("data"))
            seconds = allowed_s if left_s is None else min(allowed_s, left_s())
            return self._transport.exchange(method, url, login=self._login, seconds=seconds, **options)

        answer = send()
        if answer.status == 401 and answer.is_own:
            answer.close()
            self._login = self._log_in(answer.headers.get("WWW-Authenticate", ""))
            answer = send()
        if answer.is_own and _DATE.fullmatch(date := answer.headers.get("Date", "")):
            with contextlib.suppress(ValueError, OverflowError):  # a registry with a broken clock is taken to have ours
                self._clock_ahead_s = parsedate_to_datetime(date).timestamp() - time.time()
        return answer

    def _log_in(self, challenge: str) -> str:
        """The Authorization header that answers a WWW-Authenticate one: of the user, or by a token of this scope."""
        basic = basic_credentials(self._host)
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "bearer":
            return f"Bearer {self._token(dict(_CHALLENGE.findall(rest)), basic)}"
        if kind.lower() != "basic" or basic is None:
            raise ReleaseError(f"{self._where}: the registry asks for a login: docker login {self._host}")
        return f"Basic {basic}"

    def _token(self, parameters: dict[str, str], basic: str | None) -> str:
        """From the realm that the registry names, which may be another host (Docker Hub's is), and gets the login."""
        realm = self._transport.resolve(parameters.get("realm", ""), "the realm of its login")
        query = urlencode({key: value for key, value in parameters.items() if key in ("service", "scope")})
        login, host = f"Basic {basic}" if basic is not None else None, urlsplit(realm).netloc
        url = f"{realm}{'&' if urlsplit(realm).query else '?'}{query}"
        with self._transport.exchange("GET", url, login=login, login_for=origin_of(realm)) as answer:
            if answer.status != 200:
                raise ReleaseError(f"{self._where}: {host} gives no token: docker login {self._host}")
            facts = json_object(answer.whole(MAX_TOKEN_BYTES, "a token"), f"{self._where}: what {host} answers")
        token = facts.get("token") or facts.get("access_token")
        if not isinstance(token, str) or not is_credential(token):
            raise ReleaseError(f"{self._where}: {host} answers without a token, or with one that no header can hold")
        return token

    def _names(self, data: bytes) -> list[str]:
        """Of a page of tags; null is none."""
        names = json_object(data, f"{self._where}: the registry's list of tags").get("tags") or []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ReleaseError(f"{self._where}: the registry's list of tags holds something else than names")
        return names

    def _whole(self, url: str, max_bytes: int, what: str, **headers: str) -> bytes | None:
        """Asked for again where the answer breaks off. None where it is not there."""
        for pause_s in (*PAUSES_S, None):
            with self._request("GET", url, {200, 404}, headers=headers) as answer:
                if answer.status == 404:
                    return None
                try:
                    return answer.whole(max_bytes, what)
                except Cut:
                    if pause_s is None:
                        raise
            time.sleep(pause_s)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _refused(self, method: str, answer: Answer) -> ReleaseError:
        with answer:
            says = answer.complaint()
        if answer.status in (401, 403):
            return ReleaseError(f"{self._where}: the registry does not allow it ({answer.status}): docker login {self._host}")
        kind = PlaceUnreachable if answer.status in _BUSY else ReleaseError
        return kind(f"{self._where}: the registry answers {answer.status} to {method}{says}")


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def json_object(data: bytes, what: str) -> dict[str, Any]:
    """what: begins the message. Raises ReleaseError for anything else, deeply nested JSON and very long numbers too."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"{what} is not JSON") from error
    if not isinstance(value, dict):
        raise ReleaseError(f"{what} is not a JSON object")
    return value
