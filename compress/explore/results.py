"""What came of a sweep's points: a JSON file each while it runs, one table of all of them."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from compress.atomic import write_atomically
from compress.explore import inputs
from compress.explore.space import Point
from compress.models.describe import NetFacts

_DIGITS = 16  # of a digest, in a file's name
BASELINE, FINAL = "baseline", "encode"  # the ledger's stages: the uncompressed net, and the file
REPORT = "report"  # what the names of the others begin with that measure the file


@dataclass(frozen=True)
class Result:
    """A point that was run. parameters, fp32_bytes, macs: of the uncompressed net, by its description; None for a net of the
    user's own. fp32_top1: of the uncompressed net; the others are of the file, on test_set. Accuracies and drops are shares;
    drop_interval: half-width of the drop's 95% interval. report: top-1 of the file on each set of data.report, by the stage that
    measured it.
    inputs: digest of what the recipe's paths are here (inputs.py).

    missed: the target that was not met, in words. error: why there is no file, and then no figure but those of the net.
    stopped: why its training was not carried to its end, in words; a search does that, and then there is no file either.
    """

    index: int
    label: str
    fields: dict[str, Any]
    recipe_sha256: str
    parameters: int | None
    fp32_bytes: int | None
    macs: int | None
    fp32_top1: float | None = None
    size_bytes: int | None = None
    top1: float | None = None
    top1_drop: float | None = None
    drop_interval: float | None = None
    agreement: float | None = None
    n: int | None = None
    test_set: str = ""
    seconds: float = 0.0  # of the process that ran it
    run: str = ""  # its folder
    measured_top1: tuple[float, ...] = ()  # of the net while it was trained, after each measurement
    report: dict[str, float] = field(default_factory=dict)
    inputs: str = ""
    missed: str = ""
    stopped: str = ""
    error: str = ""


def of_run(
    point: Point, net: NetFacts | None, printed: Mapping[str, Any], seconds: float, measured_top1: Iterable[float] = ()
) -> Result:
    """printed: what `run --json` prints."""
    rows = {row["stage"]: row for row in printed["rows"]}
    baseline, final = rows[BASELINE], rows[FINAL]
    return Result(
        **_about(point, net),
        fp32_top1=baseline["top1"],
        **{name: final[name] for name in ("size_bytes", "top1", "top1_drop", "drop_interval", "agreement", "n", "test_set")},
        seconds=round(seconds, 1),
        run=str(Path(printed["artifact"]).parent),
        measured_top1=tuple(measured_top1),
        report={name: row["top1"] for name, row in rows.items() if name.startswith(REPORT) and row["top1"] is not None},
        missed=printed["missed"],
    )


def of_failure(point: Point, net: NetFacts | None, error: str, seconds: float) -> Result:
    return Result(**_about(point, net), seconds=round(seconds, 1), error=error)


def of_stopped(point: Point, net: NetFacts | None, why: str, seconds: float, measured_top1: Iterable[float]) -> Result:
    return Result(**_about(point, net), seconds=round(seconds, 1), measured_top1=tuple(measured_top1), stopped=why)


def _about(point: Point, net: NetFacts | None) -> dict[str, Any]:
    counts = {name: getattr(net, name) if net is not None else None for name in ("parameters", "fp32_bytes", "macs")}
    about = {"index": point.index, "label": point.label, "fields": dict(point.fields), "recipe_sha256": point.recipe.digest()}
    return about | counts


def write(folder: Path, result: Result) -> None:
    """Raises OSError."""
    write_atomically(_file(folder, result.recipe_sha256), json.dumps(asdict(result), indent=1).encode())


def read(folder: Path, point: Point) -> Result | None:
    """None where the point was not run, or with other files under the same names, or where its file is damaged."""
    try:
        facts = json.loads(_file(folder, point.recipe.digest()).read_bytes())
        result = Result(**facts | {"measured_top1": tuple(facts["measured_top1"])})
        if result.inputs != inputs.digest(point.recipe):
            return None
        return replace(result, index=point.index, label=point.label, fields=dict(point.fields))
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def forget_stopped(folder: Path) -> None:
    """What was stopped by another search than the one that is to come. Raises OSError."""
    for path in folder.glob("*.json"):
        with contextlib.suppress(ValueError, LookupError, TypeError):
            if json.loads(path.read_bytes())["stopped"]:
                path.unlink()


def _file(folder: Path, sha256: str) -> Path:
    return folder / f"{sha256[:_DIGITS]}.json"


COLUMNS = [column.name for column in fields(Result) if column.name not in ("label", "fields", "inputs")]


def table(results: Sequence[Result]) -> str:
    """CSV: index and label of the points, their fields, a column each; then COLUMNS."""
    names = list(dict.fromkeys(name for result in results for name in result.fields))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["index", "label", *names, *COLUMNS[1:]])
    for result in results:
        writer.writerow([result.index, result.label, *(_cell(result.fields.get(name)) for name in names), *_figures(result)])
    return out.getvalue()


def _figures(result: Result) -> list[str]:
    return [_cell(getattr(result, name)) for name in COLUMNS[1:]]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)  # numbers, lists and tables
