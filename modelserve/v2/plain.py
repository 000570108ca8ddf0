"""A model's value as JSON text.

    value --> dump(value, nan) --> bytes, or NotJsonError, which says where in the value and why
          --> tell(value)      --> bytes, where what JSON cannot say is told by its text

orjson writes all of it. What it knows no form for, simpler() gives it one, a level at a time. What it refuses all the
same, or would write as a silent null (NaN), is walked in Python, so that each refusal has a path, and what JSON can say
after all (integers of any size, lone surrogates, keys that are no texts) is said; orjson writes what the walk returns,
so that a value has one text however it is reached. numpy and pandas are used where the model has loaded them, and never
imported.

Of numpy, orjson itself is given nothing but what is known to be numbers: it writes NaT as 1970, and a datetime64 in
units of 15 minutes ends the process (orjson 3.13). So does a dataclass with slots of which one is empty: simpler()
makes dicts of dataclasses.
"""

from __future__ import annotations

import array
import collections
import contextlib
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import json
import math
import numbers
import os
import sys
import uuid
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, Set, ValuesView
from functools import lru_cache
from typing import Any, Literal

import orjson

__all__ = ["JsonTypeError", "NanRule", "NotJsonError", "dump", "has_own_text", "simpler", "tell", "to_plain"]

NanRule = Literal["error", "null"]

# Above orjson's own limit of 254 (its README, "recursion"), so that what it writes can be walked too.
MAX_DEPTH = 256

_BITS_64 = range(-(2**63), 2**64)
_YEARS = (0, 9999)
# Units in which 64 bits hold some centuries or less.
_NARROW = ("ns", "ps", "fs", "as")
_PATH_CHARS = 200
_OPTION = orjson.OPT_PASSTHROUGH_DATACLASS

# Written as their text, which holds all that they are.
_TEXTS = (
    *(decimal.Decimal, fractions.Fraction, complex, datetime.timedelta, datetime.time, uuid.UUID),
    *(ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network),
    collections.UserString,
)
_BYTES = (bytes, bytearray, memoryview)
# Written as lists of what they hold, in their own order.
_LISTS = (tuple, collections.deque, range, array.array, KeysView, ValuesView, ItemsView)
# The numpy dtypes that orjson writes by itself, and those whose tolist() loses nothing.
_NUMBERS, _LISTED = "biuf", "OTU"
_DOUBLE_BYTES = 8
# Types whose form is remembered; a model may make new ones for each call.
_MOST_TYPES = 256

_NO_TEXTS = sys.stdlib_module_names | {"numpy", "pandas", "PIL", "matplotlib"}

_ADVICE = {
    "bytes": "decode it, or write it as base64; alone, it is sent as it is",
    "path": "return str(...) of it; alone, its file is sent",
    "iterator": "make a list of it",
    "frame": 'return frame.to_dict("records") of it',
    "picture": "save it into an io.BytesIO, and return that where image/png was chosen",
    "": "return dicts, lists, texts, numbers, or what has tolist()",
}


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

    def __init__(self, value: Any) -> None:
        super().__init__(f"type {_type_name(value)}; {_ADVICE[_advice(value)]}")


class MissingError(NotJsonError):
    """A value that stands for none: NaN, NaT, NA, what a mask hides. An infinity is treated as one too."""

    def __init__(self, name: str) -> None:
        super().__init__(f'{name}, which JSON cannot say; return None for it, or set nan_answers to "null"')


def dump(value: Any, nan: NanRule = "error") -> bytes:
    """Return the value as JSON in UTF-8.

    Mappings and dataclasses become objects; lists, tuples, ranges, views and other sequences, sets in order, and
    whatever has ``tolist()`` (arrays, torch tensors) lists; dates and times ISO 8601; enums their value; Decimal,
    Fraction, complex, lengths of time, UUIDs and IP addresses their text.

    Args:
        value: Anything.
        nan: What becomes of a missing value, such as NaN, NaT and NA, and of infinity: refused, or null.

    Raises:
        NotJsonError: Another type, a key that is no simple value, a number that no JSON reader could read, more levels
            than orjson writes, which is also how an object that holds itself ends.
    """
    try:
        body = orjson.dumps(value, default=simpler, option=_OPTION)
    except TypeError:
        return _walked(value, _Walk(nan))
    if nan == "error" and b"null" in body:  # orjson writes NaN as null: see which of the two this is
        _walk(value, _Walk(nan))
    return body


def tell(value: Any) -> bytes:
    """Return the value as JSON, for somebody to read: what is missing as null, what JSON cannot say as its text.

    An object of a class without a text is told by the name of its class.
    """
    with contextlib.suppress(Exception):  # its methods may raise anything
        return dump(value, "null")
    with contextlib.suppress(Exception):  # as above; or it is nested too deeply
        return _walked(value, _Telling("null"))
    return orjson.dumps(_words(value))


