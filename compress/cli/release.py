"""The commands of releases: publish, pull, ls, verify, keygen."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compress.cli.options import as_json, file_to_write, seconds, sqz_file
from compress.display.plain import plain

if TYPE_CHECKING:
    from compress.release.pull import Access, Checks

LAYOUT = """\b
A release is called SCHEME:PLACE/NAME:VERSION, with a semantic version:
  dir:releases/deep:1.0.0              a folder; dir: may be left out
  oci:localhost:5000/nets/deep:1.0.0   an OCI registry, with the login of docker
  s3:bucket/nets/deep:1.0.0            any protocol that fsspec knows"""

Command = Callable[..., Any]
SUFFIX = ".sqz"  # of what is a file, also where it is missing
_FILE = click.Path(dir_okay=False, path_type=Path)

plain_http = click.option("--plain-http", is_flag=True, help="Allow http to another machine than this one.")
timeout = click.option(
    "--timeout",
    "timeout_s",
    type=seconds,
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a place may give no answer.",
)


def access_options(command: Command) -> Command:
    """Those of commands that read from a place, or from the cache."""
    for option in (
        timeout,
        plain_http,
        click.option("--offline", is_flag=True, help="Use the cache alone."),
        click.option("--pre", "prerelease", is_flag=True, help="The newest version may be a pre-release."),
        click.option("--min-version", metavar="VERSION", help="Refuse an older one."),
    ):
        command = option(command)
    return command


@click.command(epilog=LAYOUT)
@sqz_file
@click.argument("target")
@click.option("--sign", "key", type=_FILE, metavar="KEY", help="Sign with a private key, from keygen.")
@click.option("--limits", type=_FILE, help="Judge FILE first, as check does.  [default: limits.yaml beside FILE, if it is there]")
@click.option("--against", metavar="REF|LEDGER", help="For --limits: the baseline of max_growth.")
@click.option("--allow-new", is_flag=True, help="For --limits: admit FILE though it is in no limits, or not in the baseline.")
@click.option("--ledger", type=_FILE, help="Its rows go into the manifest.  [default: ledger.csv beside --limits, or FILE]")
@plain_http
@timeout
@as_json
def publish(
    file: Path,
    target: str,
    key: Path | None,
    limits: Path | None,
    against: str | None,
    allow_new: bool,
    ledger: Path | None,
    plain_http: bool,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Publish FILE as TARGET, a version that never changes.

    FILE is decoded first, and judged where there are limits. The same bytes again change nothing; other bytes under a published
    version are refused.
    """
    from compress import __version__
    from compress.release import publish as publishing
    from compress.release.reference import parse

    reference = parse(target, needs_version=True)
    judging = publishing.Judging(limits, against, ledger, allow_new)
    tool = f"squeeze-compress {__version__}"
    found = publishing.publish(file, reference, judging, tool=tool, key=key, plain_http=plain_http, timeout_s=timeout_s)
    _tell(found.notes)
    if as_json:
        facts = {"reference": str(reference), "new": found.is_new, "manifest": found.manifest.model_dump(), "notes": found.notes}
        click.echo(json.dumps(facts | {"findings": [each.to_json() for each in found.findings]}, indent=1))
        return
    for finding in found.findings:
        click.echo(f"{finding.rule}: {finding.verdict}: {finding.message}")
    what = "published" if found.is_new else "was published already, with these bytes; nothing is changed"
    click.echo(f"{reference}: {what}: {found.manifest.file.size_bytes:,} bytes, sha256 {found.manifest.file.sha256}")


@click.command(epilog=LAYOUT)
@click.argument("source")
@click.option("-o", "--output", type=file_to_write, help="Where to write the file.  [default: NAME-VERSION.sqz]")
@click.option("--trust", type=_FILE, multiple=True, metavar="PUBKEY", help="Refuse what this key has not signed. Repeatable.")
@click.option("--with-manifest", is_flag=True, help="Write the manifest and the signature beside the file, for verify.")
@access_options
@as_json
def pull(source: str, output: Path | None, trust: tuple[Path, ...], with_manifest: bool, as_json: bool, **options: Any) -> None:
    """Fetch a release from SOURCE: the version that it names, or the newest.

    Its size, digest and, with --trust, signature are checked before it gets a name. What was fetched is kept in a cache
    ($SQUEEZE_CACHE); a named version comes from there, with a note, when the place cannot be reached.
    """
    from compress.release import pull as pulling
    from compress.release.reference import parse

    checks, access = _checks(trust, options), _access(options)
    found = pulling.obtain(parse(source), checks, access)
    path = output or Path(f"{found.manifest.name}-{found.manifest.version}.sqz")
    pulling.write(found, path, with_manifest=with_manifest)
    _tell(found.notes)
    if as_json:
        facts: dict[str, Any] = {"reference": str(found.reference), "file": str(path), "signed_by": found.signed_by}
        facts |= {"fetched_bytes": found.fetched_bytes, "notes": found.notes, "manifest": found.manifest.model_dump()}
        click.echo(json.dumps(facts, indent=1))
    else:
        click.echo(f"{path}: {found.reference}, {_file_line(found.manifest)}, {_trust_line(found.signed_by)}")


