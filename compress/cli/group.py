"""The group of all commands: what an error, an interrupt or a bug becomes on stderr, and its exit code."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

import click

from compress.display.plain import plain
from compress.errors import CompressError, InputError, MissingDependency, TrainingInterrupted

KEEPS_STAGES = ("run", "train")  # the commands that go on, the next time, after what they had finished


class Group(click.Group):
    """Turns the package's errors into a message and an exit code; a traceback only with --debug."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _terminated_is_interrupted():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            is_kept = ctx.invoked_subcommand in KEEPS_STAGES
            _stop(ctx, "interrupted; finished stages are kept" if is_kept else "interrupted")
        except TrainingInterrupted as error:
            _stop(ctx, str(error))
        except CompressError as error:
            _give_up(ctx, str(error), error.exit_code)
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] == "compress":
                raise
            message = f"this command needs {error.name}: pip install 'squeeze-compress[train]'"
            _give_up(ctx, message, MissingDependency.exit_code)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:  # whoever read the output left; click would leave with 1
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at the end
            ctx.exit(InputError.exit_code)
        except OSError as error:
            message = f"{error.filename or 'input/output'}: {error.strerror or error}"
            _give_up(ctx, message, InputError.exit_code)
        except Exception as error:  # a bug: it must not leave with 1, which means "judged and missed"
            _give_up(
                ctx,
                f"internal error: {error!r}; please report it with the traceback of `squeeze-compress --debug ...`",
                InputError.exit_code,
            )


@contextlib.contextmanager
def _terminated_is_interrupted() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does: a file that is half written is removed, a training or a sweep leaves checkpoints."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(ctx: click.Context, message: str) -> NoReturn:
    """After an interrupt. One more, while Python ends, would only print a traceback of that."""
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    click.echo(plain(message), err=True)
    ctx.exit(TrainingInterrupted.exit_code)


def _give_up(ctx: click.Context, message: str, exit_code: int) -> NoReturn:
    """Inside an except block: say why, with the traceback where --debug asked for it, and leave."""
    if ctx.params.get("debug"):
        click.echo(plain(traceback.format_exc()), err=True, nl=False)
    click.echo(plain(f"error: {message}"), err=True)
    ctx.exit(exit_code)
