"""Values of jobs keep their value from writing to reading, whatever they are."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserve.exact import from_json, to_json

ANY_TEXT = st.text(st.characters(categories=None))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)


def said(value: Any) -> str:
    """Return a text that differs where values do: 1, 1.0, True and -0.0 are equal or not in Python as it likes."""
    return ascii(value)


@given(VALUES)
def test_every_value_is_read_as_it_was_written(value: Any) -> None:
    """X2, X3, X11, X12."""
    assert said(from_json(to_json(value))) == said(value)
    assert said(from_json(to_json(value).decode())) == said(value)


@pytest.mark.parametrize("number", [2**63, 2**64, 2**70, -(2**70) - 1, 10**399, 10**4299, 2**53 + 1])
def test_whole_numbers_are_exact(number: int) -> None:
    """X2, X11."""
    assert from_json(to_json({"x": [number]})) == {"x": [number]}
    assert from_json(to_json({"x": [number, "\ud800"]}))["x"][0] == number


def test_what_differs_for_a_reader_of_json_differs() -> None:
    """X12: also beside a text that only one of the two writers can write."""
    several: list[Any] = [1, 1.0, True, 0.0, -0.0, 2**70, 2**70 + 1, float(2**70), "1"]
    for beside in ("a", "\ud800"):
        texts = {to_json([each, beside], is_sorted=True) for each in several}
        assert len(texts) == len(several)


def test_floats_that_are_one_number_are_one() -> None:
    """X12."""
    assert to_json(from_json(b"0.10000000000000001")) == to_json(from_json(b"0.1")) == b"0.1"


def test_keys_are_sorted_where_that_is_asked_for() -> None:
    for beside in ("a", "\ud800"):
        first, second = {"b": 1, "a": {"d": beside, "c": 2}}, {"a": {"c": 2, "d": beside}, "b": 1}
        assert to_json(first, is_sorted=True) == to_json(second, is_sorted=True)


def test_nan_is_null() -> None:
    assert to_json([math.nan, math.inf]) == b"[null,null]"


@pytest.mark.parametrize("text", [b"NaN", b'["\\ud800", NaN]', b"1e400", b'["\\ud800", -1e400]', b"{", b"\xff", b""])
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        from_json(text)


@pytest.mark.parametrize("text", [b"1" * 4301, b"[" * 100_000, b'["\\ud800",' + b"[" * 100_000])
def test_what_cannot_be_read_is_a_value_error(text: bytes) -> None:
    """X2."""
    with pytest.raises(ValueError, match=r"\w"):
        from_json(text)