def has_own_text(value: Any) -> bool:
    """Tell whether a model's author gave an object a text: object's own would tell its address in memory.

    Python's types, numpy's and pandas' are written as :func:`dump` says or not at all, alone as within others.
    """
    text: Any = type(value).__str__
    package = type(value).__module__.partition(".")[0]
    return text is not object.__str__ and package not in _NO_TEXTS


def to_plain(value: Any, nan: NanRule = "error") -> Any:
    """Return the value as a reader of its JSON has it: dicts, lists, texts, numbers, booleans and None only.

    Raises:
        NotJsonError: As :func:`dump`.
    """
    return json.loads(dump(value, nan))


def simpler(value: Any) -> Any:
    """Return what stands for a value that orjson does not know: what it knows, or what is itself made simpler.

    Raises:
        NotJsonError: There is no such thing.
    """
    kind: Any = type(value)
    return _form_of(kind)(value)


@lru_cache(_MOST_TYPES)
def _form_of(kind: Any) -> Callable[[Any], Any]:
    """Return what makes values of a type simpler."""
    if (numpy := sys.modules.get("numpy")) is not None and issubclass(kind, numpy.ndarray | numpy.generic):
        return _form_of_numpy(kind, numpy)
    if not issubclass(kind, float | tuple) and dataclasses.is_dataclass(kind):
        return _items_in_slots if _has_slots(kind) else _items_in_dict
    for types, form in _FORMS:
        if issubclass(kind, types):
            return form
    return _of_other


def _has_slots(kind: Any) -> bool:
    return "__slots__" in vars(kind) or not kind.__dictoffset__


def _items_in_dict(value: Any) -> dict[str, Any]:
    return {name: item for name, item in vars(value).items() if not name.startswith("_")}


def _items_in_slots(value: Any) -> dict[str, Any]:
    """Return what is set of a dataclass."""
    names = [field.name for field in dataclasses.fields(value)]
    return {name: getattr(value, name) for name in names if not name.startswith("_") and hasattr(value, name)}


def _form_of_numpy(kind: Any, numpy: Any) -> Callable[[Any], Any]:
    if issubclass(kind, numpy.ma.MaskedArray):
        return _unmasked
    if issubclass(kind, numpy.float16 | numpy.float32):
        return _written
    if issubclass(kind, numpy.float64 | numpy.integer | numpy.bool_) and not issubclass(kind, numpy.timedelta64):
        return kind.item  # type: ignore[no-any-return]
    return _array


def _written(value: Any) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))


def _value_of(member: enum.Enum) -> Any:  # of a metaclass of its own, else orjson does it
    return member.value


def _refused(value: Any) -> Any:
    raise JsonTypeError(value)


def _of_other(value: Any) -> Any:
    if callable(getattr(value, "tolist", None)):
        return value.tolist()
    if isinstance(value, Sequence):
        return list(value)
    return _of_pandas(value)


def _date(value: datetime.date) -> datetime.date:
    """Return a date or datetime without what a subclass adds, such as pandas' Timestamp; its NaT is one too."""
    if value != value:  # that is the test for NaT
        raise MissingError("NaT")
    if not isinstance(value, datetime.datetime):
        return datetime.date(value.year, value.month, value.day)
    at = (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond)
    try:
        return datetime.datetime(*at, value.tzinfo, fold=value.fold)
    except ValueError as error:  # pandas has more years
        raise NotJsonError(f"a {_type_name(value)} beyond the year 9999") from error


def _as_text(value: Any) -> str:
    if isinstance(value, decimal.Decimal) and not value.is_finite():
        raise MissingError("NaN or infinity")
    if isinstance(value, complex) and not (math.isfinite(value.real) and math.isfinite(value.imag)):
        raise MissingError("NaN or infinity")
    if value != value:  # pandas' NaT is a length of time as well
        raise MissingError("NaT")
    try:
        return str(value)
    except ValueError as error:  # a fraction of CPython's limit of digits
        raise NotJsonError(f"a {_type_name(value)} of more than {sys.get_int_max_str_digits()} digits") from error


def _in_order(values: Set[Any]) -> list[Any]:
    """Return what a set holds in an order that is the same in every process."""
    items = list(values)
    if all(isinstance(item, numbers.Real) and item == item for item in items) or set(map(type, items)) == {str}:
        return sorted(items)
    return sorted(items, key=lambda item: dump(item, "null"))


def _of_pandas(value: Any) -> str:
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        if value is pandas.NA:
            raise MissingError("NA")
        if isinstance(value, pandas.Period | pandas.Interval):
            return str(value)
    raise JsonTypeError(value)


