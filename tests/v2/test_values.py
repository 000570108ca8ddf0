"""Every value that Python's, numpy's and pandas' own types can hold: one text or one refusal, wherever it stands."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import enum
import fractions
import ipaddress
import json
import pathlib
import re
import types
import uuid
from pathlib import Path
from typing import Any

import marshmallow
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from modelserve.errors import BadAnswer
from modelserve.v2 import fields
from modelserve.v2.answers import Renderer
from modelserve.v2.plain import NanRule, NotJsonError, dump, tell
from modelserve.v2.predictor import Predictor
from tests.v2.running import made
from tests.v2.values import ALL, NULLED, PLACES, REFUSED, SENT, pd

JSON = "application/json"


def outcome(value: Any, nan: NanRule = "error") -> tuple[str, str]:
    """Return the text, or the reason of the refusal."""
    try:
        return dump(value, nan).decode(), ""
    except NotJsonError as error:
        return "", error.reason


@pytest.mark.parametrize("name", SENT)
def test_it_has_one_text_wherever_it_stands(name: str) -> None:
    value, text = SENT[name]
    json.loads(text)
    rules: tuple[NanRule, ...] = ("error", "null")
    for nan in rules:
        assert dump(value, nan).decode() == text
        for place, (within, around) in PLACES.items():
            assert dump(within(value), nan).decode() == around.format(text), place
    assert tell(value).decode() == text


@pytest.mark.parametrize("name", NULLED)
def test_what_is_missing_is_refused_or_null_wherever_it_stands(name: str) -> None:
    value, text = NULLED[name]
    json.loads(text)
    _, reason = outcome(value)
    assert "which JSON cannot say; " in reason
    for place, (within, around) in PLACES.items():
        assert outcome(within(value)) == ("", reason), place
        assert dump(within(value), "null").decode() == around.format(text), place
    assert tell(value).decode() == text


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_json_is_refused_with_one_reason_and_told_all_the_same(name: str) -> None:
    value, part = REFUSED[name]
    for nan in ("error", "null"):
        reason = outcome(value, nan)[1]
        assert part in reason
        for place, (within, _) in PLACES.items():
            assert outcome(within(value), nan) == ("", reason), place
    json.loads(tell([value, 1]))


@pytest.mark.parametrize("name", ALL)
def test_predict_and_train_give_the_same(name: str) -> None:
    """V13: what train returned never makes an error of work that is done."""
    value = ALL[name][0]
    text, _ = outcome({"a": value})
    alone, _ = outcome(value)
    renderer = Renderer(None)
    for given_value, expected in (({"a": value}, text), (value, alone)):
        try:
            body = renderer.render(1, given_value, JSON).body.decode()
            assert body == f'{{"status":"OK","predictions":{expected}}}'
        except BadAnswer:
            assert not expected
    trained = Predictor(made(train=lambda: {"a": value})).trainer.train({}).decode()
    assert json.loads(trained).keys() == {"a"}
    assert not text or trained == text


def test_what_train_returned_is_told_where_json_cannot_say_it() -> None:
    value = {"a": [object(), {1: b"xyz"}, {int}], (1, 2): ValueError("why"), "n": float("nan"), "x": types}
    assert json.loads(tell(value)) == {"a": ["object", {"1": "3 bytes"}, ["type"]], "[1,2]": "why", "n": None,
                                       "x": "module"}  # fmt: skip
    holds_itself: list[Any] = []
    holds_itself += [holds_itself, holds_itself]
    assert json.loads(tell(holds_itself)) == "list"


PAGE = Path(__file__).parents[2] / "docs" / "reference" / "answers.md"
WORDS: dict[str, Any] = {
    name: getattr(module, name)
    for module, names in {
        array: ["array"],
        collections: ["ChainMap", "Counter", "OrderedDict", "UserList", "deque"],
        datetime: ["UTC", "date", "datetime", "time", "timedelta"],
        decimal: ["Decimal"],
        fractions: ["Fraction"],
        ipaddress: ["ip_address", "ip_network"],
        pathlib: ["Path"],
        types: ["MappingProxyType"],
        uuid: ["UUID"],
    }.items()
    for name in names
} | {"np": np, "pd": pd}


def rows(heading: str) -> list[list[list[str]]]:
    """Return the code in each cell of the table under a heading of the page."""
    part = PAGE.read_text().partition(f"# {heading}\n")[2].partition("\n#")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")][2:]
    return [[re.findall("`([^`]+)`", cell) for cell in line.split(" | ")] for line in lines]


def made_of(codes: list[str]) -> list[Any]:
    return [eval(code, dict(WORDS)) for code in codes if pd is not None or "pd." not in code]


def test_the_page_says_what_is_sent() -> None:
    """Where a row has fewer texts than values, the first text is that of all."""
    tried = 0
    for codes, texts in (
        row for row in rows("Answers as JSON") if len(row[0]) > 0 and not row[0][0].endswith("tolist()")
    ):
        for place, value in enumerate(made_of(codes)):
            assert dump(value).decode() == texts[place if len(texts) == len(codes) else 0], codes[place]
            tried += 1
    assert tried > 30


class Colour(enum.Enum):
    RED = "red"


class Item(marshmallow.Schema):
    id = fields.Int()


def test_the_page_says_what_is_sent_under_a_schema() -> None:
    """V4, V5."""
    words = {**WORDS, "fields": fields, "Colour": Colour, "Item": Item}
    found = rows("Under a schema")
    for (field, *_), _, (text, *_) in found:
        line = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{field}` |"))
        taken, _, refused = line.split(" | ")[1].partition("; not ")
        renderer = Renderer({"x": eval(field, words)})
        for code in re.findall("`([^`]+)`", taken):
            body = renderer.render(1, {"x": eval(code, words)}, JSON).body
            assert json.loads(body) == {"x": json.loads(text)}, (field, code)
        for code in re.findall("`([^`]+)`", refused):
            with pytest.raises(BadAnswer):
                renderer.render(1, {"x": eval(code, words)}, JSON)
    assert len(found) > 10


def test_the_page_says_what_is_missing_and_what_is_refused() -> None:
    for value in [value for (codes,) in rows("Missing values") for value in made_of(codes)]:
        assert "which JSON cannot say; " in outcome(value)[1]
        assert dump(value, "null") == b"null"
    for value in [value for codes, _ in rows("Refused values") for value in made_of(codes)]:
        assert outcome(value, "null")[1]


LEAVES = st.one_of(
    st.sampled_from([*ALL]).map(lambda name: ALL[name][0]),
    npst.arrays(npst.scalar_dtypes(), npst.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=3)),
    npst.arrays(npst.datetime64_dtypes(), npst.array_shapes(min_dims=0, max_side=3)),
    npst.scalar_dtypes().flatmap(npst.from_dtype),
    st.floats() | st.floats(width=32).map(np.float32) | st.floats(width=16).map(np.float16),
    st.integers() | st.text() | st.datetimes() | st.datetimes(timezones=st.timezones()) | st.dates(),
    st.timedeltas() | st.decimals() | st.fractions() | st.complex_numbers() | st.uuids() | st.ip_addresses(),
    st.times() | st.binary(max_size=3),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=3) | st.integers() | st.floats() | st.dates(), inner, max_size=3),
        st.tuples(st.sampled_from(list(PLACES.values())), inner).map(lambda each: each[0][0](each[1])),
    ),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES, st.sampled_from(["error", "null"]))
def test_any_value_has_one_text_or_one_refusal(value: Any, nan: NanRule) -> None:
    text, reason = outcome(value, nan)
    assert text or reason
    if text:
        json.loads(text)
        assert tell(value).decode() == text or nan == "error"
    for place, (within, around) in PLACES.items():
        assert outcome(within(value), nan) == (around.format(text) if text else "", reason), place
    json.loads(tell(value))
