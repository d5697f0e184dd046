"""The command that trains alone: train."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import click

from compress.cli import options


@click.command()
@click.argument("recipe")
@options.overrides
@options.device
@options.runs
@click.option(
    "--resume",
    type=click.Path(file_okay=False, path_type=Path),
    help="Go on in this run's folder; refused, with the difference, where its recipe is another.",
)
@click.option("--fresh", is_flag=True, help="Start over: forget what was trained, and what was made of it.")
@click.option("--stop-after", type=click.IntRange(min=1), metavar="STEPS", help="Stop at this step, with a checkpoint.")
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard's events too, to the run's train/tensorboard.")
@click.option("--allow-overlap", is_flag=True, help="Go on where pictures are both trained and measured on.")
@options.as_json
def train(
    recipe: str,
    overrides: tuple[str, ...],
    device: str,
    runs: Path,
    resume: Path | None,
    fresh: bool,
    stop_after: int | None,
    tensorboard: bool,
    allow_overlap: bool,
    as_json: bool,
) -> None:
    """Train the net of RECIPE and nothing else; `run` with the same recipe goes on from there.

    Goes on after the last checkpoint. Under torchrun (`torchrun --nproc-per-node 8 -m compress train RECIPE`) the processes
    share each batch. Ctrl-C and SIGTERM finish the step at work and write a checkpoint: exit code 130.
    """
    from compress import recipe_file
    from compress.display import tables
    from compress.display.progress import Progress
    from compress.pipeline import train as train_recipe
    from compress.train.distributed import from_environment

    checked = recipe_file.load(recipe, overrides)
    with Progress(recipe) if from_environment().is_first else nullcontext() as progress:
        result = train_recipe(
            checked,
            runs=runs,
            resume=resume,
            device=device,
            fresh=fresh,
            stop_after=stop_after,
            tensorboard=tensorboard,
            allow_overlap=allow_overlap,
            watcher=progress,
        )
    if result is None:  # another rank than the first
        return
    if as_json:
        click.echo(json.dumps({"folder": str(result.folder), "reused": result.reused, "row": result.row.__dict__}, indent=1))
    else:
        tables.ledger([result.row])
        click.echo(str(result.folder))
