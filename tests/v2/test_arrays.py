"""Numpy arrays out of lists, base64 text, npy bytes and uploads, through the NDArray field."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError, validate

from modelserve.v2 import fields
from modelserve.v2.files import UploadedFile


def upload(path: Path) -> UploadedFile:
    return UploadedFile("x", str(path), "", "", path.stat().st_size)


def npy(array: Any, **kwargs: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **kwargs)
    return file.getvalue()


def npy_saying(shape: tuple[int, ...], descr: str = "<f8", data: bytes = b"") -> bytes:
    """Return an npy file whose header says what it likes."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + data


def refusal(field: Any, value: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        field.deserialize(value)
    (message,) = caught.value.messages
    return str(message)


@pytest.mark.parametrize(
    ("kwargs", "value", "expected"),
    [
        ({}, [1, 2], np.array([1, 2], "int64")),
        ({}, [1, 2.5], np.array([1, 2.5])),
        ({}, [[True], [False]], np.array([[True], [False]])),
        ({}, [], np.zeros(0)),
        ({}, 3, np.array(3)),
        ({"dtype": "float32", "shape": (None, 2)}, [[1, 2], [3, 4.5]], np.array([[1, 2], [3, 4.5]], "float32")),
        ({"dtype": np.uint8, "shape": [-1]}, [0, 255], np.array([0, 255], "uint8")),
        ({"dtype": "uint64"}, [2**64 - 1], np.array([2**64 - 1], "uint64")),
        ({"dtype": "int32"}, [[], []], np.zeros((2, 0), "int32")),
        ({"dtype": "bool", "shape": 1}, [True], np.array([True])),
        ({"dtype": "complex64"}, [1, 2.5], np.array([1, 2.5], "complex64")),
        ({"shape": ()}, 2.5, np.array(2.5)),
    ],
)
def test_lists_become_an_array_of_the_wanted_dtype(kwargs: Any, value: Any, expected: Any) -> None:
    array = fields.NDArray(**kwargs).deserialize(value)
    assert array.dtype == expected.dtype
    assert array.shape == expected.shape
    assert (array == expected).all()


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3), max_size=5))
def test_any_list_of_floats_comes_back_the_same(value: list[list[float]]) -> None:
    assert fields.NDArray(dtype="float64").deserialize(value).tolist() == value


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        (None, [[1, 2], [3]], "lists have different lengths"),
        ("float32", [[1, 2], 3], "lists have different lengths"),
        ("float32", [1, [2, 3]], "lists have different lengths"),
        ("float32", ["1", "2"], "it holds text"),
        ("float32", [1.0, None], "it holds null"),
        ("float32", [1.0, True], "it holds booleans"),
        ("int64", [True, False], "Not an array of whole numbers"),
        ("float32", [True], "Not an array of numbers"),
        ("bool", [0, 1], "Not an array of true or false"),
        ("int32", [1.5], "Not an array of whole numbers"),
        ("int32", [1.0], "Not an array of whole numbers"),
        ("float32", [{"a": 1}], "it holds objects"),
        ("float32", {"a": 1}, "it holds objects"),
        ("uint8", [256], "out of range for uint8, which holds 0 to 255"),
        ("uint8", [-1], "out of range for uint8"),
        ("int64", [2**63], "out of range for int64"),
        (None, [2**64], "a number is too large"),
        (None, [2**63, -1], "a number is too large"),
        ("float64", [10**400], "a number is too large"),
        ("float32", [1e300], "too large for float32"),
        ("float16", [70000], "too large for float16"),
        ("float64", [float("nan")], "NaN, infinity"),
    ],
)
def test_what_numpy_would_change_silently_is_refused(dtype: Any, value: Any, message: str) -> None:
    assert message in refusal(fields.NDArray(dtype=dtype), value)


def test_nesting_beyond_what_numpy_holds_is_refused() -> None:
    value: Any = 1.0
    for _ in range(100):
        value = [value]
    assert "too deep" in refusal(fields.NDArray(), value)


@pytest.mark.parametrize(
    ("shape", "value", "message"),
    [
        ((None, 3), [[1, 2]], "The shape is (1, 2), not (any, 3)."),
        ((3,), [[1, 2]], "The shape is (1, 2), not (3,)."),
        (2, [1, 2, 3], "The shape is (3,), not (2,)."),
        ((), [1], "The shape is (1,), not ()."),
        ((-1, 1), [], "The shape is (0,), not (any, 1)."),
    ],
)
def test_another_shape_is_refused_with_both_named(shape: Any, value: Any, message: str) -> None:
    assert refusal(fields.NDArray(shape=shape), value) == message


def test_nan_is_let_through_where_the_field_says_so() -> None:
    """FAULTS D06."""
    content = npy(np.array([np.nan, np.inf]))
    assert "NaN, infinity" in refusal(fields.NDArray(), content)
    assert np.isnan(fields.NDArray(allow_nan=True).deserialize(content)[0])


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", "|b1", "<u8", "<c8"])
def test_an_npy_file_is_read_from_bytes_text_and_uploads(dtype: str, tmp_path: Path) -> None:
    expected = np.array([[0, 1], [1, 0]], dtype)
    content = npy(np.asfortranarray(expected))
    (tmp_path / "x").write_bytes(content)
    for value in (content, base64.b64encode(content).decode(), upload(tmp_path / "x")):
        array = fields.NDArray(shape=(2, 2)).deserialize(value)
        assert (array == expected).all()
        assert array.dtype == expected.dtype.newbyteorder("=")
        assert array.dtype.isnative


