"""The command that tells what training sends: comm."""

from __future__ import annotations

import json

import click

from compress.cli import options


@click.command()
@click.argument("recipe", required=False)
@options.overrides
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=512, show_default=True, help="Images of a step, on all workers together."
)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=1_281_167,
    show_default=True,
    help="Images of an epoch; ImageNet's by default.",
)
@options.as_json
def comm(recipe: str | None, overrides: tuple[str, ...], batch_size: int, images: int, as_json: bool) -> None:
    """What data-parallel training sends: AlexNet, SqueezeNet v1.0 and v1.1, and the net of RECIPE.

    The bytes of a step are measured on two processes of this machine (half a minute); the times of an all-reduce on up to 1,024
    workers are computed from them.
    """
    if overrides and recipe is None:
        raise click.UsageError("--set changes a field of RECIPE, and there is none")
    from dataclasses import asdict

    from compress import recipe_file
    from compress.display import communication as display
    from compress.train import communication

    nets = communication.published_nets()
    if recipe is not None:
        nets.append(communication.net_of(recipe_file.load(recipe, overrides)))
    click.echo(f"measuring {', '.join(net.name for net in nets)}", err=True)
    rows = communication.communication(nets, images=images, batch_size=batch_size)
    steps = communication.steps_per_epoch(images, batch_size)
    if as_json:
        facts = {"images": images, "batch_size": batch_size, "steps_per_epoch": steps, "nets": [asdict(row) for row in rows]}
        click.echo(json.dumps(facts, indent=1))
    else:
        display.communication(rows, images=images, batch_size=batch_size, steps=steps)
