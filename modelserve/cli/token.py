"""The token that a command sends to a server: from a file, or from the environment, but never from its arguments.

What stands on a command line can be read by every user of the machine, and stays in the shell's history.
"""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from pathlib import Path

import click

from modelserve.settings.sources import TOKEN_VARIABLE

__all__ = ["TOKEN_HELP", "TOKEN_VARIABLE", "read_token", "token_option"]

# No token is longer; a file that is, is some other.
_MOST_BYTES = 4096

TOKEN_HELP = f"File with the token for the server.  [default: the one in {TOKEN_VARIABLE}, if it is set]"

token_option = click.option("--token-file", default="", metavar="FILE", help=TOKEN_HELP)


def read_token(file: str) -> str:
    """Return the token in a file, or else in the environment; "" where there is none.

    Raises:
        click.UsageError: The file cannot be read, or holds anything else.
    """
    if not file:
        return os.environ.get(TOKEN_VARIABLE, "").strip()
    try:
        with Path(file).open("rb") as opened:
            text = opened.read(_MOST_BYTES).removeprefix(BOM_UTF8).decode("ascii").strip()
    except OSError as error:
        raise click.UsageError(f"--token-file {file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable() or " " in text:
        raise click.UsageError(f"--token-file {file} must hold a token and nothing else.")
    return text
