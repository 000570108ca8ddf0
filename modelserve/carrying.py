"""Carries a model of the running program to a worker by value: object -> dill's bytes -> the same object, in a worker.

dill makes a class anew by calling its metaclass with what is in the class by then. That fails for an enumeration, whose
members refer to it (https://github.com/uqfoundation/dill/issues/250), and changes a class whose metaclass takes its
fields out of it, as those of marshmallow and pydantic do. Such a class goes in two steps: an empty one, and then its
contents. A lock arrives free; dill's RLock is held for good (https://github.com/uqfoundation/dill/issues/321).
"""

from __future__ import annotations

import abc
import enum
import io
import pickle
import threading
import types
import typing
from collections.abc import Mapping
from typing import Any

__all__ = ["pickled"]

# What the metaclass of an enumeration makes of its members.
_OF_MEMBERS = frozenset(
    {"__new__", "__new_member__", "_new_member_", "_use_args_", "_value_repr_", "_generate_next_value_"}
    | {"_member_names_", "_member_map_", "_member_type_", "_value2member_map_", "_boundary_", "_flag_mask_"}
    | {"_singles_mask_", "_all_bits_", "_inverted_", "_unhashable_values_", "_unhashable_values_map_"}
    | {"_hashable_values_"}
)
# What each new class has for itself; a signature of pydantic's is made when it is first asked for.
_OWN = frozenset(
    {"__dict__", "__weakref__", "__slots__", "_abc_impl", "__signature__", "__pydantic_parent_namespace__"}
)
_LOCK, _RLOCK = type(threading.Lock()), type(threading.RLock())
# dill makes classes of these metaclasses right.
_PLAIN = frozenset({"builtins", "abc", "typing", "typing_extensions"})


def pickled(model: Any) -> bytes:
    """Return a class or an object as bytes for ``dill.loads``, with what it uses of the running program.

    Raises:
        Exception: It cannot be carried.
    """
    import dill

    class Pickler(dill.Pickler):  # type: ignore[misc]
        def reducer_override(self, value: Any) -> Any:
            return _reduced(value)

    buffer = io.BytesIO()
    # recurse: with a function go only the globals that it uses, not the whole notebook.
    Pickler(buffer, recurse=True).dump(model)
    return buffer.getvalue()


def _reduced(value: Any) -> Any:
    """Return how to make a value anew in the form of ``__reduce__``, ``NotImplemented`` for what dill does right."""
    if isinstance(value, _LOCK | _RLOCK):
        return threading.Lock if isinstance(value, _LOCK) else threading.RLock, ()
    if isinstance(value, typing.TypeVar) and value.__module__ == "__main__":
        variance = (value.__covariant__, value.__contravariant__)
        return _type_variable, (value.__name__, value.__constraints__, value.__bound__, *variance)
    if not isinstance(value, type) or not (value.__module__ == "__main__" or "<locals>" in value.__qualname__):
        return NotImplemented
    if issubclass(value, enum.Enum):
        return _reduced_enumeration(value)
    return NotImplemented if type(value).__module__ in _PLAIN else _reduced_class(value)


def _reduced_enumeration(kind: type[enum.Enum]) -> Any:
    if "__new_member__" in vars(kind):
        raise pickle.PicklingError(f"{kind.__qualname__}, an enumeration with a __new__, must be imported from a file")
    members = {name: member.value for name, member in kind.__members__.items()}
    body = _names(kind) | {name: vars(kind)[name] for name in ("__init__", "_missing_") if name in vars(kind)} | members
    more = {"boundary": kind._boundary_} if issubclass(kind, enum.Flag) else {}  # type: ignore[attr-defined]
    rest = _rest(kind, _OWN | _OF_MEMBERS | body.keys())
    return _enumeration, (type(kind), kind.__name__, kind.__bases__, body, more), rest, None, None, _fill


def _reduced_class(kind: type) -> Any:
    body = _names(kind) | {name: vars(kind)[name] for name in ("__slots__",) if name in vars(kind)}
    return _empty, (type(kind), kind.__name__, kind.__bases__, body), _rest(kind, _OWN | body.keys()), None, None, _fill


def _names(kind: type) -> dict[str, Any]:
    return {"__module__": kind.__module__, "__qualname__": kind.__qualname__}


def _rest(kind: type, but: frozenset[str]) -> dict[str, Any]:
    slots = (types.MemberDescriptorType, types.GetSetDescriptorType)
    return {name: value for name, value in vars(kind).items() if name not in but and not isinstance(value, slots)}


# What follows runs in a worker.


def _type_variable(name: str, constraints: tuple[Any, ...], bound: Any, covariant: bool, contravariant: bool) -> Any:
    return typing.TypeVar(name, *constraints, bound=bound, covariant=covariant, contravariant=contravariant)


def _enumeration(
    meta: Any, name: str, bases: tuple[type, ...], body: Mapping[str, Any], more: Mapping[str, Any]
) -> type:
    namespace = meta.__prepare__(name, bases)
    for key, value in body.items():
        namespace[key] = value
    made: type = meta.__new__(meta, name, bases, namespace, **more)
    return made


def _empty(meta: Any, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
    """Return a class without having its metaclass do what it does to the contents of a new one."""
    make: Any = abc.ABCMeta if issubclass(meta, abc.ABCMeta) else type
    made: type = make.__new__(meta, name, bases, body)
    return made


def _fill(kind: type, contents: Mapping[str, Any]) -> None:
    for name, value in contents.items():
        type.__setattr__(kind, name, value)