def _kind(value: Any) -> str:
    """Return numpy's letter for the kind of an array or scalar, "" for anything else."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray | numpy.generic):
        return ""
    return str(value.dtype.kind)


def _array(value: Any) -> Any:
    """Return an array, or a number that is none of Python's, as its text or as the list of what it holds."""
    kind = value.dtype.kind
    if not value.ndim and isinstance(value, sys.modules["numpy"].ndarray):
        return value[()]
    if kind in _NUMBERS and value.dtype.itemsize <= _DOUBLE_BYTES:
        return _written(_laid_out(value))
    if kind == "M":
        return _times(value)
    if kind in _LISTED:
        return value.tolist()
    if kind in "cm" or (kind == "V" and value.dtype.names is not None):
        return list(value) if value.ndim else _scalar(value, kind)
    hint = "decode it" if kind == "S" else "convert it to float64" if kind == "f" else "convert it"
    raise NotJsonError(f"numpy dtype {value.dtype}; {hint}")


def _laid_out(value: Any) -> Any:
    """Return an array as orjson takes it."""
    numpy = sys.modules["numpy"]
    if type(value) is numpy.ndarray and value.flags.c_contiguous and value.dtype.isnative:
        return value
    return numpy.ascontiguousarray(numpy.asarray(value), value.dtype.newbyteorder("="))


def _scalar(value: Any, kind: str) -> Any:
    numpy = sys.modules["numpy"]
    if kind == "V":
        return [value[name] for name in value.dtype.names]
    if kind == "m" and numpy.isnat(value):
        raise MissingError("NaT")
    if kind == "c" and not numpy.isfinite(value):
        raise MissingError("NaN or infinity")
    return str(value)


def _unmasked(value: Any) -> Any:
    """Return a masked array as an array, where something is masked as lists with ``masked`` there."""
    numpy = sys.modules["numpy"]
    if not numpy.ma.is_masked(value):
        return numpy.asarray(value)
    if not value.ndim:
        raise MissingError("a masked value")
    return list(value)


def _times(value: Any) -> Any:
    """Return the text of times; with one among them that is none, a list of them."""
    numpy = sys.modules["numpy"]
    if numpy.isnat(value).any():
        if not value.ndim:
            raise MissingError("NaT")
        return list(value)
    try:
        exact = value.astype("M8[us]")
        if numpy.datetime_data(value.dtype)[0] not in _NARROW:
            years = value.astype("M8[Y]").astype("i8") + 1970
            if value.size and not (_YEARS[0] <= years.min() and years.max() <= _YEARS[1]):
                raise NotJsonError("a datetime64 beyond the years 0 to 9999")
    except OverflowError as error:
        raise NotJsonError(f"numpy dtype {value.dtype}; convert it to datetime64[us]") from error
    return _written(_laid_out(exact) if value.ndim else exact)


_FORMS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (enum.Enum, _value_of),
    (Mapping, dict),
    (datetime.date, _date),
    (_TEXTS, _as_text),
    (float, float.__float__),
    (_LISTS, list),
    (Set, _in_order),
    ((*_BYTES, type), _refused),
)


def _walk(value: Any, walk: _Walk) -> Any:
    try:
        return walk.writable(value, 0)
    except RecursionError as error:
        raise NotJsonError("it is nested too deeply, or holds itself") from error


def _walked(value: Any, walk: _Walk) -> bytes:
    writable = _walk(value, walk)
    try:
        return orjson.dumps(writable, default=simpler, option=_OPTION)
    except TypeError as error:
        raise NotJsonError(f"it is nested too deeply, or its time zone is none: {error}") from error


_AS_IT_IS = frozenset({datetime.datetime, datetime.date, orjson.Fragment})


