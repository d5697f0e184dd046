"""The pages of docs/results/: what the sweeps of pipelines/explore-*.yaml found, as tables, pictures and CSV.

    python benchmarks/results.py [--runs runs/results] [-o docs/results] [NAME ...]

Nothing is trained here: `make results` runs the sweeps first, which takes hours, and goes on where it was. A page says of how
many seeds its figures are the mean, and which points are not there yet.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from compress import codecs
from compress.artifact.reader import read
from compress.codecs import gaps
from compress.explore import cost, results, space, sweep
from compress.explore.means import Mean, SeedMean, n_seeds, over_seeds
from compress.explore.results import Result
from compress.explore.space import Space
from compress.layer import SharedLayer
from compress.models.describe import describe
from compress.plots.lines import Panel, Spot, lines
from compress.plots.tradeoff import tradeoff

FORMATS = ("png", "svg")
ALEXNET = "AlexNet"  # the label of the point that ratios are to
SPARSE = "train.sparse"  # the field of points that are pruned while they are trained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PAGES)}; default: all")
    parser.add_argument("--runs", type=Path, default=Path("runs/results"))
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - PAGES.keys():
        parser.error(f"no page is called {', '.join(sorted(unknown))}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or PAGES:
        page = Page(name, arguments.runs, arguments.output)
        if page.found:
            PAGES[name](page)
            page.write()
        print(f"{name}: {len(page.found)} of {page.n_points} points" + ("" if page.found else "; no page"))


class Page:
    """A page while it is written. found: the results that are there, by index."""

    def __init__(self, name: str, runs: Path, output: Path) -> None:
        path = space.find(name)
        self.name, self.output = name, output
        self.space: Space = space.load(path)
        points = space.points(self.space, path)
        self.n_points = len(points)
        self.folder = runs / f"explore-{name}"
        read_all = (results.read(self.folder / sweep.POINTS, point) for point in points)
        self.found = [result for result in read_all if result is not None and not result.error]
        self.models = {point.index: point.recipe for point in points}
        self.lines: list[str] = []

    @property
    def means(self) -> list[SeedMean]:
        return over_seeds(self.found)

    def text(self, *paragraphs: str) -> None:
        for paragraph in paragraphs:
            self.lines += [paragraph, ""]

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.lines += ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"]
        self.lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]

    def picture(self, name: str, alt: str, draw: Callable[[str], bytes]) -> None:
        for file_format in FORMATS:
            (self.output / f"{name}.{file_format}").write_bytes(draw(file_format))
        self.text(f"![{alt}]({name}.png)")

    def tradeoff(self, found: Sequence[Result], title: str, name: str, alt: str) -> None:
        self.picture(name, alt, lambda file_format: tradeoff(found, title, file_format, self.space.reference))

    def measured(self) -> None:
        """On what, how often, and what is missing."""
        sets = " and ".join(sorted({f"{result.test_set.partition(':')[0]} (n = {result.n:,})" for result in self.found}))
        fewest, most = n_seeds(self.means)
        seeds = f"{most} seeds" if fewest == most else f"{fewest} to {most} seeds"
        self.text(
            f"Accuracy is top-1 of ten classes on {sets}: Imagenette's validation pictures, never ImageNet's. "
            + (
                f"Means over {seeds}; after ± the standard error of such a mean, the spread of the seeds pooled over all points. "
                f"All are measured on the same pictures: on others of the same classes all would move together, by some "
                f"{self.of_pictures():.1f} points (a standard error)."
                if most > 1
                else "One seed; after ± the standard error of a share of so many pictures, and of a drop its paired one."
            )
        )
        if len(self.found) < self.n_points:
            self.text(
                f"**{len(self.found)} of the {self.n_points} points of the sweep are here**; the others are not trained yet."
            )

    def of_pictures(self) -> float:
        """The standard error of a middling accuracy as a share of so many pictures, in points."""
        shares = sorted((result.top1, result.n) for result in self.found if result.top1 is not None and result.n)
        share, n = shares[len(shares) // 2]
        return 100 * math.sqrt(share * (1 - share) / n)

    def write(self) -> None:
        (self.output / f"{self.name}.csv").write_text(results.table(self.found), encoding="utf-8")
        source, table = f"pipelines/explore-{self.name}.yaml", f"{self.name}.csv"
        how = f"Made by `make results` from `{source}`; [{table}]({table}) has every point of every seed."
        (self.output / f"{self.name}.md").write_text("\n".join([*self.lines, how, ""]), encoding="utf-8")


def design(page: Page, title: str, field: str, shown: str, *texts: str) -> None:
    """A page of SqueezeNets that differ in one field."""
    page.text(f"# {title}", *texts)
    page.measured()
    rows = []
    for mean in page.means:
        model = page.models[mean.results[0].index].model
        thousand = describe(model.model_copy(update={"classes": 1000}), 224).parameters
        net = cost.net_facts(page.models[mean.results[0].index])
        assert net is not None and mean.size_bytes is not None and mean.top1 is not None
        value = mean.results[0].fields[field]
        figures = (percent(mean.fp32_top1), f"{mean.size_bytes:,.0f}", f"{net.fp32_bytes / mean.size_bytes:.1f}")
        counts = (f"{thousand:,}", f"{net.parameters:,}", f"{net.macs:,}", f"{net.fp32_bytes:,}")
        rows.append((str(value), *counts, *figures, percent(mean.top1), percent(mean.drop), str(len(mean.results))))
    heads = (shown, "parameters, 1,000 classes", "10 classes", "MACs", "float32 bytes", "top-1, %", "file, bytes", "x smaller")
    page.table((*heads, "top-1, %", "drop, points", "seeds"), rows)
    page.tradeoff(page.found, page.name, page.name, f"{title}: accuracy against bytes")


def squeeze_ratio(page: Page) -> None:
    design(
        page,
        "Figure 3(a): the squeeze ratio",
        "model.squeeze_ratio",
        "squeeze ratio",
        "SqueezeNet v1.0 with s = SR (e1x1 + e3x3), from scratch on Imagenette: in float32, and as a file (40% of the "
        "weights, 5 bits). The "
        "paper's figures, top-5 of ImageNet, are marks on the right axis: 80.3 at .125, 86.0 at .75 (19 MB), and no more after.",
        SMALL,
    )


def share_of_3x3(page: Page) -> None:
    design(
        page,
        "Figure 3(b): the share of 3x3 filters",
        "model.pct3x3",
        "share of 3x3",
        "SqueezeNet v1.0 at squeeze ratio .5, from scratch on Imagenette: in float32, and as a file (40% of the weights, 5 "
        "bits). The paper's "
        "figure, top-5 of ImageNet, is a mark on the right axis: 85.6 at 50% (13 MB; 85.3 in its drawing), and no more after.",
        SMALL,
    )


def bypass(page: Page) -> None:
    design(
        page,
        "Table 3: bypass connections",
        "model.bypass",
        "bypass",
        "SqueezeNet v1.0 without bypass, with simple and with complex bypass, from scratch on Imagenette: in float32, and as "
        "a file (40% of "
        "the weights, 5 bits). Complex bypass computes to 1,589,672 parameters, 6.36 MB, where the paper prints 7.7 MB. The "
        "paper's top-1 of "
        "ImageNet are marks on the right axis: 57.5, 60.4 and 58.8.",
        SMALL,
    )


SMALL = (
    "Small pictures (crops of 48 pixels, measured at 64) and 12 epochs, so that it is hours on two cores and not days: "
    "compare the points "
    "with each other, not with the paper's ImageNet."
)


def deep_compression(page: Page) -> None:
    """Table 2 of SqueezeNet, figure 6 and the gains of section 4 of Deep Compression."""
    means = {mean.label: mean for mean in page.means}
    page.text("# Table 2: AlexNet and SqueezeNet, compressed")
    page.text(
        "Both nets from scratch on Imagenette, the same crops (104 pixels, measured at 128) and epochs. Bytes are those of "
        "files, but for the "
        "nets as they are, which are float32; ratios are to AlexNet's float32. At 1,000 classes AlexNet has 61,100,840 "
        "parameters: 244 MB, "
        "where the paper says 240 MB; at ten it has 57,044,810, and SqueezeNet v1.0 740,554."
    )
    page.measured()
    if ALEXNET not in means:
        page.text("AlexNet itself is not trained yet, so there is nothing to compare with.")
        return
    whole = means[ALEXNET].fp32_bytes
    assert whole is not None
    rows = []
    for label, bits, papers in TABLE_2:
        mean, net = means.get(label), means.get(label.partition(",")[0])
        if mean is None or net is None:
            rows.append((label, bits, "not trained yet", "", "", "", papers))
            continue
        is_file = bits != "32" or "SVD" in label or "pruned" in label
        size, top1, drop = (mean.size_bytes, mean.top1, drop_from(net, mean)) if is_file else bare(mean)
        assert size is not None
        rows.append((label, bits, f"{size:,.0f}", f"{whole / size:,.1f}", percent(top1), percent(drop) if drop else "", papers))
    page.table(("net", "bits", "bytes", "x smaller than AlexNet", "top-1, %", "drop, points", "the paper, ImageNet"), rows)
    page.text(
        "Of SqueezeNet's ratios 77 are the architecture's, at ten classes; at 1,000 it is 49. A net that is pruned while it "
        "trains is another net: its drop is from another training's top-1, its error that of two, and how far two trainings of "
        "one recipe are apart comes on top. AlexNet lost 1.3 points with 300 steps of retraining; then two longer ways were "
        "tried, and both are here."
    )
    page.tradeoff(
        [mean.results[0] for label, *_ in TABLE_2 if (mean := means.get(label))],
        "table 2",
        "table-2",
        "Table 2: accuracy against bytes",
    )
    ablations(page, means, whole)
    for label in ("AlexNet, Deep Compression", "SqueezeNet, 6 bits"):
        if label in means:
            huffman(page, label, means[label].results[0])


def drop_from(net: SeedMean, mean: SeedMean) -> Mean | None:
    """Of a net's top-1 to a file's: paired where the file is of that very net, else of two trainings."""
    if net.fp32_top1 is None or mean.top1 is None or not is_trained_apart(mean):
        return mean.drop
    return Mean(net.fp32_top1.value - mean.top1.value, math.hypot(net.fp32_top1.error, mean.top1.error))


def is_trained_apart(mean: SeedMean) -> bool:
    """Whether the point trains a net of its own, in another way than the point that it is compared with."""
    return SPARSE in mean.results[0].fields


def bare(mean: SeedMean) -> tuple[float | None, Mean | None, Mean | None]:
    """The uncompressed net's own figures."""
    return float(mean.fp32_bytes or 0), mean.fp32_top1, None


