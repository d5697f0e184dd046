"""The command line: every command parses, calls, and echoes. Data go to stdout, progress and errors to stderr.

Imports of the package are inside the commands, so that `--help` costs no numpy and reading a file costs no torch.
"""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any, NoReturn

import click

from compress.errors import CompressError, InputError, MissingDependency, TargetMissed

EXIT_CODES = """\b
Exit codes:
  0    done
  1    judged and missed (the target, a limit)
  2    bad input, bad usage, or could not judge
  130  interrupted; finished stages are kept"""


class Group(click.Group):
    """Turns the package's errors into a message and an exit code; a traceback only with --debug."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted; finished stages are kept", err=True)
            ctx.exit(130)
        except CompressError as error:
            _give_up(ctx, str(error), error.exit_code)
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] == "compress":
                raise
            message = f"this command needs {error.name}: pip install 'squeeze-compress[train]'"
            _give_up(ctx, message, MissingDependency.exit_code)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except OSError as error:
            message = f"{error.filename or 'input/output'}: {error.strerror or error}"
            _give_up(ctx, message, InputError.exit_code)
        except Exception as error:  # a bug: it must not leave with 1, which means "judged and missed"
            _give_up(
                ctx,
                f"internal error: {error!r}; please report it with the traceback of `squeeze-compress --debug ...`",
                InputError.exit_code,
            )


def _give_up(ctx: click.Context, message: str, exit_code: int) -> NoReturn:
    """Inside an except block: say why, with the traceback where --debug asked for it, and leave."""
    if ctx.params.get("debug"):
        click.echo(traceback.format_exc(), err=True, nl=False)
    click.echo(f"error: {message}", err=True)
    ctx.exit(exit_code)


@click.group(cls=Group, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="squeeze-compress", prog_name="squeeze-compress")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Prune, share and encode a neural network into one small file, with a ledger of what it cost.

    \b
    squeeze-compress run deep            SqueezeNet, ImageNet weights, one file under 500,000 bytes
    squeeze-compress inspect deep.sqz    where the bytes of a file are
    squeeze-compress predict deep.sqz cat.jpg
    """


as_json = click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")
sqz_file = click.argument("file", type=click.Path(path_type=Path))


@main.command()
@click.argument("recipe")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Change a field of the recipe, for instance --set quantize.bits=6. Repeatable.",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True, help="Where to compute."
)
@click.option(
    "--runs",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where the run's folder is made.",
)
@click.option("--fresh", is_flag=True, help="Start over: forget the stages that are finished.")
@as_json
def run(recipe: str, overrides: tuple[str, ...], device: str, runs: Path, fresh: bool, as_json: bool) -> None:
    """Run RECIPE: a YAML file, or the bare name of a recipe that ships with the package (deep, digits).

    Goes on after the last stage that is finished with the same recipe and inputs. Exit code 1 when the file is larger than
    the recipe's target.max_bytes; the file is kept.
    """
    import compress
    from compress import display

    with display.Progress(recipe) as progress:
        result = compress.run(recipe, overrides=overrides, runs=runs, device=device, fresh=fresh, watcher=progress)
    size = result.artifact.stat().st_size
    if as_json:
        rows = [row.__dict__ for row in result.rows]
        click.echo(
            json.dumps(
                {
                    "artifact": str(result.artifact),
                    "size_bytes": size,
                    "margin_bytes": result.margin_bytes,
                    "reused": result.reused,
                    "rows": rows,
                },
                indent=1,
            )
        )
    else:
        display.ledger(result.rows)
        click.echo(f"{result.artifact}: {size:,} bytes{display.margin(result.margin_bytes)}")
    if result.margin_bytes is not None and result.margin_bytes < 0:
        raise TargetMissed(
            f"{result.artifact}: {size:,} bytes, target.max_bytes is {size + result.margin_bytes:,}; the file is kept"
        )


@main.command()
@click.argument("name", default="deep")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write it  [default: NAME.yaml here]"
)
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
def init(name: str, output: Path | None, force: bool) -> None:
    """Copy the commented recipe NAME (deep, digits) to start one's own from."""
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


