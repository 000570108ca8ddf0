"""Request bodies: bytes in, plain Python values out, or one of our errors. Does no I/O."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from typing import Any, Literal
from urllib.parse import parse_qsl

from modelserve.errors import BadRequest, InvalidArguments, UnsupportedMedia
from modelserve.strict_json import Body, parse_value, quoted

__all__ = ["MAX_FIELDS", "Kind", "check_charset", "is_json", "kind", "parse_form", "parse_json"]

Kind = Literal["json", "form", "multipart", "none"]

# Fields of a form or a query string; urllib and browsers know no limit, aiohttp allows 1,000 multipart fields.
MAX_FIELDS = 1000

# urllib reads shorter forms, and query strings, quickly whatever they hold.
_SHORT_FORM_BYTES = 4096
_NO_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\";\s]*)", re.IGNORECASE)
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_JSON_NAMES = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}


@lru_cache(maxsize=128)
def kind(content_type: str) -> Kind:
    """Return how a body of this ``Content-Type`` is read; "none" where the header is absent, then no body may be.

    ``text/plain`` is refused even when it holds JSON: a browser sends it across origins without asking first.

    Raises:
        UnsupportedMedia: Another media type, or a charset other than UTF-8.
    """
    if not content_type.strip():
        return "none"
    media_type = content_type.partition(";")[0].strip().lower()
    found = _kind_of(media_type)
    charset = _CHARSET.search(content_type)
    if found != "multipart" and charset:
        check_charset(charset[1])
    return found


def check_charset(name: str) -> None:
    """Refuse any charset but UTF-8, and ASCII, which is a part of it.

    Raises:
        UnsupportedMedia: It is another.
    """
    if name.strip().lower() not in _CHARSETS:
        raise UnsupportedMedia(f"The charset {quoted(name)} is not read here; send UTF-8.")


def is_json(content_type: str) -> bool:
    """Tell whether a media type is JSON, by its own name or by its ending."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def _kind_of(media_type: str) -> Kind:
    if is_json(media_type):
        return "json"
    if media_type == "application/x-www-form-urlencoded":
        return "form"
    if media_type == "multipart/form-data":
        return "multipart"
    raise UnsupportedMedia(
        f"A body of type {quoted(media_type)} is not read here; send application/json, multipart/form-data or "
        "application/x-www-form-urlencoded."
    )


def parse_json(body: Body) -> dict[str, Any]:
    """Return the object that a JSON body holds.

    Raises:
        BadRequest: As :func:`modelserve.strict_json.parse_value`.
        InvalidArguments: The JSON is sound but no object.
    """
    value = parse_value(body)
    if not isinstance(value, dict):
        given = _JSON_NAMES.get(type(value), "null")
        raise InvalidArguments({"_schema": [f"The body must be a JSON object of arguments, not {given}."]})
    return value


def parse_form(body: Body) -> list[tuple[str, str]]:
    """Return names and values of a query string or of an ``application/x-www-form-urlencoded`` body, in order.

    Raises:
        BadRequest: Bytes that are not UTF-8, before or after percent-decoding, or over ``MAX_FIELDS`` fields.
    """
    text = bytes(body) if isinstance(body, memoryview) else body
    if text.count(b"&") >= MAX_FIELDS:
        raise BadRequest(f"The form or query string has more than {MAX_FIELDS} fields.")
    try:
        if len(text) <= _SHORT_FORM_BYTES:
            return parse_qsl(text.decode(), keep_blank_values=True, errors="strict")
        return [_decoded_pair(pair) for pair in text.split(b"&") if pair]
    except UnicodeDecodeError as error:
        raise BadRequest("The form or query string is not valid UTF-8.") from error


def _decoded_pair(pair: bytes | bytearray) -> tuple[str, str]:
    name, _, value = pair.partition(b"=")
    return _decoded(name), _decoded(value)


def _decoded(text: bytes | bytearray) -> str:
    """Return what percent-encoded text means, as urllib's ``unquote_plus`` does, at the same speed whatever it holds.

    urllib makes an object of each percent sign: 30 MB of ``%41`` took it 9 s, and this 0.2 s. Each ``%41`` becomes
    ``\\x41``, which the decoder of such escapes reads in one go.
    """
    text = bytes(text).replace(b"+", b" ")
    if b"%" not in text:
        return text.decode()
    if wrong := next(islice(_NO_ESCAPE.finditer(text), MAX_FIELDS, None), None):
        where = quoted(text[wrong.start() : wrong.start() + 3].decode(errors="replace"))
        raise BadRequest(f"The form or query string is not percent-encoded: it has {where}.")
    escaped = _NO_ESCAPE.sub(b"%25", text).replace(b"\\", b"\\\\").replace(b"%", b"\\x")
    return escaped.decode("unicode_escape").encode("latin-1").decode()
