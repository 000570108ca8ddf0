"""Reads what a server sent over one connection as the HTTP/1.1 that it must be, and nothing else: RFC 9112.

    bytes of a connection --> responses() --> [Response, ...], or NotHttp with what is wrong

A browser forgives much that is refused here; whoever keeps a server behind a proxy cannot.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["NotHttp", "Response", "responses"]

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3}) ([\t\x20-\x7e]*)")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?[ \t]*")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")


class NotHttp(ValueError):
    """These bytes are no whole responses."""


class Response(NamedTuple):
    """One final response; interim ones are passed over."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of an error, "" where there is none."""
        found = json.loads(self.body) if self.status >= 400 and self.body else {}
        return str(found.get("code", "")) if isinstance(found, dict) else ""


def responses(received: bytes, *, is_ended: bool = True, bodiless: bool = False) -> list[Response]:
    """Return the responses that a server sent over one connection.

    Args:
        received: All that came.
        is_ended: Whether the server has closed the connection behind it, so that a body may end there.
        bodiless: Whether the requests were HEAD, whose responses have no body.

    Raises:
        NotHttp: It is anything but whole responses, one behind the other.
    """
    found = []
    while received:
        response, received = _first(received, is_ended=is_ended, bodiless=bodiless)
        if response.status >= 200:
            found.append(response)
    return found


def _first(received: bytes, *, is_ended: bool, bodiless: bool) -> tuple[Response, bytes]:
    head, end, rest = received.partition(b"\r\n\r\n")
    if not end:
        raise NotHttp(f"a head without an end: {received[:200]!r}")
    status_line, *lines = head.split(b"\r\n")
    if not (matched := _STATUS_LINE.fullmatch(status_line)):
        raise NotHttp(f"no status line: {status_line[:200]!r}")
    status, headers = int(matched[1]), _headers(lines)
    if bodiless or status < 200 or status in (204, 304):
        return Response(status, headers, b""), rest
    body, rest = _body(headers, rest, is_ended=is_ended)
    _check_json(headers, body)
    return Response(status, headers, body), rest


def _headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        if not (matched := _FIELD.fullmatch(line)):
            raise NotHttp(f"no header: {line[:200]!r}")
        name, value = matched[1].decode().lower(), (matched[2] or b"").decode()
        if name in headers and name in ("content-length", "transfer-encoding", "content-type", "x-request-id"):
            raise NotHttp(f"{name} twice")
        headers[name] = value
    return headers


def _body(headers: Mapping[str, str], rest: bytes, *, is_ended: bool) -> tuple[bytes, bytes]:
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if length is not None and coding is not None:
        raise NotHttp("both a length and a transfer coding")
    if coding is not None:
        if coding != "chunked":
            raise NotHttp(f"an unknown transfer coding: {coding}")
        return _chunks(rest)
    if length is None:
        if not is_ended:
            raise NotHttp("a body that has no end")
        return rest, b""
    if not re.fullmatch("[0-9]+", length) or len(rest) < int(length):
        raise NotHttp(f"{len(rest)} bytes of a body of {length}")
    return rest[: int(length)], rest[int(length) :]


def _chunks(rest: bytes) -> tuple[bytes, bytes]:
    parts = []
    while True:
        if not (matched := _CHUNK.match(rest)):
            raise NotHttp(f"no chunk: {rest[:50]!r}")
        size, rest = int(matched[1], 16), rest[matched.end() :]
        if rest[size : size + 2] != b"\r\n":
            raise NotHttp(f"a chunk of {size} bytes without its end")
        parts.append(rest[:size])
        rest = rest[size + 2 :]
        if not size:
            return b"".join(parts), rest


def _check_json(headers: Mapping[str, str], body: bytes) -> None:
    if headers.get("content-type", "").partition(";")[0] != "application/json":
        return
    try:
        json.loads(body.decode(), parse_constant=_refuse)
    except ValueError as error:
        raise NotHttp(f"no JSON: {body[:200]!r}") from error


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")
