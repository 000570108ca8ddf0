"""Numpy arrays out of what clients send: nested lists, base64 text, bytes or an upload in numpy's npy format.

    value --> to_array(value, Wanted(dtype, shape)) --> numpy.ndarray, or ValueError with a sentence for the client

numpy is loaded when the first array is made, never by importing this module. Nothing is unpickled.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import os
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

from modelserve.v2.files import UploadedFile

if TYPE_CHECKING:
    import numpy as np

    _Array = np.ndarray[Any, Any]

__all__ = ["Wanted", "json_schema", "load_numpy", "to_array"]

# numpy's kinds of dtype (its documentation of dtype.kind) that may become each wanted kind without a silent change.
_FITTING = {
    "f": ("f", "i", "u", ""),
    "c": ("c", "f", "i", "u", ""),
    "i": ("i", "u", ""),
    "u": ("i", "u", ""),
    "b": ("b", ""),
}
_WORDS = {"f": "numbers", "c": "numbers", "i": "whole numbers", "u": "whole numbers of 0 or more", "b": "true or false"}
_JSON_TYPES = {"f": "number", "c": "number", "i": "integer", "u": "integer", "b": "boolean"}
_NPY_TYPES = (str, bytes, bytearray, memoryview, UploadedFile)
_NPY = {"type": "string", "contentEncoding": "base64", "contentMediaType": "application/x-npy"}

_JSON_NAMES = {bool: "booleans", str: "text", type(None): "null", dict: "objects"}
_RAGGED = "Not an array: its lists have different lengths, are too deep, or hold lists and numbers side by side."
_TOO_LARGE = "Not an array: a number is too large."
# Numbers in one entry of an array that has no entry.
_MOST_OF_EMPTY = 1 << 24
# 32 bits are what JSON readers agree on; wider limits cannot be written exactly in a schema.
_EXACT_BYTES = 4


def load_numpy() -> Any:
    """Return the numpy module.

    Raises:
        ImportError: numpy is not installed; the message says what to do.
    """
    try:
        import numpy
    except ImportError as error:
        raise ImportError("NDArray needs numpy; add it to the model's dependencies: pip install numpy") from error
    return numpy


@dataclass(frozen=True)
class Wanted:
    """What an array must be.

    Args:
        dtype: Any number or boolean dtype that numpy knows; None keeps int64, float64 or bool as the values say.
        shape: Length of each axis, None or -1 for any length; None for any shape at all.
        allow_nan: Whether NaN and infinity may be in it.
    """

    dtype: Any = None
    shape: tuple[int | None, ...] | None = None
    allow_nan: bool = False

    @cached_property
    def numpy_dtype(self) -> np.dtype[Any] | None:
        """The dtype as numpy's own object.

        Raises:
            TypeError: numpy knows no such dtype, or it is not one of numbers or booleans.
        """
        if self.dtype is None:
            return None
        dtype: np.dtype[Any] = load_numpy().dtype(self.dtype)
        if dtype.kind not in _FITTING:
            raise TypeError(f"NDArray takes dtypes of numbers and booleans, not {dtype}")
        return dtype

    @cached_property
    def lengths(self) -> tuple[int | None, ...] | None:
        """The shape with None for every axis of any length."""
        if self.shape is None:
            return None
        return tuple(None if length is None or length < 0 else length for length in self.shape)


def to_array(value: Any, wanted: Wanted) -> _Array:
    """Return the array that a client's value means.

    Raises:
        ValueError: The value is none, or of another dtype or shape; the message is one sentence for the client.
    """
    np = load_numpy()
    if type(value) is list:
        array = _from_lists(value, wanted, np)
    elif type(value) is np.ndarray and value.dtype is wanted.numpy_dtype:  # most arrays that a model answers with
        array = value
    elif isinstance(value, _NPY_TYPES):
        array = _cast(_from_npy(value, np), wanted, np)
    elif isinstance(value, np.ndarray | np.generic):
        array = _cast(np.asarray(value), wanted, np)
    else:
        array = _from_lists(value, wanted, np)
    if wanted.lengths is not None and array.shape != wanted.lengths:
        _check_shape(array.shape, wanted.lengths)
    # Of a small array, to count takes half the time of all().
    if array.dtype.kind in "fc" and not wanted.allow_nan and np.count_nonzero(np.isfinite(array)) < array.size:
        raise ValueError(f"NaN, infinity and numbers too large for {array.dtype} are not allowed.")
    return array


def _from_lists(value: Any, wanted: Wanted, np: Any) -> _Array:
    given = _kind_of_lists(value)
    dtype = wanted.numpy_dtype
    if dtype:
        _check_kind(given, dtype.kind)
    if given in ("b", "i") and (dtype is None or dtype.kind in "biu"):
        return _cast(_made(value, None, np), wanted, np)
    with np.errstate(over="ignore"):  # what becomes infinite is found, and said, by to_array
        return _made(value, dtype or np.float64, np)


def _made(value: Any, dtype: Any, np: Any) -> _Array:
    try:
        array: _Array = np.asarray(value, dtype=dtype)
    except OverflowError as error:
        raise ValueError(_TOO_LARGE) from error
    except ValueError as error:
        raise ValueError(_RAGGED) from error
    if array.dtype.kind not in _FITTING or (dtype is None and array.dtype.kind == "f"):
        raise ValueError(_TOO_LARGE)  # whole numbers over 64 bits become objects or floats
    return array


def _kind_of_lists(value: Any) -> str:
    """Return the kind of what nested lists hold, "" where they hold nothing.

    It goes by the Python types, since numpy itself takes true, null and "1" for numbers where others are.
    """
    depth, inner = 0, value
    while type(inner) in (list, tuple):
        depth += 1
        inner = inner[0] if inner else None
    try:
        leaves = [value] if depth == 0 else value
        for _ in range(depth - 1):
            leaves = chain.from_iterable(leaves)
        types = set(map(type, leaves))
    except TypeError as error:
        raise ValueError(_RAGGED) from error
    return _kind_of_types(types)


def _kind_of_types(types: set[type]) -> str:
    if not types:
        return ""
    if types == {bool}:
        return "b"
    if types <= {int}:
        return "i"
    if types <= {int, float}:
        return "f"
    if list in types:
        raise ValueError(_RAGGED)
    wrong = sorted(_JSON_NAMES.get(kind, kind.__name__) for kind in types - {int, float})
    raise ValueError(f"Not an array of numbers: it holds {' and '.join(wrong)}.")


def _check_kind(given: str, wanted: str) -> None:
    if given and given not in _FITTING[wanted]:
        raise ValueError(f"Not an array of {_WORDS[wanted]}.")


def _cast(array: _Array, wanted: Wanted, np: Any) -> _Array:
    """Return the array in the wanted dtype; what would be cut, wrapped or reinterpreted is refused."""
    if array.dtype.kind not in _FITTING:
        raise ValueError(f"Not an array of numbers: its dtype is {array.dtype}.")
    dtype = wanted.numpy_dtype or array.dtype.newbyteorder("=")
    _check_kind(array.dtype.kind, dtype.kind)
    if dtype.kind in "iu" and array.size:
        limits = np.iinfo(dtype)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise ValueError(f"A number is out of range for {dtype}, which holds {limits.min} to {limits.max}.")
    with np.errstate(over="ignore"):
        cast: _Array = array.astype(dtype, copy=False)
    return cast


def _from_npy(value: str | bytes | bytearray | memoryview | UploadedFile, np: Any) -> _Array:
    if isinstance(value, UploadedFile):
        with value.open() as file:
            return _read_npy(file, os.fstat(file.fileno()).st_size, np)
    content = _decode_base64(value) if isinstance(value, str) else bytes(value)
    return _read_npy(io.BytesIO(content), len(content), np)


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("Not an array: give nested lists, or a .npy file in base64.") from error


def _read_npy(file: BinaryIO, size: int, np: Any) -> _Array:
    """Read one array; nothing is allocated before its header is known to be true to the bytes that follow."""
    try:
        version = np.lib.format.read_magic(file)
        reader = {(1, 0): "read_array_header_1_0", (2, 0): "read_array_header_2_0"}[version]
        shape, _, dtype = getattr(np.lib.format, reader)(file)
        _check_header(shape, dtype, size, size - file.tell())
        file.seek(0)
        return np.load(file, allow_pickle=False)  # type: ignore[no-any-return]
    except _HeaderError as error:
        raise ValueError(str(error)) from error
    except Exception as error:  # numpy's parser evaluates the header as a literal, which fails in many ways
        raise ValueError("Not a .npy file of numbers that can be read.") from error


class _HeaderError(Exception):
    """An npy header that says what we refuse."""


def _check_header(shape: tuple[int, ...], dtype: np.dtype[Any], size: int, remaining: int) -> None:
    if dtype.kind not in _FITTING:
        raise _HeaderError(f"Not an array of numbers: its dtype is {dtype}.")
    if any(length < 0 for length in shape) or math.prod(shape) * dtype.itemsize > remaining:
        raise _HeaderError(f"The .npy file is too short for the shape {_in_words(shape)} that it says.")
    if 0 in shape and _is_wide(shape, size):
        raise _HeaderError(f"The .npy file holds no number, but its shape {_in_words(shape)} is that of a large array.")


def _is_wide(shape: tuple[int, ...], size: int) -> bool:
    """Tell whether an array without numbers, behind which no byte need stand, would cost a model as a large one does.

    (1000000, 0) is a million rows, of which there may be no more than bytes were sent. The axes behind an empty one
    cost less: an empty batch of pictures is (0, 1024, 1024, 3).
    """
    empty = shape.index(0)
    return math.prod(shape[:empty]) > size or math.prod(filter(None, shape[empty:])) > _MOST_OF_EMPTY


def _check_shape(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> None:
    if len(shape) != len(wanted) or any(w is not None and w != n for n, w in zip(shape, wanted, strict=True)):
        raise ValueError(f"The shape is {_in_words(shape)}, not {_in_words(wanted)}.")


def _in_words(shape: tuple[int | None, ...]) -> str:
    lengths = ", ".join("any" if length is None else str(length) for length in shape)
    return f"({lengths},)" if len(shape) == 1 else f"({lengths})"


def json_schema(wanted: Wanted) -> dict[str, Any]:
    """Return the OpenAPI 3.1 schema of what a client may send: nested lists, or an npy file in base64."""
    dtype = wanted.numpy_dtype
    schema: dict[str, Any] = _number_schema(dtype) if dtype else {"type": ["number", "boolean"]}
    if wanted.lengths is None:  # one number, or lists of any depth
        return {"anyOf": [schema, {"type": "array", "items": _nested(schema)}, {**_NPY}]}
    for length in reversed(wanted.lengths):
        schema = {"type": "array", "items": schema}
        if length is not None:
            schema |= {"minItems": length, "maxItems": length}
    return {"anyOf": [schema, {**_NPY}]}


def _nested(number: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the items of lists of any depth, of which it says what it can: numbers or lists."""
    kinds = number["type"] if isinstance(number["type"], list) else [number["type"]]
    return {"type": [*kinds, "array"]}


def _number_schema(dtype: np.dtype[Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": _JSON_TYPES[dtype.kind]}
    if dtype.kind in "iu" and dtype.itemsize <= _EXACT_BYTES:
        limits = load_numpy().iinfo(dtype)
        schema |= {"minimum": int(limits.min), "maximum": int(limits.max)}
    elif dtype.kind == "u":
        schema["minimum"] = 0
    elif dtype.kind == "f" and dtype.itemsize <= _EXACT_BYTES:
        limits = load_numpy().finfo(dtype)
        schema |= {"minimum": float(limits.min), "maximum": float(limits.max)}
    return schema
