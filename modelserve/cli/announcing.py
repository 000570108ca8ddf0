"""What `modelserve run` says of itself on standard error: where it listens, and which models are ready.

A server that runs for months keeps whatever it has imported, so this is written without the library that draws tables.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence

import click

__all__ = ["PAGES", "announce", "announce_statuses"]

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


def _say(text: str) -> None:
    # Where standard error is no terminal, click leaves the colours out by itself; see https://no-color.org
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    click.echo(text, err=True, color=False if is_plain else None)
