"""A model's value as JSON text.

    value --> dump(value, nan=...) --> bytes, or NotJsonError, which says where in the value and why

orjson writes what it can, which is nearly everything. What it refuses or would write as a silent null (NaN) is walked
in Python, so that each refusal has a path, and what JSON can say after all (integers of any size, lone surrogates,
keys that are no texts) is said. numpy is used where the model has loaded it, and never imported.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import math
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import orjson

__all__ = ["JsonTypeError", "NanRule", "NotJsonError", "dump", "to_plain"]

NanRule = Literal["error", "null"]

# Above orjson's own limit of 254 (its README, "recursion"), so that what it writes can be walked too.
MAX_DEPTH = 256

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY
_ATOMS = (bool, str, int, float, datetime.datetime, datetime.date, datetime.time, uuid.UUID)
_BITS_64 = range(-(2**63), 2**64)
_NUMPY_KINDS = "biufUOV"
_PATH_CHARS = 200


class NotJsonError(ValueError):
    """A value that JSON cannot say.

    Args:
        reason: Why, for the operator: it names types, never a value.

    Attributes:
        path: Where it is, such as ``.scores[3].x``; "" for the value itself. Each level it passes adds its step.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = ""

    def __str__(self) -> str:
        path = self.path if len(self.path) <= _PATH_CHARS else self.path[:_PATH_CHARS] + "..."
        return f"{path.removeprefix('.') or 'the answer'}: {self.reason}"


class JsonTypeError(NotJsonError):
    """A value of a type that JSON has no word for."""

    def __init__(self, value: Any, why: str = "") -> None:
        super().__init__(f"type {_type_name(value)}{why and ': '}{why}")


def dump(value: Any, nan: NanRule = "error") -> bytes:
    """Return the value as JSON in UTF-8.

    Args:
        value: Anything; see :func:`to_plain` for what JSON can say.
        nan: What becomes of NaN and infinity: refused, or null.

    Raises:
        NotJsonError: The value, or something in it, has no JSON form.
    """
    try:
        body = orjson.dumps(value, default=_for_orjson, option=_OPTIONS)
    except TypeError:
        return json.dumps(to_plain(value, nan), allow_nan=False, separators=(",", ":")).encode()
    if nan == "error" and b"null" in body:  # orjson writes NaN as null: see which of the two this is
        to_plain(value, nan)
    return body


def to_plain(value: Any, nan: NanRule = "error") -> Any:
    """Return the value in dicts with text keys, lists, texts, numbers, booleans and None only.

    Mappings and dataclasses become dicts; lists, tuples, and whatever has ``tolist()`` (numpy arrays and scalars,
    torch tensors) lists or numbers; datetimes, dates, times and UUIDs texts (ISO 8601); enums their value.

    Raises:
        NotJsonError: Another type, a key that is no simple value, a number that no JSON reader could read, NaT, more
            levels than orjson writes, which is also how an object that holds itself ends.
    """
    try:
        return _Walk(nan).plain(value, 0)
    except RecursionError as error:
        raise NotJsonError("it is nested too deeply, or holds itself") from error


def _for_orjson(value: Any) -> Any:
    """Return what orjson can write instead of a value that it cannot; what it raises sends the value on the walk."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return list(value)
    # tolist() of times loses them: nanoseconds become integers, NaT becomes None
    if not callable(getattr(value, "tolist", None)) or isinstance(value, memoryview) or _kind(value) in "mM":
        raise TypeError
    return value.tolist()


class _Walk:
    """One walk through a value; the path of a refusal is put together on its way out, so a good walk pays for none."""

    def __init__(self, nan: NanRule) -> None:
        self._nan = nan

    def plain(self, value: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise NotJsonError(f"it is nested deeper than {MAX_DEPTH} levels, or holds itself")
        if isinstance(value, enum.Enum):
            return self.plain(value.value, depth + 1)
        if value is None or isinstance(value, _ATOMS):
            return self._atom(value)
        if isinstance(value, Mapping):
            return self._items(value.items(), depth)
        if isinstance(value, list | tuple):
            return self._list(value, depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            # orjson leaves out names with a leading underscore: both ways must write the same
            names = [field.name for field in dataclasses.fields(value) if not field.name.startswith("_")]
            return self._items([(name, getattr(value, name)) for name in names], depth)
        return self._array(value, depth)

    def _atom(self, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return _integer(int.__int__(value))
        if isinstance(value, float):
            return self._float(float.__float__(value))
        if isinstance(value, datetime.datetime) and type(value) is not datetime.datetime:
            return _timestamp(value)
        return _text(value)

    def _list(self, values: Sequence[Any], depth: int) -> list[Any]:
        plain: list[Any] = []
        try:
            for item in values:
                plain.append(self.plain(item, depth + 1))
        except NotJsonError as error:
            error.path = f"[{len(plain)}]{error.path}"
            raise
        return plain

    def _items(self, items: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for key, item in items:
            name = key if type(key) is str else self._key(key)
            if name in plain:
                raise NotJsonError("two of its keys are the same once they are text")
            try:
                plain[name] = self.plain(item, depth + 1)
            except NotJsonError as error:
                error.path = f".{name}{error.path}"
                raise
        return plain

    def _key(self, key: Any) -> str:
        if _kind(key):
            key = key.item()
        if isinstance(key, enum.Enum):
            key = key.value
        if key is not None and not isinstance(key, _ATOMS):
            raise NotJsonError(f"a key of type {_type_name(key)}")
        atom = self._atom(key)
        return atom if isinstance(atom, str) else json.dumps(atom)

    def _array(self, value: Any, depth: int) -> Any:
        kind = _kind(value)
        if kind == "M":
            return _times(value)
        if kind and (kind not in _NUMPY_KINDS or (kind == "f" and value.dtype.itemsize > 8)):
            raise NotJsonError(f"numpy dtype {value.dtype}")
        if not callable(getattr(value, "tolist", None)) or isinstance(value, memoryview | type):
            raise JsonTypeError(value)
        if kind == "f" and sys.modules["numpy"].isfinite(value).all():
            return value.tolist()
        return self.plain(value.tolist(), depth + 1)

    def _float(self, value: float) -> float | None:
        if math.isfinite(value):
            return value
        if self._nan == "null":
            return None
        raise NotJsonError("NaN or infinity, which JSON cannot say")


def _kind(value: Any) -> str:
    """Return numpy's letter for the kind of an array or scalar, "" for anything else."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray | numpy.generic):
        return ""
    return str(value.dtype.kind)


def _integer(value: int) -> int:
    if value not in _BITS_64:
        try:
            str(value)
        except ValueError as error:  # CPython's limit, against quadratic time
            raise NotJsonError(f"an integer of more than {sys.get_int_max_str_digits()} digits") from error
    return value


def _timestamp(value: datetime.datetime) -> str:
    """Return the text of a subclass of datetime, such as pandas' Timestamp; its NaT is one too, and equals nothing."""
    if value != value:  # that is the test for NaT
        raise NotJsonError("NaT, which JSON cannot say")
    return datetime.datetime.isoformat(value)


def _times(value: Any) -> Any:
    numpy = sys.modules["numpy"]
    if numpy.isnat(value).any():
        raise NotJsonError("NaT, which JSON cannot say")
    return _text(numpy.ascontiguousarray(value, value.dtype.newbyteorder("=")) if numpy.ndim(value) else value[()])


def _text(value: Any) -> Any:
    try:
        return orjson.loads(orjson.dumps(value, option=_OPTIONS))
    except TypeError as error:
        raise JsonTypeError(value, str(error)) from error


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
