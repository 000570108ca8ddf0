"""A model's arguments as flags of the command line, and their values as a call.

    Description.predict -> click options -> values by argument -> Call (query, form, files, headers or JSON body)

Texts travel as parts of a form, as from a web page: the worker, not this file, says what is valid.
"""

from __future__ import annotations

import base64
import itertools
import json
import mimetypes
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from modelserve.cli.screen import type_of
from modelserve.messages import Argument, Call, FilePart
from modelserve.names import suffix_of

__all__ = ["CallBuilder", "WrongUse", "flag_of", "options"]

# Flags that every model's predict has for itself; an argument of that name gets --arg-NAME.
RESERVED = frozenset({"--accept", "--output", "--help", "-h"})


class WrongUse(click.ClickException):
    """What was asked for cannot be done; unlike with an unknown flag, the help would not help."""

    exit_code = 2


def flag_of(name: str, reserved: frozenset[str] = RESERVED) -> str:
    """Return an argument's flag: ``top_k`` is ``--top-k``, and ``output``, which is ours, ``--arg-output``."""
    flag = "--" + (re.sub(r"[^\w.]+|_", "-", name).strip("-") or "arg")
    return f"--arg-{flag[2:]}" if flag in reserved else flag


def options(
    arguments: Sequence[Argument], reserved: frozenset[str] = RESERVED
) -> dict[str, tuple[Argument, click.Option]]:
    """Return the flag of each argument, by the parameter's name in click.

    An argument ``accept`` has none where ``--accept`` is ``reserved``: every model has that, and it does the same.
    """
    taken = set(reserved)
    found = {}
    for number, argument in enumerate(arguments):
        if argument.name == "accept" and not argument.file and "--accept" in reserved:
            continue
        option = _option(argument, f"argument{number}", _spellings(argument.name, taken, reserved))
        found[f"argument{number}"] = (argument, option)
    return found