@click.command("ls", epilog=LAYOUT)
@click.argument("source")
@plain_http
@timeout
@as_json
def ls(source: str, plain_http: bool, timeout_s: float, as_json: bool) -> None:
    """List the versions of SOURCE, a reference without its version, the newest first. Exit code 2 when one is damaged."""
    from compress.display import releases
    from compress.errors import ReleaseError
    from compress.release.listing import list_versions
    from compress.release.reference import parse

    found = list_versions(parse(source), plain_http=plain_http, timeout_s=timeout_s)
    if as_json:
        facts = []
        for each in found:
            manifest = each.manifest.model_dump() if each.manifest else None
            facts.append({"version": str(each.version), "signed_by": each.signed_by, "error": each.error, "manifest": manifest})
        click.echo(json.dumps(facts, indent=1))
    else:
        releases.versions([replace(each, error=plain(each.error)) for each in found])
    refused = sum(each.manifest is None for each in found)
    if refused:
        raise ReleaseError(f"{refused} of {len(found)} versions refused")


@click.command(epilog=LAYOUT)
@click.argument("what", metavar="FILE|SOURCE")
@click.option("--trust", type=_FILE, multiple=True, required=True, metavar="PUBKEY", help="A public key. Repeatable.")
@click.option("--name", help="Refuse a FILE that is of a release of another name.")
@access_options
@as_json
def verify(what: str, trust: tuple[Path, ...], name: str | None, as_json: bool, **options: Any) -> None:
    """Tell whether a FILE that is here, or the release SOURCE, is what a trusted key signed. Exit code 2 when it is not.

    For a FILE, --min-version needs --name: one key may sign several nets, and a version is one of a name.
    """
    from compress.release import pull as pulling
    from compress.release.reference import parse
    from compress.release.verify import verify_file

    checks, access = _checks(trust, options), _access(options)
    path = Path(what)
    if path.is_file() or (what.endswith(SUFFIX) and not path.is_dir()):
        if options["min_version"] is not None and name is None:
            raise click.BadParameter("for a file it needs --name: a version is one of a name", param_hint="'--min-version'")
        of_file = verify_file(path, checks, access.cache, name)
        manifest, signed_by = of_file.manifest, of_file.signed_by
    else:
        if name is not None:
            raise click.BadParameter(f"{what} is not a file: a release's name is in its reference", param_hint="'--name'")
        found = pulling.obtain(parse(what), checks, access)
        _tell(found.notes)
        manifest, signed_by = found.manifest, found.signed_by or ""
    if as_json:
        click.echo(json.dumps({"what": what, "ok": True, "signed_by": signed_by, "manifest": manifest.model_dump()}, indent=1))
    else:
        click.echo(f"{what}: ok: {manifest.name}:{manifest.version}, {_file_line(manifest)}, {_trust_line(signed_by)}")


@click.command()
@click.option("-o", "--output", type=file_to_write, required=True, help="The private key, mode 0600; the public: OUTPUT.pub.")
@as_json
def keygen(output: Path, as_json: bool) -> None:
    """Make a key pair to sign releases with. No file is overwritten."""
    from compress.release.keys import generate

    public, name = generate(output)
    if as_json:
        click.echo(json.dumps({"private": str(output), "public": str(public), "key": name}, indent=1))
    else:
        click.echo(f"{name}: {output} signs (publish --sign); keep it. {public} is for those who pull (--trust).")


def _checks(trust: tuple[Path, ...], options: dict[str, Any]) -> Checks:
    from compress.release.pull import Checks
    from compress.release.version import Version

    oldest = options["min_version"]
    return Checks(trust, Version.parse(oldest) if oldest is not None else None, options["prerelease"])


def _access(options: dict[str, Any]) -> Access:
    from compress.release.cache import default_folder
    from compress.release.pull import Access

    return Access(default_folder(), options["offline"], options["plain_http"], options["timeout_s"])


def _tell(notes: tuple[str, ...]) -> None:
    for note in notes:
        click.echo(plain(f"note: {note}"), err=True)


def _file_line(manifest: Any) -> str:
    return f"{manifest.file.size_bytes:,} bytes, sha256 {manifest.file.sha256}"


def _trust_line(signed_by: str | None) -> str:
    return f"signed by {signed_by}" if signed_by else "signature not checked (no --trust)"
