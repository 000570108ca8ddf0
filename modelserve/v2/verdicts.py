"""Finds validators that only return whether a value is valid, which marshmallow 4 ignores.

    fields.Int(validate=lambda n: n > 0) --> a warning that names the field

marshmallow 3 took False for "not valid"; marshmallow 4 takes nothing but a ValidationError, so that such a validator
accepts everything. Nothing is called here: whether a function can raise is read from its code, and what cannot be known
is taken for right.
"""

from __future__ import annotations

import builtins
import dis
import functools
import inspect
import logging
import types
import warnings
from collections.abc import Iterator
from typing import Any

import marshmallow
from marshmallow import fields as ma_fields
from marshmallow import validate as ma_validate

from modelserve.v2.all_fields import fields_inside

__all__ = ["returns_a_verdict", "warn_of_verdicts"]

logger = logging.getLogger(__name__)

# How far functions are followed that a validator calls.
MOST_DEPTH = 4

_COMPILED = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.MethodWrapperType,
    types.WrapperDescriptorType,
)
_RAISING = ("RAISE_VARARGS", "LOAD_ASSERTION_ERROR")


def warn_of_verdicts(schema: marshmallow.Schema, what: str) -> None:
    """Warn of each field of a schema whose validator returns what marshmallow ignores.

    Args:
        schema: The schema.
        what: What its fields are, such as "argument of predict".
    """
    if _heeds_false():
        return
    for name, field in schema.fields.items():
        for each in fields_inside(field):
            if any(map(returns_a_verdict, _single(each.validators))):
                path = name if each.name in (name, None, "") else f"{name}.{each.name}"
                logger.warning(
                    "the validator of the %s %s returns whether a value is valid, which marshmallow 4 ignores, so that "
                    "everything is accepted; let it raise marshmallow.ValidationError, or use one of "
                    "marshmallow.validate",
                    what,
                    path,
                )


def returns_a_verdict(validator: Any) -> bool:
    """Tell whether a validator surely never raises a ValidationError, but returns something."""
    while isinstance(validator, functools.partial):
        validator = validator.func
    if isinstance(validator, ma_validate.Validator):
        return False
    if isinstance(validator, _COMPILED) or validator is bool:
        return True
    function = validator
    if not isinstance(function, types.FunctionType | types.MethodType | type):
        function = getattr(type(function), "__call__", None)  # noqa: B004
    function = getattr(function, "__func__", function)
    return isinstance(function, types.FunctionType) and _returns(function) and not _may_raise(function, MOST_DEPTH)


@functools.cache
def _heeds_false() -> bool:
    """Tell whether the marshmallow that is installed takes False for an answer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the last marshmallow 3 warns of what the next will do
        try:
            ma_fields.Raw(validate=lambda value: False).deserialize(0)
        except marshmallow.ValidationError:
            return True
    return False


def _single(validators: Any) -> Iterator[Any]:
    for each in validators:
        if isinstance(each, ma_validate.And):
            yield from _single(each.validators)
        else:
            yield each


def _returns(function: types.FunctionType) -> bool:
    before = None
    for each in dis.get_instructions(function):
        if each.opname == "RETURN_CONST" and each.argval is not None:
            return True
        if each.opname == "RETURN_VALUE" and not (before and "CONST" in before.opname and before.argval is None):
            return True
        before = each
    return False


def _may_raise(function: types.FunctionType, depth: int) -> bool:
    names = inspect.getclosurevars(function)
    if any(each.opname in _RAISING for each in dis.get_instructions(function)):
        return True
    if any(_loads_own_object(each) for each in dis.get_instructions(function)):
        return True  # what its object has, nobody knows
    return any(_may_raise_when_used(each, depth) for each in (*names.globals.values(), *names.nonlocals.values()))


def _loads_own_object(instruction: dis.Instruction) -> bool:
    loaded = instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)
    return instruction.opname.startswith("LOAD_FAST") and not {"self", "cls"}.isdisjoint(loaded)


def _may_raise_when_used(value: Any, depth: int) -> bool:
    if isinstance(value, types.FunctionType):
        return depth == 0 or _may_raise(value, depth - 1)
    if isinstance(value, types.ModuleType):
        return value.__name__.partition(".")[0] in ("marshmallow", "webargs", "modelserve")
    if isinstance(value, _COMPILED) or getattr(builtins, getattr(value, "__name__", ""), None) is value:
        return False
    return callable(value)
