"""Who of several publishers may put a version's tag, where the registry itself cannot decide.

The OCI specification has no conditional PUT: of two publishers of other releases under one version, the later would replace
the earlier. So each first puts a claim, the tag `_claim.KEY.RANDOM.VERSION`, and then lists the tags. KEY is of the file and of
who signs: the same file unsigned, or signed by another, is another release. Of any two at least one lists after the other's
claim, and sees it:

* who sees a claim of another release that sorts before its own withdraws its own, by writing so into it, and refuses;
* who sees only claims that sort after its own waits until they are withdrawn, or the version is there (and refuses), or what
  each of them allows its publisher has passed since it was first seen, and then goes on: whoever claimed has stopped or died;
* a claim over CLAIM_LAPSES_S seconds old, by the registry's clock, counts no more.

What a publisher allows itself is WAIT_TIMEOUTS of its own timeouts from its last listing of the tags to the end of its PUT, is
written into the claim, and is kept to: no attempt begins, and no byte is sent, after it. A waiter waits for the largest of
what it allows itself and what the claim says, so that publishers may have other timeouts.

This assumes that a registry lists a tag as soon as it has answered the PUT of it. It cannot exclude that a registry, or a proxy
before it, takes in a whole PUT, and applies it after its publisher has given up: that replaces what was published meanwhile,
and whoever pulled it before notices by the cache (cache.py). A registry whose tags are immutable refuses even that.
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from compress.errors import PlaceUnreachable, ReleaseError
from compress.release.places.oci_client import Client, json_object
from compress.release.version import Version

CLAIMED_AT, ALLOWS_S = "squeeze-compress.claimed-at", "squeeze-compress.allows-s"
WITHDRAWN = "squeeze-compress.withdrawn"
WAIT_TIMEOUTS = 3
CLAIM_LAPSES_S = 600.0
_OWN_CLAIM_ENDS_S = 590.0  # a publisher stops before others think that its claim has lapsed: clocks tell whole seconds
POLL_S = 0.1
_KEY_DIGITS = 16
_RANDOM_BYTES = 4  # two publishers of the same release have two claims, of which one may be withdrawn
_CLAIM = re.compile(rf"_claim\.([0-9a-f]{{{_KEY_DIGITS}}})\.[0-9a-f]{{{2 * _RANDOM_BYTES}}}\.(.+)")
_SECONDS = re.compile(r"[0-9]{1,12}")

Describe = Callable[[dict[str, str]], bytes]


@dataclass(frozen=True)
class Allowance:
    """The right to put a version's tag, until `ends` by the monotonic clock; it began with seconds."""

    where: str
    seconds: float
    ends: float

    def left_s(self) -> float:
        """Raises PlaceUnreachable where nothing is."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise PlaceUnreachable(f"{self.where}: took over {self.seconds:.4g} s after its claim; publish again")
        return left


def key_of(sha256: str, signer: str | None) -> str:
    """Of a release, by its file and the name of the key that signs it."""
    return hashlib.sha256(f"{sha256} {signer or ''}".encode()).hexdigest()[:_KEY_DIGITS]


def claim(client: Client, version: Version, key: str, describe: Describe, *, where: str, timeout_s: float) -> Allowance | None:
    """Whether this publisher may put the version: None where that is there. describe: the claim's image manifest, by its
    annotations. where: the release, for messages. Raises ReleaseError for another's claim."""
    allows_s = min(WAIT_TIMEOUTS * timeout_s, CLAIM_LAPSES_S)
    mine = f"_claim.{key}.{secrets.token_hex(_RANDOM_BYTES)}.{version}"
    own_end = time.monotonic() + _OWN_CLAIM_ENDS_S
    client.put_manifest(mine, describe({CLAIMED_AT: f"{client.now():.0f}", ALLOWS_S: str(math.ceil(allows_s))}))
    first_seen: dict[str, float] = {}
    while True:
        listed_at = time.monotonic()  # just before: whatever comes after this listing may be missing in it
        others = _others(client, version, key, where)
        if client.get_manifest(version.text) is not None:
            return None
        if others and min(others) < mine:
            client.put_manifest(mine, describe({WITHDRAWN: "true"}))
            raise ReleaseError(
                f"{where}: is being published with other bytes, or by another signer (tag {min(others)}); what that publisher "
                f"claimed lapses {CLAIM_LAPSES_S:.0f} s after it, should it have died"
            )
        waits = [listed_at <= first_seen.setdefault(tag, listed_at) + max(s, allows_s) for tag, s in others.items()]
        if not any(waits):
            return Allowance(where, allows_s, min(listed_at + allows_s, own_end))
        time.sleep(POLL_S)


def _others(client: Client, version: Version, key: str, where: str) -> dict[str, float]:
    """The live claims of this version by other releases, and how many seconds each allows its publisher."""
    found = {}
    for tag in client.tags():
        match = _CLAIM.fullmatch(tag)
        if match is not None and match[2] == version.text and match[1] != key:
            allows_s = _allows_s(client, tag, where)
            if allows_s is not None:
                found[tag] = allows_s
    return found


def _allows_s(client: Client, tag: str, where: str) -> float | None:
    """What a claim that is listed allows its publisher; None of one that counts no more. One that cannot be had yet is just
    being made, and says nothing of it."""
    data = client.get_manifest(tag)
    if data is None:
        return 0.0
    notes = json_object(data, f"{where}: the claim {tag}").get("annotations")
    if not isinstance(notes, dict) or WITHDRAWN in notes:
        return None
    claimed_at = _seconds(notes.get(CLAIMED_AT))
    if claimed_at is None or abs(client.now() - claimed_at) > CLAIM_LAPSES_S:
        return None
    allows_s = _seconds(notes.get(ALLOWS_S))
    return CLAIM_LAPSES_S if allows_s is None else min(allows_s, CLAIM_LAPSES_S)


def _seconds(text: object) -> int | None:
    return int(text) if isinstance(text, str) and _SECONDS.fullmatch(text) else None
