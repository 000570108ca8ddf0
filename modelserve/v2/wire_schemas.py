"""What apispec says of a field, corrected to what the field takes and to what an answer holds.

    apispec's schema of a field, the field --> correct(...) --> the schema of what a client may send, or is sent

apispec tells a list of what is one text with separators, a date of what has a format of its own, and nothing of tuples.
What only the value can show, such as a 30th of February, no schema says.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import re
from collections.abc import Callable
from typing import Any

import webargs.fields
from marshmallow import fields as ma_fields

from modelserve.v2.fields import Field, NDArray
from modelserve.v2.rule_schemas import demand, with_pattern

__all__ = ["correct", "with_null"]

_OF_LISTS = ("items", "minItems", "maxItems", "uniqueItems", "enum")
_DELIMITED = (webargs.fields.DelimitedList, webargs.fields.DelimitedTuple)
# Formats of dates that marshmallow has names for, and that apispec tells right.
_NAMED = {None, "iso", "iso8601", "rfc", "rfc822", "timestamp", "timestamp_ms"}
_OF_NUMBERS = ("format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_WHOLE_NUMBER = "^-?[0-9]+$"
_NUMBER = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$"
_TIME = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?"
_ZONE = r"(Z|[-+]([01]\d|2[0-3]):[0-5]\d)?"
_DATE = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
# Of values that nothing else is asked of, in a text of several.
_EXAMPLES = {"integer": "1", "number": "0.5", "string": "a"}
# The moment of examples.
_NOON = datetime.datetime(2026, 5, 1, 12, 30)
# The last second that a datetime can hold, of the year 9999.
_LAST_SECOND = 253_402_300_799
_TIMESTAMPS = {"timestamp": 1, "timestamp_ms": 1000}
# What strptime reads and strftime writes ("strftime() and strptime() Format Codes", Python 3.11), as patterns.
_DIRECTIVES = {
    "Y": r"\d{4}",
    "y": r"\d{2}",
    "m": "(0[1-9]|1[0-2])",
    "d": r"(0[1-9]|[12]\d|3[01])",
    "H": r"([01]\d|2[0-3])",
    "I": "(0[1-9]|1[0-2])",
    "M": r"[0-5]\d",
    "S": r"[0-5]\d",
    "f": r"\d{6}",
    "p": "(AM|PM)",
    "j": r"(0[1-9]\d|00[1-9]|[12]\d\d|3[0-5]\d|36[0-5])",
    "%": "%",
}

Schema = dict[str, Any]


def correct(told: Schema, field: Field, schema_of: Callable[[Field], Schema], *, is_answer: bool) -> None:  # type: ignore[type-arg]
    """Correct a field's schema in its place.

    Args:
        told: What apispec says.
        field: The field.
        schema_of: Returns the schema of a field in it.
        is_answer: Whether it is of what is sent, rather than of what is taken.
    """
    for kinds, say in _CORRECTIONS:
        if isinstance(field, kinds):
            say(told, field, schema_of, is_answer)
            break
    demand(told, field)


def _say_of_delimited(told: Schema, field: Any, schema_of: Any, is_answer: bool) -> None:
    _as_text(told, field, f"Values separated by {field.delimiter!r}.", *_OF_LISTS)
    inner = field.tuple_fields if isinstance(field, webargs.fields.DelimitedTuple) else [field.inner]
    examples = [_EXAMPLES.get(str(schema.get("type")), "") for schema in map(schema_of, inner) if len(schema) == 1]
    if all(examples) and len(examples) == len(inner) and "default" not in told:
        told.setdefault("example", field.delimiter.join(examples))


def _say_of_tuple(told: Schema, field: Any, schema_of: Callable[..., Schema], is_answer: bool) -> None:
    several = [schema_of(each) for each in field.tuple_fields]
    told |= {"prefixItems": several, "minItems": len(several), "maxItems": len(several)}
    _set_type(told, field, "array")


def _say_of_boolean(told: Schema, field: Any, schema_of: Any, is_answer: bool) -> None:
    words = {*field.truthy, *field.falsy}
    if not is_answer and words and not (True in field.truthy and False in field.falsy):
        told.pop("type", None)
        told["enum"] = [*sorted(words, key=str), *([None] if field.allow_none else [])]


def _say_of_number(told: Schema, field: Any, schema_of: Any, is_answer: bool) -> None:
    if is_answer and field.as_string:
        _set_type(told, field, "string")
        for key in _OF_NUMBERS:
            told.pop(key, None)
        with_pattern(told, _WHOLE_NUMBER if isinstance(field, ma_fields.Integer) else _NUMBER)


def _say_of_decimal(told: Schema, field: Any, schema_of: Any, is_answer: bool) -> None:
    if is_answer:
        _say_of_number(told, field, schema_of, is_answer)
    elif field.places is not None:
        # rounding to places must not need more digits than a context of decimal has; one more is for the float's error
        most = 10 ** (decimal.getcontext().prec + field.places.as_tuple().exponent - 1)
        told |= {"minimum": -most, "maximum": most}


def _say_of_enum(told: Schema, field: Any, schema_of: Any, is_answer: bool) -> None:
    told.pop("not", None)  # of the field of its values


def _say_of_url(told: Schema, field: Any, schema_of: Any, is_answer: bool) -> None:
    told["format"] = "uri-reference" if field.relative else "uri"


def _say_of_address(told: Schema, field: Any, schema_of: Any, is_answer: bool) -> None:
    if type(field) is ma_fields.IP:  # the format of the others is one that everybody knows
        told.setdefault("example", "192.0.2.1")


def _say_of_interface(told: Schema, field: Any, schema_of: Any, is_answer: bool) -> None:
    _set_type(told, field, "string")
    _describe(told, "An IP address and the length of its network's prefix, such as 192.0.2.1/24 or 2001:db8::1/64.")
    told.setdefault("example", "2001:db8::1/64" if isinstance(field, ma_fields.IPv6Interface) else "192.0.2.1/24")


def _say_of_constant(told: Schema, field: Any, schema_of: Any, is_answer: bool) -> None:
    told["const"] = field.constant


def _say_of_keys(told: Schema, field: Any, schema_of: Callable[..., Schema], is_answer: bool) -> None:
    keys = field.key_field
    if keys is None:
        return
    if isinstance(keys, ma_fields.Integer):
        told["propertyNames"] = {"pattern": _WHOLE_NUMBER}
    elif isinstance(keys, ma_fields.Float | ma_fields.Decimal | ma_fields.TimeDelta):
        told["propertyNames"] = {"pattern": _NUMBER}
    elif isinstance(keys, ma_fields.Boolean):
        words = [word for word in (*keys.truthy, *keys.falsy) if isinstance(word, str)]
        told["propertyNames"] = {"enum": sorted(words)}
    else:
        _say_of_texts(told, keys, schema_of, is_answer)


def _say_of_texts(told: Schema, keys: Any, schema_of: Callable[..., Schema], is_answer: bool) -> None:
    schema = schema_of(keys)
    if isinstance(keys, ma_fields.Enum) and not keys.by_value:
        schema = {"enum": [each.name for each in keys.enum if isinstance(each, enum.Enum)]}
    elif isinstance(keys, ma_fields.Enum):
        choices = schema.get("enum", ())  # every key is sent as a text; a number that is given as one is refused
        schema = {"enum": [str(each) for each in choices if is_answer or isinstance(each, str)]}
    if schema.get("type", "string") == "string":
        wanted = ("enum", "pattern", "format", "minLength", "maxLength", "allOf")
        names = {key: schema[key] for key in wanted if key in schema}
        if names:
            told["propertyNames"] = names if names.get("enum", True) else {"not": {}}


def _say_of_anything(told: Schema, field: Any, schema_of: Any, is_answer: bool) -> None:
    if type(field) in (ma_fields.Field, ma_fields.Raw) and not field.allow_none and "type" not in told:
        told.setdefault("not", {"type": "null"})


def _say_of_date(told: Schema, field: Any, schema_of: Any, is_answer: bool) -> None:
    if field.format not in _NAMED:
        _as_text(told, field, f"Written as {field.format}.", "format", "example")
        told["example"] = _NOON.strftime(field.format)
        if pattern := _pattern_of(field.format):
            with_pattern(told, pattern)
    elif field.format in _TIMESTAMPS:
        _say_of_timestamp(told, field, is_answer)
    elif field.format in ("rfc", "rfc822"):
        told["pattern"] = f"^{told['pattern']}$"
    elif isinstance(field, ma_fields.NaiveDateTime) and field.timezone is None:
        _as_text(told, field, "Without a time zone, such as 2026-05-01T12:30:00.", "format")
        with_pattern(told, f"^{_DATE}T{_TIME}$")
        told.setdefault("example", _NOON.isoformat())
    elif is_answer and told.get("format") == "date-time" and not isinstance(field, ma_fields.AwareDateTime):
        _as_text(told, field, "With a time zone where it has one.", "format")
        with_pattern(told, f"^{_DATE}T{_TIME}{_ZONE}$")
    elif isinstance(field, ma_fields.Time):
        with_pattern(told, f"^{_TIME}{_ZONE}$")
        told.setdefault("example", _NOON.time().isoformat())


def _say_of_timestamp(told: Schema, field: Any, is_answer: bool) -> None:
    told.pop("example", None)  # apispec's is a text
    told.pop("format", None)  # a float of 32 bits cannot hold the seconds since 1970
    if not is_answer:
        told |= {"minimum": 0, "maximum": _LAST_SECOND * _TIMESTAMPS[field.format]}
    told["example"] = 1_700_000_000 * _TIMESTAMPS[field.format]


def _pattern_of(form: str) -> str:
    """Return the pattern of what strftime writes in this form, "" where it has a part that no pattern says."""
    pattern = ""
    for text, directive in re.findall(r"([^%]+)|%(.)", form):
        if text:
            pattern += re.sub(r"([.^$*+?()\[\]{}|/\\])", r"\\\1", text)
        elif directive in _DIRECTIVES:
            pattern += _DIRECTIVES[directive]
        else:
            return ""
    return f"^{pattern}$"


def _say_of_duration(told: Schema, field: Any, schema_of: Any, is_answer: bool) -> None:
    if not is_answer:
        unit = datetime.timedelta(**{field.precision: 1})
        told |= {"minimum": -(-datetime.timedelta.min // unit), "maximum": datetime.timedelta.max // unit}
        told.setdefault("example", 1)


def _set_type(told: Schema, field: Any, kind: str) -> None:
    told["type"] = [kind, "null"] if field.allow_none else kind


def _describe(told: Schema, sentence: str) -> None:
    told["description"] = " ".join(filter(None, (told.get("description", ""), sentence)))


def _as_text(told: Schema, field: Any, sentence: str, *left_out: str) -> None:
    for key in left_out:
        told.pop(key, None)
    _set_type(told, field, "string")
    _describe(told, sentence)


_CORRECTIONS: tuple[tuple[Any, Callable[..., None]], ...] = (
    (_DELIMITED, _say_of_delimited),
    (ma_fields.Tuple, _say_of_tuple),
    (ma_fields.Boolean, _say_of_boolean),
    (ma_fields.Decimal, _say_of_decimal),
    ((ma_fields.Integer, ma_fields.Float), _say_of_number),
    (ma_fields.Enum, _say_of_enum),
    (ma_fields.Url, _say_of_url),
    ((ma_fields.DateTime, ma_fields.Time, ma_fields.Date), _say_of_date),
    (ma_fields.TimeDelta, _say_of_duration),
    (ma_fields.IP, _say_of_address),
    (ma_fields.IPInterface, _say_of_interface),
    (ma_fields.Constant, _say_of_constant),
    (ma_fields.Mapping, _say_of_keys),
    (ma_fields.Field, _say_of_anything),
)


def with_null(told: Schema, field: Field) -> None:  # type: ignore[type-arg]
    """Say of a field of an answer, in its place, that null is sent for what is missing, such as NaN."""
    if isinstance(field, NDArray):
        for choice in told.get("anyOf", ()):
            _numbers_or_null(choice)
    elif isinstance(field, ma_fields.Float | ma_fields.Decimal) and field.allow_nan:
        _numbers_or_null(told)
    elif told.get("not") == {"type": "null"}:
        del told["not"]


def _numbers_or_null(told: Schema) -> None:
    while isinstance(told.get("items"), dict):
        told = told["items"]
    kinds = told.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "null" not in kinds and not {"string", "object"}.intersection(kinds):
        told["type"] = [*kinds, "null"]
