"""All pictures of a run."""

from __future__ import annotations

from pathlib import Path

from compress.errors import InputError
from compress.plots.confusion import confusion
from compress.plots.curves import curves
from compress.plots.log import PREDICTIONS, read_log, read_predictions


def draw(run: Path, *, file_format: str = "png", n_images: int = 0) -> dict[str, bytes]:
    """File name -> content, of a run's folder. n_images: how many of the worst test images to show; 0: no sheet of them.

    Raises InputError for a run that trained no net or whose log is damaged, MissingDependency without matplotlib.
    """
    log = read_log(run)
    title = run.resolve().name
    has_predictions = (run / PREDICTIONS).exists()
    if n_images and not has_predictions:
        raise InputError(f"{run}: it has no {PREDICTIONS.as_posix()}, which says what images the net gets wrong")
    predictions = read_predictions(run) if has_predictions else None
    files = {f"curves.{file_format}": curves(log, title, file_format)}
    if predictions is not None:
        files[f"confusion.{file_format}"] = confusion(predictions, title, file_format)
    if predictions is not None and n_images:
        from compress.plots.contact_sheet import contact_sheet  # decodes pictures, which the others need no torch for

        files["worst.png"] = contact_sheet(predictions, n_images, title)
    return files