class CallBuilder:
    """Makes one call of the values that were given.

    Args:
        folder: An existing empty folder, for copies of the files: what a model does to an upload is not done to the
            user's own file. None where the call is only sent on, and names the files themselves.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._query: list[tuple[str, str]] = []
        self._json: dict[str, Any] = {}
        self._call = Call(headers={}, form=[], files=[])

    def add(self, argument: Argument, values: Sequence[str]) -> None:
        """Add an argument's values, of which there is more than one where its flag was repeated.

        Raises:
            WrongUse: A file cannot be read.
        """
        if argument.file is not None:
            self._call.files.extend(self._file(argument, path) for path in values)
            return
        texts = [_contents(argument, value) for value in values]
        if argument.location == "headers":
            text = ", ".join(texts) if _is_list(argument) else texts[-1]
            self._add_header(argument.name.lower().replace("_", "-"), text)
        elif argument.location == "json":
            parsed = [_json_value(argument, text) for text in texts]
            self._json[argument.name] = parsed if _is_list(argument) else parsed[-1]
        else:
            place = self._query if argument.location == "query" else self._call.form
            place.extend((argument.name, text) for text in texts)

    def build(self, accept: str) -> Call:
        """Return the call.

        Args:
            accept: Its Accept header; with "" an argument that is declared to be that header gives it.

        Raises:
            WrongUse: One argument can only be sent in a JSON body and another only in a form.
        """
        call = self._call
        call.accept = accept or call.accept
        if self._json:
            if call.files:
                raise WrongUse("This model takes a file and a JSON argument, which no one request can carry.")
            call.content_type, call.body = "application/json", json.dumps(self._json).encode()
            self._query += call.form
            call.form = []
        elif call.form or call.files:
            call.content_type = "multipart/form-data; boundary=none"  # its parts are in form and files
        call.query = urlencode(self._query)
        return call

    def _add_header(self, name: str, text: str) -> None:
        if name == "accept":
            self._call.accept = text
        else:
            self._call.headers[name] = text

    def _file(self, argument: Argument, text: str) -> FilePart:
        source = Path(text)
        try:
            path = _readable(source) if self._folder is None else self._copy(source, self._folder)
            size = path.stat().st_size
        except OSError as error:
            raise WrongUse(f"{flag_of(argument.name)} {text}: the file cannot be read ({error.strerror}).") from error
        content_type = mimetypes.guess_type(source.name)[0] or "application/octet-stream"
        return FilePart(argument.name, os.fspath(path), content_type, source.name, size)

    def _copy(self, source: Path, folder: Path) -> Path:
        copy = folder / f"{len(self._call.files)}{suffix_of(source.name)}"
        shutil.copyfile(source, copy)
        return copy


def _readable(path: Path) -> Path:
    """Return the path, once a file has been opened there."""
    with path.open("rb"):
        return path


def _spellings(name: str, taken: set[str], reserved: frozenset[str]) -> list[str]:
    """Return how the flag may be written: as the shell does and as it is declared, or with a number if both are taken.

    ``taken`` are the flags of the arguments before it, to which its own are added.
    """
    declared = [f"--{name}"] if re.fullmatch(r"[^\W_][\w.-]*", name) else []
    flag = flag_of(name, reserved)
    numbered = (f"{flag}-{number}" for number in itertools.count(2))
    free = [text for text in dict.fromkeys([flag, *declared]) if text not in taken]
    spellings = free or [next(text for text in numbered if text not in taken)]
    taken.update(spellings)
    return spellings


def _option(argument: Argument, name: str, spellings: Sequence[str]) -> click.Option:
    text = str(argument.schema.get("description", ""))
    notes = [type_of(argument), *_notes(argument)]
    return click.Option(
        [name, *spellings],
        multiple=_is_list(argument),
        metavar="FILE" if argument.file else _metavar(argument),
        help=f"{text}  [{'; '.join(notes)}]".strip(),
    )


def _notes(argument: Argument) -> list[str]:
    if argument.required:
        return ["required"]
    default = argument.schema.get("default")
    return [] if default is None else [f"default: {default if isinstance(default, str) else json.dumps(default)}"]


def _metavar(argument: Argument) -> str:
    if _is_json(argument):
        return "JSON|@FILE"
    names = {"integer": "INTEGER", "number": "NUMBER", "boolean": "BOOLEAN"}
    return next((names[kind] for kind in _kinds(argument.schema) if kind in names), "TEXT")


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    """Return the types of a schema, which has a list of them where its value may also be null."""
    kinds = schema.get("type")
    return kinds if isinstance(kinds, list) else [str(kinds)]


def _is_list(argument: Argument) -> bool:
    """Tell whether the flag may be repeated: for a plain list or many files."""
    return argument.file.many if argument.file else "array" in _kinds(argument.schema) and not _is_json(argument)


def _is_json(argument: Argument) -> bool:
    """Tell whether a value is written as JSON: objects, arrays of arrays, and what can be an array or a text."""
    schema: Mapping[str, Any] = argument.schema
    choices = [schema, *schema.get("anyOf", ())]
    if any("object" in _kinds(choice) or "$ref" in choice or "allOf" in choice for choice in choices):
        return True
    if "prefixItems" in schema:  # each place has a type of its own
        return True
    if len(choices) > 1:
        return any("array" in _kinds(choice) for choice in choices)
    items = schema.get("items") or {}
    return bool({"array", "object"} & {*_kinds(items)}) or "$ref" in items


def _contents(argument: Argument, value: str) -> str:
    """Return the value, or what stands in the file of ``@FILE``; an .npy file goes as base64."""
    if not _is_json(argument) or not value.startswith("@"):
        return value
    path = Path(value[1:])
    try:
        data = path.read_bytes()
        return base64.b64encode(data).decode() if path.suffix == ".npy" else data.decode("utf-8-sig")
    except OSError as error:
        raise WrongUse(f"{flag_of(argument.name)} {value}: the file cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise WrongUse(f"{flag_of(argument.name)} {value}: the file is no UTF-8 text.") from error


def _json_value(argument: Argument, text: str) -> Any:
    """Return a text as the JSON value it is, or as a text where it is none or the argument is one."""
    if "string" in _kinds(argument.schema):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
