"""One set of values out of a call, for a schema to validate.

    query string, form and files, headers, JSON body --[Merger]--> {"x": 1, "image": UploadedFile(...)}

Query beats form beats JSON. What a place can only say as text is turned here into what JSON would have said: a repeated
name into a list, JSON text into the object, list or array it holds. Values themselves are not validated here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from marshmallow import Schema, ValidationError

from modelserve.body import check_charset, is_json, kind, parse_form, parse_json
from modelserve.errors import BadRequest, InvalidArguments, UnsupportedMedia
from modelserve.messages import Call, FilePart
from modelserve.strict_json import Body, parse_value
from modelserve.v2.files import UploadedFile
from modelserve.v2.reading import Meaning, Reading, header_names, reading_of, wire_name

__all__ = ["Merger"]

_PLACES = {
    "query": "in the query string",
    "form": "as a part of a form",
    "json": "in a JSON body",
    "headers": "as a request header",
}
# RFC 7578, section 4.6: a browser fills in a hidden field of this name with the charset of the form.
_CHARSET = "_charset_"
# A byte order mark, as the text that it is where a text of UTF-8 begins with one.
_MARK = "\ufeff"
# The first characters of every npy file (numpy's format document: \x93NUMPY), in base64.
_NPY_BASE64 = "k05VTVBZ"

# A moment whose offset had a "+" that nobody escaped, which is a space in a query or a form.
_LOST_PLUS = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9.:]{2,12}) ([0-9]{2}:?[0-9]{2})", re.ASCII)

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
        for name, given in self._grouped(self._form_items(call, is_form)).items():
            taken.take("form", name, given)
        for name, given in self._grouped(query).items():
            taken.take("query", name, given)
        for name, texts in self._header_values(call):
            taken.take("headers", name, texts)
        if taken.problems:
            raise ValidationError(taken.problems)
        return taken.values

    def _form_items(self, call: Call, is_form: bool) -> Iterator[tuple[str, _Given]]:
        for name, text in self._form_of(call.body) if is_form else call.form:
            if name == _CHARSET and name not in self._readings:
                check_charset(text)
            else:
                yield name, text
        yield from ((part.name, _uploaded(part)) for part in call.files)

    def _form_of(self, body: Body) -> list[tuple[str, str]]:
        form = parse_form(body)
        name = form[0][0].lstrip() if form else ""
        if name.startswith(("{", "[")) and name not in self._readings:  # curl -d without a type
            raise InvalidArguments(
                {"_schema": ["The body is JSON, and its type says a form; send Content-Type: application/json."]}
            )
        return form

    def _grouped(self, items: Iterable[tuple[str, _Given]]) -> dict[str, list[_Given]]:
        groups: dict[str, list[_Given]] = {}
        for name, given in items:
            value = given.removeprefix(_MARK) if isinstance(given, str) else given
            groups.setdefault(self._name_of(name), []).append(value)
        return groups

    def _name_of(self, name: str) -> str:
        """Return the list that is meant by ``xs[]``, as some programs name a list; else the name as it is."""
        if name not in self._readings and name.endswith("[]"):
            reading = self._readings.get(name[:-2])
            return name[:-2] if reading is not None and reading.shape != "one" else name
        return name

    def _header_values(self, call: Call) -> Iterator[tuple[str, list[_Given]]]:
        for reading in self._from_headers:
            text = next((call.headers[name] for name in header_names(reading.name) if name in call.headers), None)
            if text is not None:
                yield reading.name, _header_items(text.strip(), reading)


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
        elif chosen := _chosen(reading, given):
            read = _read_json if reading.text and any(map(_is_json, chosen)) else _READERS[reading.shape]
            self.values[reading.name] = read(reading, chosen)


def _header_items(text: str, reading: Reading) -> list[_Given]:
    """Return the items of a header that is a list: separated by commas (RFC 9110, 5.3), or the JSON of the whole."""
    if reading.shape != "list" or (reading.whole and text.startswith("[") and text.endswith("]")):
        return [text]
    return [f"[{text}]"] if "json" in reading.meanings else [each.strip() for each in text.split(",")]


def _uploaded(part: FilePart) -> UploadedFile:
    return UploadedFile(part.name, part.path, part.content_type, part.filename, part.size)


def _chosen(reading: Reading, given: list[_Given]) -> list[_Given]:
    """Leave out what is sent for a file input that nobody touched.

    A browser sends an upload without name and bytes, and Swagger's page, where it sends empty values, an empty text.
    """
    return [each for each in given if _is_chosen(reading, each)]


def _is_chosen(reading: Reading, each: _Given) -> bool:
    if isinstance(each, str):
        return reading.text or bool(each)
    return bool(each.size or each.original_filename)


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
        hint = ", or JSON of the type application/json" if "json" in reading.meanings else ""
        raise ValidationError(f"Give text here, not a file{hint}.")


def _is_json(given: _Given) -> bool:
    return isinstance(given, UploadedFile) and is_json(given.content_type)


def _read_json(reading: Reading, given: list[_Given]) -> Any:
    """Read parts of a form that say that they are JSON, among others that are texts; the server bounds their size."""
    values = [
        _parsed(each.read_bytes()) if isinstance(each, UploadedFile) and _is_json(each) else each for each in given
    ]
    if len(values) > 1 and reading.shape != "list":
        raise ValidationError(f"Give one value here, not {len(values)}.")
    return values[0] if len(values) == 1 and (reading.shape != "list" or isinstance(values[0], list)) else values


def _read_one(reading: Reading, given: list[_Given]) -> Any:
    _check_given(reading, given)
    if len(given) > 1:
        raise ValidationError(f"Give one {'value' if reading.text else 'file'} here, not {len(given)}.")
    return _value(reading.meanings[0], given[0])


def _read_list(reading: Reading, given: list[_Given]) -> Any:
    _check_given(reading, given)
    first = given[0]
    if reading.whole and len(given) == 1 and isinstance(first, str) and first.lstrip().startswith("["):
        value = _parsed(first)
        if not reading.nested or all(isinstance(item, list) for item in value):
            return value
    last = len(reading.meanings) - 1
    return [_value(reading.meanings[min(place, last)], each) for place, each in enumerate(given)]


def _read_array(reading: Reading, given: list[_Given]) -> Any:
    """Read a name that is repeated as a vector; one text as JSON or base64, one upload as it is."""
    if len(given) > 1:
        if not all(isinstance(each, str) for each in given):
            raise ValidationError(f"Give one file here, not {len(given)}.")
        return [_parsed(each) for each in given if isinstance(each, str)]
    first = given[0]
    if isinstance(first, UploadedFile) or first.startswith(_NPY_BASE64):
        return first
    if "," in first and "[" not in first:
        raise ValidationError("Give an array here, as JSON such as [1,2,3].")
    value = _parsed(first)
    return [value] if reading.shape == "vector" and isinstance(value, int | float) else value


_READERS = {"one": _read_one, "list": _read_list, "array": _read_array, "vector": _read_array}


def _value(meaning: Meaning, given: _Given) -> Any:
    if meaning == "text" or not isinstance(given, str):
        return given
    if meaning == "moment":
        return "+".join(found.groups()) if (found := _LOST_PLUS.fullmatch(given)) else given
    return _parsed(given) if meaning == "json" else _parsed_value(given)


def _parsed_value(text: str) -> Any:
    """Return the value that a text stands for, or the text itself, for its field to say what is wrong with it."""
    try:
        value = parse_value(text.encode(errors="surrogatepass"))
    except BadRequest:
        return text
    return text if isinstance(value, list | dict) else value


def _parsed(text: str | bytes) -> Any:
    try:
        return parse_value(text.encode(errors="surrogatepass") if isinstance(text, str) else text)
    except BadRequest as error:
        raise ValidationError(error.message) from error