TABLE_2 = (  # label, bits, what the paper's table says: size, reduction, top-1
    ("AlexNet", "32", "240 MB, 57.2"),
    ("AlexNet, SVD", "32", "48 MB, 5x, 56.0"),
    ("AlexNet, pruned", "32", "27 MB, 9x, 57.2"),
    ("AlexNet, Deep Compression", "8 and 5", "6.9 MB, 35x, 57.2"),
    ("AlexNet, pruned, retrained as long as trained", "32", ""),
    ("AlexNet, Deep Compression, retrained as long as trained", "8 and 5", ""),
    ("AlexNet, pruned in training", "32", ""),
    ("AlexNet, that and shared", "8 and 5", ""),
    ("SqueezeNet", "32", "4.8 MB, 50x, 57.5"),
    ("SqueezeNet, 8 bits", "8", "0.66 MB, 363x, 57.5"),
    ("SqueezeNet, 6 bits", "6", "0.47 MB, 510x, 57.5"),
    ("SqueezeNet, pruned in training, 6 bits", "6", ""),
)
WAYS = {  # of figure 6: the points of each line
    "pruned": ("AlexNet, pruned", "pruned to 5%", "pruned to 2.5%"),
    "shared": ("8 and 5 bits", "6 and 4 bits", "5 and 3 bits", "4 and 2 bits"),
    "pruned and shared": ("AlexNet, Deep Compression", "pruned, 6 and 4 bits", "pruned, 5 and 3 bits", "pruned, 4 and 2 bits"),
    "SVD": ("AlexNet, SVD", "SVD of rank 128", "SVD of rank 48", "SVD of rank 16"),
}


