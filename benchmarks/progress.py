"""Shows how far a run is, without taking CPU that the load generator wants."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["Steps", "shown"]


class Steps:
    """Moves the bar on: a step that begins means the one before has ended."""

    def __init__(self, bar: Progress, total: int | None) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=total)
        self._begun = 0

    def __call__(self, what: str) -> None:
        """Tell what begins now."""
        self._bar.update(self._task, description=what, completed=self._begun)
        self._begun += 1


@contextlib.contextmanager
def shown(console: Console, total: int | None) -> Iterator[Callable[[str], None]]:
    """Show a bar of ``total`` steps, None for an unknown number; where it is no terminal, a line per step."""
    if not console.is_terminal:
        yield lambda what: console.print(what, style="dim", markup=False, soft_wrap=True)
        return
    columns = (BarColumn(), TextColumn("{task.completed}/{task.total} {task.description}"), TimeElapsedColumn())
    # Twice a second: drawing it costs CPU.
    with Progress(*columns, console=console, refresh_per_second=2, transient=True) as bar:
        yield Steps(bar, total)