def test_an_npy_file_is_cast_as_lists_are() -> None:
    assert fields.NDArray(dtype="float32").deserialize(npy(np.array([1, 2]))).dtype == np.float32
    assert fields.NDArray(dtype="int8").deserialize(npy(np.array([1, 2]))).dtype == np.int8
    assert "whole numbers" in refusal(fields.NDArray(dtype="int8"), npy(np.array([1.0])))
    assert "out of range" in refusal(fields.NDArray(dtype="int8"), npy(np.array([200])))
    assert "of numbers" in refusal(fields.NDArray(dtype="float32"), npy(np.array([True])))
    assert "too large" in refusal(fields.NDArray(dtype="float32"), npy(np.array([1e300])))
    assert fields.NDArray(dtype="int8").deserialize(np.int64(3)) == 3
    assert "its dtype is <U1" in refusal(fields.NDArray(), np.array(["a"]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy(np.array([{}], dtype=object)), "its dtype is object"),
        (npy(np.array(["a"])), "its dtype is <U1"),
        (npy(np.array(["2026-01-01"], "datetime64[D]")), "its dtype is datetime64[D]"),
        (npy(np.zeros(1, [("a", "f8")])), "its dtype is [('a', '<f8')]"),
        (npy_saying((10**12,)), "too short for the shape (1000000000000,)"),
        (npy_saying((2**40, 2**40)), "too short"),
        (npy_saying((-1,)), "too short"),
        (npy_saying((2,), data=b"\0" * 15), "too short"),
        (npy_saying((0, 10**30)), "is that of a large array"),
        (npy_saying((10**6, 0)), "is that of a large array"),
        (npy_saying((1000, 1000, 0), "|u1"), "is that of a large array"),
        (npy_saying((2, 0, 10**9)), "is that of a large array"),
        (npy_saying((-1, 0)), "too short"),
        (b"PK\x03\x04 a zip file", "Not a .npy file"),
        (b"\x80\x04a pickle", "Not a .npy file"),
        (b"\x93NUMPY\x03\x00\x10\x00\x00\x00", "Not a .npy file"),
        (b"\x93NUMPY\x01\x00\xff\xff{'descr': __import__('os')}", "Not a .npy file"),
        (b"", "Not a .npy file"),
    ],
)
def test_a_hostile_npy_file_is_refused_before_anything_is_allocated(content: bytes, message: str) -> None:
    assert message in refusal(fields.NDArray(), content)


def test_text_that_is_no_base64_is_refused() -> None:
    assert "in base64" in refusal(fields.NDArray(), "k05VTVBZ!")


def test_the_schema_of_an_array_has_its_shape_and_type() -> None:
    npy_schema = {"type": "string", "contentEncoding": "base64", "contentMediaType": "application/x-npy"}
    byte = {"type": "integer", "minimum": 0, "maximum": 255}
    inner = {"type": "array", "items": byte, "minItems": 3, "maxItems": 3}
    assert fields.NDArray(dtype="uint8", shape=(None, 3)).json_schema() == {
        "anyOf": [{"type": "array", "items": inner}, npy_schema]
    }
    assert fields.NDArray(dtype="float32", shape=()).json_schema()["anyOf"][0]["type"] == "number"
    assert fields.NDArray(dtype="int64", shape=()).json_schema()["anyOf"][0] == {"type": "integer"}
    assert fields.NDArray(shape=1, dtype=bool).json_schema()["anyOf"][0]["items"] == {"type": "boolean"}
    assert fields.NDArray().json_schema()["anyOf"][:2] == [
        {"type": ["number", "boolean"]},
        {"type": "array", "items": {"type": ["number", "boolean", "array"]}},
    ]
    assert fields.NDArray(dtype="int64").json_schema()["anyOf"][0] == {"type": "integer"}
    assert fields.NDArray(load_default=None).json_schema()["anyOf"][-1] == {"type": "null"}


@pytest.mark.parametrize("dtype", ["datetime64[s]", "str", object, "V4", "nosuch"])
def test_a_dtype_that_is_no_number_is_an_error_of_the_model(dtype: Any) -> None:
    with pytest.raises(TypeError):
        fields.NDArray(dtype=dtype).json_schema()


def test_an_array_is_written_as_nested_lists() -> None:
    field = fields.NDArray()
    assert field.serialize("x", {"x": np.array([[1, 2]])}) == [[1, 2]]
    assert field.serialize("x", {"x": [1, 2]}) == [1, 2]
    assert field.serialize("x", {"x": None}) is None


def test_validators_are_given_the_array() -> None:
    field = fields.NDArray(validate=validate.Length(max=2))
    assert refusal(field, [1, 2, 3]) == "Longer than maximum length 2."


def test_numpy_is_loaded_only_when_an_array_is_made() -> None:
    code = """
import sys
from modelserve.v2 import fields
field = fields.NDArray(dtype="float32", shape=(2,))
assert "numpy" not in sys.modules
field.deserialize([1, 2])
assert "numpy" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_numpy_the_error_says_what_to_install() -> None:
    code = """
import sys
sys.modules["numpy"] = None
from modelserve.v2 import fields
try:
    fields.NDArray().deserialize([1])
except ImportError as error:
    assert "pip install numpy" in str(error), error
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 224, 224, 3), (0, 0), (1, 0, 5)])
def test_an_array_without_numbers_is_as_long_as_what_was_sent(shape: tuple[int, ...]) -> None:
    """X14."""
    content = npy(np.zeros(shape))
    assert fields.NDArray().deserialize(content).shape == shape
    assert fields.NDArray(dtype="int8").deserialize(npy(np.zeros(shape, ">i8", order="F"))).shape == shape
