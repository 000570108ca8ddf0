"""What a field's validators demand, as keywords of JSON Schema.

    Range(1, 5), OneOf(["a", "b"]), Regexp("[a-z]+") --> demand(told, field) --> minimum, maximum, enum, pattern...

Only marshmallow's own validators can be told, and nothing of a function or of what only Python's regular expressions
know. Limits and choices are told as they are on the wire: an Enum's member by its name, a date as text.
"""

from __future__ import annotations

import logging
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

from marshmallow import fields as ma_fields
from marshmallow import validate

from modelserve.v2.fields import Field, NDArray

__all__ = ["demand", "with_choices", "with_pattern"]

logger = logging.getLogger(__name__)

Schema = dict[str, Any]

# A list of more choices than a person can choose from makes a document that no page can show.
MOST_CHOICES = 10_000
_NUMBERS = {"number", "integer"}
_TEXTS: Any = ma_fields.String
_NO_TEXTS: Any = ma_fields.UUID  # a String in marshmallow 3
_HOLDERS: Any = (ma_fields.Nested, ma_fields.List, ma_fields.Mapping, ma_fields.Tuple, NDArray)
# Written otherwise in JavaScript, whose regular expressions are JSON Schema's (ECMA-262, 22.2).
_TRANSLATED = ((r"\A", "^"), (r"\Z", "$"))
_NAMED_GROUP = re.compile(r"\(\?P<\w+>")
_PLAIN_FLAGS = re.UNICODE | re.ASCII | re.DEBUG
# Inside of brackets.
_SPECIAL = "\\]^-["
# "|" outside of brackets changes what an anchor belongs to; a group around all of it is never wrong.
_NEEDS_GROUP = re.compile(r"\|")


def demand(told: Schema, field: Field) -> None:  # type: ignore[type-arg]
    """Add to a field's schema, in its place, what its validators demand."""
    validators = list(_flat(field.validators))
    _bound(told, field, [each for each in validators if isinstance(each, validate.Range)])
    for each in validators:
        for kind, say in _SAID.items():
            if isinstance(each, kind):
                say(told, field, each)
                break


def with_choices(told: Schema, choices: list[Any], *, allow_none: bool) -> None:
    """Restrict a schema to choices, and to those that it had before."""
    before = told.get("enum")
    found = [each for each in choices if each is not None and (before is None or _among(each, before))]
    told.pop("enum", None)
    if found or allow_none:
        told["enum"] = [*found, *([None] if allow_none else [])]
    else:
        told["not"] = {}


def with_pattern(told: Schema, pattern: str) -> None:
    """Demand a pattern of a text, beside those that are demanded already."""
    if not told.get("pattern"):  # apispec writes None
        told["pattern"] = pattern
    elif told["pattern"] != pattern:
        told["allOf"] = [*told.get("allOf", ()), {"pattern": pattern}]


def _flat(validators: Iterable[Any]) -> Iterator[Any]:
    for validator in validators:
        if isinstance(validator, validate.And):
            yield from _flat(validator.validators)
        else:
            yield validator


def _kinds(told: Schema) -> set[str]:
    kinds = told.get("type", ())
    return {kinds} if isinstance(kinds, str) else set(kinds)


def _on_wire(field: Any, value: Any, otherwise: Any) -> Any:
    """Return a validator's value as clients give it, and something else where the field cannot write it."""
    if isinstance(value, bool | int | float):
        return value
    try:
        return field._serialize(value, None, None)
    except Exception:  # fields of any kind serialize here
        logger.warning("of the rules of the argument %r, %.100r is not published as clients give it", field.name, value)
        return otherwise


def _among(value: Any, values: Iterable[Any]) -> bool:
    return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in values)


def _bound(told: Schema, field: Any, ranges: list[validate.Range]) -> None:
    lower = [(each.min, not each.min_inclusive) for each in ranges if each.min is not None]
    upper = [(each.max, not each.max_inclusive) for each in ranges if each.max is not None]
    try:
        least = max(lower, default=None)
        most = min(upper, key=lambda bound: (bound[0], not bound[1]), default=None)
    except TypeError:
        logger.warning("the limits of the argument %r are not published", field.name)
        return
    for name, stronger, bound in (("minimum", operator.ge, least), ("maximum", operator.le, most)):
        if bound is not None:
            limit, exclusive = bound
            _bound_at(told, name, _on_wire(field, limit, None), exclusive=exclusive, stronger=stronger)


def _bound_at(told: Schema, name: str, value: Any, *, exclusive: bool, stronger: Callable[[Any, Any], bool]) -> None:
    if not _kinds(told) & _NUMBERS:  # JSON Schema has limits of numbers alone
        name = f"x-{name}"
    elif not _is_finite(value) or (name in told and not stronger(value, told[name])):
        return
    if value is not None:
        told[name] = value
        if exclusive:
            told[f"{name}-exclusive" if name.startswith("x-") else f"exclusive{name.capitalize()}"] = True


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except (TypeError, OverflowError):
        return isinstance(value, int)


