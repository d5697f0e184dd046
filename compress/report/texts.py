"""Numbers and names as the pages show them."""

from __future__ import annotations

import json
from typing import Any

from compress.ledger import ledger
from compress.plots.labels import one_line, shorten
from compress.report.intervals import wilson

STAGES = {
    "baseline": "the uncompressed net, in the container",
    "svd": "linear layers as products of two thinner ones",
    "prune": "small weights taken out",
    "share": "weights share centroids (k-means)",
    "quantize": "weights rounded to steps",
    "fixed": "beside the path: only the centroids tuned, as in the paper",
    "tune": "tuned towards the uncompressed net's outputs",
    "encode": "the file, written and read again",
}
ASIDE = "fixed"  # a stage whose result no later stage starts from
SET_CHARACTERS = 100


def comma(number: float) -> str:
    return f"{number:,.0f}"


def signed(n_bytes: int) -> str:
    return f"{n_bytes:+,}".replace("-", "−") if n_bytes else "0"


def percent(share: float | None, digits: int = 1) -> str:
    """ "-" for a share that is not known."""
    return "-" if share is None else f"{100 * share:.{digits}f}%"


def significant(number: float | None) -> str:
    return "-" if number is None else f"{number:.2g}"


def share_interval(share: float | None, n: int) -> str:
    """The 95% interval in percent: "49.4 to 58.1"."""
    if share is None:
        return "-"
    low, high = wilson(share, n)
    return f"{100 * low:.1f} to {100 * high:.1f}"


def drop(row: ledger.Row) -> str:
    """Points of top-1 lost, with the half-width of the paired 95% interval."""
    if row.top1_drop is None:
        return "-"
    points = f"{round(100 * row.top1_drop, 1) or 0:+.1f}".replace("-", "−")  # no "−0.0"
    return points if row.drop_interval is None else f"{points} ± {100 * row.drop_interval:.1f}"


def times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 100 else f"{ratio:,.0f}"


def set_name(description: str) -> str:
    """A measuring set's name alone: "imagenet-val500: 500 images of 10 classes, with labels" -> "imagenet-val500"."""
    parts = [part.partition(":")[0] for part in description.split(" + ")]
    return shorten(one_line(" + ".join(parts).partition(";")[0]).removeprefix("agreement on "), SET_CHARACTERS)


def pixels(side: int) -> str:
    """Of a square picture."""
    return f"{side} × {side} pixels"


def reported_first(finals: list[ledger.Row]) -> list[ledger.Row]:
    """Sets that a file was only measured on before the one that its recipe may have been chosen by."""
    return sorted(finals, key=lambda row: not row.stage.startswith("report "))


def fp32_bytes(rows: list[ledger.Row]) -> int:
    """4 bytes for each value of the uncompressed net; rows: of one run."""
    baseline = next((row for row in rows if row.stage == "baseline"), rows[0])
    return 4 * baseline.parameters


def as_json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
