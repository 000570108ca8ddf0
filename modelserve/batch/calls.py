"""Makes calls of rows, by what the model declares.

    a line of JSON, a dict of values, the cells of a table or the path of a file --[CallMaker]--> Row

A row's values go where their arguments are read from: query, form, headers or a JSON body. A value of a file argument
is the path of a file, from the folder of the input. A line of JSON for a model whose arguments may all stand in JSON
is passed on as it is, unread.
"""

from __future__ import annotations

import base64
import dataclasses
import itertools
import mimetypes
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import orjson

from modelserve.batch.rows import Row, refused
from modelserve.errors import BadRequest, InvalidArguments, ModelserveError, SettingsError
from modelserve.messages import Argument, Call, Description, FilePart
from modelserve.names import suffix_of
from modelserve.strict_json import parse_value
from modelserve.text import shown

__all__ = ["CallMaker", "Wishes"]

JSON = "application/json"
FORM = "multipart/form-data; boundary=none"  # its parts are in form and files

# A line that holds a GiB would be one call of a GiB; the server's own limit of a body is the default here too.
MAX_ROW_BYTES = 64 * 1024**2


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What was asked for besides the input.

    ``constants`` are arguments that every row gets, by name, as texts. ``field`` is the argument that a file of a
    folder is given to, "" for the only one that there is; ``id_column`` is repeated in the output.
    """

    accept: str = ""
    constants: Mapping[str, str] = dataclasses.field(default_factory=dict)
    field: str = ""
    id_column: str = ""
    max_row_bytes: int = MAX_ROW_BYTES


class CallMaker:
    """Makes the calls of one run.

    Args:
        description: The model's.
        wishes: What was asked for.
        scratch: An existing folder for copies of files: what a model does to an upload is not done to the user's own.
        base: The folder from which paths in rows are read.

    Raises:
        SettingsError: A wish does not fit the model.
    """

    def __init__(self, description: Description, wishes: Wishes, *, scratch: Path, base: Path) -> None:
        self._arguments = {argument.name: argument for argument in description.predict}
        self._scratch = scratch
        self._base = base
        self._field = wishes.field
        self._id_column = wishes.id_column
        self._copies = itertools.count()
        self.max_row_bytes = wishes.max_row_bytes
        fixed = _Parts(wishes.accept)
        for name, text in wishes.constants.items():
            _add_constant(fixed, name, self._arguments.get(name), text)
        self._fixed = fixed
        self._accept = fixed.accept
        self._query = urlencode(fixed.query)
        self._is_plain = not fixed.form and not wishes.id_column and all(map(_may_be_json, description.predict))

    def of_json(self, line: bytes) -> Row:
        """Return the row of a line that holds a JSON object of arguments; what is wrong with it the worker says."""
        if self._is_plain:
            return Row(Call(0, "", self._query, JSON, self._accept, line, self._fixed.headers))
        try:
            values = parse_value(line)  # as the worker reads a line that is passed on
            if not isinstance(values, dict):
                return refused(InvalidArguments({"_schema": ["The row must be a JSON object of arguments."]}))
            label = self._label_as_written(line)
        except BadRequest as error:
            return refused(error)
        return self._row(values.items(), label, _add_value)

    def of_values(self, values: dict[str, Any]) -> Row:
        """Return the row of JSON values by argument."""
        return self._row(values.items(), self._label(values.get(self._id_column)), _add_value)

    def of_texts(self, names: Sequence[str], cells: Sequence[str]) -> Row:
        """Return the row of the cells of a table; an empty one is an argument that is not given."""
        label = self._label(dict(zip(names, cells, strict=False)).get(self._id_column) or None)
        if len(cells) != len(names):
            return refused(BadRequest(f"The row has {len(cells)} cells, and the header {len(names)}."), label)
        given = [(name, cell) for name, cell in zip(names, cells, strict=True) if cell]
        return self._row(given, label, _add_text)

    def of_file(self, path: Path, name: str) -> Row:
        """Return the row of one file of a folder, which is known by a name there."""
        assert self._field, "check_files comes first"
        label = b',"input":' + orjson.dumps(os.fsencode(name).decode(errors="replace"))
        parts = self._parts()
        try:
            parts.files.append(self._copy(self._field, path))
        except ModelserveError as error:
            return refused(error, label)
        return Row(parts.call(self._query), label)

    def check_files(self) -> None:
        """Find the argument that each file of a folder is given to.

        Raises:
            SettingsError: There is none, or several and none was asked for.
        """
        asked = self._field
        names = [name for name, argument in self._arguments.items() if argument.file is not None]
        if asked and asked not in names:
            raise SettingsError(f"--field {asked} is no file argument of this model; there is {_listed(names)}.")
        if not asked and len(names) != 1:
            raise SettingsError(f"--field must say which argument gets the files; there is {_listed(names)}.")
        self._field = asked or names[0]

    def _label(self, identity: Any) -> bytes:
        return b"" if not self._id_column else b',"id":' + msgspec.json.encode(_plain(identity))

    def _label_as_written(self, line: bytes) -> bytes:
        """Return the label with the id's own text, so that 1.0 is not 1, nor 2 to the power of 70 rounded."""
        if not self._id_column:
            return b""
        written = msgspec.json.decode(line, type=dict[str, msgspec.Raw]).get(self._id_column, msgspec.Raw(b"null"))
        return b',"id":' + bytes(written)

    def _row(self, given: Iterable[tuple[str, Any]], label: bytes, add: Any) -> Row:
        parts = self._parts()
        try:
            for name, value in given:
                argument = self._arguments.get(name)
                if argument is not None and argument.file is not None:
                    self._add_files(parts, argument, value)
                elif argument is not None or name != self._id_column:
                    add(parts, name, argument, value)
            return Row(parts.call(self._query), label)
        except ModelserveError as error:
            self._drop(parts)
            return refused(error, label)

    def _parts(self) -> _Parts:
        fixed = self._fixed
        return _Parts(self._accept, dict(fixed.headers), list(fixed.form))

    def _add_files(self, parts: _Parts, argument: Argument, value: Any) -> None:
        for path in value if isinstance(value, list) else [] if value is None else [value]:
            if isinstance(path, bytes):
                parts.files.append(self._write(argument.name, path))
            elif isinstance(path, str):
                parts.files.append(self._copy(argument.name, self._base / path))
            else:
                raise InvalidArguments({argument.name: ["Give the path of a file here."]})

    def _copy(self, field: str, path: Path) -> FilePart:
        copy = self._scratch / f"{next(self._copies)}{suffix_of(path.name)}"
        try:
            shutil.copyfile(path, copy)
            size = copy.stat().st_size
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise BadRequest(f"The file {_printable(path)} cannot be read: {reason}.") from error
        content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return FilePart(field, os.fspath(copy), content_type, _printable(path.name), size)

    def _write(self, field: str, content: bytes) -> FilePart:
        copy = self._scratch / str(next(self._copies))
        copy.write_bytes(content)
        return FilePart(field, os.fspath(copy), "application/octet-stream", "", len(content))

    def _drop(self, parts: _Parts) -> None:
        for part in parts.files:
            os.unlink(part.path)


