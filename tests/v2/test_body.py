"""Request bodies: what is read, and what is refused rather than guessed (FAULTS D01-D10)."""

from __future__ import annotations

import json
import math
import time
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelserve.body import kind, parse_form, parse_json
from modelserve.errors import BadRequest, InvalidArguments, UnsupportedMedia
from modelserve.strict_json import MAX_DEPTH, parse_value

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=30,
)


def nested(levels: int) -> bytes:
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@settings(deadline=None)
@given(st.dictionaries(TEXT, VALUES), st.booleans(), st.sampled_from([None, 2]))
def test_a_valid_document_means_what_the_standard_library_says(value: Any, escape: bool, indent: int | None) -> None:
    body = json.dumps(value, ensure_ascii=escape, indent=indent).encode()
    assert parse_json(body) == json.loads(body) == value


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text('{}[]",:\\ 01e.-truefalsn', max_size=40).map(str.encode))
def test_any_bytes_are_a_value_or_a_400(body: bytes) -> None:
    try:
        value = parse_value(body)
    except BadRequest:
        return
    assert value == json.loads(body)


def test_whole_numbers_are_exact() -> None:
    assert parse_json(b'{"x": 123456789012345678901234567890}') == {"x": 123456789012345678901234567890}


@pytest.mark.parametrize(
    "body", [b'{"a": 1', b'{"a" 1}', b"{'a': 1}", b'{"a": 1,}', b'{"a": 1} x', b"{", b"nul", b" ", b'{"a": "\\ud800"}']
)
def test_malformed_or_truncated_json_is_a_400(body: bytes) -> None:
    """FAULTS D01."""
    with pytest.raises(BadRequest, match="The JSON cannot be read") as caught:
        parse_json(body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"a": x}', "invalid character (byte 6)"),
        (b'{"a": "x', "input data was truncated (byte 8)"),
        (b"", "input data was truncated (byte 0)"),
        (b'{"a": "\xc3\xbc\xff"}', "invalid UTF-8 encoded string (byte 9)"),
        (memoryview(b'{"\xff": 1}'), "invalid UTF-8 encoded string (byte 2)"),
    ],
)
def test_the_message_says_where(body: bytes | memoryview, reason: str) -> None:
    """FAULTS D01."""
    with pytest.raises(BadRequest) as caught:
        parse_json(body)
    assert str(caught.value) == f"The JSON cannot be read: {reason}."


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_one_byte_order_mark_before_json_is_skipped(kind: Any) -> None:
    assert parse_json(kind(b'\xef\xbb\xbf{"a": "\xef\xbb\xbf"}')) == {"a": "\ufeff"}
    with pytest.raises(BadRequest, match="twice"):
        parse_json(kind(b'\xef\xbb\xbf{"a": 1, "a": 2}'))


def test_utf_16_is_named() -> None:
    with pytest.raises(BadRequest, match=r"cannot be read: it is UTF-16, and must be UTF-8\."):
        parse_json('{"a": 1}'.encode("utf-16"))


@pytest.mark.parametrize(
    "body", [b'{"a": "\xff"}', b"\xff", '{"a": 1}'.encode("utf-16"), b"\xef\xbb\xbf\xef\xbb\xbf{}"]
)
def test_another_encoding_is_a_400(body: bytes) -> None:
    """FAULTS D02."""
    with pytest.raises(BadRequest):
        parse_json(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"mode": "ok", "mode": "x"}',
        b'{"a": {"b": 1, "c": 2, "b": 3}}',
        b'[{"a": 1}, {"a": 1, "a": 1}]',
        b'{"a": 1, "\\u0061": 2}',
        b'{"a": "x:y", "a": "z"}',
        b'{"a": "{", "a": 1}',
    ],
)
def test_a_key_given_twice_is_a_400(body: bytes) -> None:
    """FAULTS D03."""
    with pytest.raises(BadRequest, match=r'gives the key "[a-z]+" twice'):
        parse_value(body)


@pytest.mark.parametrize("body", [b'{"a": "x:y{", "b": {"a": 1}}', b'{"a": [{"a": 1}, {"a": 2}]}', b"{}", b'{"": 1}'])
def test_a_key_may_come_back_in_another_object(body: bytes) -> None:
    """FAULTS D03."""
    assert parse_json(body) == json.loads(body)


@pytest.mark.parametrize("body", [nested(MAX_DEPTH + 1), nested(500), b"[" * 100_000, b'{"a":' * 100_000])
def test_too_deep_nesting_is_a_400(body: bytes) -> None:
    """FAULTS D04."""
    with pytest.raises(BadRequest, match=r"nested more than 64 levels|cannot be read"):
        parse_json(body)


