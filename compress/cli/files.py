"""Commands that read .sqz files: inspect, compare, decode, predict."""

from __future__ import annotations

import json
from pathlib import Path

import click

from compress.cli.options import as_json, page_file, sqz_file


@click.command()
@sqz_file
@as_json
def inspect(file: Path, as_json: bool) -> None:
    """Show where the bytes of FILE are: a row a layer, and a row for every part around them. Needs no torch."""
    from compress.artifact.inspect import inspect as inspect_file
    from compress.artifact.reader import read_metadata
    from compress.display import tables

    rows, metadata = inspect_file(file), read_metadata(file)
    if as_json:
        facts = [{**row.__dict__, "size_bytes": row.size_bytes, "bits_per_weight": row.bits_per_weight} for row in rows]
        click.echo(
            json.dumps({"file": str(file), "size_bytes": file.stat().st_size, "metadata": metadata, "rows": facts}, indent=1)
        )
    else:
        tables.layers(file, rows, metadata)


@click.command()
@click.argument("file_a", metavar="A", type=click.Path(path_type=Path))
@click.argument("file_b", metavar="B", type=click.Path(path_type=Path))
@click.option("--html", "page", type=page_file, help="Also write it as a page, a .html file (needs `[report]`).")
@as_json
def compare(file_a: Path, file_b: Path, page: Path | None, as_json: bool) -> None:
    """Show two files tensor by tensor: bytes, coders, values. Needs no torch.

    What A and B take for each tensor and how they hold it, how far apart the decoded values are, and which metadata differ.
    It is no judgement: the exit code is 0 however different they are.
    """
    from compress.artifact.compare import compare as compare_files
    from compress.display.comparison import comparison

    found = compare_files(file_a, file_b)
    if page is not None:
        from compress.atomic import write_atomically
        from compress.report.make import page_of_comparison

        write_atomically(page, page_of_comparison(found).html)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1))
    else:
        comparison(found)


@click.command()
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


@click.command()
@sqz_file
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many classes to name.")
@as_json
def predict(file: Path, images: tuple[Path, ...], top: int, as_json: bool) -> None:
    """Classify pictures with the net in FILE."""
    from compress.display import tables
    from compress.export.predict import predict as predict_images

    predictions = predict_images(file, images, top)
    if as_json:
        click.echo(
            json.dumps([{"image": str(image), "top": [p.__dict__ for p in found]} for image, found in predictions], indent=1)
        )
    else:
        tables.predictions(predictions)