def ablations(page: Page, means: dict[str, SeedMean], whole: int) -> None:
    page.text(
        "## Pruning, sharing, both, SVD",
        "Figure 6 of Deep Compression: what AlexNet loses as its file becomes smaller, by each way alone and by both.",
    )
    spots: dict[str, list[Spot]] = {}
    rows = []
    for way, labels in WAYS.items():
        for mean in (means[label] for label in labels if label in means):
            assert mean.size_bytes is not None and mean.drop is not None
            share = 100 * mean.size_bytes / whole
            spots.setdefault(way, []).append(Spot(share, -100 * mean.drop.value, 100 * mean.drop.error))
            rows.append(
                (
                    way,
                    mean.label,
                    f"{mean.size_bytes:,.0f}",
                    f"{share:.2f}",
                    f"{whole / mean.size_bytes:.1f}",
                    percent(mean.top1),
                    percent(mean.drop),
                )
            )
    if not rows:
        return
    page.table(("way", "point", "file, bytes", "% of float32", "x smaller", "top-1, %", "drop, points"), rows)
    panel = Panel("AlexNet, ten classes", spots)
    x, y = "file, % of the float32 bytes, logarithmic", "change of top-1, points"
    page.picture(
        "ways", "What AlexNet loses by each way", lambda form: lines([panel], x=x, y=y, file_format=form, logarithmic=True)
    )


