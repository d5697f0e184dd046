"""Figures of README.md that come from the published files and their ledger are recomputed from these; every table is known."""

import csv
import re
from pathlib import Path

import pytest

from compress.artifact.inspect import inspect, parts_of
from compress.ledger import ledger

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
ROWS = ledger.read(ROOT / "artifacts" / "ledger.csv")
ALEXNET_BYTES = 240_000_000

# Tables by their first line. Of those that are not recomputed, the last column or the text names the script that measures.
RECOMPUTED = {
    "file | bytes | x smaller than AlexNet",
    "file | bytes | set | n",
    "training | top-1 | file | top-1 of it, drop",
    "sent | bytes a device | bytes for all",
    "net | bytes | x smaller than AlexNet | top-1",
}
MEASURED_BY_SCRIPTS = {
    "what | measured | by",
    "`deep.sqz` at 224 pixels, one thread, quiet | measured (`benchmarks/inference.py`)",
}
WITHOUT_FIGURES = {"command |", "code |", "figure |", "file |"}


def tables():
    """(first line, [cells of a row])."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", README, re.MULTILINE):
        lines = [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in block.splitlines()]
        found.append((" | ".join(lines[0]), lines[2:]))
    return found


def table(start):
    [rows] = [rows for first, rows in tables() if first.startswith(start)]
    return rows


def row_of(name, stage):
    """The ledger's row of a published file."""
    found = [row for row in ROWS if row.run_id.rpartition("-")[0] == name and row.stage == stage]
    assert len(found) == 1, (name, stage)
    return found[0]


def measured(name, image_set):
    """On a set of images; `han` and `han-6bit` are measured on val500 by their last stage."""
    reports = [row for row in ROWS if row.run_id.rpartition("-")[0] == name and row.test_set.startswith(image_set)]
    return next(row for row in reports if row.stage in ("encode", f"report {image_set}"))


def plain(cell):
    return cell.replace("**", "").replace("`", "").replace(",", "")


def name_of(cell):
    return re.match(r"`artifacts/(.+)\.sqz`", cell)


def share(value):
    return f"{value:.3f}".removeprefix("0")


def top(row):
    return f"{100 * row.top1:.1f}/{100 * row.top5:.1f}"


def drop(row, sign=""):
    return f"{100 * row.top1_drop:{sign}.1f} ± {100 * row.drop_interval:.1f}"


def test_every_table_is_recomputed_or_measured_by_a_named_script():
    starts = RECOMPUTED | MEASURED_BY_SCRIPTS | WITHOUT_FIGURES
    unknown = [first for first, _ in tables() if not any(first.startswith(start) for start in starts)]
    assert unknown == []
    for start in RECOMPUTED | MEASURED_BY_SCRIPTS:
        assert table(start)


def test_a_file_has_the_bytes_that_are_said_wherever_it_is_named():
    found = 0
    for _, rows in tables():
        for cells in rows:
            for here, cell in enumerate(cells):
                match = name_of(cell)
                sizes = [plain(other) for other in cells[here + 1 :] if re.fullmatch(r"\*\*[\d,]{5,}\*\*", other)]
                if match and sizes:
                    assert int(sizes[0]) == (ROOT / "artifacts" / f"{match[1]}.sqz").stat().st_size, match[1]
                    found += 1
    assert found >= 16


@pytest.mark.parametrize("cells", [r for r in table("file | bytes | x smaller") if name_of(r[0])], ids=lambda r: r[0])
def test_the_table_of_byte_targets(cells):
    name = name_of(cells[0])[1]
    assert cells[2] == str(round(ALEXNET_BYTES / int(plain(cells[1]))))
    sets = [measured(name, image_set) for image_set in ("imagenet-val500", "imagenet-broad250")]
    for cell, row in zip(cells[3:5], sets, strict=True):
        assert cell == f"{top(row)}, {drop(row, '+')}, {share(row.agreement)}"
    both = [sum(row.n * value(row) for row in sets) / 750 for value in (lambda r: r.top1_drop, lambda r: r.agreement)]
    said = re.fullmatch(r"([+-][\d.]+) ± [\d.]+, ([\d.]+)", cells[5])
    assert (said[1], said[2]) == (f"{100 * both[0]:+.1f}".replace("-0.0", "+0.0"), share(both[1]))


# deep.sqz is measured on photographs by benchmarks/accuracy.py: its recipe, which needs no data set, reports on none.
@pytest.mark.parametrize(
    "cells",
    [r for r in table("file | bytes | set") if name_of(r[0]) and name_of(r[0])[1] != "deep"],
    ids=lambda r: r[0] + r[2],
)
def test_the_table_of_deep_compression(cells):
    row = measured(name_of(cells[0])[1], f"imagenet-{cells[2]}")
    agreement = "1" if row.agreement == 1 else share(row.agreement)
    said = [str(row.n), f"{100 * row.top1:.1f}", f"{100 * row.top5:.1f}", drop(row), agreement, share(row.mean_kl)]
    assert cells[3:] == said


