"""Commands that take or make a recipe: run, plan, init, schema."""

from __future__ import annotations

import json
from pathlib import Path

import click

from compress.cli import options
from compress.errors import InputError, TargetMissed


@click.command()
@click.argument("recipe")
@options.overrides
@options.device
@options.runs
@click.option("--fresh", is_flag=True, help="Start over: forget the stages that are finished.")
@click.option(
    "--allow-overlap", is_flag=True, help="Go on where pictures are both tuned and measured on; the ledger tells how many."
)
@options.as_json
def run(
    recipe: str, overrides: tuple[str, ...], device: str, runs: Path, fresh: bool, allow_overlap: bool, as_json: bool
) -> None:
    """Run RECIPE: a YAML file, or the bare name of a recipe that ships with the package (deep, deep-imagenet, digits, ...).

    Goes on after the last stage that is finished with the same recipe and inputs. Exit code 1 when the recipe's target is
    missed; the file is kept.
    """
    import compress
    from compress.display import tables
    from compress.display.progress import Progress

    with Progress(recipe) as progress:
        result = compress.run(
            recipe,
            overrides=overrides,
            runs=runs,
            device=device,
            fresh=fresh,
            allow_overlap=allow_overlap,
            watcher=progress,
        )
    size = result.artifact.stat().st_size
    if as_json:
        rows = [row.__dict__ for row in result.rows]
        click.echo(
            json.dumps(
                {
                    "artifact": str(result.artifact),
                    "size_bytes": size,
                    "margin_bytes": result.margin_bytes,
                    "missed": result.missed,
                    "reused": result.reused,
                    "rows": rows,
                },
                indent=1,
            )
        )
    else:
        tables.ledger(result.rows)
        click.echo(f"{result.artifact}: {size:,} bytes{tables.margin(result.margin_bytes)}")
    if result.missed:
        raise TargetMissed(result.missed)


@click.command()
@click.argument("recipe")
@options.overrides
@options.device
@options.as_json
def plan(recipe: str, overrides: tuple[str, ...], device: str, as_json: bool) -> None:
    """Where the bits of RECIPE (with `rate` and target.max_bytes) would go, and the bytes, without running it.

    Measures how much the outputs mind errors in each layer (half a minute for SqueezeNet) and places the steps.
    """
    from dataclasses import asdict

    from compress import plan as planning
    from compress import recipe_file
    from compress.display import tables
    from compress.pipeline import pick_device

    found = planning.plan(recipe_file.load(recipe, overrides), pick_device(device))
    if as_json:
        click.echo(json.dumps(asdict(found), indent=1))
    else:
        tables.plan(found)


@click.command()
@click.argument("name", default="deep")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write it  [default: NAME.yaml here]"
)
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
def init(name: str, output: Path | None, force: bool) -> None:
    """Copy the commented recipe NAME (deep, digits, ...) to start one's own from."""
    from compress.atomic import write_atomically
    from compress.recipe_file import shipped

    recipes = shipped()
    if name not in recipes:
        raise click.BadParameter(f"{name!r} does not ship with the package; these do: {', '.join(recipes)}", param_hint="NAME")
    output = output or Path(f"{name}.yaml")
    if output.exists() and not force:
        raise InputError(f"{output}: exists; --force overwrites it")
    write_atomically(output, recipes[name].read_bytes())
    click.echo(str(output))


@click.command()
@click.argument("what", type=click.Choice(["recipe", "space"]), default="recipe")
def schema(what: str) -> None:
    """Print the JSON Schema of a recipe, or of a space of recipes, for editors."""
    from compress.recipe import Recipe, json_schema

    if what == "recipe":
        found = json_schema(Recipe)
    else:
        from compress.explore.space import Space

        found = json_schema(Space)
    click.echo(json.dumps(found, indent=1))
