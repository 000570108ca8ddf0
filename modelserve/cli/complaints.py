"""Why something failed, as lines for a terminal: wrong arguments by their flags, then what only operators may read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from modelserve.cli import screen
from modelserve.messages import Argument, Failure

__all__ = ["flags_of", "say_failure"]


def flags_of(options: Mapping[str, tuple[Argument, click.Option]]) -> dict[str, str]:
    """Return the flag of each argument by its name."""
    return {argument.name: option.opts[0] for argument, option in options.values()}


def say_failure(failure: Failure, flags: Mapping[str, str]) -> None:
    """Say on standard error why a call failed; ``flags`` are what the arguments are called here."""
    for line in _lines(failure, flags):
        click.echo(screen.clean(line), err=True)


def _lines(failure: Failure, flags: Mapping[str, str]) -> Iterator[str]:
    yield f"modelserve: {failure.message}"
    for name, messages in (failure.fields or {}).items():
        yield f"  {flags.get(name, name)}: {_sentence(messages)}"
    yield from failure.log.rstrip().splitlines()


def _sentence(messages: Any) -> str:
    """Return a field's messages in one line; nested ones name their place."""
    if isinstance(messages, Mapping):
        return " ".join(f"{name}: {_sentence(inner)}" for name, inner in messages.items())
    return " ".join(map(_sentence, messages)) if isinstance(messages, list | tuple) else str(messages)
