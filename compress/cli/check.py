"""The command that judges .sqz files: check. With --limits it is the gate."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import click

from compress.cli.options import as_json
from compress.errors import CompressError, InputError

FORMATS = ("text", "github", "markdown", "junit", "json")
SUMMARY = "GITHUB_STEP_SUMMARY"  # the file that GitHub Actions shows as Markdown
path = click.Path(path_type=Path)


class Percent(click.ParamType):
    name = "PERCENT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(str(value).removesuffix("%"))
        except ValueError:
            number = -1.0
        if not 0 <= number <= 1000:
            self.fail(f"{value}: must be a percentage from 0, for instance 1%", param, ctx)
        return number


@click.command()
@click.argument("files", nargs=-1, type=path)
@click.option(
    "--limits",
    type=path,
    help="A limits.yaml: judge FILES by it; without FILES, every artifact that it names or that lies beside it.",
)
@click.option("--ledger", "ledger_file", type=path, help="[default: ledger.csv beside the limits]")
@click.option(
    "--against",
    metavar="REF|LEDGER",
    help="The artifacts as they were: a git reference, or another ledger, whose name ends in .csv. For max_growth.",
)
@click.option(
    "--allow-new", multiple=True, metavar="NAME", help="Admit a new artifact: in no limits, or not in the baseline. Repeatable."
)
@click.option(
    "--allow-removed", multiple=True, metavar="NAME", help="Admit that an artifact of the baseline is gone. Repeatable."
)
@click.option(
    "--measure",
    is_flag=True,
    help="Run accuracy again on the sets that the limits name, and compare with the ledger. Needs [train].",
)
@click.option("--format", "format_", type=click.Choice(FORMATS), help="github: annotations and a step summary.  [default: text]")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the format there; the text goes to stdout."
)
@click.option("--update", is_flag=True, help="Write the limits anew from what is, with the margins, and show what changes.")
@click.option("--margin", type=Percent(), default="1%", show_default=True, help="--update: of bytes and seconds.")
@click.option(
    "--margin-points",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    help="--update: points of top-1, agreement and drop.",
)
@as_json
def check(
    files: tuple[Path, ...],
    limits: Path | None,
    ledger_file: Path | None,
    against: str | None,
    allow_new: tuple[str, ...],
    allow_removed: tuple[str, ...],
    measure: bool,
    format_: str | None,
    output: Path | None,
    update: bool,
    margin: float,
    margin_points: float,
    as_json: bool,
) -> None:
    """Decode every FILE whole and check all its checksums; with --limits, judge size and accuracy too. Needs no torch.

    \b
    squeeze-compress check deep.sqz
    squeeze-compress check --limits artifacts/limits.yaml --against origin/main
    squeeze-compress check --limits artifacts/limits.yaml --update

    With --limits it fails closed: what is missing or cannot be judged is exit code 2, a limit exceeded is 1.
    """
    if as_json and format_ not in (None, "json"):
        raise click.UsageError(f"--json and --format {format_} exclude each other")
    format_ = "json" if as_json else format_ or "text"
    of_gate: dict[str, object] = {"--against": against, "--allow-new": allow_new, "--allow-removed": allow_removed}
    of_gate |= {"--measure": measure, "--output": output, f"--format {format_}": format_ not in ("text", "json")}
    if limits is None:
        _refuse({"--ledger": ledger_file, "--update": update, **of_gate}, "needs --limits")
        if not files:
            raise click.UsageError("Missing argument 'FILES...', or option '--limits'.")
        _check_integrity(files, as_json=format_ == "json")
    elif update:
        _refuse({"FILES": files, **of_gate}, "does not go with --update")
        _update(limits, ledger_file, margin, margin_points, as_json=format_ == "json")
    else:
        if output is not None:
            _refuse_input(output, limits, files, ledger_file, against)
        _judge(limits, files, ledger_file, against, allow_new, allow_removed, measure, format_, output)


def _refuse(options: Mapping[str, object], why: str) -> None:
    for name, value in options.items():
        if value:
            raise click.UsageError(f"{name} {why}.")


def _refuse_input(output: Path, limits: Path, files: tuple[Path, ...], ledger_file: Path | None, against: str | None) -> None:
    """Writing there would replace what is judged, or what it is judged by."""
    from compress.gate.baseline import LEDGER_SUFFIX
    from compress.gate.inputs import LEDGER

    inputs = [limits, ledger_file or limits.parent / LEDGER, *files, *limits.parent.glob("*.sqz")]
    inputs += [Path(against)] if against is not None and against.endswith(LEDGER_SUFFIX) else []
    for each in inputs:
        is_same = output.exists() and each.exists() and output.samefile(each)
        if is_same or output.resolve() == each.resolve():
            raise click.UsageError(f"--output {output} is an input of the check, {each}: name another file.")


def _check_integrity(files: tuple[Path, ...], *, as_json: bool) -> None:
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
    else:
        click.echo("integrity only, no limits were judged; --limits names them")
    if refused:
        raise InputError(f"{len(refused)} of {len(files)} files refused")


def _judge(
    limits: Path,
    files: tuple[Path, ...],
    ledger_file: Path | None,
    against: str | None,
    allow_new: tuple[str, ...],
    allow_removed: tuple[str, ...],
    measure: bool,
    format_: str,
    output: Path | None,
) -> None:
    from compress.atomic import write_atomically
    from compress.display.gate import FORMATS as RENDERERS
    from compress.gate.check import check as check_by_limits
    from compress.gate.findings import failure

    findings = check_by_limits(
        limits,
        files,
        encoder=_encoder(),
        ledger_file=ledger_file,
        against=against,
        allow_new=allow_new,
        allow_removed=allow_removed,
        measure=measure,
    )
    rendered = RENDERERS[format_](findings)
    if output is not None:
        write_atomically(output, rendered.encode())
        rendered = RENDERERS["text"](findings)
    click.echo(rendered, nl=False)
    if format_ == "github" and (place := os.environ.get(SUMMARY)):
        with Path(place).open("a", encoding="utf-8") as file:
            file.write(RENDERERS["markdown"](findings))
    if (error := failure(findings)) is not None:
        raise error


def _update(limits: Path, ledger_file: Path | None, margin: float, points: float, *, as_json: bool) -> None:
    from compress.gate import update
    from compress.gate.changes import changes

    old, found = update.evidence_of_all(limits, encoder=_encoder(), ledger_file=ledger_file)
    new = update.new_limits(old, found, update.Margins(margin, points))
    changed = list(changes(old, new.artifacts))
    n_lost = update.write(limits, new)
    if as_json:
        facts = [{**change.__dict__} for change in changed]
        click.echo(
            json.dumps({"file": str(limits), "margin_percent": margin, "margin_points": points, "changes": facts}, indent=1)
        )
        return
    for change in changed:
        click.echo(str(change))
    looser = sum(change.looser for change in changed)
    click.echo(
        f"{limits}: {len(new.artifacts)} artifacts, {len(changed)} limits changed, {looser} of them looser; "
        f"margins: {margin:g}% of bytes and seconds, {points:g} points of top-1, agreement and drop"
    )
    if n_lost:
        click.echo(f"{limits}: comments on {n_lost} lines below its head are not kept", err=True)


def _encoder() -> str:
    """What this version of the tool writes in metadata.encoder."""
    import compress

    return f"squeeze-compress {compress.__version__}"
