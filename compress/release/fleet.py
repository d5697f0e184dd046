"""What it takes to send a net to many devices: the paper's second reason for a small one (Iandola et al. 2016, section 1)."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from compress.artifact import delta as delta_file
from compress.artifact import delta_apply, reader
from compress.artifact.layout import Kind
from compress.errors import InputError
from compress.ledger.ledger import ALEXNET_BYTES

FP32_BYTES = 4
MAX_DEVICES = 10**12
RATE = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)(k|M|G)?bit(?:/s)?", re.ASCII)
DEVICES = re.compile(r"\d{1,13}(?:\.\d{1,13})?(?:[eE]\+?\d{1,2})?", re.ASCII)
PREFIXES = {None: 1, "k": 10**3, "M": 10**6, "G": 10**9}
RATE_RULE = "must be a number and one of bit, kbit, Mbit, Gbit, a second, for instance 100kbit or 2.5Mbit/s"


@dataclass(frozen=True)
class Row:
    """One thing that could be sent. device_bytes: for one device."""

    what: str
    device_bytes: int
    fleet_bytes: int
    device_hours: float  # one device, at the rate
    fleet_hours: float  # all of them, one after the other


@dataclass(frozen=True)
class Fleet:
    n_devices: int
    bits_per_second: float
    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def fleet(
    file: str | os.PathLike[str],
    *,
    n_devices: int,
    bits_per_second: float,
    against: str | os.PathLike[str] | None = None,
    update: str | os.PathLike[str] | None = None,
) -> Fleet:
    """AlexNet, the net of `file` in float32, the file, and an update to it.

    against: the file that devices have; both forms of a delta from it are made. update: or a .sqzd that is there.
    Raises ArtifactError; InputError for a delta that does not make `file`."""
    with reader.named(file):
        contents = reader.parse(reader.read_file(file), reader.NO_LIMIT)
    digest = reader.verify(file)
    n_values = sum(record.n_weights for record in contents.records if record.kind != Kind.RAW_I64)
    things = [
        ("AlexNet, float32 (nominal)", ALEXNET_BYTES),
        (f"this net, float32 ({n_values:,} values)", FP32_BYTES * n_values),
        (Path(file).name, len(contents.data)),
    ]
    if against is not None:
        made = delta_file.make(against, file, form="auto")
        sizes = (("block", made.block_size), ("symbol", made.symbol_size))
        things += [(f"delta after {Path(against).name}, {form} form", size) for form, size in sizes if size is not None]
    if update is not None:
        things.append((f"{Path(update).name}, {_form(update, file, digest)} form", Path(update).stat().st_size))
    return Fleet(n_devices, bits_per_second, tuple(_row(*thing, n_devices, bits_per_second) for thing in things))


def _form(update: str | os.PathLike[str], file: str | os.PathLike[str], digest: str) -> str:
    header = delta_apply.check(update)
    if header.new_sha256.hex() != digest:
        raise InputError(f"{update}: makes the file of SHA-256 {header.new_sha256.hex()}, {file} is of SHA-256 {digest}")
    return header.form.name.lower()


def _row(what: str, device_bytes: int, n_devices: int, bits_per_second: float) -> Row:
    hours = 8 * device_bytes / bits_per_second / 3600
    return Row(what, device_bytes, device_bytes * n_devices, hours, hours * n_devices)


def parse_rate(text: str) -> float:
    """Bits a second of "100kbit", "2.5Mbit/s". k, M and G are powers of 1000. Raises InputError."""
    match = RATE.fullmatch(text)
    if match is None or not float(match[1]):
        raise InputError(f"rate is {text!r}, {RATE_RULE}")
    return float(match[1]) * PREFIXES[match[2]]


def parse_devices(text: str) -> int:
    """A number of devices, "1e6" too. Raises InputError."""
    number = Decimal(text if DEVICES.fullmatch(text) else 0)
    if not 1 <= number <= MAX_DEVICES or number != int(number):
        raise InputError(f"devices is {text!r}, must be a whole number from 1 to {MAX_DEVICES:.0e}, for instance 1e6")
    return int(number)
