"""Two models with every kind of field, and what a person types into the page for each; they tell what they were given.

    name -> Case(field, what is typed, the value that it means)

A text is typed, a list is added item by item, a ``Choice`` is picked, a ``Texts`` is a list of texts with JSON.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import io
import ipaddress
import uuid
import wave
from functools import partial
from typing import Any, NamedTuple

import marshmallow
from marshmallow import validate

from modelserve.v2 import UploadedFile, fields

__all__ = ["CASES", "NEEDED", "Case", "Choice", "Form", "Json", "Media", "Needy", "Texts"]

BIG = 2**53 + 1  # no number of JavaScript


class Color(enum.Enum):
    RED = 1
    GREEN = 2


class Pair(marshmallow.Schema):
    a = fields.Int(required=True)
    b = fields.Str(load_default="x")


class Choice(NamedTuple):
    """What is picked in a list of choices: one, or several."""

    picked: str | list[str]


class Texts(NamedTuple):
    """Items that are objects or lists; of a list of lists, the items of each."""

    items: list[Any]


class Case(NamedTuple):
    """A field, what is typed for it, and the value that this means; where nothing is typed, that is the default."""

    field: Any
    typed: Any = None
    value: Any = None


ID = uuid.UUID("3fa85f64-5717-4562-b3fc-2c963f66afa6")
NOON = dt.datetime(2026, 5, 1, 12, 30)
QUERY, HEADERS, FORM = ({"location": place} for place in ("query", "headers", "form"))
ABC = validate.OneOf(["a", "b c", "d"])

CASES: dict[str, Case] = {
    "text": Case(fields.Str(), "hello", "hello"),
    "text_like_a_number": Case(fields.Str(required=True), "1.10", "1.10"),
    "text_like_null": Case(fields.Str(allow_none=True), "null", "null"),
    "text_like_a_list": Case(fields.Str(load_default="abc"), "[1, 2]", "[1, 2]"),
    "text_like_json": Case(fields.Str(load_default=None), '"quoted"', '"quoted"'),
    "text_like_an_integer": Case(fields.Str(load_default=""), "007", "007"),
    "lines": Case(fields.Str(load_default="line 1\nline 2"), None, "line 1\nline 2"),
    "choice": Case(fields.Str(validate=ABC), Choice("b c"), "b c"),
    "choice_or_null": Case(fields.Str(validate=ABC, allow_none=True), Choice("d"), "d"),
    "pattern": Case(fields.Str(validate=validate.Regexp("^[a-z]+$")), "abc", "abc"),
    "length": Case(fields.Str(validate=validate.Length(min=2, max=4)), "abc", "abc"),
    "equal": Case(fields.Str(validate=validate.Equal("yes")), Choice("yes"), "yes"),
    "integer": Case(fields.Int(), str(BIG), BIG),
    "integer_needed": Case(fields.Int(required=True), "0", 0),
    "integer_default": Case(fields.Int(load_default=3), "-5", -5),
    "integer_big_default": Case(fields.Int(load_default=BIG), None, BIG),
    "integer_of_choices": Case(fields.Int(validate=validate.OneOf([1, BIG])), Choice(str(BIG)), BIG),
    "integer_strict": Case(fields.Int(strict=True), "12345678901234567890123", 12345678901234567890123),
    "integer_or_null": Case(fields.Int(load_default=None, validate=validate.Range(1, 10)), "4", 4),
    "float": Case(fields.Float(), "1e3", 1000.0),
    "float_default": Case(fields.Float(load_default=0.5), "0", 0.0),
    "float_or_null": Case(fields.Float(load_default=None), "0.1", 0.1),
    "truth": Case(fields.Bool(), Choice("false"), False),
    "truth_needed": Case(fields.Bool(required=True), Choice("false"), False),
    "truth_default": Case(fields.Bool(load_default=False), Choice("true"), True),
    "truth_or_null": Case(fields.Bool(allow_none=True), Choice("true"), True),
    "decimal": Case(fields.Decimal(), "1.10", decimal.Decimal("1.10")),
    "decimal_long": Case(fields.Decimal(), "123456789.123456789123", decimal.Decimal("123456789.123456789123")),
    "uuid": Case(fields.UUID(), str(ID), ID),
    "moment": Case(fields.DateTime(), "2026-05-01T12:30:00", NOON),
    "moment_default": Case(fields.DateTime(load_default=NOON), None, NOON),
    "moment_rfc": Case(fields.DateTime(format="rfc"), "Fri, 01 May 2026 12:30:00 -0000", NOON),
    "moment_timestamp": Case(fields.DateTime(format="timestamp"), "0.5", dt.datetime(1970, 1, 1, microsecond=500000)),
    "moment_own": Case(fields.DateTime(format="%d.%m.%Y %H:%M"), "01.05.2026 12:30", NOON),
    "moment_naive": Case(fields.NaiveDateTime(), "2026-05-01T12:30:00", NOON),
    "moment_aware": Case(fields.AwareDateTime(), "2026-05-01T12:30:00Z", NOON.replace(tzinfo=dt.UTC)),
    "day": Case(fields.Date(), "2026-05-01", NOON.date()),
    "day_own": Case(fields.Date(format="%d.%m.%Y"), "01.05.2026", NOON.date()),
    "time": Case(fields.Time(), "12:30:00", NOON.time()),
    "duration": Case(fields.TimeDelta(), "1.5", dt.timedelta(seconds=1.5)),
    "email": Case(fields.Email(), "a@example.org", "a@example.org"),
    "url": Case(fields.Url(), "https://example.org/a?b=c&d=%20", "https://example.org/a?b=c&d=%20"),
    "address": Case(fields.IP(), "192.0.2.1", ipaddress.ip_address("192.0.2.1")),
    "enum": Case(fields.Enum(Color), Choice("RED"), Color.RED),
    "enum_default": Case(fields.Enum(Color, load_default=Color.GREEN), None, Color.GREEN),
    "texts": Case(fields.List(fields.Str()), ["one", "two"], ["one", "two"]),
    "texts_with_commas": Case(fields.List(fields.Str(), allow_none=True), ["a,b", "[1]"], ["a,b", "[1]"]),
    "texts_one": Case(fields.List(fields.Str(), required=True), ["1"], ["1"]),
    "texts_of_choices": Case(fields.List(fields.Str(validate=ABC)), Choice(["a", "d"]), ["a", "d"]),
    "integers": Case(fields.List(fields.Int()), ["1", str(BIG)], [1, BIG]),
    "integers_default": Case(fields.List(fields.Int(), load_default=[0, 2]), None, [0, 2]),
    "integers_or_null": Case(fields.List(fields.Int(), load_default=None), ["7"], [7]),
    "truths": Case(fields.List(fields.Bool()), [Choice("true"), Choice("false")], [True, False]),
    "moments": Case(fields.List(fields.DateTime()), ["2026-05-01T12:30:00"], [NOON]),
    "lists": Case(fields.List(fields.List(fields.Int())), Texts([["1", "2"], ["3"]]), [[1, 2], [3]]),
    "objects": Case(fields.List(fields.Dict()), Texts(['{"a": 1.0}', '{"b": [1]}']), [{"a": 1.0}, {"b": [1]}]),
    "pairs": Case(fields.Nested(Pair, many=True), Texts(['{"a": 1}', '{"a": 2, "b": "ü"}']), None),
    "separated": Case(fields.DelimitedList(fields.Int()), "1,2", [1, 2]),
    "tuple": Case(fields.Tuple((fields.Int(), fields.Str())), ["1", "two"], (1, "two")),
    "tuple_default": Case(fields.Tuple((fields.Float(), fields.Float()), load_default=(0.0, 1.0)), None, (0.0, 1.0)),
    "object": Case(fields.Dict(), f'{{"k": {{"deep": [{BIG}, 1.0]}}}}', {"k": {"deep": [BIG, 1.0]}}),
    "object_default": Case(fields.Dict(load_default={"k": 1}), None, {"k": 1}),
    "pair": Case(fields.Nested(Pair), '{"a": 3}', {"a": 3, "b": "x"}),
    "raw": Case(fields.Raw(), "some text", "some text"),
    "raw_default": Case(fields.Raw(load_default={"a": [1]}), None, {"a": [1]}),
    "raw_number_default": Case(fields.Raw(load_default=3), None, 3),
    "constant": Case(fields.Constant("fixed"), None, "fixed"),
    "matrix": Case(fields.NDArray(), "[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
    "vector": Case(fields.NDArray(dtype="float32", shape=(None,)), ["1.5", "2"], [1.5, 2.0]),
    "in_query": Case(fields.Int(metadata=QUERY), str(BIG), BIG),
    "texts_in_query": Case(fields.List(fields.Str(), metadata=QUERY), ["a", "b,c"], ["a", "b,c"]),
    "object_in_query": Case(fields.Dict(metadata=QUERY), '{"q": 1.0}', {"q": 1.0}),
    "null_in_query": Case(fields.Int(load_default=None, metadata=QUERY), "3", 3),
    "in_header": Case(fields.Str(metadata=HEADERS), "hü结", "hü结"),
    "integers_in_header": Case(fields.List(fields.Int(), metadata=HEADERS), ["1", "2"], [1, 2]),
    "object_in_header": Case(fields.Dict(metadata=HEADERS), '{"h": 2}', {"h": 2}),
    "in_form": Case(fields.Str(metadata=FORM), "form", "form"),
}
CASES["pairs"] = CASES["pairs"]._replace(value=[{"a": 1, "b": "x"}, {"a": 2, "b": "ü"}])

# Without these a call is refused.
NEEDED = [name for name, case in CASES.items() if case.field.required]


class Json:
    """Without files."""

    def get_metadata(self) -> dict[str, Any]:
        return {"name": "Json", "description": "Takes every kind of field, but no file."}

    def get_predict_args(self) -> dict[str, Any]:
        return {name: case.field for name, case in CASES.items()}

    def predict(self, **arguments: Any) -> dict[str, Any]:
        told = {name: _told(value) for name, value in arguments.items()}
        return {"told": told, "numbers": [BIG, 1.0, arguments["integer_needed"]]}

    def get_train_args(self) -> dict[str, Any]:
        return self.get_predict_args()

    def train(self, **arguments: Any) -> dict[str, Any]:
        return self.predict(**arguments)


class Form(Json):
    """With files."""

    def get_predict_args(self) -> dict[str, Any]:
        return {
            **super().get_predict_args(),
            "file": fields.File(required=True),
            "picture": fields.File(media_types=["image/png"], load_default=None),
            "files": fields.List(fields.File()),
        }


class Needy:
    """Needs a value of every kind that has another form in JSON than JSON's own; there is no default."""

    def get_metadata(self) -> dict[str, Any]:
        return {"name": "Needy", "description": "Needs every argument."}

    def get_predict_args(self) -> dict[str, Any]:
        kinds: list[Any] = [
            fields.Str,
            fields.Int,
            fields.Float,
            fields.Bool,
            fields.Decimal,
            fields.UUID,
            fields.DateTime,
            fields.NaiveDateTime,
            fields.AwareDateTime,
            fields.Date,
            fields.Time,
            fields.TimeDelta,
            fields.Email,
            fields.Url,
            fields.IP,
            fields.IPv6,
            fields.IPInterface,
            fields.IPv6Interface,
            fields.Dict,
            fields.Raw,
            fields.NDArray,
            partial(fields.DateTime, format="rfc"),
            partial(fields.DateTime, format="timestamp_ms"),
            partial(fields.DateTime, format="%d.%m.%Y"),
            partial(fields.Time, format="%H.%M"),
            partial(fields.Enum, Color),
            partial(fields.Enum, Color, by_value=True),
            partial(fields.Nested, Pair),
            partial(fields.List, fields.Time()),
            partial(fields.List, fields.Nested(Pair)),
            partial(fields.Tuple, (fields.Int(), fields.Str(), fields.IP())),
            partial(fields.DelimitedList, fields.Float()),
            partial(fields.DelimitedTuple, (fields.Int(), fields.Str())),
            partial(fields.Int, validate=validate.Range(5, 7)),
            partial(fields.Str, validate=validate.Regexp("^[a-z]{3}[0-9]$")),
            partial(fields.Str, validate=ABC),
            partial(fields.List, fields.Int(), validate=validate.Length(min=2)),
        ]
        return {f"x{place}": kind(required=True) for place, kind in enumerate(kinds)}

    def predict(self, **arguments: Any) -> int:
        return len(arguments)


class Media:
    """Answers with a file of the type that is asked for; the archive alone has a name."""

    def get_metadata(self) -> dict[str, Any]:
        return {"name": "Media", "description": "Answers with files."}

    def get_predict_args(self) -> dict[str, Any]:
        kinds = ["audio/wav", "application/zip", "image/svg+xml"]
        return {"accept": fields.Str(load_default=kinds[0], validate=validate.OneOf(kinds))}

    def predict(self, accept: str) -> Any:
        file = io.BytesIO(b"<svg/>")
        if accept == "audio/wav":
            file = io.BytesIO()
            with wave.open(file, "wb") as sound:
                sound.setparams((1, 2, 8000, 0, "NONE", ""))
                sound.writeframes(bytes(16000))
        elif accept == "application/zip":
            file = io.BytesIO(b"PK")
            file.name = "räport 1.zip"
        return file


def _told(value: Any) -> str:
    if isinstance(value, UploadedFile):
        return f"{value.original_filename}: {value.read_bytes().decode()}"
    if isinstance(value, list) and value and isinstance(value[0], UploadedFile):
        return ", ".join(map(_told, value))
    return repr(value.tolist() if hasattr(value, "tolist") else value)