def _length(told: Schema, field: Any, rule: validate.Length) -> None:
    least, most = (rule.min, rule.max) if rule.equal is None else (rule.equal, rule.equal)
    for kind, noun in (("array", "Items"), ("object", "Properties"), ("string", "Length")):
        if kind not in _kinds(told) or _is_delimited(field):
            continue
        if least is not None:
            told[f"min{noun}"] = max(least, told.get(f"min{noun}", 0))
        if most is not None:
            told[f"max{noun}"] = min(most, told.get(f"max{noun}", most))


def _is_delimited(field: Any) -> bool:
    return hasattr(field, "delimiter")


def _one_of(told: Schema, field: Any, rule: validate.OneOf) -> None:
    _choose(told, field, rule.choices)


def _equal(told: Schema, field: Any, rule: validate.Equal) -> None:
    _choose(told, field, [rule.comparable])


def _choose(told: Schema, field: Any, choices: Any) -> None:
    found = _listed(field, choices) if _is_plain(told, field) else None
    if found is not None:
        with_choices(told, found, allow_none=field.allow_none)


def _is_plain(told: Schema, field: Any) -> bool:
    """Whether a choice of the author's can be told: it is compared with what was loaded, here one value like it."""
    return not isinstance(field, _HOLDERS) and not (isinstance(field, ma_fields.Boolean) and "enum" in told)


def _listed(field: Any, choices: Any) -> list[Any] | None:
    """Return choices as they are on the wire, None where they cannot be told."""
    if (isinstance(choices, Sized) and len(choices) > MOST_CHOICES) or not isinstance(choices, Iterable):
        logger.warning("the choices of the argument %r are not published", field.name)
        return None
    if isinstance(field, _TEXTS) and not isinstance(field, _NO_TEXTS):  # no other choice can be met
        choices = [each for each in choices if isinstance(each, str)]
    return [_on_wire(field, each, each) for each in choices]


def _none_of(told: Schema, field: Any, rule: validate.NoneOf) -> None:
    found = _listed(field, rule.iterable) if _is_plain(told, field) else None
    if found:
        _exclude(told, {"enum": found})


def _exclude(told: Schema, what: Schema) -> None:
    if "not" not in told:
        told["not"] = what
    else:
        told["allOf"] = [*told.get("allOf", ()), {"not": what}]


def _contains_only(told: Schema, field: Any, rule: validate.ContainsOnly) -> None:
    _choose_items(told, field, rule.choices, only=True)


def _contains_none_of(told: Schema, field: Any, rule: validate.ContainsNoneOf) -> None:
    _choose_items(told, field, rule.iterable, only=False)


def _choose_items(told: Schema, field: Any, choices: Any, *, only: bool) -> None:
    """Say which items a list, or which characters a text, may or must not have."""
    if "string" in _kinds(told) and not _is_delimited(field):
        letters = [each for each in choices if isinstance(each, str) and len(each) == 1]
        within = "".join(f"\\{each}" if each in _SPECIAL else each for each in letters)
        if within or only:
            with_pattern(told, f"^[{'' if only else '^'}{within}]*$" if within else "^$")
    elif "array" in _kinds(told) and isinstance(field, ma_fields.List):
        items = told.setdefault("items", {})
        found = _listed(field.inner, choices)
        if found is not None and only:
            with_choices(items, found, allow_none=field.inner.allow_none)
        elif found:
            _exclude(items, {"enum": found})


def _regexp(told: Schema, field: Any, rule: validate.Regexp) -> None:
    pattern = rule.regex.pattern
    if not isinstance(pattern, str) or rule.regex.flags & ~_PLAIN_FLAGS:
        return
    pattern = _NAMED_GROUP.sub("(", pattern)
    for python, javascript in _TRANSLATED:
        pattern = pattern.replace(python, javascript)
    # marshmallow matches from the start of the text, JSON Schema anywhere in it
    if not pattern.startswith("^") or _NEEDS_GROUP.search(pattern):
        pattern = f"^(?:{pattern})"
    with_pattern(told, pattern)


def _format(name: str) -> Callable[[Schema, Any, Any], None]:
    def say(told: Schema, field: Any, rule: Any) -> None:
        if "string" in _kinds(told):
            told["format"] = name

    return say


def _url(told: Schema, field: Any, rule: validate.URL) -> None:
    _format("uri-reference" if rule.relative else "uri")(told, field, rule)


_SAID: dict[type, Callable[[Schema, Any, Any], None]] = {
    validate.Length: _length,
    validate.ContainsOnly: _contains_only,  # before OneOf, of which it is a kind
    validate.ContainsNoneOf: _contains_none_of,
    validate.OneOf: _one_of,
    validate.NoneOf: _none_of,
    validate.Equal: _equal,
    validate.Email: _format("email"),
    validate.URL: _url,
    validate.Regexp: _regexp,
}