def huffman(page: Page, label: str, result: Result) -> None:
    """Bytes of the two streams of Deep Compression, as they are and by Huffman's code."""
    [path] = Path(result.run).glob("*.sqz")
    layers = [layer for layer in read(path).layers.values() if isinstance(layer, SharedLayer) and layer.codebook is not None]
    page.text(
        f"## Huffman's gain: {label}",
        "The streams of Deep Compression, of fixed width and by Huffman's code, tables counted; then what the file has. A layer "
        "that keeps all its weights needs no gaps.",
    )
    sums = np.zeros((2, 2))
    rows = []
    for layer in layers:
        mask = layer.indices.ravel() != 0
        codes = (layer.indices[layer.indices != 0] - 1).astype(np.uint16)
        n_codes = len(layer.codebook) if layer.codebook is not None else 0
        streams = ((gaps.encode(mask) if not mask.all() else np.zeros(0, np.uint16), 16), (codes, n_codes))
        sizes = np.array([(fixed(symbols, n), coded(symbols, n)) if len(symbols) else (0, 0) for symbols, n in streams])
        sums += sizes
        rows.append((layer.name, f"{100 * mask.mean():.1f}", *cells(sizes)))
    rows.append(("all", "", *cells(sums)))
    page.table(("layer", "density, %", "gaps of 4 bits", "by Huffman", "saved, %", "codes", "by Huffman", "saved, %"), rows)
    both = sums.sum(axis=0)
    page.text(
        f"Both streams: {both[0]:,.0f} bytes of fixed width, {both[1]:,.0f} by Huffman's code "
        f"({100 * (1 - both[1] / both[0]):.1f}% saved); the file "
        f"itself, {path.stat().st_size:,} bytes with codebooks, biases and table, takes the smallest of bitmap or gaps and of "
        f"every coder."
    )


def cells(sizes: np.ndarray) -> list[str]:
    rows = [(f"{plain:,.0f}", f"{packed:,.0f}", f"{100 * (1 - packed / plain):.1f}" if plain else "") for plain, packed in sizes]
    return [cell for row in rows for cell in row]


def fixed(symbols: np.ndarray, alphabet: int) -> int:
    return math.ceil(len(symbols) * math.ceil(math.log2(alphabet)) / 8)


def coded(symbols: np.ndarray, alphabet: int) -> int:
    coder = codecs.coder("huffman")
    model = coder.build_model(np.bincount(symbols, minlength=alphabet).astype(np.int64))
    return len(coder.pack_model(model)) + len(coder.encode(symbols, model))


def centroids(page: Page) -> None:
    page.text("# Where k-means starts")
    page.text(
        "Figure 8 of Deep Compression: SqueezeNet v1.0 at squeeze ratio .125, from scratch on Imagenette, pruned by the "
        "SqueezeNet paper's table, then "
        "2 to 8 bits a weight from linearly spaced, density-based and random centroids, before and after tuning the centroids.",
        SMALL,
    )
    page.measured()
    panels, rows = [], []
    for steps, title in ((0, "not tuned"), (78, "tuned")):
        found: dict[str, dict[int, Spot]] = {init: {} for init in INITS}
        for mean in page.means:
            fields = mean.results[0].fields if mean.results else {}
            if fields.get("quantize.tune.steps") == steps and mean.top1 is not None:
                bits = fields["quantize.bits"]
                found[fields["quantize.init"]][bits] = Spot(bits, 100 * mean.top1.value, 100 * mean.top1.error)
        panels.append(Panel(title, {init: [spots[bits] for bits in sorted(spots)] for init, spots in found.items()}))
        for bits in sorted({bits for spots in found.values() for bits in spots}):
            spots = [found[init].get(bits) for init in INITS]
            rows.append((f"{title}, {bits} bits", *(f"{spot.y:.1f} ± {spot.error:.1f}" if spot else "" for spot in spots)))
    page.table(("", *INITS), rows)
    page.picture(
        "centroids",
        "Top-1 by bits and start of k-means",
        lambda form: lines(panels, x="bits a weight", y="top-1, %", file_format=form),
    )


INITS = ("linear", "density", "random")


def percent(mean: Mean | None) -> str:
    return f"{100 * mean.value:.1f} ± {100 * mean.error:.1f}" if mean is not None else ""


PAGES: dict[str, Callable[[Page], None]] = {
    "squeeze-ratio": squeeze_ratio,
    "3x3-share": share_of_3x3,
    "bypass": bypass,
    "deep-compression": deep_compression,
    "centroids": centroids,
}

if __name__ == "__main__":
    main()