def test_brackets_in_strings_do_not_hide_the_depth() -> None:
    """FAULTS D04."""
    body = b'["]",' * 100 + b"1" + b', "["]' * 100
    with pytest.raises(BadRequest, match="nested more than 64 levels"):
        parse_value(body)


def test_the_deepest_allowed_and_many_brackets_are_read() -> None:
    """FAULTS D04."""
    assert parse_json(nested(MAX_DEPTH)) == json.loads(nested(MAX_DEPTH))
    wide = {"x": [[1, 2], [3, 4]] * 100, "y": ']]]]}}\\"[[[['}
    assert parse_json(json.dumps(wide).encode()) == wide


def test_the_depth_of_a_large_body_costs_little() -> None:
    """FAULTS D04."""
    body = b"[" + b",".join([b"[" * 62 + b"]" * 62] * 4000) + b"]"
    before = time.process_time()
    parse_value(body)
    assert time.process_time() - before < 2


def test_a_number_of_5000_digits_is_a_400() -> None:
    """FAULTS D05."""
    with pytest.raises(BadRequest, match="out of range"):
        parse_json(b'{"x": ' + b"1" * 5000 + b"}")
    assert parse_json(b'{"x": {"y": ' + b"1" * 4300 + b"}}")["x"]["y"] == int("1" * 4300)


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999"])
def test_nan_and_infinity_are_a_400(literal: bytes) -> None:
    """FAULTS D06."""
    with pytest.raises(BadRequest):
        parse_json(b'{"x": ' + literal + b"}")
    assert math.isfinite(parse_json(b'{"x": 1e308}')["x"])


@pytest.mark.parametrize(
    ("body", "given"),
    [(b"[1, 2]", "an array"), (b'"x"', "a string"), (b"null", "null"), (b"1.5", "a number"), (b"true", "a boolean")],
)
def test_json_that_is_no_object_is_a_422(body: bytes, given: str) -> None:
    """FAULTS D07."""
    with pytest.raises(InvalidArguments) as caught:
        parse_json(body)
    assert caught.value.fields == {"_schema": [f"The body must be a JSON object of arguments, not {given}."]}


@pytest.mark.parametrize(
    ("content_type", "found"),
    [
        ("application/json", "json"),
        ("APPLICATION/JSON; Charset=UTF-8", "json"),
        ('application/json;charset="utf-8"', "json"),
        ("application/json; charset=us-ascii", "json"),
        ("application/vnd.api+json", "json"),
        ("application/x-www-form-urlencoded", "form"),
        ("multipart/form-data; boundary=xyz", "multipart"),
        ("", "none"),
    ],
)
def test_a_content_type_says_how_to_read(content_type: str, found: str) -> None:
    assert kind(content_type) == found


@pytest.mark.parametrize(
    "content_type",
    [
        "application/xml",
        "application/octet-stream",
        "text/plain",
        "text/plain; charset=utf-8; application/json",
        "text/json",
        "json",
        "application/json, text/plain",
        "multipart/mixed; boundary=x",
        "application/json; charset=nope",
        "application/json; charset=utf-16",
        "application/x-www-form-urlencoded; charset=latin-1",
        "x" * 100_000,
    ],
)
def test_any_other_content_type_or_charset_is_a_415(content_type: str) -> None:
    """FAULTS D08, D09, D10."""
    with pytest.raises(UnsupportedMedia) as caught:
        kind(content_type)
    assert caught.value.status == 415
    assert len(caught.value.message) < 300


def test_a_form_keeps_order_repetition_and_blanks() -> None:
    assert parse_form(b"a=1&b=&a=2&c&d=%C3%A9+x") == [("a", "1"), ("b", ""), ("a", "2"), ("c", ""), ("d", "é x")]
    assert parse_form(b"") == []


@pytest.mark.parametrize("body", [b"a=%ff", b"a=\xff", b"%ff=1"])
def test_a_form_that_is_not_utf8_is_a_400(body: bytes) -> None:
    """FAULTS D02."""
    with pytest.raises(BadRequest, match="UTF-8"):
        parse_form(body)


def test_a_form_of_too_many_fields_is_a_400() -> None:
    assert len(parse_form(b"&".join([b"a=1"] * 1000))) == 1000
    with pytest.raises(BadRequest, match="more than 1000 fields"):
        parse_form(b"&".join([b"a=1"] * 1001))


SIGNS = st.text('{}[]":\\a', max_size=4)


