"""Seconds to publish and to pull through a registry on this machine, and what killed pushes and cut downloads leave behind.

    python benchmarks/release.py [artifacts/deep.sqz]

Needs docker-registry (apt-get install docker-registry) and the [dev] extra. Times are after imports, decoding of the file
included; the peer is the same bytes by plain HTTP requests to the same registry: one blob and one manifest up, and down
again. A push is a process that is killed, or whose registry is killed, after a random time; a download goes through a proxy
that cuts it after a random number of bytes. After each, everything visible is read and checked, and what is wrong is counted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import requests

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import release_parts
from release_parts import Proxy, Registry

from compress.errors import CompressError, PlaceUnreachable
from compress.release.places import oci_client
from compress.release.places.place import open_place
from compress.release.pull import Access, Checks, obtain
from compress.release.reference import parse

REPEATS = 21
N = 50  # of each kind of accident


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, default=Path("artifacts/deep.sqz"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        registry = Registry(folder)
        registry.start()
        try:
            times(arguments.file, registry, folder)
            killed_pushes(f"dir:{folder}/releases/deep", arguments.file, rng)
            killed_pushes(f"oci:{registry.host}/killed/deep", arguments.file, rng)
            killed_registry(registry, arguments.file, rng)
            cut_downloads(registry, arguments.file, rng, folder)
        finally:
            registry.kill()


def times(file: Path, registry: Registry, folder: Path) -> None:
    source = f"oci:{registry.host}/times/deep"
    data = file.read_bytes()
    taken: dict[str, list[float]] = {"publish": [], "pull": [], "both": [], "plain requests": []}
    for i in range(REPEATS + 1):  # the first compiles
        start = time.perf_counter()
        release_parts.put(file, f"{source}{i}:1.0.0")
        published = time.perf_counter()
        obtain(parse(f"{source}{i}:1.0.0"), Checks(), Access(folder / f"cache{i}"))
        pulled = time.perf_counter()
        plain(registry, f"plain{i}", data)
        seconds = (published - start, pulled - published, pulled - start, time.perf_counter() - pulled)
        for (_, each), s in zip(taken.items(), seconds, strict=True):
            each.append(s)
    print(f"{file}: {len(data):,} bytes, median of {REPEATS} (10th to 90th percentile), ms; first call")
    for what, each in taken.items():
        low, median, high = np.percentile(each[1:], [10, 50, 90]) * 1000
        print(f"  {what:<16}{median:8.1f}  ({low:.1f} to {high:.1f}); {each[0] * 1000:.1f}")


def plain(registry: Registry, repository: str, data: bytes) -> None:
    """The same bytes up and down, with nothing checked but the digest."""
    base, session = f"http://{registry.host}/v2/{repository}", requests.Session()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    location = session.post(f"{base}/blobs/uploads/").headers["Location"]
    session.put(f"{location}&digest={digest}", data=data).raise_for_status()
    part = {"mediaType": "application/octet-stream", "digest": digest, "size": len(data)}
    image = {"schemaVersion": 2, "mediaType": oci_client.MANIFEST_TYPE, "config": part, "layers": [part]}
    headers = {"Content-Type": oci_client.MANIFEST_TYPE}
    session.put(f"{base}/manifests/1", data=json.dumps(image), headers=headers).raise_for_status()
    session.get(f"{base}/manifests/1", headers={"Accept": oci_client.MANIFEST_TYPE}).raise_for_status()
    assert hashlib.sha256(session.get(f"{base}/blobs/{digest}").content).hexdigest() == digest[7:]


def killed_pushes(source: str, file: Path, rng: random.Random) -> None:
    killed = visible = wrong = 0
    with release_parts.Publishers(file) as publishers:
        seconds = publishers.seconds(f"{source}:0.1.0")
        for i in range(N):
            target = f"{source}:1.{i}.0"
            killed += publishers.kill_after(target, rng.uniform(0, 1.2 * seconds)) != 0
            is_there, is_wrong = look(target, file)
            visible += is_there
            wrong += is_wrong
            release_parts.put(file, target)  # nothing that was left is in the way
    print(
        f"{source.partition(':')[0]}: {N} publishers, {killed} killed: {visible} versions visible, {wrong} of them wrong or half"
    )


def killed_registry(registry: Registry, file: Path, rng: random.Random) -> None:
    told = visible = wrong = 0
    start = time.perf_counter()
    release_parts.put(file, f"oci:{registry.host}/registry-killed/deep:0.1.0")
    seconds = time.perf_counter() - start
    for i in range(N):
        target = f"oci:{registry.host}/registry-killed/deep:1.{i}.0"
        killer = threading.Timer(rng.uniform(0, 1.2 * seconds), registry.kill)
        killer.start()
        told += quietly(lambda target=target: release_parts.put(file, target)) is not None
        killer.join()
        registry.start()
        is_there, is_wrong = look(target, file)
        visible += is_there
        wrong += is_wrong
        release_parts.put(file, target)
    print(f"oci: {N} registries killed, {told} in a push: {visible} versions visible, {wrong} of them wrong or half")


def cut_downloads(registry: Registry, file: Path, rng: random.Random, folder: Path) -> None:
    data, wrong, ranged, twice = file.read_bytes(), 0, 0, 0
    release_parts.put(file, f"oci:{registry.host}/cut/deep:1.0.0")
    for i in range(N):
        with Proxy(registry.port, cuts=[rng.randrange(len(data)) for _ in range(3)]) as proxy:
            found = obtain(parse(f"oci:{proxy.host}/cut/deep:1.0.0"), Checks(), Access(folder / f"cut{i}"))
            wrong += found.file != data
            ranged += b"Range: bytes=" in b"".join(proxy.heard)
            twice += found.fetched_bytes - len(data)
    print(f"{N} downloads, each cut up to 3 times: {wrong} wrong, {ranged} went on with a range, {twice:,} bytes came twice")


def look(target: str, file: Path) -> tuple[bool, bool]:
    """Whether a version is visible, and whether it is anything but whole."""
    reference = parse(target)
    assert reference.version is not None
    try:
        if open_place(reference).read(reference.version) is None:
            return False, False
    except PlaceUnreachable:  # the folder was not made yet
        return False, False
    with tempfile.TemporaryDirectory() as cache:
        error = quietly(lambda: obtain(reference, Checks(), Access(Path(cache))))
        is_right = error is None and obtain(reference, Checks(), Access(Path(cache))).file == file.read_bytes()
    return True, not is_right


def quietly(call: Callable[[], object]) -> CompressError | None:
    """What it ends with."""
    try:
        call()
    except CompressError as error:
        return error
    return None


if __name__ == "__main__":
    main()
