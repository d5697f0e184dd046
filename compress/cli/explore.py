"""The commands of the design space: explore, describe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compress.cli import options

if TYPE_CHECKING:
    from compress.explore.results import Result
    from compress.explore.space import Point, Space
    from compress.models.describe import NetFacts


@click.command()
@click.argument("space")
@click.option("--dry-run", is_flag=True, help="Print what every point costs, and run nothing.")
@click.option("--processes", type=click.IntRange(min=1), metavar="N", help="Points at a time.  [default: one for each core]")
@click.option("--on", "where", metavar="ray|ray://HOST:PORT", help="Run the points on a Ray cluster, or on Ray here.")
@options.device
@options.runs
@click.option("--fresh", is_flag=True, help="Forget all that the sweep has trained and found, and run every point again.")
@click.option("--yes", is_flag=True, help="More than 10,000 points are meant.")
@options.as_json
def explore(
    space: str,
    dry_run: bool,
    processes: int | None,
    where: str | None,
    device: str,
    runs: Path,
    fresh: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Run every point of SPACE and compare them: a YAML file that names a recipe and the values that its fields take, or the bare
    name of one that ships with the package (squeeze-ratio, 3x3-share, bypass, deep-compression, centroids).

    The cores are divided among the processes. A point that fails is a row with its error; a sweep that is stopped goes on when
    it is started again. Exit code 1 when a point failed, or missed its target.
    """
    from compress.display import explore as display
    from compress.errors import TargetMissed
    from compress.explore import cost, means, results, search, sweep
    from compress.explore import space as spaces

    if where is not None and where != "ray" and not where.startswith("ray://"):
        raise click.BadParameter(f"{where!r} must be ray, or ray://HOST:PORT", param_hint="--on")
    path = spaces.find(space)
    found = spaces.load(path)
    points = spaces.points(found, path, allow_many=yes)
    if dry_run and found.search is not None:
        points = spaces.samples(found, path)
    nets = cost.nets_of(points, path)
    if dry_run:
        if as_json:
            _print_plan(points, nets)
        else:
            display.plan(points, nets, n_trials=found.search.trials if found.search is not None else None)
        return
    folder = runs / f"explore-{found.name}"
    n_done = 0

    def on_result(result: results.Result, was_there: bool) -> None:
        nonlocal n_done
        n_done += 1
        click.echo(display.progress(result, was_there, n_done, found.n_points), err=True)

    ray = "auto" if where == "ray" else where
    setting = sweep.Sweep(folder, processes, device=device, fresh=fresh, ray=ray)
    if found.search is not None:
        rows = search.run(found, path, setting, on_result)
    else:
        rows = sweep.run(points, nets, setting, on_result)
    front = {result.index for mean in means.front(means.over_seeds(rows)) for result in mean.results}
    pictures = _draw(rows, folder, found)
    if as_json:
        facts = {"folder": str(folder), "table": str(folder / sweep.TABLE), "pictures": [str(path) for path in pictures]}
        click.echo(json.dumps(facts | {"points": [vars(row) for row in rows], "front": sorted(front)}, indent=1))
    else:
        display.results(rows, front, folder)
    if found.search is not None and not any(row.report for row in rows):
        click.echo(
            "note: the points were chosen by the pictures that they are measured on, which flatters the best; data.report "
            "may name others",
            err=True,
        )
    n_failed = sum(bool(row.error) for row in rows)
    n_missed = sum(bool(row.missed) for row in rows)
    if n_failed or n_missed:
        raise TargetMissed(f"{folder}: of {len(rows)} points {n_failed} failed and {n_missed} missed their target")


@click.command()
@click.argument("recipe")
@options.overrides
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Draw the net: a .svg or .png file.")
@options.as_json
def describe(recipe: str, overrides: tuple[str, ...], output: Path | None, as_json: bool) -> None:
    """Show the net of RECIPE layer by layer: outputs, parameters, multiply-accumulates, bytes."""
    from dataclasses import asdict

    from compress import recipe_file
    from compress.display import explore as display
    from compress.errors import InputError
    from compress.explore.cost import net_facts

    if output is not None and output.suffix not in (".svg", ".png"):
        raise click.BadParameter(f"{output}: must end in .svg or .png", param_hint="-o")
    found = recipe_file.load(recipe, overrides)
    facts = net_facts(found)
    if facts is None:
        raise InputError(f"{recipe}: model.factory: only SqueezeNet and AlexNet are described")
    if output is not None:
        from compress.atomic import write_atomically
        from compress.plots.architecture import architecture

        write_atomically(output, architecture(facts, found.name, output.suffix[1:]))
    if as_json:
        totals = {name: getattr(facts, name) for name in ("parameters", "fp32_bytes", "macs", "peak_activation_bytes")}
        click.echo(json.dumps(asdict(facts) | totals, indent=1))
    else:
        display.net(facts)


def _print_plan(points: Sequence[Point], nets: Sequence[NetFacts | None]) -> None:
    rows = []
    for point, facts in zip(points, nets, strict=True):
        names = ("parameters", "fp32_bytes", "macs", "peak_activation_bytes", "side")
        counts = {name: getattr(facts, name) if facts is not None else None for name in names}
        rows.append({"index": point.index, "label": point.label, "fields": point.fields} | counts)
    click.echo(json.dumps(rows, indent=1))


def _draw(rows: Sequence[Result], folder: Path, space: Space) -> list[Path]:
    """The picture of the trade, as PNG and SVG; none, with a note, without matplotlib."""
    from compress.atomic import write_atomically
    from compress.errors import MissingDependency
    from compress.plots.tradeoff import tradeoff

    if not any(row.size_bytes is not None and row.top1 is not None for row in rows):
        return []
    paths = []
    for file_format in ("png", "svg"):
        try:
            content = tradeoff(rows, space.name, file_format, space.reference)
        except MissingDependency as error:
            click.echo(f"note: no picture: {error}", err=True)
            return []
        paths.append(folder / f"tradeoff.{file_format}")
        write_atomically(paths[-1], content)
    return paths
