"""What a batch run shows while it runs: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType

import click
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from modelserve.batch.progress import Progress
from modelserve.cli import screen

__all__ = ["Shown", "duration"]

# Who reads a log wants few lines.
LINES_S = 10.0


class Shown:
    """Shows progress on standard error, as a context.

    Args:
        look: Returns how far the run is.
        target: Where to show it; standard error by default.
        lines_s: How often a line is written where no bar can be drawn.
    """

    def __init__(
        self, look: Callable[[], Progress], *, target: Console | None = None, lines_s: float = LINES_S
    ) -> None:
        self._look = look
        self._lines_s = lines_s
        self._said_s = time.monotonic()
        target = target or screen.console(sys.stderr)
        columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TextColumn("{task.fields[words]}"))
        self._bar = Bar(*columns, console=target, auto_refresh=False, transient=True) if target.is_terminal else None

    def __enter__(self) -> Shown:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("", total=None, words="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def tick(self) -> None:
        """Show how far the run is now, if it is time."""
        found = self._look()
        if self._bar is not None:
            self._bar.update(self._task, total=found.total or None, completed=found.done, words=words(found))
            self._bar.refresh()
        elif time.monotonic() - self._said_s >= self._lines_s:
            self._said_s = time.monotonic()
            share = f"{min(100, 100 * found.done // found.total)} %, " if found.total else ""
            click.echo(share + words(found), err=True)


def words(found: Progress) -> str:
    """Say how far a run is: ``1,200 rows, 340/s, 3 failed, 12 s left``."""
    left = "" if found.left_s is None else f", {duration(found.left_s)} left"
    return f"{found.done:,} rows, {found.rate:,.0f}/s, {found.failed:,} failed{left}"


def duration(seconds: float) -> str:
    """Say a time in the two units that matter.

    >>> duration(7.4), duration(84), duration(7500)
    ('7 s', '1 min 24 s', '2 h 5 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
