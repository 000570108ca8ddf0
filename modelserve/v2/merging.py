"""One set of values out of a call, for a schema to validate.

    query string, form and files, headers, JSON body --[Merger]--> {"x": 1, "image": UploadedFile(...)}

Query beats form beats JSON. What a place can only say as text is turned here into what JSON would have said: a repeated
name into a list, JSON text into the object, list or array it holds. Values themselves are not validated here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from marshmallow import Schema, ValidationError

from modelserve.body import kind, parse_form, parse_json
from modelserve.errors import BadRequest, UnsupportedMedia
from modelserve.messages import Call, FilePart
from modelserve.strict_json import parse_value
from modelserve.v2.files import UploadedFile
from modelserve.v2.reading import Reading, header_names, reading_of, wire_name

__all__ = ["Merger"]

_PLACES = {
    "query": "in the query string",
    "form": "as a part of a form",
    "json": "in a JSON body",
    "headers": "as a request header",
}
# The first characters of every npy file (numpy's format document: \x93NUMPY), in base64.
_NPY_BASE64 = "k05VTVBZ"

_Given = str | UploadedFile


class Merger:
    """Merges the places of a call by what a schema declares; built once, then used for every call.

    Args:
        schema: The schema.
        drops_misplaced: Whether an argument that is given elsewhere than in its location is left out, not refused.

    Raises:
        ValueError: A field names an unknown location.
    """

    def __init__(self, schema: Schema, *, drops_misplaced: bool = False) -> None:
        self._drops_misplaced = drops_misplaced
        readings = [reading_of(wire_name(name, field), field) for name, field in schema.load_fields.items()]
        self._readings = {reading.name: reading for reading in readings}
        # The Accept header is negotiated over, never read as a value.
        self._from_headers = [r for r in readings if r.location == "headers" and r.name.lower() != "accept"]
        self._json_as_is = all(reading.location == "" and reading.text for reading in readings)
        self.headers = tuple(name for reading in self._from_headers for name in header_names(reading.name))

    def merge(self, call: Call) -> dict[str, Any]:
        """Return wire names and raw values of all that a call gives, unknown names included.

        A body without bytes gives none, of whatever type it is said to be.

        Raises:
            BadRequest: A query string, form or JSON body that is malformed.
            UnsupportedMedia: A body of another type than JSON or a form, or of none.
            InvalidArguments: A JSON body that is no object.
            marshmallow.ValidationError: By name, arguments that are given in the wrong place, as a file instead of text
                or the reverse, or several times where one value belongs.
        """
        found = kind(call.content_type) if call.body else None
        if found == "none":
            raise UnsupportedMedia("The request has a body but no Content-Type; send application/json or a form.")
        body = parse_json(call.body) if found == "json" else {}
        if found == "json" and self._json_as_is and not call.query:
            return body
        return self._merge(call, body, found == "form")

    def _merge(self, call: Call, body: dict[str, Any], is_form: bool) -> dict[str, Any]:
        taken = _Taken(self._readings, self._drops_misplaced)
        query = parse_form(call.query.encode(errors="surrogatepass")) if call.query else ()
        for name, value in body.items():
            taken.take("json", name, value)
        for name, given in _grouped(_form_items(call, is_form)).items():
            taken.take("form", name, given)
        for name, given in _grouped(query).items():
            taken.take("query", name, given)
        for name, texts in self._header_values(call):
            taken.take("headers", name, texts)
        if taken.problems:
            raise ValidationError(taken.problems)
        return taken.values

    def _header_values(self, call: Call) -> Iterator[tuple[str, list[_Given]]]:
        for reading in self._from_headers:
            text = next((call.headers[name] for name in header_names(reading.name) if name in call.headers), None)
            if text is not None:
                # RFC 9110, 5.3: a header that is a list is separated by commas.
                yield reading.name, [each.strip() for each in text.split(",")] if reading.shape == "list" else [text]


class _Taken:
    """What was taken of one call so far: a value by name, later places replacing earlier, and what is wrong by name."""

    def __init__(self, readings: dict[str, Reading], drops_misplaced: bool) -> None:
        self._readings = readings
        self._drops_misplaced = drops_misplaced
        self.values: dict[str, Any] = {}
        self.problems: dict[str, list[str]] = {}

    def take(self, place: str, name: str, given: Any) -> None:
        """Take what a place gives: a JSON value, or the list of all texts and uploads of that name."""
        reading = self._readings.get(name)
        try:
            if reading is not None:
                self._take_declared(reading, place, given)
            else:
                self.values[name] = given[0] if place != "json" and len(given) == 1 else given
        except ValidationError as error:
            self.problems.setdefault(name, [str(message) for message in error.messages])

    def _take_declared(self, reading: Reading, place: str, given: Any) -> None:
        if not _is_its_place(reading, place):
            if self._drops_misplaced:
                return
            raise ValidationError(f"Give this argument {_PLACES[reading.location]}, not {_PLACES[place]}.")
        if place == "json":
            self.values[reading.name] = _from_json(reading, given)
        elif chosen := _chosen(given):
            self.values[reading.name] = _READERS[reading.shape](reading, chosen)


def _form_items(call: Call, is_form: bool) -> Iterator[tuple[str, _Given]]:
    yield from parse_form(call.body) if is_form else call.form
    yield from ((part.name, _uploaded(part)) for part in call.files)


def _uploaded(part: FilePart) -> UploadedFile:
    return UploadedFile(part.name, part.path, part.content_type, part.filename, part.size)


def _grouped(items: Iterable[tuple[str, _Given]]) -> dict[str, list[_Given]]:
    groups: dict[str, list[_Given]] = {}
    for name, given in items:
        groups.setdefault(name, []).append(given)
    return groups


def _chosen(given: list[_Given]) -> list[_Given]:
    """Leave out what a browser sends for a file input that nobody touched: an upload without name and bytes."""
    return [each for each in given if isinstance(each, str) or each.size or each.original_filename]


def _is_its_place(reading: Reading, place: str) -> bool:
    return reading.location == place or (not reading.location and place != "headers")


def _from_json(reading: Reading, value: Any) -> Any:
    if not reading.text and value is not None:
        raise ValidationError("Give a file here, as a part of a multipart form.")
    return value


def _check_given(reading: Reading, given: list[_Given]) -> None:
    if not reading.text and any(isinstance(each, str) for each in given):
        raise ValidationError("Give a file here, as a part of a multipart form.")
    if not reading.file and not all(isinstance(each, str) for each in given):
        raise ValidationError("Give text here, not a file.")


def _read_one(reading: Reading, given: list[_Given]) -> Any:
    _check_given(reading, given)
    if len(given) > 1:
        raise ValidationError(f"Give one {'value' if reading.text else 'file'} here, not {len(given)}.")
    return _value(reading, given[0])


def _read_list(reading: Reading, given: list[_Given]) -> Any:
    _check_given(reading, given)
    first = given[0]
    if reading.whole and len(given) == 1 and isinstance(first, str) and first.lstrip().startswith("["):
        value = _parsed(first)
        if not reading.nested or all(isinstance(item, list) for item in value):
            return value
    return [_value(reading, each) for each in given]


def _read_array(reading: Reading, given: list[_Given]) -> Any:
    """Read a name that is repeated as a vector; one text as JSON or base64, one upload as it is."""
    if len(given) > 1:
        if not all(isinstance(each, str) for each in given):
            raise ValidationError(f"Give one file here, not {len(given)}.")
        return [_parsed(each) for each in given if isinstance(each, str)]
    first = given[0]
    if isinstance(first, UploadedFile) or first.startswith(_NPY_BASE64):
        return first
    value = _parsed(first)
    return [value] if reading.shape == "vector" and isinstance(value, int | float) else value


_READERS = {"one": _read_one, "list": _read_list, "array": _read_array, "vector": _read_array}


def _value(reading: Reading, given: _Given) -> Any:
    return _parsed(given) if reading.json and isinstance(given, str) else given


def _parsed(text: str) -> Any:
    try:
        return parse_value(text.encode(errors="surrogatepass"))
    except BadRequest as error:
        raise ValidationError(error.message) from error