@pytest.mark.parametrize("cells", [r for r in table("training | top-1") if name_of(r[2])], ids=lambda r: r[2])
def test_the_table_of_trainings(cells):
    name = name_of(cells[2])[1]
    first, last = row_of(name, "baseline"), row_of(name, "encode")
    assert plain(cells[1]) == f"{100 * first.top1:.1f}"
    assert cells[3].replace("**", "") == f"{100 * last.top1:.1f}, {drop(last)}, agreement {share(last.agreement)}"


@pytest.mark.parametrize("cells", [r for r in table("file | bytes | x smaller") if not name_of(r[0])], ids=lambda r: r[0] + r[1])
def test_ratios_of_files_that_are_not_ours(cells):
    assert cells[2] == str(round(ALEXNET_BYTES / int(plain(cells[1]))))


def test_fp32_is_four_bytes_a_parameter():
    parameters = row_of("smallest", "baseline").parameters
    said = [r[1] for start in ("file | bytes | x", "file | bytes | set") for r in table(start) if "fp32" in r[0]]
    assert len(said) == 3 and {int(plain(size)) for size in said} == {4 * parameters}
    assert f"fp32 {4 * parameters / 1e6:.2f} MB" in README


# Bytes of the updates are measured by benchmarks/delta.py; what a million devices take at 100 kbit/s follows from them.
@pytest.mark.parametrize("cells", table("sent | bytes a device"), ids=lambda r: r[0])
def test_the_table_of_updates(cells):
    size = int(plain(cells[1]))
    assert int(plain(cells[2])) == 10**6 * size
    hours = 8 * size / 100_000 / 3600
    assert float(cells[3]) == pytest.approx(hours, rel=0.1) and cells[4] == f"{10**6 * hours:,.0f}"
    assert size == {"AlexNet, float32": ALEXNET_BYTES, "SqueezeNet v1.1, float32": 4_941_984}.get(cells[0], size)


def test_what_is_beside_the_codes_of_a_file():
    [said] = [r[1] for r in table("what | measured") if "coder models of `deep.sqz`" in r[0]]
    parts = parts_of(inspect(ROOT / "artifacts" / "deep.sqz"))
    assert said == f"{parts.table_bytes + parts.model_bytes:,} bytes; its codebooks take {parts.codebook_bytes:,} more"
    [decoding] = [r[1] for r in table("`deep.sqz` at 224 pixels") if r[0].startswith("decoding alone")]
    assert f"for {parts.size_bytes:,} bytes;" in decoding


def test_the_published_files_are_there():
    files = {path.name for path in (ROOT / "artifacts").glob("*.sqz")}
    assert set(re.findall(r"artifacts/([\w-]+\.sqz)", README)) <= files
    assert f"on the {len(files)} published files" in README


def test_what_make_run_ends_with():
    lines = re.findall(r"^deep-\w{8}.*$", README, re.MULTILINE)
    assert len(lines) == 6
    for line in lines:
        run_id, stage, nonzeros, bits, size, fp32, alexnet, *_, agreement, kl, n, _seconds = line.split()
        [row] = [row for row in ROWS if (row.run_id, row.stage) == (run_id, stage)]
        assert [nonzeros, size] == [f"{row.nonzeros:,}", f"{row.size_bytes:,}"]
        assert [bits, fp32, alexnet] == [f"{row.bits_per_weight:.2f}", f"{row.ratio_fp32:.1f}", f"{row.ratio_alexnet:.0f}"]
        assert [agreement, kl, n] == [f"{row.agreement:.3f}", f"{row.mean_kl:.4f}", str(row.n)]


def test_the_ratios_of_the_text():
    sizes = {path.stem: path.stat().st_size for path in (ROOT / "artifacts").glob("*.sqz")}
    first, second = (str(round(ALEXNET_BYTES / sizes[name])) for name in ("deep", "deep-imagenet"))
    assert f"{first} and {second} times smaller than AlexNet" in README.replace("\n", " ")
    assert f"{sizes['deep']:,} bytes, {500_000 - sizes['deep']:,} under the target" in README


# Rows of the table of ten classes: the label of the point, and whether the row is of its uncompressed net.
OF_TEN_CLASSES = (
    ("AlexNet", True),
    ("AlexNet, Deep Compression", False),
    ("AlexNet, Deep Compression, retrained as long as trained", False),
    ("SqueezeNet", True),
    ("SqueezeNet, 6 bits", False),
    ("SqueezeNet, pruned in training, 6 bits", False),
)


def test_the_nets_of_ten_classes_are_those_of_their_page():
    with (ROOT / "docs" / "results" / "deep-compression.csv").open(newline="") as file:
        points = {row["label"]: row for row in csv.DictReader(file)}
    whole = int(points["AlexNet"]["fp32_bytes"])
    rows = table("net | bytes | x smaller than AlexNet | top-1")
    for (_, size, ratio, top1), (label, is_bare) in zip(rows, OF_TEN_CLASSES, strict=True):
        n_bytes = int(points[label]["fp32_bytes" if is_bare else "size_bytes"])
        assert int(plain(size)) == n_bytes, label
        exact = whole / n_bytes
        assert plain(ratio) == f"{exact:.{1 if 2 < exact < 50 else 0}f}", label
        assert top1 == f"{100 * float(points[label]['fp32_top1' if is_bare else 'top1']):.1f}", label
