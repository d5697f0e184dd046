"""The C runtime that ships with the package (native/), and the memory that it takes to run a file's net."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from compress.artifact.decoder_memory import decoder_bytes
from compress.artifact.layout import LayerRecord
from compress.errors import InputError
from compress.recipe import SqueezeNetSpec

# What sqz_gemm.h and sqz_net.c have for SQZ_SMALL, and for any other machine at most.
SMALL_ROWS, SMALL_COLUMNS, SMALL_GROUP = 4, 4, 8
MOST_ROWS, MOST_COLUMNS, GROUP = 8, 32, 16
WHOLE = 16_384  # weights of a layer that is decoded before it runs, at most
ALIGNMENT, FLOAT = 16, 4  # bytes
DECODER_TABLES = 16_384  # bytes, at most, beside what a decoder must keep: what its constants are looked up in


def folder() -> Path:
    """native/, of the wheel or of a checkout."""
    for found in (Path(str(resources.files("compress"))) / "native", Path(__file__).parent.parent.parent / "native"):
        if (found / "sqz.h").is_file():
            return found
    raise InputError("the C runtime is not there: this installation of squeeze-compress is not whole")


def sources() -> list[Path]:
    """The library's files, without what hosts alone need (metadata's spelling, updates)."""
    left_out = {"sqz_metadata.c", "sqz_delta.c"}
    return [path for path in sorted(folder().glob("sqz*.[ch]")) if path.name not in left_out]


def streamed_memory(spec: SqueezeNetSpec, side: int, records: list[LayerRecord], *, value_bytes: int, small: bool) -> int:
    """Bytes that sqz_net_run takes with weights from the file: at most so many, and at most DECODER_TABLES more than just enough.

    side: of the image, pixels. value_bytes: of an activation, 4 or 1. small: as with SQZ_SMALL, else on any machine.
    """
    by_name = {record.name: record for record in records}
    rows, columns, group_rows = (SMALL_ROWS, SMALL_COLUMNS, SMALL_GROUP) if small else (MOST_ROWS, MOST_COLUMNS, GROUP)

    def whole(layer: str) -> bool:
        weight = by_name[f"{layer}.weight"]
        filters = weight.dims[0]
        return _up(filters, rows) * (weight.n_weights // filters) <= WHOLE or filters <= group_rows

    def n_rows(layer: str) -> int:
        return _up(by_name[f"{layer}.weight"].dims[0] if whole(layer) else group_rows, rows)

    def end(layer: str, at: int, free: tuple[int, int | None] = (0, 0)) -> int:
        """Where what a convolution works with ends, if it begins at `at`. free: memory that nothing is in until it has run."""
        weight, bias = by_name[f"{layer}.weight"], by_name[f"{layer}.bias"]
        filters, n_in = weight.dims[0], weight.n_weights // weight.dims[0]
        parts = sum(_up(FLOAT * n, ALIGNMENT) for n in (n_in * columns, _up(filters, rows), n_rows(layer) * n_in, n_in))
        decoder = _up(max(decoder_bytes(record) for record in (weight, bias)) + DECODER_TABLES, ALIGNMENT)
        begin, limit = free
        if whole(layer) and limit is None:
            return max(at, begin + decoder) + parts
        if whole(layer) and limit is not None and begin + decoder <= limit:
            return at + parts
        return at + parts + decoder

    def planes(channels: int, side: int) -> int:
        return _up(channels * side * side * value_bytes, ALIGNMENT)

    conv1 = by_name["features.0.weight"]
    at = (side - conv1.dims[2]) // spec.conv1_stride + 1
    pools = 0 in spec.pool_after
    ring = _up((3 if pools else 1) * n_rows("features.0") * at * FLOAT, ALIGNMENT)
    at = at // 2 if pools else at
    channels = conv1.dims[0]
    image = _up(side * side * conv1.dims[1], ALIGNMENT)
    most = end("features.0", planes(channels, at) + ring, (0, None)) + image
    for number, has_pool in _fires(spec):
        names = [f"features.{number}.{part}" for part in ("squeeze", "expand1x1", "expand3x3")]
        squeeze, e1x1, e3x3 = (by_name[f"{name}.weight"].dims[0] for name in names)
        bypass = f"features.{number}.bypass"
        by_conv = f"{bypass}.weight" in by_name
        identity = spec.bypass != "none" and not by_conv and channels == e1x1 + e3x3
        before, after = planes(channels, at), planes(e1x1 + e3x3, at)
        out = before if by_conv else 0
        squeezed = before + after if by_conv else max(before, after)
        live = squeezed + planes(squeeze, at)
        most = max(most, end(names[0], live, (squeezed, None)))
        if by_conv:
            most = max(most, end(bypass, live, (out, squeezed)))
        for name, limit in zip(names[1:], (out + e1x1 * at * at * value_bytes, squeezed), strict=True):
            most = max(most, end(name, live, (0, 0) if by_conv or identity else (out, limit)))
        channels = e1x1 + e3x3
        at = at // 2 if has_pool else at
    return max(most, end("classifier.1", planes(channels, at)))


def _fires(spec: SqueezeNetSpec) -> Iterator[tuple[int, bool]]:
    """Of each Fire module its number in `features`, and whether a pool follows."""
    number = 3 if 0 in spec.pool_after else 2
    for i in range(1, spec.n_fires + 1):
        yield number, i in spec.pool_after
        number += 2 if i in spec.pool_after else 1


def _up(n: int, step: int) -> int:
    return (n + step - 1) // step * step
