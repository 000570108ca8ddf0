"""``modelserve logs``: what a deployment's workers have printed and logged. Only the flags; see log_actions.py."""

from __future__ import annotations

import click

from modelserve.cli.jobs import local_server, url_option
from modelserve.cli.token import read_token, token_option

__all__ = ["logs"]

EPILOG = """\b
Examples:
  modelserve logs digits --tail 100
  modelserve logs digits --follow
  modelserve logs digits > digits.log              all that the server's files hold
"""


@click.command(epilog=EPILOG)
@click.argument("model")
@click.option("--tail", type=click.IntRange(0, 100_000), metavar="LINES", help="Print the last lines only.")
@click.option("--follow", is_flag=True, help="Go on as lines come; Ctrl-C ends it.")
@url_option
@token_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def logs(model: str, tail: int | None, follow: bool, url: str | None, token_file: str, as_json: bool) -> int:
    """Print the log of a deployment: what its workers have printed and logged, and what the server says of it.

    Where the server has clients, it takes an administrator's token.
    """
    from modelserve.cli.log_actions import follow_log, print_log

    token = read_token(token_file)
    (follow_log if follow else print_log)(url or local_server(), token, model, tail, as_json=as_json)
    return 0
