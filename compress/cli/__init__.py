"""The command line: every command parses, calls, and echoes. Data go to stdout, progress and errors to stderr.

Imports of the package are inside the commands, so that `--help` costs no numpy and reading a file costs no torch.
"""

from __future__ import annotations

import click

from compress.cli import (
    check,
    comm,
    data,
    delta,
    evaluate,
    explore,
    export,
    files,
    fit,
    fleet,
    ledger,
    plot,
    release,
    report,
    run,
    train,
)
from compress.cli.group import Group

EXIT_CODES = """\b
Exit codes:
  0    done
  1    judged and missed (the target, a limit)
  2    bad input, bad usage, or could not judge
  130  interrupted; run and train keep finished stages"""


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


main.add_command(run.run)
main.add_command(train.train)
main.add_command(plot.plot)
main.add_command(report.report)
main.add_command(run.plan)
main.add_command(run.init)
main.add_command(run.schema)
main.add_command(data.data)
main.add_command(comm.comm)
main.add_command(files.inspect)
main.add_command(check.check)
main.add_command(files.compare)
main.add_command(files.decode)
main.add_command(files.predict)
main.add_command(export.export)
main.add_command(fit.fit)
main.add_command(evaluate.evaluate)
main.add_command(ledger.ledger)
main.add_command(release.publish)
main.add_command(release.pull)
main.add_command(release.ls)
main.add_command(release.verify)
main.add_command(release.keygen)
main.add_command(delta.delta)
main.add_command(delta.apply)
main.add_command(fleet.fleet)
main.add_command(explore.explore)
main.add_command(explore.describe)
