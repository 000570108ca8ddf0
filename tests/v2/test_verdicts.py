"""Validators whose answer marshmallow 4 ignores are found before they let anything pass."""

from __future__ import annotations

import functools
import math
import operator
import re
import warnings
from typing import Any

import marshmallow
import pytest
from marshmallow import Schema, ValidationError, validate

from modelserve.v2 import fields, verdicts
from modelserve.v2.verdicts import returns_a_verdict, warn_of_verdicts


def positive(value: int) -> bool:
    return value > 0


def must_be_positive(value: int) -> None:
    if value <= 0:
        raise ValidationError("not positive")


def must_be_positive_and_says_so(value: int) -> bool:
    must_be_positive(value)
    return True


def asserted(value: int) -> bool:
    assert value
    return True


def nothing(value: int) -> None:
    str(value)


class Positive:
    def __call__(self, value: int) -> bool:
        return value > 0


class Above:
    def __init__(self, limit: int) -> None:
        self.limit = limit

    def __call__(self, value: int) -> bool:
        return self.check(value)

    def check(self, value: int) -> bool:
        raise ValidationError("no")


@pytest.mark.parametrize(
    "validator",
    [
        lambda value: value > 0,
        lambda value: 0 < value < 10,
        lambda text: len(text) < 5,
        lambda text: text.startswith("a"),
        lambda text: re.match("a", text) is not None,
        lambda text: text in {"a", "b"},
        lambda value: positive(value),
        lambda value: False,
        positive,
        functools.partial(operator.lt, 0),
        functools.partial(lambda least, value: value > least, 3),
        str.isdigit,
        math.isfinite,
        {"a", "b"}.__contains__,
        bool,
        Positive(),
    ],
)
def test_what_only_returns_is_found(validator: Any) -> None:
    assert returns_a_verdict(validator)


@pytest.mark.parametrize(
    "validator",
    [
        must_be_positive,
        must_be_positive_and_says_so,
        asserted,
        nothing,
        lambda value: must_be_positive(value),
        lambda value: must_be_positive_and_says_so(value),
        lambda value: validate.Range(min=1)(value),
        functools.partial(must_be_positive),
        validate.Range(min=1),
        validate.OneOf([1]),
        validate.And(must_be_positive),
        Above(3),
        Above(3).check,
        fields.Int().deserialize,
    ],
)
def test_what_may_raise_is_left_alone(validator: Any) -> None:
    assert not returns_a_verdict(validator)


WRONG = fields.Int(validate=lambda value: value > 0)


class Inner(Schema):
    age = fields.Int(validate=[validate.Range(max=9), lambda value: value > 0])


@pytest.mark.parametrize(
    ("field", "path"),
    [
        (WRONG, "x"),
        (fields.List(WRONG), "x"),
        (fields.Dict(values=WRONG), "x"),
        (fields.Nested(Inner), "x.age"),
        (fields.Int(validate=validate.And(validate.Range(max=3), lambda value: value > 0)), "x"),
    ],
)
def test_the_warning_names_the_field(field: Any, path: str, caplog: pytest.LogCaptureFixture) -> None:
    schema = Schema.from_dict({"x": field, "y": fields.Int(validate=validate.Range(min=1))})()
    warn_of_verdicts(schema, "argument of predict")
    if verdicts._heeds_false():
        assert not caplog.messages
    else:
        (message,) = caplog.messages
        assert message.startswith(f"the validator of the argument of predict {path} returns whether a value is valid")


def test_marshmallow_itself_is_asked_what_it_heeds() -> None:
    accepts = True
    warnings.simplefilter("ignore")
    try:
        marshmallow.fields.Int(validate=lambda value: False).deserialize(1)
    except ValidationError:
        accepts = False
    assert verdicts._heeds_false() is not accepts
