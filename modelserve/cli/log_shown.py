"""Prints what a server sends of a log: to a pipe as it is, to a terminal without what could drive it."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Iterable

import aiohttp
import click

from modelserve.cli import screen
from modelserve.cli.downloads import PIECE_BYTES

__all__ = ["pass_on", "print_lines", "print_text"]


async def print_text(response: aiohttp.ClientResponse, *, as_json: bool) -> None:
    """Print a log; as JSON, an object ``{"log"}``."""
    if as_json:
        text = (await response.read()).decode("utf-8", "replace")
        click.echo(json.dumps({"log": text}, indent=2, ensure_ascii=False))
    elif sys.stdout.isatty():
        await _show_text(response)
    else:
        await pass_on(response)


def print_lines(lines: Iterable[str], *, as_json: bool) -> None:
    """Print lines of a log that is followed; as JSON, an object for each."""
    for line in lines:
        if as_json:
            click.echo(json.dumps({"event": "log", "line": line}))
        else:
            click.echo(screen.clean(line) if sys.stdout.isatty() else line)


async def pass_on(response: aiohttp.ClientResponse) -> None:
    """Write a body as it is."""
    async for piece in response.content.iter_chunked(PIECE_BYTES):
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


async def _show_text(response: aiohttp.ClientResponse) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    async for piece in response.content.iter_chunked(PIECE_BYTES):
        lines = decoder.decode(piece).split("\n")
        click.echo("\n".join(map(screen.clean, lines)), nl=False)
