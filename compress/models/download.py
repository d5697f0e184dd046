"""Weights from a URL, kept where torch keeps its own downloads. Only a file with the SHA-256 that was asked for is used."""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import torch

from compress.atomic import write_atomically
from compress.errors import WeightsError

TIMEOUT_S = 30  # without a byte
MAX_BYTES = 1 << 32
_PIECE = 1 << 20  # bytes that are asked for at once
_FILE_NAME = re.compile(r"\w[\w.%+=-]*", re.ASCII)


def download(url: str, sha256: str | None, folder: Path | None = None) -> Path:
    """The file of a URL, from `folder` (default: torch.hub's checkpoints) where it is there already with that digest.

    Where another file has its name there, it is kept beside that, under a name with the first 8 digits of its digest.
    Raises WeightsError where it cannot be fetched or kept, is too large, or has another digest (then nothing is kept).
    """
    if sha256 is None:
        raise WeightsError(f"{url}: weights from a URL need their sha256")
    path = (folder or Path(torch.hub.get_dir()) / "checkpoints") / _file_name(url)
    beside = path.with_stem(f"{path.stem}-{sha256[:8]}")
    try:
        for kept in (path, beside):
            if kept.is_file() and _digest(kept) == sha256:
                return kept
        data = _fetch(url)
        digest = hashlib.sha256(data).hexdigest()
        if digest != sha256:
            raise WeightsError(f"{url}: sha256 of its {len(data):,} bytes is {digest}, expected {sha256}")
        path = beside if path.exists() else path
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        raise WeightsError(f"{error.filename or path}: {url} cannot be kept there: {error.strerror or error}") from error
    return path


def _file_name(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise WeightsError(f"{url}: not a URL: {error}") from error
    if parts.scheme not in ("https", "http"):
        raise WeightsError(f"{url}: weights are fetched by https or http")
    name = PurePosixPath(parts.path).name
    if not _FILE_NAME.fullmatch(name):
        raise WeightsError(f"{url}: the URL names no file")
    return name


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(url: str) -> bytes:
    data = bytearray()
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            announced = response.length  # bytes, None where the server does not say
            while piece := response.read(_PIECE):
                data += piece
                if len(data) > MAX_BYTES:
                    raise WeightsError(f"{url}: more than {MAX_BYTES:,} bytes")
    except urllib.error.HTTPError as error:
        error.close()
        raise WeightsError(f"{url}: cannot be fetched: the server says {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise WeightsError(f"{url}: cannot be fetched: {getattr(error, 'reason', None) or error}") from error
    if announced is not None and len(data) < announced:
        raise WeightsError(f"{url}: cannot be fetched: cut off after {len(data):,} of {announced:,} bytes")
    return bytes(data)
