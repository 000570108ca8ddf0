"""What `modelserve run` says of itself on standard error: where it listens, and which models are ready.

A server that runs for months keeps whatever it has imported, so this is written without the library that draws tables.
"""

from __future__ import annotations

import os
import shlex
import sys
import threading
from collections.abc import Mapping, Sequence

import click

from modelserve import logs
from modelserve.cli.streams import unheard

__all__ = ["PAGES", "ReadyLine", "announce", "announce_statuses"]

PAGES = (("Swagger UI", "/api"), ("ReDoc", "/redoc"), ("OpenAPI", "/openapi.json"))

_COLOURS = {"ready": "green", "failed": "red", "starting": "yellow"}


def announce(url: str, names: Sequence[str]) -> None:
    """Say where the server listens, where its pages are and which models it starts."""
    _say(f"{click.style('modelserve', bold=True)} listens on {click.style(url, bold=True)}")
    for title, path in PAGES:
        _say(f"  {title:<10}  {url}{path}")
    _say(f"  {'Models':<10}  {', '.join(names)}  {click.style('(starting)', fg=_COLOURS['starting'])}")


def announce_statuses(statuses: Mapping[str, str], places: Mapping[str, str]) -> None:
    """Say of each model whether it is ready; ``places`` says by what ``modelserve check`` finds it."""
    width = max(len(name) for name in statuses)
    for name, status in statuses.items():
        hint = f": modelserve check {shlex.quote(places[name])} says why" if status == "failed" else ""
        _say(f"  {name:<{width}}  {click.style(status, fg=_COLOURS.get(status))}{hint}")


class ReadyLine:
    """The line on standard output for programs that wait for it; a pipe that nobody reads holds up nobody."""

    # How long the program's end waits for who reads it.
    wait_s = 0.5

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def say(self, url: str) -> None:
        """Write it; never blocks."""
        self._thread = threading.Thread(target=_write, args=[f"modelserve ready on {url}\n"], name="ready", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait until it is written, but not for long."""
        if self._thread is not None:
            self._thread.join(self.wait_s)


def _write(line: str) -> None:
    stream = sys.__stdout__
    with unheard():
        if stream is not None and stream is sys.stdout:  # past its buffer, whose lock the end would wait for
            os.write(stream.fileno(), line.encode())
        else:
            click.echo(line, nl=False)


def _say(text: str) -> None:
    # See https://no-color.org
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb" or not sys.stderr.isatty()
    logs.say(click.unstyle(text) if is_plain else text)
