"""What every field has besides its type: validators, and whether null may be given.

Check of a type, field --> with_rules --> Check of the field
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from marshmallow import validate

from modelserve.v2.compiled.refusal import Check, NotCompiled, Refused

__all__ = ["require_known", "with_rules"]

# Of these it is known that they only look at a value, so that it does no harm if marshmallow calls them once more.
_KNOWN = frozenset(
    {
        validate.ContainsNoneOf,
        validate.ContainsOnly,
        validate.Email,
        validate.Equal,
        validate.Length,
        validate.NoneOf,
        validate.OneOf,
        validate.Predicate,
        validate.Range,
        validate.Regexp,
        validate.URL,
    }
)


class _Rule(NamedTuple):
    """A validator: ``one`` raises for a value it refuses, ``every`` for a list that holds one."""

    one: Callable[[Any], object]
    every: Callable[[list[Any]], object]


def require_known(field: Any) -> None:
    """Do nothing for a field whose rules are all marshmallow's own.

    Raises:
        NotCompiled: The field has a validator or another function of its author's.
    """
    for _ in _flat(field.validators):
        pass
    # marshmallow has them since 4.3
    if getattr(field, "pre_load", None) or getattr(field, "post_load", None):
        raise NotCompiled("a field has pre_load or post_load")


def with_rules(field: Any, check: Check, *, ordered: bool = False) -> Check:
    """Return the check of a field, given that of its type.

    Args:
        field: Its validators, and whether it allows None, are read.
        check: How values other than None are loaded; it refuses None.
        ordered: Whether what it loads are numbers and never NaN, so that of many the least and the greatest tell.

    Raises:
        NotCompiled: As :func:`require_known`.
    """
    require_known(field)
    for validator in _flat(field.validators):
        check = _validated(check, _rule(validator, ordered))
    return _or_none(check) if field.allow_none else check


def _flat(validators: Iterable[Any]) -> Iterator[Any]:
    for validator in validators:
        if type(validator) is validate.And:
            yield from _flat(validator.validators)
        elif type(validator) in _KNOWN:
            yield validator
        else:
            raise NotCompiled(f"a validator is {validator!r}")


def _validated(check: Check, rule: _Rule) -> Check:
    load, (one, every) = check.load, rule

    def load_validated(value: Any) -> Any:
        loaded = load(value)
        one(loaded)
        return loaded

    load_all = check.load_all
    if load_all is None:
        return Check(load_validated)

    def load_all_validated(items: list[Any]) -> list[Any]:
        loaded = load_all(items)
        every(loaded)
        return loaded

    return Check(load_validated, None, load_all_validated)


def _or_none(check: Check) -> Check:
    load = check.load

    def load_or_none(value: Any) -> Any:
        return None if value is None else load(value)

    return Check(load_or_none, check.kept)


def _rule(validator: Any, ordered: bool) -> _Rule:
    kind = type(validator)
    one: Callable[[Any], object] = _ONE[kind](validator) if kind in _ONE else validator
    if ordered and kind is validate.Range:
        return _Rule(one, _at_both_ends(validator))

    def every(items: list[Any]) -> None:
        for item in items:
            one(item)

    return _Rule(one, every)


def _at_both_ends(validator: Any) -> Callable[[list[Any]], None]:
    def every(items: list[Any]) -> None:
        if items:
            validator(min(items))
            validator(max(items))

    return every


def _range(validator: Any) -> Callable[[Any], object]:
    low, high = validator.min, validator.max
    if low is None or high is None or not (validator.min_inclusive and validator.max_inclusive):
        return validator  # type: ignore[no-any-return]

    def between(value: Any) -> None:
        if value < low or value > high:
            raise Refused

    return between


def _one_of(validator: Any) -> Callable[[Any], object]:
    choices = validator.choices

    def among(value: Any) -> None:
        if value not in choices:
            raise Refused

    return among


# Written out, these take half the time of marshmallow's own call.
_ONE: dict[type, Callable[[Any], Callable[[Any], object]]] = {validate.Range: _range, validate.OneOf: _one_of}