class _Walk:
    """One walk through a value; the path of a refusal is put together on its way out, so a good walk pays for none.

    It makes of a value what orjson writes, and finds what orjson would write wrong.
    """

    def __init__(self, nan: NanRule) -> None:
        self._nan = nan

    def writable(self, value: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise NotJsonError(f"it is nested deeper than {MAX_DEPTH} levels, or holds itself")
        try:
            return self._writable(value, depth)
        except MissingError:
            if self._nan == "null":
                return None
            raise

    def _writable(self, value: Any, depth: int) -> Any:
        """Return what orjson writes, in the order in which orjson looks at types."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, enum.Enum):
            return self.writable(value.value, depth)
        if isinstance(value, str):
            return _text(str.__str__(value))
        if isinstance(value, int):
            return _integer(int.__int__(value))
        if isinstance(value, float):
            return _finite(float.__float__(value))
        if isinstance(value, dict):
            return self._items(dict.items(value), depth)
        if isinstance(value, list):
            return self._list(list.__iter__(value), depth)
        if isinstance(value, tuple):
            return self._list(iter(value), depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._items(simpler(value).items(), depth)
        if type(value) in _AS_IT_IS or (type(value) is datetime.time and value.tzinfo is None):
            return value
        if _kind(value) == "f" and value.dtype.itemsize <= _DOUBLE_BYTES:
            self._require_finite(value)
        return self.writable(simpler(value), depth)

    def _require_finite(self, array: Any) -> None:
        numpy = sys.modules["numpy"]
        if self._nan == "null" or numpy.ma.isMaskedArray(array) or (finite := numpy.isfinite(array)).all():
            return
        error = MissingError("NaN or infinity")
        error.path = "".join(f"[{place}]" for place in numpy.argwhere(~numpy.asarray(finite))[0])
        raise error

    def _list(self, values: Iterator[Any], depth: int) -> list[Any]:
        made: list[Any] = []
        try:
            for item in values:
                made.append(self.writable(item, depth + 1))
        except NotJsonError as error:
            error.path = f"[{len(made)}]{error.path}"
            raise
        return made

    def _items(self, items: Iterable[tuple[Any, Any]], depth: int) -> Any:
        made: dict[str, Any] = {}
        for key, item in items:
            name = key if type(key) is str else self.key(key)
            if name in made:
                self.twice(name)
            try:
                made[name] = self.writable(item, depth + 1)
            except NotJsonError as error:
                error.path = f".{name}{error.path}"
                raise
        return made if all(map(_is_text, made)) else _object(made)

    def key(self, key: Any) -> str:
        """Return a key as text: what its own JSON is, without quotes where that is a text."""
        made = dump(key, self._nan)
        if made[:1] in (b"[", b"{"):
            raise NotJsonError(f"a key of type {_type_name(key)}; make it a text")
        return str(json.loads(made)) if made[:1] == b'"' else made.decode()

    def twice(self, name: str) -> None:
        """Refuse a key that another one is already written as."""
        raise NotJsonError("two of its keys are the same once they are text")


class _Telling(_Walk):
    """A walk that tells what cannot be said by its text."""

    def _writable(self, value: Any, depth: int) -> Any:
        if isinstance(value, os.PathLike):
            return _words(value)
        try:
            return super()._writable(value, depth)
        except MissingError:  # null
            raise
        except NotJsonError as error:
            if error.path:  # what is in it was told, so it is nested too deeply
                raise
            return self._list(iter(value), depth) if isinstance(value, Set) else _words(value)

    def key(self, key: Any) -> str:
        try:
            return super().key(key)
        except Exception:  # its methods may raise anything
            return tell(key).decode() if isinstance(key, tuple | frozenset) else _words(key)

    def twice(self, name: str) -> None:
        """Let the last one stay."""


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise MissingError("NaN or infinity")
    return value


def _integer(value: int) -> Any:
    if value in _BITS_64:
        return value
    try:
        return orjson.Fragment(str(value))
    except ValueError as error:  # CPython's limit, against quadratic time
        raise NotJsonError(f"an integer of more than {sys.get_int_max_str_digits()} digits") from error


def _text(value: str) -> Any:
    return value if _is_text(value) else orjson.Fragment(json.dumps(value))


def _is_text(value: str) -> bool:
    """Tell whether UTF-8 can write it: whether there is no lone surrogate."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _object(items: Mapping[str, Any]) -> orjson.Fragment:
    """Return an object with keys that orjson does not write."""
    pairs = (
        b"%b:%b" % (json.dumps(name).encode(), orjson.dumps(item, default=simpler, option=_OPTION))
        for name, item in items.items()
    )
    return orjson.Fragment(b"{%b}" % b",".join(pairs))


def _words(value: Any) -> str:
    """Return an object's own text, the name of its class where it has none."""
    if isinstance(value, _BYTES):
        return f"{len(value)} bytes"
    text: Any = type(value).__str__
    try:
        words = type(value).__qualname__ if text is object.__str__ else str(value)
    except Exception:  # it is the author's
        words = type(value).__qualname__
    return words.encode(errors="replace").decode()


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _advice(value: Any) -> str:
    name = _type_name(value)
    if isinstance(value, _BYTES) or callable(getattr(value, "read", None)):
        return "bytes"
    if isinstance(value, os.PathLike):
        return "path"
    if isinstance(value, Iterator):
        return "iterator"
    if name.startswith("pandas.") and name.endswith("DataFrame"):
        return "frame"
    return "picture" if name.startswith(("PIL.", "matplotlib.")) else ""
