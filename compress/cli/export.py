"""The command that writes a net for other tools: export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compress.cli.options import as_json, refuse_inputs, sqz_file

if TYPE_CHECKING:
    from compress.export.c import CProject
    from compress.export.onnx import OnnxFile
    from compress.export.web import WebPage

SUFFIXES = {"onnx": ".onnx", "c": "-c", "web": "-web"}  # of what is written where nothing else is said; .onnx always
FOR_C = {"part": "--target", "activations": "--activations", "calibrate": "--calibrate", "picture": "--picture"}
FOR_DEVICE = {"flash": "--flash", "ram": "--ram"}


@click.command()
@sqz_file
@click.option("--to", "target", type=click.Choice(list(SUFFIXES)), required=True, help="The format.")
@click.argument("output", required=False, type=click.Path(path_type=Path))
@click.option("-o", "--output", "named", type=click.Path(path_type=Path), help="The same as OUTPUT.")
@click.option("--target", "part", type=click.Choice(["host", "cortex-m7"]), help="c: what the project is for.  [default: host]")
@click.option("--activations", type=click.Choice(["32", "8"]), help="c: bits of one.  [default: 32; 8 for cortex-m7]")
@click.option(
    "--calibrate", metavar="bundled|folder:PATH", help="c: pictures whose activations 8 bits must hold.  [default: bundled]"
)
@click.option(
    "--picture", type=click.Path(path_type=Path), help="c: what the example classifies.  [default: a bundled photograph]"
)
@click.option("--flash", type=click.IntRange(min=1), metavar="BYTES", help="cortex-m7: that there are.  [default: 2097152]")
@click.option("--ram", type=click.IntRange(min=1), metavar="BYTES", help="cortex-m7: that there are.  [default: 1048576]")
@as_json
def export(file: Path, target: str, output: Path | None, named: Path | None, as_json: bool, **settings: Any) -> None:
    """Write the net of FILE for tools that read no .sqz: a file OUTPUT, or a folder. Needs [train], and onnx its own extra.

    \b
    squeeze-compress export deep.sqz --to onnx
    squeeze-compress export deep.sqz --to c DIR --target cortex-m7
    squeeze-compress export deep.sqz --to web DIR

    onnx: dense float32, the batch free; checked, and run by onnxruntime against PyTorch, before the file gets its name.
    c: a project that builds and runs as it is: the file as an array, a decoder and runtime in C99, an example.
    web: a page that classifies pictures in the browser; any server of static files will do.
    """
    if output is not None and named is not None:
        raise click.UsageError("OUTPUT is given twice, as an argument and by -o")
    output = output or named or Path(f"{file.stem}{SUFFIXES[target]}")
    _check_settings(target, settings)
    if not output.absolute().parent.is_dir():
        raise click.BadParameter(f"{output}: the folder {output.parent} does not exist", param_hint="OUTPUT")
    if target == "onnx":
        _check_onnx(file, output)
    made = _export(file, target, output, settings)
    if as_json:
        click.echo(json.dumps(made.to_json(), indent=1))
    else:
        from compress.display import export as display

        getattr(display, target)(made)


def _check_settings(target: str, settings: dict[str, Any]) -> None:
    needed = {FOR_C[name]: "--to c" for name in FOR_C if settings[name] is not None and target != "c"}
    on_device = settings["part"] not in (None, "host")
    needed |= {FOR_DEVICE[name]: "--target cortex-m7" for name in FOR_DEVICE if settings[name] is not None and not on_device}
    for option, setting in needed.items():
        raise click.UsageError(f"{option} is for {setting}")


def _check_onnx(file: Path, output: Path) -> None:
    if output.suffix != SUFFIXES["onnx"]:
        raise click.BadParameter(f"{output}: must end in {SUFFIXES['onnx']}", param_hint="OUTPUT")
    if output.is_dir():
        raise click.BadParameter(f"{output}: is a folder", param_hint="OUTPUT")
    refuse_inputs(output, file)


def _export(file: Path, target: str, output: Path, settings: dict[str, Any]) -> OnnxFile | CProject | WebPage:
    if target == "onnx":
        from compress.export.onnx import to_onnx

        return to_onnx(file, output)
    if target == "web":
        from compress.export.web import to_web

        return to_web(file, output)
    from compress.export.c import Device, to_c

    part = settings["part"] or "host"
    given = {name: settings[name] for name in FOR_DEVICE if settings[name] is not None}
    return to_c(
        file,
        output,
        target=part,
        activations=int(settings["activations"] or (32 if part == "host" else 8)),
        calibrate=settings["calibrate"] or "bundled",
        picture=settings["picture"],
        device=Device(**given) if part != "host" else None,
    )
