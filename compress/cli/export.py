"""The command that writes a net for other tools: export."""

from __future__ import annotations

import json
from pathlib import Path

import click

from compress.cli.options import as_json, file_to_write, refuse_inputs, sqz_file


def _onnx(file: Path, output: Path, *, as_json: bool) -> None:
    from compress.display import export as display
    from compress.export.onnx import to_onnx

    made = to_onnx(file, output)
    if as_json:
        click.echo(json.dumps(made.to_json(), indent=1))
    else:
        display.onnx(made)


TARGETS = {"onnx": (".onnx", _onnx)}  # what files of a format end in, and what writes one


@click.command()
@sqz_file
@click.option("--to", "target", type=click.Choice(list(TARGETS)), required=True, help="The format.")
@click.option(
    "-o", "--output", type=file_to_write, help="Where to write it.  [default: FILE's name with the format's suffix, here]"
)
@as_json
def export(file: Path, target: str, output: Path | None, as_json: bool) -> None:
    """Write the net of FILE for tools that read no .sqz. Needs [train] and the format's own extra.

    \b
    squeeze-compress export deep.sqz --to onnx

    onnx: dense float32, the batch free; checked, and run by onnxruntime against PyTorch, before the file gets its name.
    """
    suffix, write = TARGETS[target]
    output = output or Path(f"{file.stem}{suffix}")
    if output.suffix != suffix:
        raise click.BadParameter(f"{output}: must end in {suffix}", param_hint="-o")
    if not output.parent.is_dir():
        raise click.BadParameter(f"{output}: the folder {output.parent} does not exist", param_hint="-o")
    refuse_inputs(output, file)
    write(file, output, as_json=as_json)
