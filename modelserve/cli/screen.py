"""What the commands draw: tables, a model's Description, why a model failed.

Results go to standard output; what accompanies them (spinner, errors) goes to standard error.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from modelserve.messages import Argument, Description, Failed

__all__ = [
    "clean",
    "console",
    "progress",
    "show_description",
    "show_failure",
    "show_table",
]

# A file or a pipe has no width; this one holds our tables without cutting what a script may look for.
PIPE_WIDTH = 200

# How much of a traceback is shown: the model's own frames are the last ones.
TRACEBACK_LINES = 12

_ADVICE = {
    "load": "Its code could not be imported or its class not be made: see that it imports in this environment.",
    "describe": "get_metadata, get_predict_args or schema is at fault: each is called once, before warm.",
    "warm": "warm() raised: what it loads (weights, data, a device) must be there before the model can serve.",
}


def console(stream: TextIO | None = None) -> Console:
    """Return a console on a stream, standard output by default, wide enough where it is no terminal."""
    stream = stream or sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - a program may have been started without one
    return _Console(file=stream, width=None if stream.isatty() else PIPE_WIDTH, highlight=False, soft_wrap=False)


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Yield what shows a text beside a spinner, on standard error and only where that is a terminal."""
    target = console(sys.stderr)
    if target.is_terminal:
        with target.status("") as status:
            yield lambda text: status.update(Text(clean(text)))
    else:
        yield lambda text: None


def clean(text: str) -> str:
    """Return a model's text on one line, without what could drive the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def show_table(target: Console, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Draw a plain table; texts are shown as they are, without markup."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in titles:
        table.add_column(Text(clean(title)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    target.print(table)


def show_description(target: Console, description: Description) -> None:
    """Draw all that a model says of itself."""
    metadata = description.metadata
    facts = {
        "name": metadata.name,
        "description": metadata.description,
        "version": metadata.version,
        "author": metadata.author,
        "license": metadata.license,
        "url": metadata.url,
        "provides": ", ".join(description.implements),
        "answers": ", ".join(description.media_types),
        "answer's schema": "its own" if description.response is not None else "none: any JSON value",
        "batches": f"up to {description.max_batch_size} calls" if description.max_batch_size > 1 else "no",
    }
    show_table(target, [metadata.id, ""], [(name, fact) for name, fact in facts.items() if fact])
    for title, arguments in (("predict", description.predict), ("train", description.train)):
        if arguments:
            target.print()
            titles = (f"{title} argument", "type", "default", "required", "from", "meaning")
            show_table(target, titles, [_argument_row(argument) for argument in arguments])


def show_failure(target: Console, name: str, failed: Failed) -> None:
    """Say in plain words why a model could not start, with the end of its traceback."""
    target.print(f"[bold red]{escape(name)} could not be started[/]: it failed to {escape(failed.stage)}.")
    origin, _, sentence = failed.message.partition(": ")
    if origin.startswith("modelserve.errors."):  # a sentence of ours says what to do; our frames would add nothing
        target.print(Text(f"  {clean(sentence)}"))
        return
    target.print(Text(f"  {clean(failed.message)}"))
    lines = failed.traceback.rstrip().splitlines()
    if len(lines) > TRACEBACK_LINES:
        target.print(f"  (the last of {len(lines)} lines of the traceback)")
    for line in lines[-TRACEBACK_LINES:]:
        target.print(Text(f"  {clean(line)}", style="dim"))
    target.print(_ADVICE.get(failed.stage, ""))


class _Console(Console):
    """A console that leaves it to its caller what becomes of a reader that has gone; rich would end the program."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _argument_row(argument: Argument) -> tuple[str, ...]:
    schema = argument.schema
    default = "" if argument.required else _shown(schema.get("default"))
    where = argument.location or ("form" if argument.file else "query, form, JSON")
    required = "yes" if argument.required else "no"
    return argument.name, type_of(argument), default, required, where, str(schema.get("description", ""))


def type_of(argument: Argument) -> str:
    """Return an argument's type in a word or two, such as ``integer`` or ``list of number``."""
    if argument.file is not None:
        kind = "files" if argument.file.many else "file"
        return f"{kind} ({', '.join(argument.file.media_types)})" if argument.file.media_types else kind
    return _type(argument.schema)


def _type(schema: Mapping[str, object]) -> str:
    if isinstance(schema.get("enum"), list):
        return " | ".join(_shown(choice) for choice in schema["enum"])  # type: ignore[attr-defined]
    for several in ("anyOf", "oneOf"):
        if isinstance(schema.get(several), list):
            return " or ".join(_type(choice) for choice in schema[several])  # type: ignore[attr-defined]
    refers = "$ref" in schema or "allOf" in schema  # to a nested schema
    kind, items = schema.get("type", "object" if refers else "any"), schema.get("items")
    if kind == "array" and isinstance(items, dict):
        return f"list of {_type(items)}"
    return " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind)


def _shown(value: object) -> str:
    return "" if value is None else str(value)
