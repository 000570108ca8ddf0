"""Shows a training while it runs: a bar on a terminal, plain lines elsewhere, JSON lines for programs.

News, lines of its log, notes of ours  ->  a Display  ->  standard error (JSON lines: standard output)
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Protocol

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from modelserve.cli import screen

__all__ = ["Display", "News", "metrics_text", "showing"]

# A pipe or a file gets a line at most so often; the last news always come.
LINES_EVERY_S = 1.0


class News(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a training has told of itself; what is None or empty stays as it was.

    ``status`` is one of a job's; ``progress`` is from 0 to 1; a metric that was no finite number is None.
    """

    status: str | None = None
    progress: float | None = None
    metrics: dict[str, int | float | None] = {}
    step: int | None = None


class Display(Protocol):
    """Shows one training."""

    def tell(self, news: News) -> None:
        """Show what the training has told."""

    def log(self, line: str) -> None:
        """Show a line of the training's log."""

    def note(self, sentence: str) -> None:
        """Show a sentence of ours."""

    def paused(self) -> contextlib.AbstractContextManager[None]:
        """Keep the terminal free inside the block, for a question."""


@contextlib.contextmanager
def showing(name: str, *, as_json: bool) -> Iterator[Display]:
    """Yield what shows a training of the model ``name``, and show the last news when the block is left."""
    target = screen.console(sys.stderr)
    if as_json:
        yield _JsonLines()
    elif target.is_terminal and not target.is_dumb_terminal:
        with _progress(target) as progress:
            yield _Bar(progress, name)
    else:
        lines = _Lines(name)
        try:
            yield lines
        finally:
            lines.finish()


def metrics_text(metrics: Mapping[str, int | float | None]) -> str:
    """Return metrics as ``loss=0.12 accuracy=0.97 images=60000``; whole numbers are exact."""
    shown = {name: _number_text(value) for name, value in metrics.items()}
    return screen.clean(" ".join(f"{name}={value}" for name, value in shown.items()))


def _number_text(value: int | float | None) -> str:
    if value is None:
        return "nan"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _progress(target: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[metrics]}", markup=False),
        console=target,
    )


class _Bar:
    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name
        self._metrics: dict[str, int | float | None] = {}
        self._task = progress.add_task(screen.clean(name), total=None, metrics="")

    def tell(self, news: News) -> None:
        if news.status is not None:
            self._progress.update(self._task, description=screen.clean(f"{self._name} {news.status}"))
        if news.progress is not None:
            self._progress.update(self._task, total=1.0, completed=news.progress)
        if news.metrics:
            self._metrics |= news.metrics
            self._progress.update(self._task, metrics=metrics_text(self._metrics))

    def log(self, line: str) -> None:
        self._progress.console.print(Text(screen.clean(line)), soft_wrap=True)

    def note(self, sentence: str) -> None:
        self._progress.console.print(Text(screen.clean(sentence), style="yellow"), soft_wrap=True)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()


class _Lines:
    def __init__(self, name: str) -> None:
        self._name = name
        self._all = News()
        self._shown_at = 0.0
        self._is_new = False

    def tell(self, news: News) -> None:
        changed = {name: value for name, value in msgspec.structs.asdict(news).items() if value not in (None, {})}
        self._is_new = self._is_new or bool(changed)
        changed["metrics"] = self._all.metrics | news.metrics
        self._all = msgspec.structs.replace(self._all, **changed)
        if news.status is not None or time.monotonic() >= self._shown_at + LINES_EVERY_S:
            self.finish()

    def finish(self) -> None:
        """Show what has come since the last line."""
        if not self._is_new:
            return
        self._is_new, self._shown_at = False, time.monotonic()
        news = self._all
        share = "" if news.progress is None else f"{news.progress:.0%}"
        self.note(" ".join(filter(None, (f"{self._name}:", news.status, share, metrics_text(news.metrics)))))

    def log(self, line: str) -> None:
        self.note(line)

    def note(self, sentence: str) -> None:
        click.echo(screen.clean(sentence), err=True)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        yield


class _JsonLines:
    def tell(self, news: News) -> None:
        self._write("progress" if news.status is None else "status", **msgspec.to_builtins(news))

    def log(self, line: str) -> None:
        self._write("log", line=line)

    def note(self, sentence: str) -> None:
        click.echo(screen.clean(sentence), err=True)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        yield

    def _write(self, event: str, **facts: object) -> None:
        click.echo(json.dumps({"event": event, **facts}))
        sys.stdout.flush()