@given(
    st.lists(st.tuples(SIGNS, SIGNS | st.lists(SIGNS, max_size=2) | st.just({":": 1})), max_size=4),
    st.sampled_from([0, 1000]),
    st.booleans(),
    st.sampled_from([bytes, bytearray, memoryview]),
)
def test_a_key_given_twice_is_found_whatever_the_texts_hold(
    pairs: list[tuple[str, Any]], spaces: int, escape: bool, kind: Any
) -> None:
    """FAULTS D03."""
    members = [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in pairs]
    text = "{" + ",".join(members) + " " * spaces + "}"
    body = kind((text.replace("a", "\\u0061") if escape else text).encode())
    if len({key for key, _ in pairs}) < len(pairs):
        with pytest.raises(BadRequest, match="twice in one object"):
            parse_value(body)
    else:
        assert parse_value(body) == dict(pairs)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_depth_is_seen_in_long_bodies_and_in_any_buffer(kind: Any) -> None:
    """FAULTS D04."""
    rows = json.dumps({"x": [[0.5] * 3] * 500, "s": "]]]}" * 100}).encode()
    assert len(parse_value(kind(rows))["x"]) == 500
    with pytest.raises(BadRequest, match="nested more than 64 levels"):
        parse_value(kind(b'{"x": ' + nested(MAX_DEPTH) + b', "s": "]]]"' + b" " * 1000 + b"}"))


def test_a_long_body_of_numbers_takes_hardly_longer_than_to_decode_it() -> None:
    body = json.dumps({"x": [[0.123456789] * 100] * 2000}).encode()

    def cost(read: Any) -> float:
        times = []
        for _ in range(5):
            before = time.process_time()
            read(body)
            times.append(time.process_time() - before)
        return min(times)

    assert cost(parse_value) < 2 * cost(msgspec.json.decode)


PIECES = [
    "%",
    "%4",
    "%41",
    "%C3%A9",
    "é",
    "%ff",
    "%2B",
    "%5c",
    "%00",
    "%25",
    "\\",
    "\\x41",
    "\\u0041",
    "+",
    "&",
    "=",
    ";",
    "a",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_a_long_form_means_what_a_short_one_means(pieces: list[str]) -> None:
    """X19."""
    text = "".join(pieces)
    long = f"{'y' * 5000}&{text}".encode()
    try:
        expected = parse_qsl(text, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        with pytest.raises(BadRequest, match="UTF-8"):
            parse_form(long)
    else:
        assert parse_form(long)[1:] == expected


def test_a_form_that_is_not_percent_encoded_at_all_is_a_400() -> None:
    """X19."""
    assert parse_form(b"a=" + b"%zz" * 1000 + b"x" * 5000) == [("a", "%zz" * 1000 + "x" * 5000)]
    with pytest.raises(BadRequest, match="it has"):
        parse_form(b"a=" + b"%zz" * 2000)


@pytest.mark.parametrize("depth", [MAX_DEPTH - 2, MAX_DEPTH])
def test_the_depth_of_very_many_lists_is_seen(depth: int) -> None:
    """X19."""
    body = b"[" + b",".join([nested(depth)] * 3000) + b"]"
    if depth < MAX_DEPTH:
        assert len(parse_value(body)) == 3000
    else:
        with pytest.raises(BadRequest, match="nested more than 64 levels"):
            parse_value(body)


@pytest.mark.parametrize("more", ["", '"\\u0041:"', '{"b":":"}', str(2**70), "1e5"])
def test_a_key_given_twice_is_found_in_a_large_body(more: str) -> None:
    """X19, FAULTS D03."""
    objects = ",".join(['{"a:":1,"b":{"c":"x:y"}}'] * 5000 + ([more] if more else []))
    assert len(parse_value(f"[{objects}]".encode())) == 5000 + bool(more)
    with pytest.raises(BadRequest, match="twice in one object"):
        parse_value(f'[{objects},{{"a":1,"a":2}}]'.encode())


@pytest.mark.parametrize("text", ['"\\ud800"', '"\\ud800x"', '"x\\udfff"', '"\\uDBFF\\n"'])
def test_half_of_a_surrogate_pair_is_named_as_such(text: str) -> None:
    """X21."""
    with pytest.raises(BadRequest, match="half of a surrogate pair"):
        parse_value(f'{{"a": {text}}}'.encode())
    with pytest.raises(BadRequest, match="truncated"):
        parse_value(b'{"a": "\\\\ud800", "b": ')
    assert parse_value(b'{"a": "\\\\ud800"}') == {"a": "\\ud800"}
