"""What a model returned, as an answer ready to be sent.

    value --> Renderer.render(call id, value, chosen media type) --> Answer, or BadAnswer

The text of JSON is made first and validated after, so that what the schema saw is what the client reads. A BadAnswer
tells the client one fixed sentence; types, paths and field names are for the log.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import traceback
from collections.abc import Mapping
from typing import Any, get_args

import msgspec
import orjson

from modelserve.errors import BadAnswer, ContractError
from modelserve.messages import Answer
from modelserve.v2.answer_schema import answer_schema
from modelserve.v2.compiled import REFUSED, compile_schema
from modelserve.v2.dumping import dumped, has_two_forms
from modelserve.v2.negotiation import is_range
from modelserve.v2.plain import JsonTypeError, NanRule, NotJsonError, dump, has_own_text
from modelserve.v2.raw import OCTETS, Raw, Scratch, as_raw, is_media_type
from modelserve.v2.signatures import BINARY, HEAD_BYTES, media_type_of
from modelserve.v2.whole_numbers import refuse_fractions

__all__ = ["Renderer"]

_JSON = "application/json"
_NPY = "application/x-npy"
_LOG_ERRORS = 20
# What is written of a value that is neither bytes nor a file, by the range that was chosen.
_WRITTEN = {"text/*": "text/plain", "application/*": _JSON}
# None of these is a file or bytes: they skip the question.
_PLAIN_TYPES = frozenset({dict, list, tuple, str, int, float, bool, type(None)})


class Renderer:
    """Turns what one model returns into answers; never waits, never raises anything but BadAnswer.

    JSON is ``application/json`` with the schema, or, without one, in the envelope ``{"status", "predictions"}``. Of a
    media type that ends in ``+json`` it is what the model returned, neither validated nor wrapped.

    An answer {"y": 2} to the schema {"y": Int} takes about 0.9 us, where marshmallow has to look at it 4 us
    (timeit, CPython 3.11).

    Args:
        schema: The model's ``schema``: None, a dict of fields, a marshmallow Schema class or an instance.
        media_types: What the model can answer with, the default first.
        nan: Whether NaN and infinity are errors or null.
        scratch: The worker's own temporary folder; files from there are deleted once they are sent, but for those that
            were there at :meth:`keep_files`.

    Raises:
        ContractError: The schema or a media type is none; the message says what would be right.
        ValueError: ``nan`` is neither of the two.
    """

    def __init__(
        self, schema: Any, *, media_types: tuple[str, ...] = (_JSON,), nan: NanRule = "error", scratch: str = ""
    ) -> None:
        if nan not in get_args(NanRule):
            raise ValueError(f'nan must be "error" or "null", not {nan!r}')
        self.schema = answer_schema(schema)
        self._load = None if self.schema is None else compile_schema(self.schema, sent=True)
        self._has_two_forms = self.schema is not None and has_two_forms(self.schema)
        if self.schema is not None:
            refuse_fractions(self.schema)  # after it is compiled: see ArgumentParser
        self._nan = nan
        self._scratch = Scratch(scratch)
        self._json_only = self.schema is not None or len(media_types) > 1
        for media_type in media_types:
            if not isinstance(media_type, str) or not is_media_type(media_type):
                raise ContractError(f"accept offers {media_type!r}, which is no media type such as 'image/png'.")
        self._ranges = tuple(filter(is_range, media_types))
        self._types = frozenset(media_types) - {*self._ranges}

    def render(self, call_id: int, value: Any, media_type: str) -> Answer:
        """Return the answer to a call.

        Args:
            call_id: The call's id.
            value: What the model returned.
            media_type: What was chosen for this call: one of the media types, or what the client named of a range.

        Raises:
            BadAnswer: The value does not fit the schema, or cannot be written in this media type.
        """
        try:
            if media_type == _JSON and type(value) in _PLAIN_TYPES:
                return Answer(call_id, _JSON, self._json(value))
            raw = as_raw(value, self._scratch)
            media_type = self.type_of(value, media_type, raw) if self._ranges else media_type
            if raw is not None:
                return self._raw(call_id, raw, media_type)
            content_type, body = self._written(value, media_type)
            return Answer(call_id, content_type, body)
        except BadAnswer:
            raise
        except NotJsonError as error:
            raise BadAnswer("The model's answer cannot be written as JSON.", log=str(error)) from error
        except Exception as error:  # the value is the model's: its methods may raise anything
            raise BadAnswer("The model's answer cannot be written.", log=traceback.format_exc()) from error

    def type_of(self, value: Any, media_type: str, raw: Raw | None = None) -> str:
        """Return the media type that a value has where a range was chosen, or a type within one; else what was chosen.

        Args:
            value: What the model returned, or the first item of its stream.
            media_type: What was chosen.
            raw: The value, where it is bytes or a file.
        """
        offered = "" if media_type in self._types else _covering(media_type, self._ranges)
        if not offered:
            return media_type
        if isinstance(value, bytes | bytearray | memoryview):
            raw = Raw(bytes(value[:HEAD_BYTES]))
        if raw is not None:
            return raw.type_within(offered, media_type)
        found = Raw(str.encode(value)).type_within(offered, media_type) if isinstance(value, str) else media_type
        return _WRITTEN.get(offered, found) if found == OCTETS or is_range(found) else found

    def keep_files(self) -> None:
        """Never delete a file that is there now: ``warm`` has made it, for more than one answer."""
        self._scratch = self._scratch.since_now()

    def _json(self, value: Any) -> bytes:
        if self.schema is None:
            return self._envelope(value)
        if self._is_plain(value):
            return dump(value, self._nan)
        # What is no JSON value yet, such as a UUID or an array, may look wrong where its text is right.
        with contextlib.suppress(NotJsonError):
            if not self._has_two_forms and self._is_plain_text(body := dump(value, self._nan)):
                return body
        value = dumped(self.schema, value)
        body = dump(value, self._nan)
        # Where null is sent for NaN, the text may look wrong where the value is right.
        if not self._is_plain_text(body) and self.schema.validate(value):
            self._refuse_wrong(json.loads(body))
        return body

    def _is_plain(self, value: Any) -> bool:
        """Whether the value is plainly valid, and in the form in which the schema would dump it.

        Where it is not, it has to be dumped, and marshmallow has to say whether it is valid at all.
        """
        return self._load is not None and self._load(value) is not REFUSED

    def _is_plain_text(self, body: bytes) -> bool:
        if self._load is None:
            return False
        try:
            return self._is_plain(msgspec.json.decode(body))
        except msgspec.DecodeError:  # a lone surrogate, which only json reads
            return False

    def _refuse_wrong(self, document: Any) -> None:
        assert self.schema is not None
        found = self.schema.validate(document)
        if found:
            raise BadAnswer("The model's answer does not fit its schema.", log=_field_paths(found))

    def _envelope(self, value: Any) -> bytes:
        try:
            return dump({"status": "OK", "predictions": value}, self._nan)
        except JsonTypeError as error:
            if error.path != ".predictions" or not has_own_text(value):
                raise
            return dump({"status": "OK", "predictions": str(value)})

    def _raw(self, call_id: int, raw: Raw, media_type: str) -> Answer:
        content_type = media_type
        if media_type == _JSON and self._json_only:
            raw = self._own_json(raw)
        elif media_type == _JSON:  # the model declares nothing: whatever it answers is right
            content_type = raw.guessed_type()
        return Answer(call_id, content_type, raw.body, raw.file, raw.filename)

    def _own_json(self, raw: Raw) -> Raw:
        """Return JSON that the model wrote itself; where the schema dumps another form of it, that."""
        try:
            document = orjson.loads(raw.content())
            if self.schema is None or self._is_plain(document):
                return raw
            body = self._json(document)
            if body == dump(document):
                return raw
        except ValueError as error:
            _discard(raw)
            raise BadAnswer("The model's answer is not JSON, which was chosen.", log=f"not JSON: {error}") from error
        except BadAnswer:
            _discard(raw)
            raise
        _discard(raw)
        return Raw(body, filename=raw.filename)

    def _written(self, value: Any, media_type: str) -> tuple[str, bytes]:
        essence = media_type.partition(";")[0].strip().lower()
        if essence == _JSON:
            return _JSON, self._json(value)
        forms = "bytes (a picture saved into an io.BytesIO)" if essence in BINARY else "text, bytes"
        advice = f"; return {forms} or a file of that type"
        if isinstance(value, str):
            body = str.encode(value)
            if essence not in BINARY or media_type_of(body) == essence:
                return _with_charset(media_type, essence), body
            advice = "; return its bytes, or a pathlib.Path or an OutputFile of its file"
        if essence.endswith("+json"):
            return media_type, dump(value, self._nan)
        if essence == _NPY and (body := _npy(value)):
            return media_type, body
        raise BadAnswer(
            f"The model's answer cannot be written as {media_type}.",
            log=f"it is a {type(value).__module__}.{type(value).__qualname__}; {media_type} was chosen{advice}",
        )


def _covering(media_type: str, ranges: tuple[str, ...]) -> str:
    """Return the range that is this one or has this type in it, "" for none."""
    return next((each for each in ranges if media_type.lower().startswith(each[:-1].lower())), "")


def _with_charset(media_type: str, essence: str) -> str:
    if essence.startswith("text/") and "charset=" not in media_type.lower():
        return f"{media_type}; charset=utf-8"
    return media_type


def _npy(value: Any) -> bytes:
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray | numpy.generic):
        return b""
    file = io.BytesIO()
    numpy.save(file, value, allow_pickle=False)
    return file.getvalue()


def _discard(raw: Raw) -> None:
    with contextlib.suppress(OSError):
        raw.discard()


def _field_paths(found: Any, path: str = "") -> str:
    """Return marshmallow's nested messages as lines of ``path: message``, not more than a log line bears."""
    lines: list[str] = []
    pending = [(path, found)]
    while pending and len(lines) < _LOG_ERRORS:
        path, messages = pending.pop(0)
        if isinstance(messages, Mapping):
            pending += [(f"{path}.{key}" if path else str(key), inner) for key, inner in messages.items()]
        else:
            lines.append(f"{path}: {' '.join(map(str, messages)) if isinstance(messages, list) else messages}")
    return "; ".join(lines)
