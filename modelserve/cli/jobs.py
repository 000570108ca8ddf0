"""``modelserve jobs``: the trainings and background predictions of a server, listed, shown, cancelled and fetched.

Here are only the commands and their flags. What they do stands in job_actions.py, which is loaded with the web
framework once one of them runs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from modelserve import control
from modelserve.cli.output import file_of
from modelserve.cli.token import read_token, token_option
from modelserve.cli.train_flags import Address
from modelserve.cli.which_jobs import Which

__all__ = ["jobs", "local_server", "url_option"]

DEFAULT_URL = "http://127.0.0.1:5000"

EPILOG = """\b
Examples:
  modelserve jobs list digits
  modelserve jobs show digits 3f2a                 the beginning of an id is enough
  modelserve jobs log digits --follow              without an id: the newest
  modelserve jobs cancel digits 3f2a
  modelserve jobs artifacts digits 3f2a plot.png --output plot.png
"""


_Action = Callable[..., int]


@click.group(epilog=EPILOG)
def jobs() -> None:
    """Show and steer the jobs of a server: trainings and, with --operation predict, background predictions.

    UUID is a job's id or the beginning of it; where it may be left out, the newest job is meant.
    """


def _subcommand(name: str, example: str) -> Callable[[_Action], click.Command]:
    """Return a decorator that makes a command of a function, with the arguments and flags that all of them have."""

    def decorate(action: _Action) -> click.Command:
        @functools.wraps(action)
        def run(model: str, url: str | None, operation: str, as_json: bool, token_file: str, **rest: Any) -> int:
            token = read_token(token_file)
            return action(Which(url or local_server(), model, operation, as_json, token), **rest)

        # The last one applied is the first one shown.
        for add in (_as_json, _operation, token_option, url_option, _model):
            run = add(run)
        return jobs.command(name, epilog=f"Example: modelserve jobs {name} {example}")(run)

    return decorate


def local_server() -> str:
    """Return the address of this user's server on this machine, the default one where none is found.

    Raises:
        ControlError: There is more than one.
    """
    ports = control.listening_ports()
    if len(ports) > 1:
        raise control.ControlError(f"Servers run on ports {', '.join(map(str, ports))}: say which with --url.")
    return str(next(control.order(ports[0], "GET", "/status"))["url"]) if ports else DEFAULT_URL


_model = click.argument("model")
url_option = click.option(
    "--url", type=Address(), metavar="URL", help=f"The server.  [default: the one that runs here, else {DEFAULT_URL}]"
)
_operation = click.option(
    "--operation", type=click.Choice(["train", "predict"]), default="train", show_default=True, help="Kind of job."
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_one = click.argument("uuid")
_one_or_newest = click.argument("uuid", required=False, default="")
_output = click.option(
    "--output",
    metavar="FILE|-",
    callback=lambda context, parameter, output: file_of(output),
    help="Write it to this file.",
)


@_subcommand("list", "digits --limit 5")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many of the newest.")
@click.option("--all", "has_all", is_flag=True, help="List all of them.")
def _list(which: Which, limit: int, has_all: bool) -> int:
    """List the jobs of a model, newest first."""
    from modelserve.cli.job_actions import list_jobs

    return list_jobs(which, None if has_all else limit)


@_subcommand("show", "digits 3f2a")
@_one_or_newest
def _show(which: Which, uuid: str) -> int:
    """Show one job: its arguments, how far it is, what it has returned."""
    from modelserve.cli.job_actions import show

    return show(which, uuid)


@_subcommand("log", "digits 3f2a --tail 100 --follow")
@_one_or_newest
@click.option("--tail", type=click.IntRange(0, 100_000), metavar="LINES", help="Begin with the last lines.")
@click.option("--follow", is_flag=True, help="Go on until the job has ended; Ctrl-C ends only this command.")
def _log(which: Which, uuid: str, tail: int | None, follow: bool) -> int:
    """Print what a training has printed and logged."""
    from modelserve.cli.job_actions import follow_log, print_log

    return follow_log(which, uuid, tail) if follow else print_log(which, uuid, tail)


@_subcommand("cancel", "digits 3f2a")
@_one
def _cancel(which: Which, uuid: str) -> int:
    """Cancel a job that has not ended; its record stays."""
    from modelserve.cli.job_actions import cancel

    return cancel(which, uuid)


@_subcommand("result", "digits 3f2a --output result.json")
@_one_or_newest
@_output
def _result(which: Which, uuid: str, output: str) -> int:
    """Print what a job has returned, or write it to a file."""
    from modelserve.cli.job_actions import result

    return result(which, uuid, output)


@_subcommand("artifacts", "digits 3f2a plot.png --output plot.png")
@_one_or_newest
@click.argument("name", required=False, default="")
@_output
def _artifacts(which: Which, uuid: str, name: str, output: str) -> int:
    """List the files that a training has kept, or fetch the one called NAME."""
    from modelserve.cli.job_actions import fetch_artifact, list_artifacts

    return fetch_artifact(which, uuid, name, output) if name else list_artifacts(which, uuid)
