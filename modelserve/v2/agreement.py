"""Whether what a model declares and what its functions take agree: told when it starts, and not by each call.

    predict(self, y), {"x": Int(required=True)} --> ContractError in one sentence
    predict(self, x), {"x": Int()}              --> a warning: a call may leave x out

Nothing of the model is called. What cannot be known is taken for right: the parameters of compiled functions, and what
a schema makes of its values with ``post_load``.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Mapping
from inspect import Parameter
from typing import Any

import marshmallow

from modelserve.errors import ContractError
from modelserve.v2.arguments import ArgumentParser
from modelserve.v2.model import attribute, provides

__all__ = ["check_agreement", "check_batching", "check_methods"]

logger = logging.getLogger(__name__)

_TAKE_NOTHING = ("get_metadata", "get_predict_args", "get_train_args", "warm")
_TAKE_SOMETHING = ("predict", "predict_batch", "batch_key", "train")
_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_NAMED = (Parameter.POSITIONAL_ONLY, *_BY_NAME)


def check_methods(model: Any) -> None:
    """Check that the methods of a model can be called: that they have ``self``, and need nothing where none is given.

    What is under other names than ``get_...`` and is no function, such as a flag ``train``, is not of the contract.

    Raises:
        ContractError: One cannot.
    """
    for name in (*_TAKE_NOTHING, *_TAKE_SOMETHING):
        method = attribute(model, name, None)
        if method is not None and not callable(method) and name.startswith("get_"):
            raise ContractError(f"{name} is of type {type(method).__name__}; it must be a function.")
        if inspect.ismethod(method) and _parameters(method.__func__) == {}:
            raise ContractError(f"{name} has no self; write def {name}(self, ...), or make it a staticmethod.")
        taken = _parameters(method) if name in _TAKE_NOTHING and callable(method) else None
        if needed := [each.name for each in (taken or {}).values() if each.kind in _NAMED and _is_needed(each)]:
            raise ContractError(f"{name} is called without arguments, but needs {_listed(needed)}.")


def check_agreement(model: Any, method: str, parser: ArgumentParser, *, is_lenient: bool = False) -> None:
    """Check that a method takes by name what its arguments are declared as.

    Args:
        model: The model, which has the method.
        method: "predict" or "train".
        parser: Of what is declared.
        is_lenient: Whether an argument that only some calls give may be one that the method does not take.

    Raises:
        ContractError: Each call would fail, or, unless ``is_lenient``, each that gives one of the arguments.
    """
    taken = _parameters(getattr(model, method))
    declared = parser.given()
    if taken is None or declared is None:
        return
    if by_place := [
        name for name, each in taken.items() if each.kind is Parameter.POSITIONAL_ONLY and _is_needed(each)
    ]:
        raise ContractError(f"{method} takes {_listed(by_place)} by place alone; arguments are given by their names.")
    undeclared = _undeclared(taken, declared, parser)
    untaken = _untaken(taken, declared, _bound_to(getattr(model, method)))
    if undeclared or any(declared[name] for name in untaken) or (untaken and not is_lenient):
        raise ContractError(_disagreement(model, method, undeclared, untaken))
    if untaken:
        logger.warning("%s does not take %s, which get_%s_args declares", method, _listed(untaken), method)
    for name in declared:
        if not declared[name] and name in taken and _is_needed(taken[name]):
            logger.warning("a call may leave out %s, for which %s has no default; it would fail", name, method)


def check_batching(model: Any) -> None:
    """Check that the methods of a model that batches take what they are given: the calls, or one of them.

    Raises:
        ContractError: One takes nothing, or needs more.
    """
    for method, given in (("predict_batch", "the list of the calls"), ("batch_key", "the arguments of a call")):
        if not provides(model, method):
            continue
        try:
            signature = inspect.signature(getattr(model, method), follow_wrapped=False)
        except (TypeError, ValueError):  # compiled
            continue
        try:
            signature.bind(None)
        except TypeError as error:
            raise ContractError(f"{method} must take one argument, {given}; it takes {signature}.") from error


def _parameters(function: Any) -> Mapping[str, Parameter] | None:
    """Return what the function itself takes, not what one behind its decorator does; None where it cannot be known."""
    try:
        return inspect.signature(function, follow_wrapped=False).parameters
    except (TypeError, ValueError):
        return None


def _undeclared(taken: Mapping[str, Parameter], declared: Mapping[str, bool], parser: ArgumentParser) -> list[str]:
    if parser.schema.unknown == marshmallow.INCLUDE:
        return []
    return [name for name, each in taken.items() if each.kind in _BY_NAME and _is_needed(each) and name not in declared]


def _bound_to(function: Any) -> str:
    """Return the name under which a method gets its object, which no argument may have; "" where that is by place."""
    own = _parameters(function.__func__) if inspect.ismethod(function) else None
    first = next(iter(own.values()), None) if own else None
    return first.name if first is not None and first.kind is Parameter.POSITIONAL_OR_KEYWORD else ""


def _untaken(taken: Mapping[str, Parameter], declared: Mapping[str, bool], bound_to: str) -> list[str]:
    if any(each.kind is Parameter.VAR_KEYWORD for each in taken.values()):
        return [name for name in declared if name == bound_to]
    by_name = {name for name, each in taken.items() if each.kind in _BY_NAME}
    return [name for name in declared if name not in by_name]


def _is_needed(parameter: Parameter) -> bool:
    return parameter.default is Parameter.empty


def _disagreement(model: Any, method: str, undeclared: list[str], untaken: list[str]) -> str:
    declaring = f"get_{method}_args"
    if untaken and undeclared:
        return f"{method} takes {_listed(undeclared)}, but {declaring} declares {_listed(untaken)}: no call could run."
    if untaken:
        return f"{declaring} declares {_listed(untaken)}, which {method} does not take."
    if provides(model, declaring):
        return f"{method} needs {_listed(undeclared)}, which {declaring} does not declare."
    return f"{method} needs {_listed(undeclared)}, and there is no {declaring} that declares it."


def _listed(names: Iterable[str]) -> str:
    return " and ".join(names)
