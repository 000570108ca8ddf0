"""Where a result goes: into a file, to a pipe as it is, or to a terminal where that can show it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from modelserve.cli.arguments import WrongUse

__all__ = ["STANDARD_OUTPUT", "file_of", "save", "write"]

# As an output, the same as none.
STANDARD_OUTPUT = "-"

TEXTS = ("text/", "application/json", "application/x-ndjson")


def file_of(output: str | None) -> str:
    """Return the file that ``--output`` names, "" for standard output."""
    return "" if output is None or output == STANDARD_OUTPUT else output


def write(body: bytes, content_type: str, output: str, *, is_stream: bool = False) -> None:
    """Write a body to the file ``output``, or to standard output where that is "".

    Raises:
        WrongUse: The file cannot be written, or a terminal cannot show such a body.
    """
    if output:
        save(body, output)
    elif sys.stdout is None:  # the program was started without one
        return
    elif not sys.stdout.isatty():
        sys.stdout.buffer.write(body)
    elif content_type.partition(";")[0] == "application/json" and not is_stream:
        click.echo(json.dumps(json.loads(body), indent=2, ensure_ascii=False))
    elif content_type.startswith(TEXTS):
        click.echo(body.decode("utf-8", "replace"))
    else:
        raise WrongUse(f"The answer is {content_type}, which no terminal shows: add --output FILE.")


def save(body: bytes, output: str) -> None:
    """Write a body to a file and say so on standard error.

    Raises:
        WrongUse: The file cannot be written.
    """
    try:
        Path(output).write_bytes(body)
    except OSError as error:
        raise WrongUse(f"--output {output} cannot be written: {error.strerror}.") from error
    click.echo(f"{len(body)} bytes written to {output}", err=True)