class _Parts:
    """The places of one call as they fill. ``loose`` are JSON values that could as well be texts of a form."""

    __slots__ = ("accept", "files", "form", "headers", "json", "loose", "query")

    def __init__(
        self, accept: str, headers: dict[str, str] | None = None, form: list[tuple[str, str]] | None = None
    ) -> None:
        self.accept = accept
        self.headers = headers or {}
        self.form = form or []
        self.query: list[tuple[str, str]] = []
        self.json: dict[str, Any] = {}
        self.loose: dict[str, Any] = {}
        self.files: list[FilePart] = []

    def add_header(self, name: str, text: str) -> None:
        """Add an argument that is a header; the Accept header has a place of its own in a call."""
        header = name.lower().replace("_", "-")
        if header == "accept":
            self.accept = text
        else:
            self.headers[header] = text

    def call(self, fixed_query: str) -> Call:
        """Return the call of them, with a query string that every call has."""
        if self.json and (self.form or self.files):
            raise BadRequest("The row gives an argument of a JSON body and one of a form, which no one call can carry.")
        query = "&".join(filter(None, (urlencode(self.query), fixed_query)))
        if self.form or self.files:
            for name, value in self.loose.items():
                self.form.extend((name, text) for text in _texts(value))
            return Call(0, "", query, FORM, self.accept, b"", self.headers, 0.0, self.form, self.files)
        body = _dump({**self.loose, **self.json})
        return Call(0, "", query, JSON, self.accept, body, self.headers)


def _may_be_json(argument: Argument) -> bool:
    return argument.file is None and argument.location in ("", "json")


def _add_constant(parts: _Parts, name: str, argument: Argument | None, text: str) -> None:
    if argument is None:
        raise SettingsError(f"--set {name}: this model has no such argument.")
    if argument.file is not None or argument.location == "json":
        raise SettingsError(f"--set {name}: this argument can only be given by the rows.")
    if argument.location == "headers":
        parts.add_header(name, text)
    else:
        (parts.form if argument.location == "form" else parts.query).append((name, text))


def _add_value(parts: _Parts, name: str, argument: Argument | None, value: Any) -> None:
    location = "" if argument is None else argument.location
    if not location:
        parts.loose[name] = value
    elif location == "json":
        parts.json[name] = value
    elif value is not None and location == "headers":
        parts.add_header(name, ",".join(_texts(value)))
    elif value is not None:
        (parts.form if location == "form" else parts.query).extend((name, text) for text in _texts(value))


def _add_text(parts: _Parts, name: str, argument: Argument | None, text: str) -> None:
    if not text.isascii():
        _check_text(name, text)
    location = "" if argument is None else argument.location
    if location == "headers":
        parts.add_header(name, text)
    elif location == "json":
        raise InvalidArguments({name: ["A table cannot give this argument; it must be part of a JSON body."]})
    else:
        (parts.query if location == "query" else parts.form).append((name, text))


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(f"The cell {_printable(name)} is not valid UTF-8.") from error


def _texts(value: Any) -> list[str]:
    """Return a JSON value as the texts of a form that the worker reads as the same value: of a list, one each."""
    if isinstance(value, list) and len(value) > 1 and not any(isinstance(each, list | dict) for each in value):
        return [_text(each) for each in value]
    return [] if value is None else [_text(value)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _dump(value).decode()


def _dump(value: Any) -> bytes:
    try:
        return orjson.dumps(value, default=_stand_in)
    except (TypeError, ValueError):
        pass  # a whole number of more than 64 bits, which msgspec writes
    try:
        return msgspec.json.encode(value, enc_hook=_stand_in)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadRequest(f"The row cannot be written as JSON: {error}.") from error


def _stand_in(value: Any) -> Any:
    """Return what stands for a value of a table that JSON has no form for: bytes are an array's, in base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    """Return an id as a text that can be written, a number or nothing."""
    if isinstance(value, int | float | None):
        return value
    return shown(value if isinstance(value, str | bytes) else str(value))


def _printable(text: object) -> str:
    return "".join(each if each.isprintable() else "?" for each in str(text))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"