@main.command()
@sqz_file
@as_json
def inspect(file: Path, as_json: bool) -> None:
    """Show where the bytes of FILE are: a row a layer, and a row for every part around them. Needs no torch."""
    from compress import display
    from compress.artifact.inspect import inspect as inspect_file
    from compress.artifact.reader import read_metadata

    rows, metadata = inspect_file(file), read_metadata(file)
    if as_json:
        facts = [{**row.__dict__, "size_bytes": row.size_bytes, "bits_per_weight": row.bits_per_weight} for row in rows]
        click.echo(
            json.dumps({"file": str(file), "size_bytes": file.stat().st_size, "metadata": metadata, "rows": facts}, indent=1)
        )
    else:
        display.layers(file, rows, metadata)


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@as_json
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Decode every FILE whole and check all its checksums. Exit code 2 when one is refused. Needs no torch."""
    from compress.artifact.reader import read

    facts, refused = [], []
    for file in files:
        try:
            artifact = read(file)
            facts.append({"file": str(file), "ok": True, "size_bytes": artifact.size_bytes, "sha256": artifact.sha256})
            message = f"{file}: ok, {artifact.size_bytes:,} bytes, {len(artifact.layers)} tensors, sha256 {artifact.sha256}"
        except CompressError as error:
            refused.append(error)
            facts.append({"file": str(file), "ok": False, "error": str(error)})
            message = f"{file}: REFUSED: {error}"
        if not as_json:
            click.echo(message)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
    if refused:
        raise InputError(f"{len(refused)} of {len(files)} files refused")


@main.command()
@sqz_file
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="A .safetensors, .npz or .pt file; .pt needs torch.",
)
@as_json
def decode(file: Path, output: Path, as_json: bool) -> None:
    """Write the tensors of FILE, float32 under torchvision's names, to OUTPUT."""
    from compress.artifact.tensors import decode as decode_file
    from compress.export.tensors import save

    tensors = decode_file(file)
    save(tensors, output)
    if as_json:
        facts = {name: {"shape": array.shape, "dtype": str(array.dtype)} for name, array in tensors.items()}
        click.echo(json.dumps({"file": str(output), "size_bytes": output.stat().st_size, "tensors": facts}, indent=1))
    else:
        click.echo(f"{output}: {len(tensors)} tensors, {output.stat().st_size:,} bytes")


@main.command()
@sqz_file
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many classes to name.")
@as_json
def predict(file: Path, images: tuple[Path, ...], top: int, as_json: bool) -> None:
    """Classify pictures with the net in FILE."""
    from compress import display
    from compress.export.predict import predict as predict_images

    predictions = predict_images(file, images, top)
    if as_json:
        click.echo(
            json.dumps([{"image": str(image), "top": [p.__dict__ for p in found]} for image, found in predictions], indent=1)
        )
    else:
        display.predictions(predictions)


@main.command()
def schema() -> None:
    """Print the JSON Schema of a recipe, for editors."""
    from compress.recipe import json_schema

    click.echo(json.dumps(json_schema(), indent=1))


@main.group()
def ledger() -> None:
    """Show ledgers, and promote a run's rows and file into artifacts/."""


@ledger.command("show")
@click.argument("file", type=click.Path(path_type=Path), default=Path("artifacts/ledger.csv"))
@as_json
def ledger_show(file: Path, as_json: bool) -> None:
    """Print a ledger as a table: a ledger.csv, or a run folder. [default: artifacts/ledger.csv]"""
    from compress import display
    from compress.ledger.ledger import read

    rows = read(file / "ledger.csv" if file.is_dir() else file)
    if as_json:
        click.echo(json.dumps([row.__dict__ for row in rows], indent=1))
    else:
        display.ledger(rows)


@ledger.command("add")
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--artifacts",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("artifacts"),
    show_default=True,
    help="The folder of published files and their ledger.",
)
@as_json
def ledger_add(run_folder: Path, artifacts: Path, as_json: bool) -> None:
    """Copy the file of a finished RUN folder, and its ledger rows, into artifacts/."""
    from compress.ledger.ledger import promote

    path, rows = promote(run_folder, artifacts)
    if as_json:
        facts = {"artifact": str(path), "size_bytes": path.stat().st_size, "rows": [row.__dict__ for row in rows]}
        click.echo(json.dumps(facts, indent=1))
    else:
        click.echo(f"{path}: {path.stat().st_size:,} bytes; {len(rows)} rows in {artifacts / 'ledger.csv'}")
