"""Pages from what lies on the disk: what `squeeze-compress report` and `compare --html` call."""

from __future__ import annotations

from pathlib import Path

from compress.artifact.compare import Comparison
from compress.errors import InputError
from compress.ledger import ledger
from compress.report.comparison_page import comparison_page
from compress.report.ledger_page import ledger_page
from compress.report.page import Page
from compress.report.published import read_published
from compress.report.run import LEDGER, read_run
from compress.report.run_page import run_page
from compress.report.template import check_dependencies

TRAINING = "training.json"


def page_of_run(folder: Path, beside: Path | None, *, n_images: int = 0, keep_plots: bool = False) -> Page:
    """beside: a ledger, whose files the run's is shown beside. n_images: how many pictures of each set whose prediction changed
    to show; with 0 no torch is needed. keep_plots: as files too.

    Raises InputError for a folder that is not a finished run's, a ledger that is none, or sets that are not here;
    ArtifactError for a damaged file; MissingDependency.
    """
    check_dependencies()
    run = read_run(folder)
    others = ledger.read(beside) if beside is not None else []
    changed = []
    if n_images:
        from compress.report.changed import changed_pictures  # with torch

        changed = changed_pictures(run, n_images)
    name = beside.as_posix() if beside is not None else ""
    return run_page(run, others, others_name=name, changed=changed, keep_plots=keep_plots)


def page_of_ledger(path: Path, *, keep_plots: bool = False) -> Page:
    """path: a ledger.csv, or a folder with one. keep_plots: as files too.

    Raises InputError for what is none, ArtifactError for a damaged file beside it, MissingDependency."""
    check_dependencies()
    if (path / TRAINING).exists():
        raise InputError(f"{path}: the folder of a training, which compressed nothing; `squeeze-compress plot` draws it")
    if path.is_dir() and not (path / LEDGER).exists():
        raise InputError(f"{path}: neither the folder of a run, which has a recipe.json, nor one with a {LEDGER}")
    if not path.exists():
        raise InputError(f"{path}: no such run or ledger")
    return ledger_page(read_published(path / LEDGER if path.is_dir() else path), keep_plots=keep_plots)


def page_of_comparison(found: Comparison) -> Page:
    """Raises MissingDependency."""
    check_dependencies()
    return comparison_page(found)
