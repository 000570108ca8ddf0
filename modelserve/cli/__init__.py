"""The command line: run, models, check, predict, batch, train, jobs, clients, logs, reload, status.

An error the user can mend is one sentence on standard error and the exit status of its class: 2 for a wrong flag or
setting, 3 for a model that is missing or cannot start, 4 for an address in use; 1 for a call or a training that failed,
or a server that was not reached. There is never a traceback for those. A command that Ctrl-C ended has 130.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence

import click

from modelserve.cli.interrupts import INTERRUPTED
from modelserve.cli.streams import flush, write_anything
from modelserve.errors import ModelserveError, StartError
from modelserve.text import is_text, shown

__all__ = ["COMMANDS", "main", "modelserve"]


COMMANDS = ("run", "models", "check", "predict", "batch", "train", "jobs", "clients", "logs", "reload", "status")


class _Commands(click.Group):
    """Imports the module of a command when that is asked for: a server needs none of the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"{__name__}.{cmd_name}"), cmd_name)
        return command


@click.group(
    cls=_Commands,
    commands={name: click.Command(name) for name in COMMANDS},  # in their place, for "did you mean"
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
    epilog="Example: modelserve run my_model.py --port 8080",
)
@click.version_option(package_name="modelserve", message="modelserve %(version)s")
@click.pass_context
def modelserve(context: click.Context) -> int:
    """Serve an installed Python package, or a Python file, as a model service."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        return StartError.exit_code
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Args:
        arguments: What follows the program's name; those of the process by default.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if wrong := next((argument for argument in given if not is_text(argument)), None):
        return _say(f"An argument is no UTF-8 text: {shown(wrong)!r}.", click.UsageError.exit_code)
    write_anything()
    try:
        status = modelserve.main(given, prog_name="modelserve", standalone_mode=False)
        flush()
    except click.UsageError as error:
        return _say(_usage(error), error.exit_code)
    except click.ClickException as error:
        return _say(error.format_message(), error.exit_code)
    except StartError as error:
        return _say(error.message, error.exit_code)
    except ModelserveError as error:
        return _say(error.message, 1)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        # Who read our output has gone (modelserve models | head), or its disk is full: Python must not try to flush it
        # again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1 if error.errno == errno.EPIPE else _say(f"The output cannot be written: {error.strerror}.", 1)
    return status if isinstance(status, int) else 0


def _usage(error: click.UsageError) -> str:
    """Return what is wrong, and which command's help says what is right, in one line."""
    sentence = " ".join(error.format_message().split())
    return f"{sentence} '{error.ctx.command_path} --help' says what there is." if error.ctx else sentence


def _say(sentence: str, status: int) -> int:
    click.echo(f"modelserve: {sentence}", err=True)
    return status
